"""Dequantize the stored integer weights of an ONNX graph; imported only in the child process.

onnxruntime refuses some weights that the ONNX specification allows, such as a bias in a single block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources.onnx_interface import keep_nodes, names_read
from edge_sdk.types import FloatArray

#: Most bytes of all dequantized weights together; a float network larger than this does not fit in a protobuf.
MAX_BYTES = 1 << 30
_INTEGERS = {"INT8", "UINT8", "INT16", "UINT16", "INT32", "INT4", "UINT4"}
_FLOATS = {"FLOAT", "FLOAT16", "BFLOAT16"}
_HINT = "export the model again, or give the float model it was made from"


def dequantize_weights(model: Any, *, max_bytes: int = MAX_BYTES) -> tuple[str, ...]:
    """Replace DequantizeLinear operators on stored integers by their values, in place.

    The formula is that of the ONNX specification, opset 10 to 24: ``(x - x_zero_point) * x_scale``, computed in
    float32 and rounded to the type of the operator's output. Per-tensor, per-axis and blocked scales are read. Operators
    whose integers, scale or zero point are computed by the graph, or that read another type, are kept.

    Args:
        model: An onnx.ModelProto that onnx.checker accepts, with its external weights loaded.
        max_bytes: Most bytes of all dequantized weights together, counted as float32.

    Returns:
        Notes.

    Raises:
        SourceError: A scale or zero point does not match its weight, the axis does not exist, the type of the output
            is not a float, or the weights are larger than ``max_bytes``.
    """
    from onnx import numpy_helper

    graph = model.graph
    stored = _stored(graph)
    replaced: dict[str, Any] = {}
    consumed: set[str] = set()
    total = 0
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.domain not in ("", "ai.onnx"):
            continue
        names = [name for name in node.input if name]
        inputs = [stored[name] for name in names if name in stored]
        if len(inputs) < len(names) or not _is_read(inputs):
            continue
        total += 4 * math.prod(inputs[0].dims)
        if total > max_bytes:
            raise SourceError(
                f"its integer weights need more than {max_bytes} bytes as float32",
                hint="give a smaller network",
            )
        name = node.output[0]
        try:
            value = _dequantize(inputs, {a.name: a.i for a in node.attribute})
        except ValueError as error:
            raise SourceError(f"the quantized weight {name!r}: {error}", hint=_HINT) from error
        replaced[name] = numpy_helper.from_array(value, name)
        consumed.update(node.input)
    if not replaced:
        return ()
    keep_nodes(graph, [node for node in graph.node if node.output[0] not in replaced])
    graph.initializer.extend(replaced.values())
    _drop(graph, consumed - set(names_read(graph)))
    return (f"integer weights of the ONNX file, dequantized to float32: {len(replaced)}",)


def _stored(graph: Any) -> dict[str, Any]:
    """Return the constant tensors of a graph by name: initializers and Constant operators."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                stored[node.output[0]] = attribute.t
    return stored


def _is_read(inputs: list[Any]) -> bool:
    """Return True if the first tensor has an integer type and the second a float type that this module reads."""
    return _type_name(inputs[0]) in _INTEGERS and _type_name(inputs[1]) in _FLOATS


def _type_name(tensor: Any) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(tensor.data_type))


def _dequantize(inputs: list[Any], attributes: Mapping[str, int]) -> FloatArray:
    """Compute one weight.

    Args:
        inputs: The tensors of the integers, the scale, and the zero point if there is one.
        attributes: The operator's integer attributes.

    Raises:
        ValueError: The tensors or attributes contradict each other; the message says how.
    """
    from onnx import TensorProto, helper, numpy_helper

    integers, scale, *zero = inputs
    shape = tuple(integers.dims)
    output = attributes.get("output_dtype") or scale.data_type
    if output not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        raise ValueError(f"expected a float type as output_dtype, found {output}")
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    scales = numpy_helper.to_array(scale).astype(np.float32)
    # float32 holds all integers of 16 bits exactly.
    exact = np.int64 if integers.data_type == TensorProto.INT32 else np.float32
    values: Any = numpy_helper.to_array(integers).astype(exact)
    if zero:
        zeros = numpy_helper.to_array(zero[0])
        if zero[0].data_type != integers.data_type:
            raise ValueError(f"expected a zero point of {_type_name(integers)}, found {_type_name(zero[0])}")
        if zeros.shape != scales.shape and not zeros.size == scales.size == 1:
            raise ValueError(
                f"expected a zero point of shape {scales.shape} as its scale, found {zeros.shape}"
            )
        values -= _spread(zeros.astype(exact).reshape(scales.shape), shape, axis, block)
    result: FloatArray = values.astype(np.float32, copy=False)
    result *= _spread(scales, shape, axis, block)
    return result.astype(helper.tensor_dtype_to_np_dtype(output), copy=False)


def _spread(parameter: Any, shape: tuple[int, ...], axis: int, block: int) -> Any:
    """Give a scale or zero point a shape that broadcasts to the weight's.

    Args:
        parameter: Array of any of the three granularities.
        shape: Shape of the weight.
        axis: Axis of the channels or blocks; may be negative.
        block: Number of values along the axis that share a scale; 0 if the weight is not blocked.

    Raises:
        ValueError: The shapes do not match, the axis does not exist, or the block size is negative.
    """
    if not block and parameter.shape in ((), (1,)):
        return parameter.reshape(())
    rank = len(shape)
    if not -rank <= axis < rank:
        raise ValueError(f"expected an axis from {-rank} to {rank - 1}, found {axis}")
    axis %= rank
    if block < 0:
        raise ValueError(f"expected a positive block size, found {block}")
    if not block:
        if parameter.shape != (shape[axis],):
            raise ValueError(
                f"expected a scale of shape {(shape[axis],)} or () for the shape {shape} and axis {axis}, found {parameter.shape}"
            )
        return parameter.reshape([side if i == axis else 1 for i, side in enumerate(shape)])
    blocks = -(-shape[axis] // block)  # the last block may be smaller
    expected = (*shape[:axis], blocks, *shape[axis + 1 :])
    if parameter.shape != expected:
        raise ValueError(
            f"expected a scale of shape {expected} for the shape {shape}, axis {axis} and blocks of {block},"
            f" found {parameter.shape}"
        )
    index = np.arange(shape[axis]) // block
    return np.take(parameter, index, axis=axis)


def _drop(graph: Any, names: set[str]) -> None:
    """Remove the named initializers, and the graph inputs that older files list for them."""
    for values in (graph.initializer, graph.input):
        for index in reversed(range(len(values))):
            if values[index].name in names:
                del values[index]
