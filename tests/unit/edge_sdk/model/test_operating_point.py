"""An operating point is refused if its evidence does not support its claim."""

from collections.abc import Callable
from typing import Any

import pytest

from edge_sdk.errors import ModelCardError
from edge_sdk.model.operating_point import OperatingPoint

Make = Callable[..., Any]


def test_a_claim_with_too_few_comparisons_is_refused_and_says_how_many_it_needs(make_evidence: Make) -> None:
    with pytest.raises(ModelCardError, match=r"FMR 0.0007 needs 4286 non-mated comparisons .*, found 4285"):
        make_evidence(fmr=7e-4, non_mated_trials=4285)
    assert make_evidence(fmr=7e-4, non_mated_trials=4286)


@pytest.mark.parametrize("trials", [3, 47, 98, 1000, 4_999, 1_198_000, 10**9])
def test_three_over_n_is_what_n_comparisons_support(make_evidence: Make, trials: int) -> None:
    assert make_evidence(fmr=3 / trials, non_mated_trials=trials)
    with pytest.raises(ModelCardError, match="rule of three"):
        make_evidence(fmr=3 / trials, non_mated_trials=trials - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"fmr": 0.0},
        {"fmr": -1e-3},
        {"fmr": 1.5},
        {"fmr": float("nan")},
        {"fmr": 1e-320},
        {"fnmr": -0.1},
        {"fnmr": 1.1},
        {"fnmr": float("nan")},
        {"threshold": 1.01},
        {"threshold": float("nan")},
        {"mated_trials": -1},
        {"fnmr_interval": (0.3, 0.2)},
        {"fnmr_interval": (0.0, float("nan"))},
        {"fnmr_interval": (-0.1, 0.2)},
        {"fmr_interval": (0.2, 0.1)},
        {"fmr_interval": (0.1, 1.1)},
        {"fmr_measured": 0.5},
        {"fmr_measured": -0.1},
    ],
)
def test_a_rate_that_is_none_is_refused(make_evidence: Make, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelCardError, match="operating point: expected"):
        make_evidence(**changes)


def test_it_comes_back_from_json_as_it_was(make_evidence: Make) -> None:
    point = make_evidence(fnmr_interval=(0.01, 0.04), data_set_sha256="00" * 32)
    assert OperatingPoint.from_json({**point.to_json(), "later": 1}) == point


@pytest.mark.parametrize("field", ["threshold", "fmr", "fnmr", "mated_trials", "non_mated_trials"])
def test_a_missing_field_is_named(make_evidence: Make, field: str) -> None:
    value = make_evidence().to_json()
    del value[field]
    with pytest.raises(ModelCardError, match=field):
        OperatingPoint.from_json(value)


@pytest.mark.parametrize("interval", [[], [0.1], [0.1, 0.2, 0.3], "ab", 3, {"low": 0.1}, [None, 1]])
def test_a_malformed_interval_is_refused(make_evidence: Make, interval: Any) -> None:
    with pytest.raises(ModelCardError, match="operating point"):
        OperatingPoint.from_json({**make_evidence().to_json(), "fnmr_interval": interval})


def test_the_card_of_a_file_cannot_hold_a_claim_without_evidence(
    make_card: Make, make_evidence: Make
) -> None:
    card = make_card(operating_points=(make_evidence(),))
    edited = card.to_bytes().replace(b'"non_mated_trials": 3000', b'"non_mated_trials": 2999')
    with pytest.raises(ModelCardError, match="rule of three"):
        type(card).from_bytes(edited)


def test_the_ends_of_the_interval_go_through_the_same_arithmetic(make_evidence: Make) -> None:
    point = make_evidence(fmr=1e-3, fmr_interval=(0.0, 2e-3))
    assert point.fpir_interval(100) == (0.0, pytest.approx(1 - (1 - 2e-3) ** 100))
    assert make_evidence(fmr=1e-3, fmr_interval=(1e-3, 1.0)).fpir_interval(7) == (
        make_evidence(fmr=1e-3).fpir(7),
        1.0,
    )
    assert make_evidence().fpir_interval(100) is None
    with pytest.raises(ModelCardError, match="references"):
        point.fpir_interval(-1)


def points(make_evidence: Make) -> list[OperatingPoint]:
    return [
        make_evidence(threshold=threshold, fmr=fmr, non_mated_trials=10**7)
        for threshold, fmr in ((0.3, 1e-2), (0.4, 1e-3), (0.5, 1e-4), (0.6, 1e-5))
    ]


@pytest.mark.parametrize(("references", "fmr"), [(1, 1e-2), (9, 1e-3), (50, 1e-4), (100, 1e-4), (1000, 1e-5)])
def test_identification_uses_the_least_strict_point_that_keeps_the_fpir(
    make_evidence: Make, references: int, fmr: float
) -> None:
    point = OperatingPoint.for_identification(points(make_evidence), fpir=1e-2, references=references)
    assert point.fmr == fmr
    assert point.fpir(references) <= 1e-2
    less_strict = [p for p in points(make_evidence) if p.fmr > fmr]
    assert all(p.fpir(references) > 1e-2 for p in less_strict)


def test_identification_without_evidence_is_refused_with_the_evidence_needed(make_evidence: Make) -> None:
    with pytest.raises(ModelCardError, match=r"an operating point at FMR 1.01e-06 or less") as caught:
        OperatingPoint.for_identification(points(make_evidence), fpir=1e-2, references=10_000)
    assert caught.value.hint is not None
    assert "--fmr 1e-06" in caught.value.hint
    assert "3000000 or more non-mated comparisons" in caught.value.hint
    with pytest.raises(ModelCardError, match="found none"):
        OperatingPoint.for_identification([], fpir=1e-2, references=10)
    with pytest.raises(ModelCardError, match="1 or more references"):
        OperatingPoint.for_identification(points(make_evidence), fpir=1e-2, references=0)


def test_fpir_of_a_search(make_evidence: Make) -> None:
    point = make_evidence(fmr=1e-4, non_mated_trials=10**6)
    assert point.fpir(0) == 0
    assert point.fpir(50) == pytest.approx(1 - (1 - 1e-4) ** 50)
