"""Make a network's golden vectors: ask it what every device will be asked, and how far kernels may differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from edge_sdk.errors import ModelError
from edge_sdk.model.card import InputContract
from edge_sdk.model.golden import OTHER, SAME, GoldenVector, GoldenVectors, digest, smooth_field
from edge_sdk.runtime.backends.litert import Kernels, LiteRtBackend
from edge_sdk.runtime.golden_check import golden_outputs

VECTORS = 4
CANDIDATES = 16
#: Kernels that round otherwise differ by about this much, whatever the network (LSB).
LEAST_OTHER_LSB = 5.0
#: Of what LiteRT's own two kernels differ by on these inputs: a third one may err to the other side.
_KERNEL_MARGIN = 2.0
_FLOAT_SAME, _FLOAT_OTHER = 1e-4, 2e-2
#: Float operators that give the same bits however a processor fuses multiplication and addition.
_EXACT_IN_FLOAT = {
    "QUANTIZE", "DEQUANTIZE", "PRELU", "LEAKY_RELU", "RELU", "RELU6", "MAXIMUM", "MINIMUM", "RESHAPE", "PAD",
    "MAX_POOL_2D", "CONCATENATION",
}  # fmt: skip


def golden_vectors(
    network: Network, contract: InputContract, *, kernels: Kernels = "xnnpack"
) -> GoldenVectors:
    """Ask a network the inputs that tell its answers apart best.

    Args:
        network: A finished .tflite with one input and one output, float or integer.
        contract: Its input contract.
        kernels: Whose answers they are: LiteRT's with XNNPACK, or its reference kernels, which tflite-micro
            equals bit for bit.

    Raises:
        ModelError: The interpreter does not run the network.
    """
    backend = LiteRtBackend(network.data, kernels=kernels)
    seeds = list(range(1, CANDIDATES + 1))
    digests, found = golden_outputs(backend, contract, seeds)
    chosen = most_different(found, VECTORS)
    vectors = tuple(
        GoldenVector(
            seeds[i], digest(smooth_field(contract.shape, seeds[i])), digests[i], _little_endian(found[i])
        )
        for i in chosen
    )
    exact = _rounds_alike(network.graph)
    other = _other(network, contract, kernels, found[chosen], [seeds[i] for i in chosen])
    if found.dtype == np.float32:
        tolerance = {SAME: _FLOAT_SAME, OTHER: _FLOAT_OTHER}
    else:
        tolerance = {SAME: 0.0 if exact else other, OTHER: other}
    return GoldenVectors(backend.runtime, kernels, found.dtype.name, tolerance, vectors)


def most_different(found: NDArray[np.generic], count: int) -> list[int]:
    """Choose answers that are far from each other: the farthest pair, then what is farthest from the chosen.

    Args:
        found: Shape (n, D).
        count: How many, at most n.

    Returns:
        Indices in ascending order.
    """
    rows = found.astype(np.float64)
    apart = np.abs(rows[:, None] - rows[None]).max(axis=2)
    chosen = [int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape)]
    while len(set(chosen)) < min(count, len(rows)):
        nearest = apart[:, chosen].min(axis=1)
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return sorted(set(chosen))


def _other(
    network: Network,
    contract: InputContract,
    kernels: Kernels,
    found: NDArray[np.generic],
    seeds: Sequence[int],
) -> float:
    """What another runtime may be off by, in LSB: by LiteRT's two kernels, on these inputs."""
    second: Kernels = "reference" if kernels == "xnnpack" else "xnnpack"
    try:
        _, others = golden_outputs(LiteRtBackend(network.data, kernels=second), contract, list(seeds))
    except ModelError:  # reference kernels do not know every operator and type
        return LEAST_OTHER_LSB
    differ = np.abs(found.astype(np.float64) - others.astype(np.float64)).max()
    return max(LEAST_OTHER_LSB, _KERNEL_MARGIN * float(differ))


def _rounds_alike(graph: Graph) -> bool:
    """Whether every processor gives the same bits: integers, and float only where nothing is summed."""
    for operator in graph.operators:
        touched = [*indices(operator.inputs), *indices(operator.outputs)]
        in_float = any(i >= 0 and graph.dtype_name(i) == "float32" for i in touched)
        if in_float and graph.op_name(operator) not in _EXACT_IN_FLOAT:
            return False
    return True


def _little_endian(row: NDArray[np.generic]) -> bytes:
    return row.astype(row.dtype.newbyteorder("<")).tobytes()
