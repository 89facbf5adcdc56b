"""Least-error ranges clip rare outliers, do not clip even distributions, and always contain zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.quantize.int8 import find_recipe_ranges, quantize_int8
from converters.quantize.ranges import find_least_error_range, find_ranges
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.statistics import TensorRange, channel_statistics
from tests.networks import CONTRACT, crops, tiny
from tests.unit.converters.quantize.test_int8_quality import fidelity, uneven

PLAIN = shipped("cpu_int8")
MSE = replace(PLAIN, ranges="mse")


def histogram(values: np.ndarray) -> tuple[TensorRange, np.ndarray]:
    full = TensorRange(float(values.min()), float(values.max()))
    return full, np.histogram(values, 2048, (full.low, full.high))[0].astype(np.float64)


def rounding_error(values: np.ndarray, full: TensorRange) -> float:
    """Return the mean squared error of the values after rounding to int8 with this range."""
    step = (full.high - full.low) / 255
    codes = np.rint(values.clip(full.low, full.high) / step)
    return float(((codes * step - values) ** 2).mean())


@pytest.mark.parametrize("seed", range(5))
def test_the_range_is_close_to_the_best_range(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, random.uniform(0.1, 10), 20_000)
    values[::4000] *= 4
    full, counts = histogram(values)
    chosen = find_least_error_range(full, counts)
    shares = np.arange(8, 21) / 20
    others = [TensorRange(a * full.low, b * full.high) for a in shares for b in shares]
    assert rounding_error(values, chosen) < rounding_error(values, full)
    assert rounding_error(values, chosen) < 1.03 * min(rounding_error(values, other) for other in others)


def test_an_outlier_does_not_determine_the_step() -> None:
    values = np.random.default_rng(3).normal(0, 1, 200_000)
    values[0] = 25.0
    full, counts = histogram(values)
    assert find_least_error_range(full, counts).high < 0.8 * full.high


def test_evenly_distributed_values_are_not_clipped() -> None:
    full, counts = histogram(np.linspace(-2, 3, 100_000))
    assert find_least_error_range(full, counts) == full


@pytest.mark.parametrize(("low", "high"), [(1.0, 5.0), (-5.0, -1.0)])
def test_the_range_contains_zero(low: float, high: float) -> None:
    full, counts = histogram(np.linspace(low, high, 10_000))
    chosen = find_least_error_range(full, counts)
    assert chosen.low <= 0 <= chosen.high


def test_a_recipe_names_its_ranges_and_replays_to_the_same_bytes() -> None:
    network, pixels = uneven(), crops(24)
    statistics = channel_statistics(network, CONTRACT, pixels)
    quantized = quantize_int8(network, MSE, statistics, CONTRACT, pixels).network
    known = find_recipe_ranges(network, MSE, statistics, CONTRACT, pixels)
    again = quantize_int8(
        network, Recipe.from_json(MSE.to_json()), statistics, CONTRACT, pixels, ranges=known
    )
    assert quantized == again.network
    assert quantized != quantize_int8(network, PLAIN, statistics, CONTRACT, pixels).network
    with pytest.raises(
        ConversionError, match="expected the method for ranges to be one of min_max, mse, found 'percentile'"
    ):
        quantize_int8(network, replace(PLAIN, ranges="percentile"), statistics, CONTRACT, pixels)


def test_the_input_has_the_range_of_the_contract() -> None:
    network, pixels = tiny(), crops(12)
    statistics = channel_statistics(network, CONTRACT, pixels)
    ranges = find_ranges(network, "mse", CONTRACT, statistics, pixels)
    assert ranges["image"] == TensorRange(*CONTRACT.real_range)
    assert set(ranges) == {"image", *statistics}


def test_least_error_ranges_improve_int8_with_uneven_channels() -> None:
    network, pixels = uneven(), crops(60)
    assert fidelity(network, MSE, pixels) > fidelity(network, PLAIN, pixels)
