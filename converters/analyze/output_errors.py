"""Compare the outputs of a network that has no embedding with those of its float network."""

from __future__ import annotations

import numpy as np

from converters.graph.network import Network
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.runtime import network as runtime
from edge_sdk.runtime.backends.litert import LiteRtNetwork
from edge_sdk.types import FloatArray, UInt8Array


def output_errors(
    baseline: Network, network: Network, card: NetworkCard, pixels: UInt8Array
) -> dict[str, float]:
    """Compute the error of each output: RMS of the difference to the float output over the float standard deviation.

    Args:
        baseline: The float network.
        network: Another network with the same outputs.
        card: Card of either network.
        pixels: Shape (n, H, W, C), uint8, at the network's size.
    """
    first = runtime.Network(LiteRtNetwork(baseline.data), card)
    second = runtime.Network(LiteRtNetwork(network.data), card)
    expected: dict[str, list[FloatArray]] = {name: [] for name in card.outputs}
    measured: dict[str, list[FloatArray]] = {name: [] for name in card.outputs}
    for image in pixels:
        for kept, values in ((expected, first.run(image)), (measured, second.run(image))):
            for name, value in values.items():
                kept[name].append(value.ravel())
    errors = {}
    for name in card.outputs:
        truth = np.concatenate(expected[name]).astype(np.float64)
        difference = np.concatenate(measured[name]) - truth
        spread = float(truth.std()) or 1.0
        errors[name] = float(np.sqrt(np.mean(difference**2))) / spread
    return errors
