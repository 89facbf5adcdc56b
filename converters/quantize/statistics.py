"""Statistics of activations on calibration images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.data.tensor_values import Activations
from converters.errors import CalibrationError
from converters.graph.network import Network
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import Float64Array, SampleArray


@dataclass(frozen=True)
class TensorRange:
    """Range of a tensor's values."""

    low: float
    high: float


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of the channels of one tensor on the calibration images.

    Args:
        low: Smallest value of each channel, shape (C,).
        high: Largest value of each channel, shape (C,).
        mean: Mean of each channel, shape (C,).
    """

    low: Float64Array
    high: Float64Array
    mean: Float64Array

    def scaled(self, scale: Float64Array) -> ChannelStatistics:
        """Return the statistics after dividing each channel by its scale, which must not be zero."""
        ends = self.low / scale, self.high / scale
        return ChannelStatistics(np.minimum(*ends), np.maximum(*ends), self.mean / scale)

    @property
    def range(self) -> TensorRange:
        """Range of the whole tensor."""
        return TensorRange(float(self.low.min()), float(self.high.max()))


def channel_statistics(
    network: Network,
    contract: AnyContract,
    pixels: SampleArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ChannelStatistics]:
    """Measure the minimum, maximum and mean of every channel of every computed tensor.

    Args:
        network: A canonical float network.
        contract: Its input contract.
        pixels: Shape (n, H, W, C), uint8, at the network's size.
        progress: Called with (done, total).

    Returns:
        Statistics of every computed tensor by its name; channels are along the last axis.

    Raises:
        CalibrationError: a tensor is not finite on an image.
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
                hint="check the input contract; the float network overflows on these images",
            )
    return {name: ChannelStatistics(low[name], high[name], total[name] / len(pixels)) for name in channels}
