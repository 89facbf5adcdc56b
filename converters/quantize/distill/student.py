"""A float .tflite, and the int8 file made of it, as differentiable functions; only in the child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ConversionError
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.quantize.distill import operators
from converters.quantize.distill.options import slope_name

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_TRAINED = (*_WEIGHTED, "PRELU", "LEAKY_RELU")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
#: What only moves values, or picks among them, answers in its operand's own steps.
_MOVES = {"PAD", "PADV2", "MAX_POOL_2D", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SPLIT"}
_KEEPS = {*_MOVES, "AVERAGE_POOL_2D"}
_WEIGHT_CODES = 127
_CODES = 255
_LOWEST_CODE = -128


class FloatNetwork:
    """A float network as a function of a batch.

    Args:
        network: A canonical float network.
    """

    def __init__(self, network: Network) -> None:
        self.graph = network.graph

    def run(self, images: Any, names: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
        """The raw embedding, shape (n, D), and the named tensors inside.

        Args:
            images: Shape (n, H, W, C), float32, as the network's contract wants them.
            names: Tensors to show.
        """
        values: dict[int, Any] = {self.graph.inputs[0]: images}
        for operator in self.graph.operators:
            operands = [values.get(i, self._constant(i)) for i in indices(operator.inputs)]
            if self.graph.op_name(operator) == "LEAKY_RELU":
                operands.append(tf.constant(float(operator.builtinOptions.alpha)))
            answers = operators.apply(_call(self.graph, operator, operands))
            values.update(zip(indices(operator.outputs), answers, strict=True))
        return _shown(self.graph, values, names)

    def _constant(self, index: int) -> Any:
        value = self.graph.constant(index)
        return None if value is None else tf.constant(value)


class Student:
    """An int8 file's graph with float weights that round as the file's do, so that they can be trained.

    Rounding passes gradients straight through (Bengio et al. 2013, arXiv:1308.3432). Weights round per output
    channel to the steps that their greatest magnitude gives; activations to the steps of ranges that are
    trained themselves, by what is clipped at their ends (PACT, arXiv:1805.06085).

    Args:
        integer: The int8 network, as a quantizer made it of the float reference.
        reference: The float network whose tensors are its tensors.

    Raises:
        ConversionError: The quantizer changed the order or the shape of weights, or an operator cannot
            be differentiated.
    """

    def __init__(self, integer: Network, reference: Network) -> None:
        self.graph = integer.graph
        self.variables: dict[str, Any] = {}
        self.slopes: list[str] = []
        self.ranges: dict[str, Any] = {}
        self._starts: dict[str, tuple[float, float]] = {}
        self._range_of: dict[int, str] = {}
        self._rounds: set[int] = set()
        self._operand_names = self._pair(reference.graph)
        for operator in self.graph.operators:
            self._add_range(operator)

    def trained_ranges(self) -> dict[str, tuple[float, float]]:
        """Least and greatest value of every tensor that rounds, by the float reference's name of it."""
        found = {}
        for name in self.ranges:
            low, high = self._range(name)
            found[name] = (float(low), float(high))
        return found

    def run(self, images: Any, names: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
        """As ``FloatNetwork.run``, by the float reference's names."""
        values: dict[int, Any] = {self.graph.inputs[0]: images}
        for operator in self.graph.operators:
            if self.graph.op_name(operator) in _CONVERSIONS:
                answers = [values[indices(operator.inputs)[0]]]
            else:
                operands = self._operands(operator, values)
                answers = operators.apply(_call(self.graph, operator, operands))
            for output, value in zip(indices(operator.outputs), answers, strict=True):
                values[output] = self._round(output, value)
        return _shown(self.graph, values, names)

    def _pair(self, reference: Graph) -> dict[tuple[int, int], str]:
        """Find the float reference's weights for the int8 network's, operator by operator, and make variables of them.

        Returns:
            The float reference's constant by the int8 operator's output and the operand's position; a LeakyReLU's slope,
            which is no operand, at position 1.
        """
        ours = [op for op in self.graph.operators if self.graph.op_name(op) in _TRAINED]
        theirs = [op for op in reference.operators if reference.op_name(op) in _TRAINED]
        if [self.graph.op_name(op) for op in ours] != [reference.op_name(op) for op in theirs]:
            raise ConversionError(
                "recovery: expected the float network's weighted operators in the int8 network"
            )
        names = {}
        for operator, other in zip(ours, theirs, strict=True):
            output = indices(operator.outputs)[0]
            if reference.op_name(other) == "LEAKY_RELU":
                name = slope_name(reference.name(indices(other.outputs)[0]))
                names[output, 1] = name
                self.slopes.append(name)
                self.variables[name] = tf.Variable(np.float32(other.builtinOptions.alpha))
                continue
            for position, index in enumerate(indices(other.inputs)):
                constant = reference.constant(index)
                if constant is None or constant.dtype != np.float32:
                    continue
                names[output, position] = reference.name(index)
                if reference.name(index) not in self.variables:
                    self.variables[reference.name(index)] = tf.Variable(constant)
        return names

    def _operands(self, operator: schema.OperatorT, values: Mapping[int, Any]) -> list[Any]:
        inputs = indices(operator.inputs)
        output = indices(operator.outputs)[0]
        found = []
        for position, index in enumerate(inputs):
            name = self._operand_names.get((output, position))
            if index in values:
                found.append(values[index])
            elif name is not None:
                value = self.variables[name]
                rounds = position == 1 and self.graph.dtype_name(index) == "int8"
                found.append(
                    _round_weights(value, self.graph, index) if rounds else tf.convert_to_tensor(value)
                )
            else:
                found.append(_real_constant(self.graph, index))
        if self.graph.op_name(operator) == "LEAKY_RELU":
            found.append(self.variables[self._operand_names[output, 1]])
        return found

    def _add_range(self, operator: schema.OperatorT) -> None:
        output = indices(operator.outputs)[0]
        source = indices(operator.inputs)[1 if self.graph.op_name(operator) == "SPLIT" else 0]
        if self.graph.dtype_name(output) != "int8":
            return
        name = self.graph.op_name(operator)
        kept = self._range_of.get(source) if name in _KEEPS else None
        if kept is not None and _steps(self.graph, source) == _steps(self.graph, output):
            self._range_of[output] = kept
            if name not in _MOVES:
                self._rounds.add(output)
            return
        if self._joins(output):
            return
        scale, zero_point = _steps(self.graph, output)
        name = _reference_name(self.graph, operator)
        low = (_LOWEST_CODE - zero_point) * scale
        self._starts[name] = (low, low + _CODES * scale)
        self.ranges[name] = tf.Variable(np.zeros(2, np.float32), name=f"range/{len(self.ranges)}")
        self._range_of[output] = name
        self._rounds.add(output)

    def _joins(self, index: int) -> bool:
        """Whether a tensor only goes into a concatenation with its own steps, which rounds for all parts."""
        readers = self.graph.consumers(index)
        return bool(readers) and all(
            self.graph.op_name(op) == "CONCATENATION"
            and _steps(self.graph, indices(op.outputs)[0]) == _steps(self.graph, index)
            for op in readers
        )

    def _round(self, output: int, value: Any) -> Any:
        if output not in self._rounds:
            return value
        low, high = self._range(self._range_of[output])
        return tf.quantization.fake_quant_with_min_max_vars(value, low, high)

    def _range(self, name: str) -> tuple[Any, Any]:
        start, factor = self._starts[name], tf.exp(self.ranges[name])
        return start[0] * factor[0], start[1] * factor[1]


def _call(graph: Graph, operator: schema.OperatorT, operands: Sequence[Any]) -> operators.Call:
    constants = [graph.constant(i) for i in indices(operator.inputs)]
    return operators.Call(
        graph.op_name(operator),
        tuple(operands),
        tuple(None if v is None or v.dtype not in (np.int32, np.int64) else v for v in constants),
        operator.builtinOptions,
        graph.shape(indices(operator.outputs)[0]),
    )


def _shown(graph: Graph, values: Mapping[int, Any], names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    # A tensor and its rounded copy have one name; later operators read the copy.
    found = {_plain(graph.name(i)): value for i, value in values.items()}
    embedding = values[graph.outputs[0]]
    return tf.reshape(embedding, (embedding.shape[0] or -1, np.prod(graph.shape(graph.outputs[0])))), {
        name: found[name] for name in names
    }


def _plain(name: str) -> str:
    return name.removesuffix("_quantized").removesuffix("_dequant")


def _reference_name(graph: Graph, operator: schema.OperatorT) -> str:
    if graph.op_name(operator) == "QUANTIZE":
        return _plain(graph.name(indices(operator.inputs)[0]))
    return _plain(graph.name(indices(operator.outputs)[0]))


def _steps(graph: Graph, index: int) -> tuple[float, int]:
    found = graph.tensors[index].quantization
    return float(found.scale[0]), int(found.zeroPoint[0])


def _round_weights(value: Any, graph: Graph, index: int) -> Any:
    """Symmetric steps of the greatest magnitude, per channel where the file has them per channel."""
    found = graph.tensors[index].quantization
    axes = list(range(value.shape.rank))
    if len(found.scale) > 1:
        axes.remove(int(found.quantizedDimension))
    largest = tf.reduce_max(tf.abs(tf.stop_gradient(value)), axis=axes, keepdims=True)
    step = tf.maximum(largest, 1e-9) / _WEIGHT_CODES
    return value + tf.stop_gradient(tf.round(value / step) * step - value)


def _real_constant(graph: Graph, index: int) -> Any:
    """A constant that is not trained, in real units; None where an operand is left out."""
    value = graph.constant(index)
    found = None if index < 0 else graph.tensors[index].quantization
    if value is None or found is None or found.scale is None or len(found.scale) == 0:
        return None if value is None else tf.constant(value)
    shape = [1] * value.ndim
    if len(found.scale) > 1:
        shape[int(found.quantizedDimension)] = -1
    steps = np.asarray(found.scale, np.float32).reshape(shape)
    zeros = np.asarray(found.zeroPoint, np.float32).reshape(shape)
    return tf.constant((value.astype(np.float32) - zeros) * steps)
