"""Compare the outputs of a network that has no embedding with those of its float network.

The error of an output is relative to the standard deviation of all its values. Most of this deviation may lie between the values of one image,
such as key points at different places of a face. The variation between images is therefore stated on the same scale: an output that
is replaced by its mean over images has an error of this size, so an error near it means that the output is useless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from converters.graph.network import Network
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.runtime import network as runtime
from edge_sdk.runtime.backends.litert import LiteRtNetwork
from edge_sdk.types import Float64Array, FloatArray, UInt8Array

#: Least share of the variation between images from which on an error is called too large.
TOO_LARGE = 0.5
# Below this variation, as a share of the standard deviation, the output is constant on the images.
_CONSTANT = 1e-6


#: Values of each output by its name, shape (images, values).
OutputValues: TypeAlias = Mapping[str, Float64Array]


def output_errors(expected: OutputValues, measured: OutputValues) -> dict[str, float]:
    """Compute the error of each output: RMS of the difference to the float output over the float standard deviation.

    Args:
        expected: Outputs of the float network.
        measured: Outputs of another network for the same images.
    """
    return {
        name: float(np.sqrt(np.mean((measured[name] - truth) ** 2))) / (float(truth.std()) or 1.0)
        for name, truth in expected.items()
    }


def output_variation(expected: OutputValues) -> dict[str, float]:
    """Compute how much each output varies between images: the error that its mean over images would have as an output.

    Args:
        expected: Outputs of the float network.
    """
    variations = {}
    for name, values in expected.items():
        variance = float(values.var(axis=0, ddof=1).mean()) if len(values) > 1 else 0.0
        variations[name] = float(np.sqrt(variance)) / (float(values.std()) or 1.0)
    return variations


def too_large(errors: Mapping[str, float], variation: Mapping[str, float]) -> tuple[str, ...]:
    """List the outputs whose error is half of their variation between images, or more.

    An output that is constant on the images is compared with its standard deviation instead.
    """
    return tuple(
        name
        for name, error in errors.items()
        if not error < TOO_LARGE * (variation[name] if variation[name] > _CONSTANT else 1.0)
    )


def output_values(network: Network, card: NetworkCard, pixels: UInt8Array) -> OutputValues:
    """Run a network on images.

    Args:
        network: The network.
        card: Its card, or that of a network with the same outputs.
        pixels: Shape (n, H, W, C), uint8, at the network's size.
    """
    opened = runtime.Network(LiteRtNetwork(network.data), card)
    rows: dict[str, list[FloatArray]] = {name: [] for name in card.outputs}
    for image in pixels:
        for name, value in opened.run(image).items():
            rows[name].append(value.ravel())
    return {name: np.array(values, np.float64) for name, values in rows.items()}
