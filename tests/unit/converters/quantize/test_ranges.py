"""Least-error ranges clip what is rare and far, keep what is even, and always hold zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.quantize.int8 import make_int8, ranges_of
from converters.quantize.ranges import find_ranges, least_error_range
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.statistics import TensorRange, channel_statistics
from tests.networks import CONTRACT, crops, tiny
from tests.unit.converters.quantize.test_int8_quality import fidelity, uneven

PLAIN = shipped("cpu_int8")
MSE = replace(PLAIN, ranges="mse")


def histogram(values: np.ndarray) -> tuple[TensorRange, np.ndarray]:
    found = TensorRange(float(values.min()), float(values.max()))
    return found, np.histogram(values, 2048, (found.low, found.high))[0].astype(np.float64)


def rounding_error(values: np.ndarray, found: TensorRange) -> float:
    """Mean squared error of int8 with this range, computed value by value."""
    step = (found.high - found.low) / 255
    codes = np.rint(values.clip(found.low, found.high) / step)
    return float(((codes * step - values) ** 2).mean())


@pytest.mark.parametrize("seed", range(5))
def test_the_range_found_is_about_the_best_there_is_value_by_value(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, random.uniform(0.1, 10), 20_000)
    values[::4000] *= 4
    found, counts = histogram(values)
    chosen = least_error_range(found, counts)
    shares = np.arange(8, 21) / 20
    others = [TensorRange(a * found.low, b * found.high) for a in shares for b in shares]
    assert rounding_error(values, chosen) < rounding_error(values, found)
    assert rounding_error(values, chosen) < 1.03 * min(rounding_error(values, other) for other in others)


def test_one_value_far_out_does_not_set_the_step_of_all_others() -> None:
    values = np.random.default_rng(3).normal(0, 1, 200_000)
    values[0] = 25.0
    found, counts = histogram(values)
    assert least_error_range(found, counts).high < 0.8 * found.high


def test_values_that_spread_evenly_are_not_clipped() -> None:
    found, counts = histogram(np.linspace(-2, 3, 100_000))
    assert least_error_range(found, counts) == found


@pytest.mark.parametrize(("low", "high"), [(1.0, 5.0), (-5.0, -1.0)])
def test_the_range_holds_zero(low: float, high: float) -> None:
    found, counts = histogram(np.linspace(low, high, 10_000))
    chosen = least_error_range(found, counts)
    assert chosen.low <= 0 <= chosen.high


def test_a_recipe_names_its_ranges_and_replays_to_the_same_bytes() -> None:
    network, pixels = uneven(), crops(24)
    statistics = channel_statistics(network, CONTRACT, pixels)
    made = make_int8(network, MSE, statistics, CONTRACT, pixels)
    known = ranges_of(network, MSE, statistics, CONTRACT, pixels)
    assert made == make_int8(
        network, Recipe.from_json(MSE.to_json()), statistics, CONTRACT, pixels, ranges=known
    )
    assert made != make_int8(network, PLAIN, statistics, CONTRACT, pixels)
    with pytest.raises(ConversionError, match="expected ranges of min_max, mse, found 'percentile'"):
        make_int8(network, replace(PLAIN, ranges="percentile"), statistics, CONTRACT, pixels)


def test_the_input_keeps_the_contracts_own_range() -> None:
    network, pixels = tiny(), crops(12)
    statistics = channel_statistics(network, CONTRACT, pixels)
    found = find_ranges(network, "mse", CONTRACT, statistics, pixels)
    assert found["image"] == TensorRange(*CONTRACT.real_range)
    assert set(found) == {"image", *statistics}


def test_least_error_ranges_mend_what_uneven_channels_do_to_int8() -> None:
    network, pixels = uneven(), crops(60)
    assert fidelity(network, MSE, pixels) > fidelity(network, PLAIN, pixels)
