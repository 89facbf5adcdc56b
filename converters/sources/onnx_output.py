"""Choose the output of an ONNX graph; imported only in the child process."""

from __future__ import annotations

import shlex
from typing import Any

from converters.errors import SourceError
from converters.sources import checks
from converters.sources.onnx_interface import describe, drop_dead

_PROBABILITIES = {"Softmax", "LogSoftmax", "Sigmoid"}
_SAME_VALUES = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Dropout"}
_PRODUCTS = {"Gemm", "MatMul"}
# ImageNet-1k, ImageNet-1k with background, ImageNet-21k in its two usual lengths.
_CLASS_COUNTS = {1000, 1001, 21841, 21843}


def choose_output(model: Any, name: str) -> tuple[str, ...]:
    """Make one tensor the only output, and remove what only the other outputs need, in place; return notes.

    Args:
        model: The onnx.ModelProto.
        name: Name of an output, of any tensor of the graph, or of an operator, whose first output it then is.

    Raises:
        SourceError: The graph has no tensor and no operator of this name.
    """
    import onnx

    graph = model.graph
    tensors = [output for node in graph.node for output in node.output if output]
    by_operator = {node.name: node.output[0] for node in graph.node if node.name and node.output}
    chosen = name if name in tensors else by_operator.get(name)
    if chosen is None:
        raise checks.no_output(name, [value.name for value in graph.output], [*tensors, *by_operator])
    if [value.name for value in graph.output] == [chosen]:
        return ()
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    value = known.get(chosen)
    if value is None:
        inferred = onnx.shape_inference.infer_shapes(model).graph
        value = {v.name: v for v in inferred.value_info}.get(chosen)
    if value is None:
        value = onnx.helper.make_tensor_value_info(chosen, onnx.TensorProto.FLOAT, None)
    kept = type(value).FromString(value.SerializeToString())
    del graph.output[:]
    graph.output.append(kept)
    drop_dead(graph)
    return (f"the output is the tensor {chosen!r}, as chosen",)


def check_output(model: Any) -> tuple[str, ...]:
    """Refuse several outputs and class probabilities; return notes on an output that may be class scores.

    Raises:
        SourceError: There is not one output, or it is class probabilities. The hint names the layer before.
    """
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    names = [value.name for value in graph.output]
    if len(names) != 1:
        best = next(
            (name for name in names if _probabilities(makers, name) is None), names[0] if names else "NAME"
        )
        checks.check_single(["input"], [describe(value) for value in graph.output], best)
    last = _probabilities(makers, names[0])
    if last is not None:
        layer = _layer_before(makers, last.input[0])
        raise SourceError(
            f"the output {names[0]!r} is class probabilities ({last.op_type} {last.name or last.output[0]!r})",
            hint=f"--output-name {shlex.quote(layer)} takes the layer before the classes"
            if layer
            else "choose the tensor of the embedding with --output-name",
        )
    layer = _layer_before(makers, names[0])
    sides = [dim.dim_value for dim in graph.output[0].type.tensor_type.shape.dim]
    if layer and sides and sides[-1] in _CLASS_COUNTS:
        return (
            f"the output has {sides[-1]} values, as class scores have; --output-name {shlex.quote(layer)} takes the layer"
            " before it",
        )
    return ()


def _look_through(makers: dict[str, Any], name: str) -> Any:
    """Return the operator that computes a tensor's values, before operators that only reshape."""
    node = makers.get(name)
    while node is not None and node.op_type in _SAME_VALUES:
        node = makers.get(node.input[0])
    return node


def _probabilities(makers: dict[str, Any], name: str) -> Any:
    node = _look_through(makers, name)
    return node if node is not None and node.op_type in _PROBABILITIES else None


def _layer_before(makers: dict[str, Any], scores: str) -> str:
    """Return the tensor from which the last matrix product computes class scores; empty if there is none."""
    node = _look_through(makers, scores)
    if node is not None and node.op_type == "Add":
        node = next((makers[n] for n in node.input if n in makers and makers[n].op_type in _PRODUCTS), None)
    if node is None or node.op_type not in _PRODUCTS or node.input[0] not in makers:
        return ""
    return str(node.input[0])
