"""Fold constants of an ONNX graph; imported only in the child process.

Exported graphs compute weights with operators such as Reshape and QuantizeLinear, and shapes with Shape, Gather and Concat.
onnxruntime, the reference runtime of the file, computes their values.
"""

from __future__ import annotations

from typing import Any

from converters.errors import SourceError
from converters.sources.onnx_interface import keep_nodes, names_read_by, subgraphs
from converters.sources.onnx_rewrites.branches import inline_branches
from converters.sources.onnx_run import open_session

_ROUNDS = 8  # after each folding, shape inference can infer more shapes; real exports need two rounds
_NEVER = {"If", "Loop", "Scan", "RandomNormal", "RandomUniform", "Multinomial", "Bernoulli"}
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}


def fold_constants(model: Any) -> tuple[Any, tuple[str, ...]]:
    """Replace operators that read only constants by the constants that they compute.

    Args:
        model: An onnx.ModelProto with a static input.

    Returns:
        The model, with newly inferred shapes, and notes.
    """
    import onnx

    weights = sum(node.op_type == "DequantizeLinear" for node in model.graph.node)
    for _ in range(_ROUNDS):
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        if not _fold_shapes(model) + _fold_values(model) + inline_branches(model):
            break
    weights -= sum(node.op_type == "DequantizeLinear" for node in model.graph.node)
    note = f"weights that the ONNX file quantizes and dequantizes, computed by onnxruntime: {weights}"
    return model, ((note,) if weights else ())


def refuse_quantized(model: Any) -> None:
    """Refuse a graph that computes with integers.

    Raises:
        SourceError: The graph has operators that quantize activations.
    """
    kinds = {node.op_type for node in model.graph.node}
    names = sorted(name for name in kinds if name in _QUANTIZED or name.startswith("QLinear"))
    if names:
        raise SourceError(
            f"its activations are already quantized ({', '.join(names)})",
            hint="give the float model it was made from",
        )


def _fold_shapes(model: Any) -> int:
    """Replace Shape operators on tensors of known shape by initializers; return their number."""
    import numpy as np
    from onnx import numpy_helper

    graph = model.graph
    known = {value.name: _static(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    known |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    folded = set()
    for node in graph.node:
        sides = known.get(node.input[0]) if node.op_type == "Shape" else None
        if sides is None:
            continue
        part = {a.name: a.i for a in node.attribute}
        sides = sides[part.get("start", 0) : part.get("end", len(sides))]
        graph.initializer.append(numpy_helper.from_array(np.array(sides, np.int64), node.output[0]))
        folded.add(node.output[0])
    keep_nodes(graph, [node for node in graph.node if node.output[0] not in folded])
    return len(folded)


def _static(value: Any) -> list[int] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    sides = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    return None if -1 in sides else sides


def _fold_values(model: Any) -> int:
    """Replace operators whose inputs are all constant by initializers; return their number."""
    from onnx import numpy_helper

    graph = model.graph
    constant = {tensor.name for tensor in graph.initializer}
    folded = []
    for node in graph.node:  # a valid graph is sorted topologically
        if node.op_type in _NEVER or node.domain not in ("", "ai.onnx"):
            continue
        if subgraphs(node):
            continue
        if all(not name or name in constant for name in node.input):
            constant.update(node.output)
            folded.append(node)
    if not folded:
        return 0
    made = {name for node in folded for name in node.output if name}
    outside = [node for node in graph.node if not made & set(node.output)]
    needed = made & (
        {name for node in outside for name in names_read_by(node)} | {value.name for value in graph.output}
    )
    for name, array in _compute(model, folded, sorted(needed)).items():
        graph.initializer.append(numpy_helper.from_array(array, name))
    keep_nodes(graph, outside)
    return len(folded)


def _compute(model: Any, nodes: list[Any], names: list[str]) -> dict[str, Any]:
    """Run operators that depend only on constants with onnxruntime; return the values of the named tensors."""
    import onnx
    from onnx import helper

    if not names:
        return {}
    read = {name for node in nodes for name in node.input}
    stored = [tensor for tensor in model.graph.initializer if tensor.name in read]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    graph = helper.make_graph(nodes, "constants", [], outputs, stored)
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    inferred = onnx.shape_inference.infer_shapes(part)
    return dict(zip(names, open_session(inferred).run(names, {}), strict=True))
