"""Activation ranges of a network: true min/max, or those that lose least when values are rounded and clipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from converters.data.tensor_values import Activations
from converters.errors import ConversionError
from converters.graph.network import Network
from converters.quantize.statistics import ChannelStatistics, TensorRange, activation_ranges
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array

METHODS = ("min_max", "mse")
#: A range settles on few images; more cost time alone.
HISTOGRAM_IMAGES = 64
_BINS = 2048
_STEPS = 255
#: Ends that are tried, as shares of the true ones.
_SHARES = np.arange(20, 7, -1) / 20


def find_ranges(
    network: Network,
    method: str,
    contract: InputContract,
    statistics: Mapping[str, ChannelStatistics],
    pixels: UInt8Array,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, TensorRange]:
    """Range of every activation: the contract's own for the input, by the method for what is computed.

    Args:
        network: The float network, equalized where the recipe says so.
        method: One of ``METHODS``.
        contract: Its input contract.
        statistics: Of that very network.
        pixels: The calibration images, shape (n, H, W, C), uint8; up to 64 of them are looked at.
        progress: Called with (done, total).

    Raises:
        ConversionError: Another method.
    """
    if method not in METHODS:
        raise ConversionError(f"recipe: expected ranges of {', '.join(METHODS)}, found {method!r}")
    ranges = activation_ranges(network, contract, statistics)
    if method == "min_max":
        return ranges
    step = max(1, len(pixels) // HISTOGRAM_IMAGES)
    counts = _histograms(network, contract, ranges, pixels[::step][:HISTOGRAM_IMAGES], progress)
    return {**ranges, **{name: least_error_range(ranges[name], found) for name, found in counts.items()}}


def least_error_range(found: TensorRange, counts: Float64Array) -> TensorRange:
    """The range, within the true one, with the least mean squared error of rounding and clipping.

    Rounding costs a twelfth of the squared step inside the range, clipping the squared distance to its end
    outside (Nagel et al. 2021, arXiv:2106.08295, section 3.1). The range holds zero, which int8 has to.

    Args:
        found: The true range.
        counts: How many values lie in each of equal bins over it, shape (B,).
    """
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    centres = found.low + (np.arange(counts.size) + 0.5) * (found.high - found.low) / counts.size
    lows, highs = _SHARES * low, _SHARES * high
    below = (np.maximum(lows[:, None] - centres, 0.0) ** 2) @ counts
    above = (np.maximum(centres - highs[:, None], 0.0) ** 2) @ counts
    step = (highs[None, :] - lows[:, None]) / _STEPS
    # Nearly all values lie inside: those outside are charged for rounding as well, which is the safe side.
    error = below[:, None] + above[None, :] + counts.sum() * step**2 / 12
    row, column = np.unravel_index(int(error.argmin()), error.shape)
    return TensorRange(float(lows[row]), float(highs[column]))


def _histograms(
    network: Network,
    contract: InputContract,
    ranges: Mapping[str, TensorRange],
    pixels: UInt8Array,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Float64Array]:
    """How the values of every computed tensor spread over its range; tensors that never vary are left out."""
    varying = [name for name, found in ranges.items() if found.high > found.low]
    inside = Activations(network, contract)
    counts = {name: np.zeros(_BINS) for name in inside.tensors if name in varying}
    for position, crop in enumerate(pixels):
        inside.run(crop)
        for name in counts:
            found = ranges[name]
            places = (inside[name].ravel() - found.low) * (_BINS / (found.high - found.low))
            # A value on the last edge, or one that other images or rounding put beyond it.
            counts[name] += np.bincount(places.clip(0, _BINS - 1).astype(np.int32), minlength=_BINS)
        if progress is not None:
            progress(position + 1, len(pixels))
    return counts
