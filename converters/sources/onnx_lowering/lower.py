"""Lower a whole ONNX graph to a TensorFlow function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from converters.sources.onnx_interface import opset
from converters.sources.onnx_lowering import (
    arrangement,
    convolution,
    elementwise,
    linear,
    normalization,
    pooling,
    recurrent,
    reductions,
    resize,
)
from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import (
    Order,
    Placed,
    as_onnx,
    channels_last,
    identity,
    plain,
    reshaped,
    stored,
)

LOWERINGS: Mapping[str, Lowering] = {
    **arrangement.OPERATORS,
    **convolution.OPERATORS,
    **elementwise.OPERATORS,
    **linear.OPERATORS,
    **normalization.OPERATORS,
    **pooling.OPERATORS,
    **recurrent.OPERATORS,
    **reductions.OPERATORS,
    **resize.OPERATORS,
}

_ODD = re.compile(r"[^A-Za-z0-9_.\\/>-]")  # TensorFlow accepts these in names of scopes


def refuse_unknown(model: Any) -> None:
    """Refuse a graph with operators that have no lowering.

    Raises:
        UnsupportedOperatorError: The message names each kind of operator, with the name of one.
    """
    unknown: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in LOWERINGS:
            unknown.setdefault(node.op_type, describe(node))
    if unknown:
        raise UnsupportedOperatorError(f"no TFLite form for {', '.join(unknown.values())}")


def describe(node: Any) -> str:
    """Name an operator: its type and its name, or its first output if it has none."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


def network(model: Any, order: Order | None) -> Callable[[Any], list[Any]]:
    """Make a TensorFlow function of a graph.

    Args:
        model: An onnx.ModelProto with static shapes, folded constants and one input.
        order: Stored order of the input's axes: channels last for an image in NCHW; None for the graph's own order.

    Returns:
        A function of the input, as it is stored, that returns the outputs; images of a graph in NCHW are returned with channels last.

    Raises:
        UnsupportedOperatorError: When the function is called: an operator has a form that is not supported; the message
            names it.
    """
    import tensorflow as tf
    from onnx import numpy_helper

    graph = model.graph
    version = opset(model)
    constants = {t.name: plain(numpy_helper.to_array(t)) for t in graph.initializer}
    shape = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]

    def call(image: Any) -> list[Any]:
        values: dict[str, Placed] = dict(constants)
        if len(image.shape) == len(shape):
            values[graph.input[0].name] = Placed(image, order or identity(len(shape)))
        else:
            values[graph.input[0].name] = reshaped(tf, plain(image), shape)
        for node in graph.node:
            try:
                with tf.name_scope(
                    _ODD.sub("_", node.name or node.output[0]).strip("_-./\\") or node.op_type
                ):
                    results = _lower(tf, node, values, version)
            except UnsupportedOperatorError as error:
                raise UnsupportedOperatorError(f"{describe(node)} has no TFLite form: {error}") from error
            except (
                ArithmeticError,
                AttributeError,
                LookupError,
                NotImplementedError,
                TypeError,
                ValueError,
                tf.errors.OpError,
            ) as error:
                line = next(iter(str(error).splitlines()), "")
                raise UnsupportedOperatorError(
                    f"{describe(node)} cannot be converted: {line[:200]}"
                ) from error
            values.update(zip(node.output, results, strict=False))
        return [_output(tf, values[value.name], order) for value in graph.output]

    return call


def _output(tf: Any, value: Placed, order: Order | None) -> Any:
    image = value.rank == 4 and order is not None
    data = stored(tf, value, channels_last(4)) if image else as_onnx(tf, value)
    return tf.identity(data)


def _lower(tf: Any, node: Any, values: Mapping[str, Placed], version: int) -> Sequence[Placed]:
    call = Call(
        kind=node.op_type,
        opset=version,
        inputs=tuple(values[name] if name else None for name in node.input),
        outputs=tuple(node.output),
        attributes={attribute.name: _value(attribute) for attribute in node.attribute},
    )
    result = LOWERINGS[node.op_type](tf, call)
    return result if isinstance(result, list) else [result]


def _value(attribute: Any) -> Any:
    from onnx import helper, numpy_helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [item.decode(errors="replace") for item in value]
    return numpy_helper.to_array(value) if hasattr(value, "raw_data") else value
