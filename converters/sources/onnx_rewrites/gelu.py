"""Write decomposed GELUs as one operator each.

Exporters write GELU with Erf or Tanh in many orders of the same factors. A part of the graph that reads one tensor is recognized
by its values instead of its form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_interface import drop_dead

_GRID = np.linspace(-6, 6, 241)
_SAME = 2e-6  # scalars of the file are float32
_DEPTH = 12
_ERF = np.vectorize(math.erf)
_FUNCTIONS: Mapping[str, Any] = {
    "Add": lambda a, b: a + b,
    "Div": lambda a, b: a / b,
    "Erf": _ERF,
    "Mul": lambda a, b: a * b,
    "Neg": lambda a: -a,
    "Pow": lambda a, b: np.power(a, b),
    "Sub": lambda a, b: a - b,
    "Tanh": np.tanh,
}
_EXACT = 0.5 * _GRID * (1 + _ERF(_GRID / math.sqrt(2)))
_BY_TANH = 0.5 * _GRID * (1 + np.tanh(math.sqrt(2 / math.pi) * (_GRID + 0.044715 * _GRID**3)))


def fuse_gelu(model: Any) -> int:
    """Replace operators that compute GELU of one tensor by the operator Gelu of opset 20, in place; return their number.

    The file may state an older opset, so that onnxruntime does not run the result.
    """
    from onnx import helper

    graph = model.graph
    part = _Part(graph)
    fused = 0
    for node in list(graph.node):
        expected, kind = {"Erf": (_EXACT, "none"), "Tanh": (_BY_TANH, "tanh")}.get(node.op_type, (None, ""))
        if expected is None:
            continue
        match = part.match(node, expected)
        if match is None:
            continue
        inner, outer = match
        last = part.makers[outer]
        last.CopyFrom(helper.make_node("Gelu", [inner], [outer], name=last.name, approximate=kind))
        fused += 1
    if fused:
        drop_dead(graph)
    return fused


class _Part:
    """The operators of a graph that compute each value by itself, from one tensor and scalars."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self.makers = {name: node for node in graph.node for name in node.output if name}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._scalars = {
            tensor.name: float(numpy_helper.to_array(tensor).reshape(())[()])
            for tensor in graph.initializer
            if math.prod(tensor.dims) == 1
        }

    def match(self, node: Any, expected: Any) -> tuple[str, str] | None:
        """Find the tensors between which the graph computes the expected values around an operator."""
        for inner in self._before(node):
            for outer in self._after(node):
                values = self._values(outer, inner, _DEPTH)
                if np.shape(values) == expected.shape and np.abs(values - expected).max() <= _SAME:
                    return inner, outer
        return None

    def _before(self, node: Any) -> list[str]:
        names: list[str] = []
        waiting = list(node.input)
        while waiting and len(names) < _DEPTH:
            name = waiting.pop(0)
            if name in self._scalars or name in names:
                continue
            names.append(name)
            maker = self.makers.get(name)
            if maker is not None and maker.op_type in _FUNCTIONS:
                waiting += maker.input
        return names

    def _after(self, node: Any) -> list[str]:
        names: list[str] = []
        waiting = [node]
        while waiting and len(names) < _DEPTH:
            node = waiting.pop(0)
            if node.op_type not in _FUNCTIONS:
                continue
            names.append(node.output[0])
            waiting += self._readers.get(node.output[0], [])
        return names

    def _values(self, name: str, inner: str, depth: int) -> Any:
        """Compute a tensor on the grid of values of the inner one; None if it depends on anything else."""
        if name == inner:
            return _GRID
        if name in self._scalars:
            return self._scalars[name]
        maker = self.makers.get(name)
        if maker is None or depth == 0 or maker.op_type not in _FUNCTIONS:
            return None
        operands = [self._values(operand, inner, depth - 1) for operand in maker.input]
        if any(operand is None for operand in operands):
            return None
        with np.errstate(all="ignore"):
            return _FUNCTIONS[maker.op_type](*operands)
