"""Write operators that the standard defines by other operators, such as Attention, as these operators."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from converters.errors import SourceError
from converters.sources.onnx_folding import fold_constants
from converters.sources.onnx_interface import opset

_ROUNDS = 4  # a definition can contain operators that have definitions too


def expand_functions(model: Any, known: Container[str]) -> Any:
    """Return the model with the definitions of operators that have one.

    Args:
        model: An onnx.ModelProto with static shapes.
        known: Types of operators to keep.

    Returns:
        The model; an operator whose definition cannot be written out is left as it is.
    """
    import onnx
    from onnx import helper, inliner

    for _ in range(_ROUNDS):
        kinds = sorted({node.op_type for node in model.graph.node if node.op_type not in known})
        kinds = [kind for kind in kinds if _has_definition(onnx.defs, kind, opset(model))]
        if not kinds:
            return model
        typed = onnx.shape_inference.infer_shapes(model, data_prop=True)
        typed.graph.value_info.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in typed.graph.initializer
        )
        try:
            typed = inliner.inline_selected_functions(
                typed, [("", kind) for kind in kinds], inline_schema_functions=True
            )
            model, _ = fold_constants(typed)
        # The inliner of onnx raises RuntimeError for a type that it does not know.
        except (RuntimeError, SourceError):
            return model
    return model


def _has_definition(defs: Any, kind: str, opset: int) -> bool:
    if not defs.has(kind, "") or (
        opset < defs.get_schema(kind, "").since_version and not defs.has(kind, opset, "")
    ):
        return False
    schema = defs.get_schema(kind, opset, "")
    return bool(schema.has_function or schema.has_context_dependent_function)
