"""Linear operators of a network, in numpy: each maps rows of values linearly and states its constant term.

An operator takes x of shape (n, *shape of its input tensor) and returns (n, *shape of its output tensor). Its constant
term, such as a bias, is added to the last row only. So the last row carries all constant terms, the other rows
only what is linear in them, and the sum of the rows is the operator's answer to the sum of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.network_graph import GraphOperator, NetworkGraph
from edge_sdk.types import FloatArray

#: Maps (n, *input shape) to (n, *output shape).
LinearStep = Callable[[FloatArray], FloatArray]

_SAME = 0
_ACTIVATION_NAMES = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
# Number of the field `fused_activation_function` in the options of each operator.
_FUSED = {
    **{"ADD": 0, "SUB": 0, "MUL": 0, "DIV": 0, "FULLY_CONNECTED": 0, "L2_NORMALIZATION": 0},
    **{"CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "AVERAGE_POOL_2D": 5},
}
_OF_IMAGES = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D")
#: Operators that change no real value: order and shape, or the stored type.
ARRANGING = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE")


class NotLinearError(Exception):
    """An operator that is not linear in one computed input; the message is the reason, for use in a sentence."""


def data_input(graph: NetworkGraph, operator: GraphOperator) -> int:
    """Return the one computed input of an operator; raises NotLinearError if it has another number of them."""
    if operator.name in ("RESHAPE", "EXPAND_DIMS"):
        return operator.inputs[0]  # the shape may be computed; the output's own shape is known
    computed = [i for i in operator.inputs if i >= 0 and graph.constant(i) is None]
    if len(computed) != 1:
        raise NotLinearError(f"{operator.name} joins {len(computed)} computed tensors")
    return computed[0]


def linear_step(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    """Make the function of a linear operator.

    Raises:
        NotLinearError: The operator is not linear, or is of a kind that is not supported.
    """
    field = _FUSED.get(operator.name)
    activation = 0 if field is None else operator.option(field)
    if activation:
        name = _ACTIVATION_NAMES.get(activation, f"activation {activation}")
        raise NotLinearError(f"{operator.name} with {name}")
    make = _STEPS.get(operator.name)
    if make is None or len(operator.outputs) != 1:
        raise NotLinearError(operator.name)
    source = graph.tensors[data_input(graph, operator)].shape
    if operator.name in _OF_IMAGES and len(source) != 4:
        raise NotLinearError(f"{operator.name} of {len(source)} axes")
    return make(graph, operator)


def _shape(graph: NetworkGraph, operator: GraphOperator) -> tuple[int, ...]:
    return graph.tensors[operator.outputs[0]].shape


def _need(graph: NetworkGraph, operator: GraphOperator, position: int) -> FloatArray:
    """Return a constant operand; raises NotLinearError if it is computed or missing."""
    index = operator.inputs[position] if position < len(operator.inputs) else -1
    value = graph.constant(index)
    if value is None:
        raise NotLinearError(f"{operator.name} with a computed operand")
    return value


def _integers(graph: NetworkGraph, operator: GraphOperator, position: int) -> list[int]:
    index = operator.inputs[position] if position < len(operator.inputs) else -1
    if index < 0 or graph.tensors[index].data is None:
        raise NotLinearError(f"{operator.name} with a computed operand")
    return [int(n) for n in graph.tensors[index].stored().ravel()]


def _bias(graph: NetworkGraph, operator: GraphOperator) -> FloatArray | None:
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return None
    tensor = graph.tensors[operator.inputs[2]]
    if tensor.dtype == np.int32 and not tensor.scales:
        weights, source = (graph.tensors[operator.inputs[place]] for place in (1, 0))
        scale = np.array(weights.scales or (1.0,), np.float64) * (source.scales or (1.0,))[0]
        return np.asarray(tensor.stored() * scale, np.float32)
    return _need(graph, operator, 2)


def _finish(y: NDArray[Any], shape: tuple[int, ...], bias: FloatArray | None) -> FloatArray:
    """Give the rows the output's shape, and add the bias to the last one."""
    out = np.ascontiguousarray(y, np.float32).reshape(len(y), *shape)
    if bias is not None:
        out[-1] += bias
    return out


def _windows(
    x: FloatArray, size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: int
) -> FloatArray:
    """Return the windows of images (m, H, W, C): shape (m, rows, columns, C, height, width)."""
    reach = ((size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1)
    margins = []
    for axis in (0, 1):
        side = x.shape[1 + axis]
        needed = (-(-side // stride[axis]) - 1) * stride[axis] + reach[axis]
        total = max(needed - side, 0) if padding == _SAME else 0
        margins.append((total // 2, total - total // 2))
    padded = np.pad(x, ((0, 0), *margins, (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]


def _images(x: FloatArray) -> FloatArray:
    """Join the rows and the batch axis of x (n, 1, H, W, C)."""
    return x.reshape(-1, *x.shape[2:])


def _convolution(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    weights, bias, shape = _need(graph, operator, 1), _bias(graph, operator), _shape(graph, operator)
    size = (weights.shape[1], weights.shape[2])
    stride = (operator.option(2, "i"), operator.option(1, "i"))
    dilation = (operator.option(5, "i", 1), operator.option(4, "i", 1))
    padding = operator.option(0)
    if weights.shape[3] != graph.tensors[operator.inputs[0]].shape[-1]:
        raise NotLinearError("CONV_2D in groups, which is not supported")

    def step(x: FloatArray) -> FloatArray:
        if size == (1, 1) and stride == (1, 1):
            y = x @ weights.reshape(len(weights), -1).T
        else:
            windows = _windows(_images(x), size, stride, dilation, padding)
            y = np.tensordot(windows, weights, axes=((4, 5, 3), (1, 2, 3)))
        return _finish(y.reshape(len(x), -1), shape, bias)

    return step


def _depthwise(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    weights, bias, shape = _need(graph, operator, 1)[0], _bias(graph, operator), _shape(graph, operator)
    size = (weights.shape[0], weights.shape[1])
    stride = (operator.option(2, "i"), operator.option(1, "i"))
    dilation = (operator.option(6, "i", 1), operator.option(5, "i", 1))
    padding = operator.option(0)
    channels = graph.tensors[operator.inputs[0]].shape[-1]
    kernel = weights.reshape(*size, channels, -1)

    def step(x: FloatArray) -> FloatArray:
        windows = _windows(_images(x), size, stride, dilation, padding)
        y = np.einsum("mrcdhw,hwdk->mrcdk", windows, kernel, optimize=True)
        return _finish(y.reshape(len(x), -1), shape, bias)

    return step


def _dense(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    weights, bias, shape = _need(graph, operator, 1), _bias(graph, operator), _shape(graph, operator)
    if operator.option(1):
        raise NotLinearError("FULLY_CONNECTED with shuffled weights, which is not supported")

    def step(x: FloatArray) -> FloatArray:
        y = x.reshape(len(x), -1, weights.shape[1]) @ weights.T
        return _finish(y.reshape(len(x), -1), shape, bias)

    return step


def _reduction(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    shape = _shape(graph, operator)
    rank = len(graph.tensors[operator.inputs[0]].shape)
    axes = tuple(1 + axis % rank for axis in _integers(graph, operator, 1))
    count = math.prod(graph.tensors[operator.inputs[0]].shape[axis - 1] for axis in set(axes))
    factor = np.float32(1 / count if operator.name == "MEAN" else 1)
    return lambda x: _finish(x.sum(axis=axes) * factor, shape, None)


def _average_pool(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    shape = _shape(graph, operator)
    size = (operator.option(4, "i"), operator.option(3, "i"))
    stride = (operator.option(2, "i"), operator.option(1, "i"))
    padding = operator.option(0)

    def step(x: FloatArray) -> FloatArray:
        images = _images(x)
        sums = _windows(images, size, stride, (1, 1), padding).sum(axis=(4, 5))
        # Padding does not count.
        counts = _windows(np.ones_like(images[:1, :, :, :1]), size, stride, (1, 1), padding).sum(axis=(4, 5))
        return _finish((sums / counts).reshape(len(x), -1), shape, None)

    return step


def _reshape(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    shape = _shape(graph, operator)
    return lambda x: x.reshape(len(x), *shape)


def _transpose(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    order = (0, *(1 + axis for axis in _integers(graph, operator, 1)))
    return lambda x: x.transpose(order)


def _pad(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    counts = _integers(graph, operator, 1)
    margins = [(0, 0), *zip(counts[::2], counts[1::2], strict=True)]
    return lambda x: np.pad(x, margins)


def _elementwise(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    """Make ADD, SUB, MUL or DIV with one constant operand."""
    first = graph.constant(operator.inputs[0])
    value = _need(graph, operator, 1) if first is None else first
    shape = _shape(graph, operator)
    name = operator.name
    if name == "DIV" and first is not None:
        raise NotLinearError("DIV by a computed tensor")

    def step(x: FloatArray) -> FloatArray:
        # The axes that broadcasting adds stand after the axis of the rows.
        x = x.reshape(len(x), *[1] * (len(shape) + 1 - x.ndim), *x.shape[1:])
        if name in ("MUL", "DIV"):
            scaled = x * value if name == "MUL" else x / value
            return np.asarray(scaled, np.float32).reshape(len(x), *shape)
        sign = -1.0 if name == "SUB" and first is not None else 1.0
        out = np.broadcast_to(np.float32(sign) * x, (len(x), *shape)).copy()
        out[-1] += -value if name == "SUB" and first is None else value
        return out

    return step


def _identity(graph: NetworkGraph, operator: GraphOperator) -> LinearStep:
    return lambda x: x


_STEPS: dict[str, Callable[[NetworkGraph, GraphOperator], LinearStep]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "MEAN": _reduction,
    "SUM": _reduction,
    "AVERAGE_POOL_2D": _average_pool,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "ADD": _elementwise,
    "SUB": _elementwise,
    "MUL": _elementwise,
    "DIV": _elementwise,
    "QUANTIZE": _identity,
    "DEQUANTIZE": _identity,
}
