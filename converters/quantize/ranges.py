"""Choose the range of each activation: from minimum to maximum, or with the least rounding and clipping error."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from converters.data.tensor_values import Activations
from converters.errors import ConversionError
from converters.graph.network import Network
from converters.quantize.statistics import ChannelStatistics, TensorRange
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.types import Float64Array, SampleArray

METHODS = ("min_max", "mse")
#: Images for histograms; a few are enough.
HISTOGRAM_IMAGES = 64
_BINS = 2048
_STEPS = 255
#: Candidates for the ends of a range, as shares of minimum and maximum.
_SHARES = np.arange(20, 7, -1) / 20


def find_ranges(
    network: Network,
    method: str,
    contract: AnyContract,
    statistics: Mapping[str, ChannelStatistics],
    pixels: SampleArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, TensorRange]:
    """Find the range of every activation; that of an image input comes from the contract, that of an array from the samples.

    Args:
        network: The float reference.
        method: One of ``METHODS``.
        contract: Input contract of the network.
        statistics: Statistics of the network.
        pixels: Calibration images, shape (n, H, W, C), uint8; up to 64 are used.
        progress: Called with (done, total).

    Raises:
        ConversionError: an unknown method.
    """
    if method not in METHODS:
        raise ConversionError(
            f"recipe: expected the method for ranges to be one of {', '.join(METHODS)}, found {method!r}"
        )
    ranges = _min_max_ranges(network, contract, statistics, pixels)
    if method == "min_max":
        return ranges
    step = max(1, len(pixels) // HISTOGRAM_IMAGES)
    counts = _histograms(network, contract, ranges, pixels[::step][:HISTOGRAM_IMAGES], progress)
    return {**ranges, **{name: find_least_error_range(ranges[name], bins) for name, bins in counts.items()}}


def _min_max_ranges(
    network: Network,
    contract: AnyContract,
    statistics: Mapping[str, ChannelStatistics],
    pixels: SampleArray,
) -> dict[str, TensorRange]:
    """Return the range from minimum to maximum of every activation.

    Pixels use their whole range, so that the contract gives the range of an image input. A contract of arrays may be much
    wider than the samples.
    """
    graph = network.graph
    ranges = {name: channels.range for name, channels in statistics.items()}
    ends = contract.real_range
    if isinstance(contract, ArrayContract) and len(pixels):
        ends = float(pixels.min()), float(pixels.max())
    return {graph.name(graph.inputs[0]): TensorRange(*ends), **ranges}


def find_least_error_range(full: TensorRange, counts: Float64Array) -> TensorRange:
    """Find the part of a full range with the least mean squared error of rounding and clipping.

    Rounding has an error of a twelfth of the squared step, clipping of the squared distance to the end of the range
    (Nagel et al. 2021, arXiv:2106.08295, section 3.1). The result contains zero, as int8 requires.

    Args:
        full: The range from minimum to maximum.
        counts: Histogram of the values in equal bins over the full range, shape (B,).
    """
    low, high = min(full.low, 0.0), max(full.high, 0.0)
    centres = full.low + (np.arange(counts.size) + 0.5) * (full.high - full.low) / counts.size
    lows, highs = _SHARES * low, _SHARES * high
    below = (np.maximum(lows[:, None] - centres, 0.0) ** 2) @ counts
    above = (np.maximum(centres - highs[:, None], 0.0) ** 2) @ counts
    step = (highs[None, :] - lows[:, None]) / _STEPS
    # Clipped values count as rounded too: they are few, and this prefers the wider of two similar ranges.
    error = below[:, None] + above[None, :] + counts.sum() * step**2 / 12
    row, column = np.unravel_index(int(error.argmin()), error.shape)
    return TensorRange(float(lows[row]), float(highs[column]))


def _histograms(
    network: Network,
    contract: AnyContract,
    ranges: Mapping[str, TensorRange],
    pixels: SampleArray,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Float64Array]:
    """Return a histogram for every computed tensor whose values vary, with bins over the tensor's range."""
    varying = [name for name, ends in ranges.items() if ends.high > ends.low]
    inside = Activations(network, contract)
    counts = {name: np.zeros(_BINS) for name in inside.tensors if name in varying}
    for position, crop in enumerate(pixels):
        inside.run(crop)
        for name in counts:
            ends = ranges[name]
            places = (inside[name].ravel() - ends.low) * (_BINS / (ends.high - ends.low))
            # Count values outside the range in the first or last bin: the ranges may come from other images.
            counts[name] += np.bincount(places.clip(0, _BINS - 1).astype(np.int32), minlength=_BINS)
        if progress is not None:
            progress(position + 1, len(pixels))
    return counts
