"""Create golden vectors: outputs of a network for fixed inputs, with the tolerance for other kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from edge_sdk.errors import ModelError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.golden import OTHER, SAME, GoldenVector, GoldenVectors, digest, generator_of, golden_input
from edge_sdk.runtime.backends.base import Backend
from edge_sdk.runtime.backends.litert import Kernels, LiteRtBackend, LiteRtNetwork
from edge_sdk.runtime.golden_check import OneOutput, golden_outputs

VECTORS = 4
CANDIDATES = 16
#: Smallest tolerance for other kernels, LSB: a typical difference between kernels that round differently.
LEAST_OTHER_LSB = 5.0
#: Factor for the difference of LiteRT's two kernels, because a third kernel may differ in the other direction.
_KERNEL_MARGIN = 2.0
_FLOAT_SAME, _FLOAT_OTHER = 1e-4, 2e-2
#: Float operators whose result does not depend on fused multiply-add.
_EXACT_IN_FLOAT = {
    "QUANTIZE", "DEQUANTIZE", "PRELU", "LEAKY_RELU", "RELU", "RELU6", "MAXIMUM", "MINIMUM", "RESHAPE", "PAD",
    "MAX_POOL_2D", "CONCATENATION",
}  # fmt: skip


def make_golden_vectors(
    network: Network, contract: AnyContract, *, kernels: Kernels = "xnnpack"
) -> GoldenVectors:
    """Run a network on candidate inputs and keep those with the most different outputs.

    Args:
        network: An artefact with one input and one output, float or integer.
        contract: Its input contract.
        kernels: Kernels to run: LiteRT's with XNNPACK, or its reference kernels, which give the same bits as tflite-micro.

    Raises:
        ModelError: The interpreter does not run the network.
    """
    return _make(lambda kind: LiteRtBackend(network.data, kernels=kind), network.graph, contract, kernels)


def make_output_golden_vectors(
    network: Network, contract: AnyContract, outputs: Sequence[str]
) -> dict[str, GoldenVectors]:
    """Make golden vectors of each output of a network, by name; large outputs are reduced as ``OneOutput`` states.

    Raises:
        ModelError: The interpreter does not run the network.
    """
    return {
        name: _make(partial(_open_output, network, position), network.graph, contract, "xnnpack")
        for position, name in enumerate(outputs)
    }


def _open_output(network: Network, position: int, kernels: Kernels) -> Backend:
    return OneOutput(LiteRtNetwork(network.data, kernels=kernels), position)


def _make(
    open_backend: Callable[[Kernels], Backend], graph: Graph, contract: AnyContract, kernels: Kernels
) -> GoldenVectors:
    backend = open_backend(kernels)
    seeds = list(range(1, CANDIDATES + 1))
    digests, outputs = golden_outputs(backend, contract, seeds)
    chosen = choose_most_different(outputs, VECTORS)
    vectors = tuple(
        GoldenVector(
            seeds[i], digest(golden_input(contract, seeds[i])), digests[i], _little_endian(outputs[i])
        )
        for i in chosen
    )
    exact = _rounds_alike(graph)
    other = _tolerance(open_backend, contract, kernels, outputs[chosen], [seeds[i] for i in chosen])
    if outputs.dtype == np.float32:
        tolerance = {SAME: _FLOAT_SAME, OTHER: _FLOAT_OTHER}
    else:
        tolerance = {SAME: 0.0 if exact else other, OTHER: other}
    return GoldenVectors(
        backend.runtime, kernels, outputs.dtype.name, tolerance, vectors, generator_of(contract)
    )


def choose_most_different(outputs: NDArray[np.generic], count: int) -> list[int]:
    """Choose outputs that differ most: the farthest pair, then repeatedly the farthest from those chosen.

    Args:
        outputs: Shape (n, D).
        count: Number to choose, at most n.

    Returns:
        Indices in ascending order.
    """
    rows = outputs.astype(np.float64)
    apart = np.abs(rows[:, None] - rows[None]).max(axis=2)
    chosen = [int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape)]
    while len(set(chosen)) < min(count, len(rows)):
        nearest = apart[:, chosen].min(axis=1)
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return sorted(set(chosen))


def _tolerance(
    open_backend: Callable[[Kernels], Backend],
    contract: AnyContract,
    kernels: Kernels,
    outputs: NDArray[np.generic],
    seeds: Sequence[int],
) -> float:
    """Return the tolerance for another runtime, LSB, from the difference of LiteRT's two kernels on these inputs."""
    second: Kernels = "reference" if kernels == "xnnpack" else "xnnpack"
    try:
        _, others = golden_outputs(open_backend(second), contract, list(seeds))
    except ModelError:  # reference kernels do not support every operator and type
        return LEAST_OTHER_LSB
    differ = np.abs(outputs.astype(np.float64) - others.astype(np.float64)).max()
    return max(LEAST_OTHER_LSB, _KERNEL_MARGIN * float(differ))


def _rounds_alike(graph: Graph) -> bool:
    """Return True if every processor gives the same bits: all float operators are in ``_EXACT_IN_FLOAT``."""
    for operator in graph.operators:
        touched = [*indices(operator.inputs), *indices(operator.outputs)]
        in_float = any(i >= 0 and graph.dtype_name(i) == "float32" for i in touched)
        if in_float and graph.op_name(operator) not in _EXACT_IN_FLOAT:
            return False
    return True


def _little_endian(row: NDArray[np.generic]) -> bytes:
    return row.astype(row.dtype.newbyteorder("<")).tobytes()
