"""Write float16, bfloat16 and float64 graphs in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.sources.onnx_interface import subgraphs

#: Attributes that name the type of an operator's output.
_TYPE_ATTRIBUTES = {"to", "dtype", "output_dtype"}


def in_float32(model: Any) -> tuple[str, ...]:
    """Change all floating-point tensors of a model to float32, in place; return notes."""
    from onnx import TensorProto

    names = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}
    computed = {
        names[value.type.tensor_type.elem_type]
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)
        if value.type.tensor_type.elem_type in names
    }
    _rewrite(model.graph, frozenset(names))
    if not computed:
        return ()
    return (f"the ONNX graph computes in {' and '.join(sorted(computed))} and is converted in float32",)


def _rewrite(graph: Any, kinds: frozenset[int]) -> None:
    from onnx import TensorProto

    for tensor in graph.initializer:
        _rewrite_tensor(tensor, kinds)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in kinds:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i in kinds:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t"):
                _rewrite_tensor(attribute.t, kinds)
        for inner in subgraphs(node):
            _rewrite(inner, kinds)


def _rewrite_tensor(tensor: Any, kinds: frozenset[int]) -> None:
    from onnx import numpy_helper

    if tensor.data_type in kinds:
        array = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
