"""TFLite operators as differentiable TensorFlow functions of a batch of images; used only in the child process.

The network has batch 1, but training runs batches through the same operators, so no operator may change the first axis.
The worker compares the rebuilt network with the interpreter's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ConversionError

_PADDINGS = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_ACTIVATIONS: dict[int, Callable[[Any], Any]] = {
    schema.ActivationFunctionType.NONE: lambda x: x,
    schema.ActivationFunctionType.RELU: tf.nn.relu,
    schema.ActivationFunctionType.RELU_N1_TO_1: lambda x: tf.clip_by_value(x, -1.0, 1.0),
    schema.ActivationFunctionType.RELU6: tf.nn.relu6,
    schema.ActivationFunctionType.TANH: tf.tanh,
}


@dataclass(frozen=True)
class Call:
    """One operator with its operands.

    Args:
        name: Operator name, such as ``CONV_2D``.
        operands: Tensors in the operator's order, None for an omitted operand. Weights keep the layout of the file.
        constants: Values of integer operands, None for the others.
        options: The operator's options.
        shape: Shape of the output in the file, with batch 1.
    """

    name: str
    operands: tuple[Any, ...]
    constants: tuple[Any, ...]
    options: Any
    shape: tuple[int, ...]


def apply(call: Call) -> list[Any]:
    """Apply an operator and return its output tensors.

    Raises:
        ConversionError: there is no differentiable implementation of the operator or of its options.
    """
    operator = _OPERATORS.get(call.name)
    if operator is None:
        raise unsupported(call.name)
    fused = int(getattr(call.options, "fusedActivationFunction", 0) or 0)
    if fused not in _ACTIVATIONS:
        raise unsupported(f"{call.name} with fused activation {fused}")
    outputs = operator(call)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [_ACTIVATIONS[fused](outputs)]


def unsupported(operator: str) -> ConversionError:
    """Return the error for a network with an operator that cannot be trained."""
    return ConversionError(
        f"distillation: expected operators that can be differentiated, found {operator}",
        hint="convert without --recover",
    )


def _conv_2d(call: Call) -> Any:
    x, weights = call.operands[:2]
    if weights.shape[-1] != x.shape[-1]:
        raise unsupported("CONV_2D with groups")
    options = call.options
    y = tf.nn.conv2d(
        x,
        tf.transpose(weights, (1, 2, 3, 0)),
        strides=(options.strideH, options.strideW),
        padding=_PADDINGS[options.padding],
        dilations=(options.dilationHFactor, options.dilationWFactor),
    )
    return _with_bias(y, call)


def _depthwise_conv_2d(call: Call) -> Any:
    x, weights = call.operands[:2]
    options = call.options
    if options.strideH != options.strideW:
        raise unsupported("DEPTHWISE_CONV_2D with different strides for height and width")
    height, width = weights.shape[1:3]
    if tuple(weights.shape[1:]) == tuple(x.shape[1:]) and options.padding == schema.Padding.VALID:
        # The kernel covers the whole image, so a product gives the same; TensorFlow differentiates it many times faster.
        return _with_bias(tf.reduce_sum(x * weights, axis=(1, 2), keepdims=True), call)
    y = tf.nn.depthwise_conv2d(
        x,
        tf.reshape(weights, (height, width, x.shape[-1], -1)),
        strides=(1, options.strideH, options.strideW, 1),
        padding=_PADDINGS[options.padding],
        dilations=(options.dilationHFactor, options.dilationWFactor),
    )
    return _with_bias(y, call)


def _fully_connected(call: Call) -> Any:
    x, weights = call.operands[:2]
    y = tf.matmul(tf.reshape(x, (-1, weights.shape[-1])), weights, transpose_b=True)
    y = _with_bias(y, call)
    return tf.reshape(y, (-1, *call.shape[1:]))


def _with_bias(y: Any, call: Call) -> Any:
    bias = call.operands[2] if len(call.operands) > 2 else None
    return y if bias is None else y + bias


def _prelu(call: Call) -> Any:
    x, slope = call.operands
    return tf.nn.relu(x) - slope * tf.nn.relu(-x)


def _leaky_relu(call: Call) -> Any:
    x, slope = call.operands
    return tf.nn.relu(x) - slope * tf.nn.relu(-x)


def _pad(call: Call) -> Any:
    paddings = np.asarray(call.constants[1])
    if paddings[0].any():
        raise unsupported("PAD of the batch axis")
    value = call.operands[2] if len(call.operands) > 2 else 0.0
    return tf.pad(call.operands[0], paddings, constant_values=tf.reshape(value, ()))


def _pool(kind: Callable[..., Any]) -> Callable[[Call], Any]:
    def pool(call: Call) -> Any:
        options = call.options
        return kind(
            call.operands[0],
            ksize=(options.filterHeight, options.filterWidth),
            strides=(options.strideH, options.strideW),
            padding=_PADDINGS[options.padding],
        )

    return pool


def _reduce(kind: Callable[..., Any]) -> Callable[[Call], Any]:
    def reduce(call: Call) -> Any:
        x = call.operands[0]
        axes = sorted({int(axis) % len(x.shape) for axis in np.atleast_1d(call.constants[1])})
        if 0 in axes:
            raise unsupported(f"{call.name} over the batch axis")
        return kind(x, axis=axes, keepdims=bool(call.options.keepDims))

    return reduce


def _reshape(call: Call) -> Any:
    if not call.shape or call.shape[0] != 1:
        raise unsupported(f"{call.name} that moves the batch axis")
    return tf.reshape(call.operands[0], (-1, *call.shape[1:]))


def _concatenation(call: Call) -> Any:
    axis = int(call.options.axis) % len(call.shape)
    if axis == 0:
        raise unsupported("CONCATENATION along the batch axis")
    return tf.concat(call.operands, axis)


def _split(call: Call) -> Any:
    x = call.operands[1]
    axis = int(call.constants[0]) % len(x.shape)
    if axis == 0:
        raise unsupported("SPLIT of the batch axis")
    return tf.split(x, int(call.options.numSplits), axis)


def _hard_swish(call: Call) -> Any:
    return call.operands[0] * tf.nn.relu6(call.operands[0] + 3.0) / 6.0


def _unary(kind: Callable[[Any], Any]) -> Callable[[Call], Any]:
    return lambda call: kind(call.operands[0])


def _binary(kind: Callable[[Any, Any], Any]) -> Callable[[Call], Any]:
    return lambda call: kind(call.operands[0], call.operands[1])


_OPERATORS: dict[str, Callable[[Call], Any]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "PRELU": _prelu,
    "LEAKY_RELU": _leaky_relu,
    "PAD": _pad,
    "PADV2": _pad,
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MEAN": _reduce(tf.reduce_mean),
    "SUM": _reduce(tf.reduce_sum),
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "CONCATENATION": _concatenation,
    "SPLIT": _split,
    "ADD": _binary(tf.add),
    "SUB": _binary(tf.subtract),
    "MUL": _binary(tf.multiply),
    "DIV": _binary(tf.divide),
    "MAXIMUM": _binary(tf.maximum),
    "MINIMUM": _binary(tf.minimum),
    "RELU": _unary(tf.nn.relu),
    "RELU6": _unary(tf.nn.relu6),
    "RELU_N1_TO_1": _unary(lambda x: tf.clip_by_value(x, -1.0, 1.0)),
    "ELU": _unary(tf.nn.elu),
    "GELU": lambda call: tf.nn.gelu(call.operands[0], approximate=bool(call.options.approximate)),
    "HARD_SWISH": _hard_swish,
    "LOGISTIC": _unary(tf.sigmoid),
    "TANH": _unary(tf.tanh),
    "ABS": _unary(tf.abs),
    "NEG": _unary(tf.negative),
}
