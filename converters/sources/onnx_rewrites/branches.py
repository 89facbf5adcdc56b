"""Replace an If whose condition is known by the operators of its branch."""

from __future__ import annotations

from typing import Any

from converters.sources.onnx_interface import keep_nodes, subgraphs


def inline_branches(model: Any) -> int:
    """Replace If operators with a constant condition, in place; return their number."""
    from onnx import numpy_helper

    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes, inlined = [], 0
    for node in graph.node:
        condition = stored.get(node.input[0]) if node.op_type == "If" else None
        if condition is None:
            nodes.append(node)
            continue
        chosen = "then_branch" if numpy_helper.to_array(condition).all() else "else_branch"
        branch = next(attribute.g for attribute in node.attribute if attribute.name == chosen)
        nodes += _inlined(graph, node, branch)
        inlined += 1
    if inlined:
        keep_nodes(graph, nodes)
    return inlined


def _inlined(graph: Any, node: Any, branch: Any) -> list[Any]:
    """Return the operators of a branch with names of their own, and move its constants to the graph."""
    from onnx import helper

    made = {tensor.name for tensor in branch.initializer} | {n for inner in branch.node for n in inner.output}
    names = {name: f"{node.output[0]}/{name}" for name in made if name}
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = names[tensor.name]
    _rename(branch, names)
    outputs = zip(branch.output, node.output, strict=True)
    return [
        *branch.node,
        *(helper.make_node("Identity", [names.get(a.name, a.name)], [b]) for a, b in outputs),
    ]


def _rename(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in subgraphs(node):
            _rename(inner, names)
