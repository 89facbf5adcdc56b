"""Float and int8 networks as differentiable functions; used only in the child process."""

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
from converters.quantize.distill.training_result import slope_name

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_TRAINED = (*_WEIGHTED, "PRELU", "LEAKY_RELU")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
#: Operators that only move or select values, so that output and operand have the same scale and zero point.
_MOVES = {"PAD", "PADV2", "MAX_POOL_2D", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SPLIT"}
_KEEPS = {*_MOVES, "AVERAGE_POOL_2D"}
_WEIGHT_CODES = 127
_CODES = 255
_LOWEST_CODE = -128


class FloatNetwork:
    """A float network as a differentiable function of a batch.

    Args:
        network: A canonical float network.
    """

    def __init__(self, network: Network) -> None:
        self.graph = network.graph

    def run(self, images: Any, names: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
        """Run the network.

        Args:
            images: Shape (n, H, W, C), float32, normalized by the input contract.
            names: Names of tensors to return.

        Returns:
            The embedding before normalization, shape (n, D), and the named tensors.
        """
        values: dict[int, Any] = {self.graph.inputs[0]: images}
        for operator in self.graph.operators:
            operands = [values.get(i, self._constant(i)) for i in indices(operator.inputs)]
            if self.graph.op_name(operator) == "LEAKY_RELU":
                operands.append(tf.constant(float(operator.builtinOptions.alpha)))
            results = operators.apply(_call(self.graph, operator, operands))
            values.update(zip(indices(operator.outputs), results, strict=True))
        return _select(self.graph, values, names)

    def _constant(self, index: int) -> Any:
        value = self.graph.constant(index)
        return None if value is None else tf.constant(value)


class Student:
    """The graph of an int8 network with trainable float weights that are rounded like those of the int8 network.

    Rounding uses the straight-through gradient (Bengio et al. 2013, arXiv:1308.3432). Each output channel of a weight is
    rounded to steps given by its largest magnitude. Activations are rounded to steps given by a trainable range, whose
    gradient comes from the clipped values (PACT, arXiv:1805.06085).

    Args:
        integer: The int8 network, quantized from the float reference.
        reference: The float network with the same tensors.

    Raises:
        ConversionError: the quantizer changed the order or the shape of weights, or an operator cannot be
            differentiated.
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
        """Return the range (low, high) of every rounded tensor by its name in the float reference."""
        return {name: (float(low), float(high)) for name in self.ranges for low, high in [self._range(name)]}

    def run(self, images: Any, names: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
        """Run the network like ``FloatNetwork.run``; names are those of the float reference."""
        values: dict[int, Any] = {self.graph.inputs[0]: images}
        for operator in self.graph.operators:
            if self.graph.op_name(operator) in _CONVERSIONS:
                results = [values[indices(operator.inputs)[0]]]
            else:
                operands = self._operands(operator, values)
                results = operators.apply(_call(self.graph, operator, operands))
            for output, value in zip(indices(operator.outputs), results, strict=True):
                values[output] = self._round(output, value)
        return _select(self.graph, values, names)

    def _pair(self, reference: Graph) -> dict[tuple[int, int], str]:
        """Match the weights of the two networks, operator by operator, and create a variable for each.

        Returns:
            (output of the int8 operator, position of the operand) -> name of the float reference's constant. The slope
            of a LeakyReLU, which is not an operand, has position 1.
        """
        ours = [op for op in self.graph.operators if self.graph.op_name(op) in _TRAINED]
        theirs = [op for op in reference.operators if reference.op_name(op) in _TRAINED]
        if [self.graph.op_name(op) for op in ours] != [reference.op_name(op) for op in theirs]:
            raise ConversionError(
                "distillation: expected the same operators with weights, in the same order, in the float and the int8 network"
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
        operands = []
        for position, index in enumerate(inputs):
            name = self._operand_names.get((output, position))
            if index in values:
                operands.append(values[index])
            elif name is not None:
                value = self.variables[name]
                rounds = position == 1 and self.graph.dtype_name(index) == "int8"
                operands.append(
                    _round_weights(value, self.graph, index) if rounds else tf.convert_to_tensor(value)
                )
            else:
                operands.append(_real_constant(self.graph, index))
        if self.graph.op_name(operator) == "LEAKY_RELU":
            operands.append(self.variables[self._operand_names[output, 1]])
        return operands

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
        """Return True if only concatenations with the same quantization steps read a tensor; they round their operands."""
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


def _select(graph: Graph, values: Mapping[int, Any], names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    # A tensor and its rounded copy get the same name here; the copy comes later and replaces the tensor.
    by_name = {_plain(graph.name(i)): value for i, value in values.items()}
    embedding = values[graph.outputs[0]]
    return tf.reshape(embedding, (embedding.shape[0] or -1, np.prod(graph.shape(graph.outputs[0])))), {
        name: by_name[name] for name in names
    }


def _plain(name: str) -> str:
    return name.removesuffix("_quantized").removesuffix("_dequant")


def _reference_name(graph: Graph, operator: schema.OperatorT) -> str:
    if graph.op_name(operator) == "QUANTIZE":
        return _plain(graph.name(indices(operator.inputs)[0]))
    return _plain(graph.name(indices(operator.outputs)[0]))


def _steps(graph: Graph, index: int) -> tuple[float, int]:
    quantization = graph.tensors[index].quantization
    return float(quantization.scale[0]), int(quantization.zeroPoint[0])


def _round_weights(value: Any, graph: Graph, index: int) -> Any:
    """Round weights to symmetric steps given by the largest magnitude, per channel if the int8 network has a scale per channel."""
    quantization = graph.tensors[index].quantization
    axes = list(range(value.shape.rank))
    if len(quantization.scale) > 1:
        axes.remove(int(quantization.quantizedDimension))
    largest = tf.reduce_max(tf.abs(tf.stop_gradient(value)), axis=axes, keepdims=True)
    step = tf.maximum(largest, 1e-9) / _WEIGHT_CODES
    return value + tf.stop_gradient(tf.round(value / step) * step - value)


def _real_constant(graph: Graph, index: int) -> Any:
    """Return a constant that is not trained, dequantized; None for an omitted operand."""
    value = graph.constant(index)
    quantization = None if index < 0 else graph.tensors[index].quantization
    if value is None or quantization is None or quantization.scale is None or len(quantization.scale) == 0:
        return None if value is None else tf.constant(value)
    shape = [1] * value.ndim
    if len(quantization.scale) > 1:
        shape[int(quantization.quantizedDimension)] = -1
    steps = np.asarray(quantization.scale, np.float32).reshape(shape)
    zeros = np.asarray(quantization.zeroPoint, np.float32).reshape(shape)
    return tf.constant((value.astype(np.float32) - zeros) * steps)
