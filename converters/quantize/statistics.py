"""Ranges and statistics that activations take on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from converters.data.tensor_values import Activations
from converters.errors import CalibrationError
from converters.graph.network import Network
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array


@dataclass(frozen=True)
class TensorRange:
    """The least and the greatest value a tensor took."""

    low: float
    high: float


@dataclass(frozen=True)
class ChannelStatistics:
    """What the channels of one tensor did on the calibration images.

    Args:
        low: The least value of each channel, shape (C,).
        high: The greatest.
        mean: The mean.
    """

    low: Float64Array
    high: Float64Array
    mean: Float64Array

    def scaled(self, scale: Float64Array) -> ChannelStatistics:
        """The statistics after each channel was divided by its scale, which is not zero."""
        ends = self.low / scale, self.high / scale
        return ChannelStatistics(np.minimum(*ends), np.maximum(*ends), self.mean / scale)

    @property
    def range(self) -> TensorRange:
        """Of the whole tensor."""
        return TensorRange(float(self.low.min()), float(self.high.max()))


def channel_statistics(
    network: Network,
    contract: InputContract,
    pixels: UInt8Array,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ChannelStatistics]:
    """True minimum, maximum and mean of every channel of every computed tensor.

    Args:
        network: A canonical float network.
        contract: Its input contract.
        pixels: Shape (n, H, W, C), uint8, at the network's size.
        progress: Called with (done, total).

    Returns:
        Statistics by tensor name; the last axis is the channel. Constants are not in it.

    Raises:
        CalibrationError: A tensor is not finite on an image.
    """
    inside = Activations(network, contract)
    channels = {name: tensor.shape[-1] if tensor.shape else 1 for name, tensor in inside.tensors.items()}
    low = {name: np.full(count, np.inf) for name, count in channels.items()}
    high = {name: np.full(count, -np.inf) for name, count in channels.items()}
    total = {name: np.zeros(count) for name, count in channels.items()}
    for position, crop in enumerate(pixels):
        inside.run(crop)
        for name, count in channels.items():
            values = inside[name].reshape(-1, count)
            np.minimum(low[name], values.min(axis=0), out=low[name])
            np.maximum(high[name], values.max(axis=0), out=high[name])
            total[name] += values.mean(axis=0, dtype=np.float64)
        if progress is not None:
            progress(position + 1, len(pixels))
    for name in channels:
        if not np.isfinite(low[name] + high[name]).all():
            raise CalibrationError(
                f"calibration: expected finite activations, found NaN or infinity in {name!r}",
                hint="check the input contract; the float network itself overflows on these images",
            )
    return {name: ChannelStatistics(low[name], high[name], total[name] / len(pixels)) for name in channels}


def activation_ranges(
    network: Network, contract: InputContract, statistics: Mapping[str, ChannelStatistics]
) -> dict[str, TensorRange]:
    """Range of every activation: the contract's own for the input, true min/max for what is computed."""
    graph = network.graph
    ranges = {name: found.range for name, found in statistics.items()}
    return {graph.name(graph.inputs[0]): TensorRange(*contract.real_range), **ranges}
