"""Budgets, costs of layers, and rates fitted to times."""

from __future__ import annotations

import pytest

from edge_train.backbones.channels import LayerWork
from edge_train.errors import PlanError
from edge_train.search.budget import MACS, SIZE, Budget, LayerRates, scaled_to, work_of
from edge_train.search.fit import fit_rates

#: A 3x3 convolution from 3 channels, a 3x3 depthwise layer, and a 1x1 convolution to 10 channels, on 4x4 positions.
WORK = (
    LayerWork("stem", "convolution", 16, 9, None, "conv1", 3, 8),
    LayerWork("depthwise", "depthwise", 16, 9, "conv1", "conv1", 8, 8),
    LayerWork("project", "pointwise", 1, 1, "conv1", None, 8, 10),
)


def test_cost_counts_multiplications_and_bytes() -> None:
    assert MACS.cost(WORK, {"conv1": 8}) == 16 * 9 * 3 * 8 + 16 * 9 * 8 + 8 * 10
    assert SIZE.cost(WORK, {"conv1": 8}) == 9 * 3 * 8 + 9 * 8 + 8 * 10


def test_cost_counts_values_and_layers() -> None:
    rates = LayerRates(multiplication={}, value=0.5, layer=7.0)
    assert rates.cost(WORK, {"conv1": 8}) == 0.5 * (16 * 8 + 16 * 8 + 10) + 3 * 7.0


def test_the_largest_network_within_the_budget_is_chosen() -> None:
    cost = float(MACS.cost(WORK, {"conv1": 24}))
    assert scaled_to(Budget(cost), WORK, {"conv1": 8}, multiple=8) == {"conv1": 24}
    assert scaled_to(Budget(cost - 1), WORK, {"conv1": 8}, multiple=8) == {"conv1": 16}
    assert scaled_to(Budget(cost - 1), WORK, {"conv1": 8}, multiple=1) == {"conv1": 23}


def test_a_budget_below_the_smallest_network_is_refused() -> None:
    with pytest.raises(PlanError, match=r"at least 4,688 multiplications.*found 100"):
        scaled_to(Budget(100), WORK, {"conv1": 8}, multiple=8)


def test_budgets_are_read_from_text() -> None:
    assert Budget.parse("macs=20e6") == Budget(20e6, MACS)
    assert Budget.parse("size=200e3") == Budget(200e3, SIZE)
    rates = LayerRates(multiplication={}, layer=1.0, unit="ms")
    assert Budget.parse("time=1.5", time=rates) == Budget(1.5, rates)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20e6", "expected macs=NUMBER"),
        ("flops=3", "expected macs=NUMBER"),
        ("macs=many", "budget macs: expected a number above 0, found 'many'"),
        ("macs=-1", "expected a number above 0|expected a limit above 0"),
        ("macs=nan", "expected a number above 0|expected a limit above 0"),
        ("time=1", "expected measured rates"),
    ],
)
def test_malformed_budgets_are_refused(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Budget.parse(text)


def test_fitted_rates_reproduce_times_that_are_linear_in_the_work() -> None:
    true = LayerRates(
        multiplication={"convolution": 2e-6, "pointwise": 1e-6, "depthwise": 8e-6}, value=3e-6, layer=0.01
    )
    networks = [
        tuple(
            LayerWork(item.layer, item.kind, positions, item.taps, item.inputs, item.outputs, 3, outputs)
            for item in WORK
        )
        for positions in (16, 64, 900)
        for outputs in (8, 100)
    ]
    samples = [
        (work_of(work, {"conv1": count}), float(true.cost(work, {"conv1": count})))
        for work in networks
        for count in (8, 24, 64)
    ]
    fitted = fit_rates(samples, unit="ms")
    for work in networks:
        assert fitted.cost(work, {"conv1": 40}) == pytest.approx(true.cost(work, {"conv1": 40}), rel=0.02)


def test_fitted_rates_are_never_negative() -> None:
    samples = [(work_of(WORK, {"conv1": count}), time) for count, time in ((8, 3.0), (16, 2.0), (32, 1.0))]
    rates = fit_rates(samples)
    assert min(*rates.multiplication.values(), rates.value, rates.layer) >= 0


def test_rates_need_two_times() -> None:
    with pytest.raises(PlanError, match="two times above 0"):
        fit_rates([(work_of(WORK, {"conv1": 8}), 1.0)])
