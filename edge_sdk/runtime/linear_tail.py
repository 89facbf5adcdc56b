"""Linear tail of a network: its operators after the last activation, from an activation map to the embedding.

With a linear tail the embedding is a sum: one part for each position of the map, and one of the constants (biases).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import EdgeSdkError, ModelContractError, ModelError
from edge_sdk.model.network_graph import GraphOperator, NetworkGraph
from edge_sdk.runtime.linear_operators import ARRANGING, LinearStep, NotLinearError, data_input, linear_step
from edge_sdk.types import FloatArray

#: Largest number of positions that are taken apart; finer maps would take minutes on a device.
MAX_POSITIONS = 4096
_BLOCK_VALUES = 1 << 22
_HINT = "use an occlusion map, which needs only embeddings (--method occlusion)"


@dataclass(frozen=True, eq=False)
class LinearTail:
    """The linear operators at the end of a network.

    Args:
        tensor: Index of the activation map from which the tail begins.
        shape: Shape of that map, (1, H', W', C).
        operators: Names of the tail's operators in execution order.
        integer: True if the tail rounds, because a tensor or a weight in it is an integer.
        after: Operator before the tail in words, such as ``PRELU``.
    """

    tensor: int
    shape: tuple[int, int, int, int]
    operators: tuple[str, ...]
    integer: bool
    after: str
    _graph: NetworkGraph = field(repr=False)
    _steps: tuple[LinearStep, ...] = field(repr=False)

    @classmethod
    def find(cls, graph: NetworkGraph) -> LinearTail:
        """Follow a network from its output back to its last activation.

        Raises:
            ModelContractError: The network has several outputs; or an operator that is not linear, or is unsupported,
                comes after the last map with positions; or the map has more than 4096 positions.
            ModelError: The operands of an operator contradict each other.
        """
        with _contradictions():
            return cls._find(graph)

    @classmethod
    def _find(cls, graph: NetworkGraph) -> LinearTail:
        if len(graph.outputs) != 1:
            raise ModelContractError(
                f"expected a network with one output, found {len(graph.outputs)}", hint=_HINT
            )
        tensor, chain = graph.outputs[0], list[tuple[GraphOperator, LinearStep]]()
        tensor = _skip_final_normalization(graph, tensor)
        reason = "no operator"
        while (operator := graph.producer(tensor)) is not None and len(chain) < len(graph.operators):
            try:
                step = linear_step(graph, operator)
            except NotLinearError as error:
                reason = str(error)
                break
            chain.append((operator, step))
            tensor = data_input(graph, operator)
        else:
            reason = "the input"
        chain.reverse()
        first = _first_map(graph, [operator for operator, _ in chain], tensor, reason)
        if first:
            tensor, chain = chain[first - 1][0].outputs[0], chain[first:]
        return cls(
            tensor,
            _map_shape(graph, tensor),
            tuple(operator.name for operator, _ in chain),
            any(_is_integer(graph, operator) for operator, _ in chain),
            reason,
            graph,
            tuple(step for _, step in chain),
        )

    def parts(self, values: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Split the output by position.

        Args:
            values: The activation map as the interpreter gives it, shape (1, H', W', C).

        Returns:
            The part of each position, shape (H', W', D), and the part of the constants, shape (D,), float32. Their sum
            is the network's output before its final normalization, if any.

        Raises:
            ModelError: The shapes that the file states contradict each other.
        """
        return self.parts_of_real(self.real(values))

    def real(self, values: NDArray[Any]) -> FloatArray:
        """Dequantize the activation map as the interpreter gives it: the same shape, float32."""
        return self._graph.tensors[self.tensor].real(values)

    def parts_of_real(self, real: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split the output by position, as `parts`, for a map of real values."""
        _, height, width, channels = self.shape
        positions = height * width
        block = max(1, _BLOCK_VALUES // (positions * channels))
        parts, constant = [], np.zeros(0, np.float32)
        with _contradictions():
            vectors = real.reshape(positions, channels)
        for start in range(0, positions, block):
            chosen = np.arange(start, min(start + block, positions))
            rows = np.zeros((len(chosen) + 1, positions, channels), np.float32)
            rows[np.arange(len(chosen)), chosen] = vectors[chosen]
            answer = self._run(rows.reshape(len(rows), *self.shape))
            parts.append(answer[:-1])
            constant = answer[-1]
        return np.concatenate(parts).reshape(height, width, -1), constant

    def _run(self, x: FloatArray) -> FloatArray:
        with _contradictions():
            for step in self._steps:
                x = step(x)
        return x.reshape(len(x), -1)


@contextmanager
def _contradictions() -> Iterator[None]:
    """Turn the errors that operands of wrong number, shape or size cause into a ModelError."""
    try:
        yield
    except EdgeSdkError:
        raise
    except (LookupError, ValueError, ArithmeticError) as error:
        raise ModelError(
            f"expected operators with operands that fit, found operands that contradict each other ({error})",
            hint="convert the network again",
        ) from error


def _skip_final_normalization(graph: NetworkGraph, tensor: int) -> int:
    """Step over a final L2 normalization of the whole vector, which changes no cosine."""
    place = tensor
    operator = graph.producer(tensor)
    for _ in graph.operators:
        if operator is None or operator.name not in ARRANGING:
            break
        place = operator.inputs[0]
        operator = graph.producer(place)
    if operator is None or operator.name != "L2_NORMALIZATION" or operator.option(0):
        return tensor
    shape = graph.tensors[operator.inputs[0]].shape
    return operator.inputs[0] if shape and shape[-1] == math.prod(shape) else tensor


def _first_map(graph: NetworkGraph, tail: list[GraphOperator], tensor: int, reason: str) -> int:
    """Return the number of the tail's operators before its first map of at most 4096 positions.

    Rounding of the map itself is not part of the tail: it begins from the numbers that its first weights see.
    """
    fine = ""
    for skipped, operator in enumerate(tail):
        _, height, width, _ = _map_shape(graph, tensor)
        if height * width > MAX_POSITIONS:
            fine = f"{height}x{width}"
        elif height * width < 2:
            break
        elif operator.name not in ("QUANTIZE", "DEQUANTIZE"):
            return skipped
        if operator.name in ("RESHAPE", "TRANSPOSE"):
            break  # from here on the axes may have other meanings
        tensor = operator.outputs[0]
    if fine:
        raise ModelContractError(
            f"expected at most {MAX_POSITIONS} positions in the last activation map, found {fine}", hint=_HINT
        )
    raise ModelContractError(
        f"expected a network that is linear after its last map of positions, found {reason} after that map",
        hint=_HINT,
    )


def _map_shape(graph: NetworkGraph, tensor: int) -> tuple[int, int, int, int]:
    """Return the shape of a map of positions; (1, 1, 1, 1) for a tensor that is none."""
    shape = graph.tensors[tensor].shape
    if len(shape) != 4 or shape[0] != 1:
        return (1, 1, 1, 1)
    return (shape[0], shape[1], shape[2], shape[3])


def _is_integer(graph: NetworkGraph, operator: GraphOperator) -> bool:
    used = [graph.tensors[i] for i in (*operator.inputs[:2], *operator.outputs) if i >= 0]
    return any(tensor.scales for tensor in used)
