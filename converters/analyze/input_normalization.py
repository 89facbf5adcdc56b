"""Read the normalization at the beginning of a network: additions and multiplications between the image and a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph.graph import Graph, indices
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array

#: Operators that move or convert values without changing what they mean.
_TRANSPARENT = {
    "PAD",
    "PADV2",
    "MIRROR_PAD",
    "TRANSPOSE",
    "RESHAPE",
    "EXPAND_DIMS",
    "SQUEEZE",
    "QUANTIZE",
    "DEQUANTIZE",
}
#: Widths of the range that a trained network usually computes with: [0, 1] has 1, ImageNet's normalization 4.4.
_LEAST_WIDTH, _MOST_WIDTH = 0.9, 7.0
#: A range is centred if its middle is at most this share of its width away from 0.
_CENTRED = 0.2
#: Range widths that are this many times too small or too large are no matter of taste.
_FAR = 8.0


@dataclass(frozen=True)
class InputNormalization:
    """Normalization inside a network: ``value = factor * input + offset`` for each channel.

    Args:
        factor: Factor of each channel.
        offset: Offset of each channel.
        operators: Kinds of the operators, in order, such as ``("SUB", "MUL")``.
    """

    factor: tuple[float, ...]
    offset: tuple[float, ...]
    operators: tuple[str, ...]

    def describe(self) -> str:
        """Describe the normalization as a formula, such as ``(input - 127.5) * 0.0078125``."""
        factor, offset = self.factor, self.offset
        if any(value == 0 for value in factor):
            return f"input * {_short(factor)} + {_short(offset)}"
        centre = tuple(-b / a for a, b in zip(factor, offset, strict=True))
        inner = "input" if not any(centre) else f"(input - {_short(centre)})"
        return inner if set(factor) == {1.0} else f"{inner} * {_short(factor)}"

    def range_of(self, contract: InputContract) -> tuple[float, float]:
        """Compute the mean over the channels of the values after this normalization for the pixels 0 and 255."""
        ends = self._ends(contract)
        return float(ends[0].mean()), float(ends[1].mean())

    def fits(self, contract: InputContract) -> bool:
        """Return True if contract and normalization together give a range that networks usually compute with.

        These are ranges around 0 of a width of 0.9 to 7, the range 0..1, and, if the network only subtracts a mean,
        pixels around 0.
        """
        low, high = self.range_of(contract)
        width = high - low
        if width <= 0:
            return False
        centred = abs(low + high) / 2 <= _CENTRED * width
        if set(self.factor) == {1.0}:
            return centred
        return _LEAST_WIDTH <= width <= _MOST_WIDTH and (centred or abs(low) <= 0.02 * width)

    def far_from(self, contract: InputContract) -> bool:
        """Return True if the range of contract and normalization is many times too narrow or too wide."""
        low, high = self.range_of(contract)
        width = high - low
        if set(self.factor) == {1.0}:
            # A mean of 100 or more is subtracted from pixels 0..255.
            return width * _FAR < max(map(abs, self.offset))
        return not _LEAST_WIDTH / _FAR <= width <= _MOST_WIDTH * _FAR

    def _ends(self, contract: InputContract) -> Float64Array:
        mean, scale = np.array(contract.mean), np.array(contract.scale)
        factor, offset = np.array(self.factor), np.array(self.offset)
        return np.stack([factor * (pixel - mean) / scale + offset for pixel in (0.0, 255.0)])


def read_normalization(graph: Graph) -> InputNormalization | None:
    """Read the normalization at the beginning of a float network; None if it begins with another operator.

    Follows the image through additions, subtractions, multiplications and divisions by constants, and through operators
    that only move values (padding, transposition). A BatchNorm appears as a multiplication and an addition. A normalization
    that was folded into the first convolution cannot be read.

    Args:
        graph: A network with one image input of shape (1, H, W, C).
    """
    if len(graph.inputs) != 1:
        return None
    index = graph.inputs[0]
    shape = graph.shape(index)
    channels = min(shape[1], shape[-1]) if len(shape) == 4 else 0
    if channels not in (1, 3):
        return None
    factor, offset = np.ones(channels), np.zeros(channels)
    operators: list[str] = []
    while True:
        readers = graph.consumers(index)
        if len(readers) != 1 or index in graph.outputs:
            break
        (reader,) = readers
        kind = graph.op_name(reader)
        if kind not in _TRANSPARENT:
            step = _step(graph, reader, index, channels)
            if step is None:
                break
            factor, offset = step[0] * factor, step[0] * offset + step[1]
            operators.append(kind)
        index = indices(reader.outputs)[0]
    if not operators or not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        return None
    return InputNormalization(tuple(factor.tolist()), tuple(offset.tolist()), tuple(operators))


def _step(graph: Graph, operator: Any, index: int, channels: int) -> tuple[Float64Array, Float64Array] | None:
    """Return one operator as a factor and an offset per channel; None if it is not an affine step with constants."""
    kind = graph.op_name(operator)
    operands = indices(operator.inputs)
    options = operator.builtinOptions
    if kind not in ("ADD", "SUB", "MUL", "DIV") or getattr(options, "fusedActivationFunction", None):
        return None
    constant = graph.constant(operands[0] if operands[1] == index else operands[1])
    if constant is None or constant.size not in (1, channels) or constant.dtype != np.float32:
        return None
    value = np.broadcast_to(constant.reshape(-1).astype(np.float64), channels)
    ones, zeros = np.ones(channels), np.zeros(channels)
    if kind == "ADD":
        return ones, value
    if kind == "MUL":
        return value, zeros
    if operands[1] == index:  # constant - input; constant / input is not affine
        return (-ones, value) if kind == "SUB" else None
    if kind == "SUB":
        return ones, -value
    return (1 / value, zeros) if value.all() else None


def _short(values: tuple[float, ...]) -> str:
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"
