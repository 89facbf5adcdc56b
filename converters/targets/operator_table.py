"""What a runtime takes, operator by operator: a table of conditions, each a function whose docstring states it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices

#: Looks at one operator and returns what breaks the condition, empty where it holds. No I/O.
Condition = Callable[[Graph, schema.OperatorT], str]

#: The operators a runtime takes, by name, each with its conditions; what is not in it is not taken.
OperatorTable = Mapping[str, tuple[Condition, ...]]

_ACTIVATIONS: dict[int, str] = {
    value: name for name, value in vars(schema.ActivationFunctionType).items() if not name.startswith("_")
}


def refusal(table: OperatorTable, graph: Graph, operator: schema.OperatorT) -> str:
    """Why a runtime does not take an operator; empty where it does."""
    name = graph.op_name(operator)
    if name not in table:
        return "not among the operators it has"
    return next((found for condition in table[name] if (found := condition(graph, operator))), "")


def refusals(table: OperatorTable, graph: Graph) -> dict[int, str]:
    """The same for a whole network: position of the operator -> why."""
    found = {place: refusal(table, graph, operator) for place, operator in enumerate(graph.operators)}
    return {place: why for place, why in found.items() if why}


def demand(table: OperatorTable, graph: Graph, operator: schema.OperatorT) -> str:
    """The first condition that an operator breaks, in words; empty where it breaks none."""
    conditions = table.get(graph.op_name(operator), ())
    return next((_sentence(c) for c in conditions if c(graph, operator)), "")


def statements(table: OperatorTable) -> dict[str, str]:
    """Each operator's conditions in words, for the page."""
    return {
        name: "; ".join(_sentence(condition) for condition in conditions)
        for name, conditions in sorted(table.items())
    }


def _sentence(condition: Condition) -> str:
    return " ".join((inspect.getdoc(condition) or "").split("\n\n")[0].split()).rstrip(".")


def legible(network: bytes) -> Graph:
    """A network as rules look at it: constants kept in float16 behind a DEQUANTIZE are the constants they are.

    Raises:
        SourceError: Not a .tflite, damaged, or with more than one subgraph.
    """
    graph = Graph.parse(network)
    packed = [
        (operator, value)
        for operator in graph.operators
        if graph.op_name(operator) == "DEQUANTIZE"
        and (value := graph.constant(operand(operator, 0))) is not None
        and value.dtype == np.float16
    ]
    for operator, value in packed:
        graph.set_constant(output(operator), value.astype(np.float32))
        operator.outputs = [operand(operator, 0)]  # nothing reads it any more
    if packed:
        graph.prune()
    return graph


# What conditions look at


def option(operator: schema.OperatorT, name: str, default: Any = 0) -> Any:
    """A field of the operator's options; the default where the file has no options."""
    return getattr(operator.builtinOptions, name, default)


def fused_activation(operator: schema.OperatorT) -> str:
    """Such as ``RELU6``; ``NONE`` where nothing is fused."""
    return _ACTIVATIONS.get(int(option(operator, "fusedActivationFunction")), "UNKNOWN")


def version(graph: Graph, operator: schema.OperatorT) -> int:
    """The operator's version in the file."""
    return int(graph.model.operatorCodes[operator.opcodeIndex].version)


def operand(operator: schema.OperatorT, position: int) -> int:
    """Index of an input tensor; -1 where it is left out."""
    inputs = indices(operator.inputs)
    return inputs[position] if position < len(inputs) else -1


def output(operator: schema.OperatorT) -> int:
    """Index of the first output tensor."""
    return indices(operator.outputs)[0]


def activations(graph: Graph, operator: schema.OperatorT) -> list[int]:
    """Indices of the computed tensors an operator reads, and of what it writes."""
    read = [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
    return [*read, *indices(operator.outputs)]


def axes(graph: Graph, operator: schema.OperatorT) -> tuple[int, ...] | None:
    """The axes a reduction runs over, counted from the front; None where they are computed."""
    value = graph.constant(operand(operator, 1))
    if value is None:
        return None
    rank = len(graph.shape(operand(operator, 0)))
    return tuple(sorted({int(axis) % rank for axis in np.atleast_1d(value)}))


def scales(graph: Graph, index: int) -> NDArray[np.float64]:
    """A tensor's quantization scales; empty where it is not quantized."""
    quantization = graph.tensors[index].quantization if index >= 0 else None
    if quantization is None or quantization.scale is None:
        return np.empty(0)
    return np.asarray(quantization.scale, np.float64)


def zero_point(graph: Graph, index: int) -> int:
    """A tensor's zero point, 0 where there is none."""
    quantization = graph.tensors[index].quantization
    points = None if quantization is None else quantization.zeroPoint
    return 0 if points is None or len(points) == 0 else int(points[0])


def is_integer(graph: Graph, index: int) -> bool:
    """Whether a tensor is int8 or uint8."""
    return index >= 0 and graph.dtype_name(index) in ("int8", "uint8")
