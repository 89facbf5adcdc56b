"""Tables of the operators that a runtime supports, with the conditions on each operator's parameters.

A condition is a function whose docstring states it in a form that fits into a list: it is shown in docs/reference/targets.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices
from converters.graph.network import Network

#: A function that returns how an operator violates the condition, or an empty string. It does no I/O.
Condition = Callable[[Graph, schema.OperatorT], str]

#: Supported operators by name, each with its conditions. All other operators are unsupported.
OperatorTable = Mapping[str, tuple[Condition, ...]]

_ACTIVATIONS: dict[int, str] = {
    value: name for name, value in vars(schema.ActivationFunctionType).items() if not name.startswith("_")
}


def unsupported_reason(table: OperatorTable, graph: Graph, operator: schema.OperatorT) -> str:
    """Return why a runtime does not support an operator, or an empty string if it does."""
    name = graph.op_name(operator)
    if name not in table:
        return "unsupported operator"
    return next((reason for condition in table[name] if (reason := condition(graph, operator))), "")


def unsupported_operators(table: OperatorTable, graph: Graph) -> dict[int, str]:
    """Return the unsupported operators of a network: position of the operator -> reason."""
    reasons = {i: unsupported_reason(table, graph, operator) for i, operator in enumerate(graph.operators)}
    return {i: reason for i, reason in reasons.items() if reason}


def violated_condition(table: OperatorTable, graph: Graph, operator: schema.OperatorT) -> str:
    """Return the text of the first condition that an operator violates, or an empty string."""
    conditions = table.get(graph.op_name(operator), ())
    return next((_text(condition) for condition in conditions if condition(graph, operator)), "")


def condition_texts(table: OperatorTable) -> dict[str, str]:
    """Return each operator's conditions in words, sorted by operator."""
    return {
        name: "; ".join(_text(condition) for condition in conditions)
        for name, conditions in sorted(table.items())
    }


def _text(condition: Condition) -> str:
    return " ".join((inspect.getdoc(condition) or "").split("\n\n")[0].split()).rstrip(".")


def parse_for_rules(network: Network) -> Graph:
    """Return a network's graph, with a float32 constant in place of each float16 constant and its DEQUANTIZE.

    The graph is the network's own if it has no such constants: copy it before changing it.

    Raises:
        SourceError: Not a .tflite, damaged, or with more than one subgraph.
    """
    packed = [
        (position, value)
        for position, operator in enumerate(network.graph.operators)
        if network.graph.op_name(operator) == "DEQUANTIZE"
        and (value := network.graph.constant(operand(operator, 0))) is not None
        and value.dtype == np.float16
    ]
    if not packed:
        return network.graph
    graph = network.edit()
    for position, value in packed:
        operator = graph.operators[position]
        graph.set_constant(output(operator), value.astype(np.float32))
        operator.outputs = [operand(operator, 0)]  # makes the DEQUANTIZE unused, so that prune removes it
    graph.prune()
    return graph


# Accessors for conditions


def option(operator: schema.OperatorT, name: str, default: Any = 0) -> Any:
    """Return a field of the operator's options, or the default if the operator has no options."""
    return getattr(operator.builtinOptions, name, default)


def fused_activation(operator: schema.OperatorT) -> str:
    """Return the fused activation function, such as ``RELU6``, or ``NONE``."""
    return _ACTIVATIONS.get(int(option(operator, "fusedActivationFunction")), "UNKNOWN")


def operand(operator: schema.OperatorT, position: int) -> int:
    """Return the index of an input tensor, or -1 if the operator does not have it."""
    inputs = indices(operator.inputs)
    return inputs[position] if position < len(inputs) else -1


def output(operator: schema.OperatorT) -> int:
    """Return the index of the first output tensor."""
    return indices(operator.outputs)[0]


def activations(graph: Graph, operator: schema.OperatorT) -> list[int]:
    """Return the indices of an operator's activations: non-constant inputs, then outputs."""
    inputs = [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
    return [*inputs, *indices(operator.outputs)]


def axes(graph: Graph, operator: schema.OperatorT) -> tuple[int, ...] | None:
    """Return the axes of a reduction as non-negative numbers, or None if they are not constant."""
    value = graph.constant(operand(operator, 1))
    if value is None:
        return None
    rank = len(graph.shape(operand(operator, 0)))
    return tuple(sorted({int(axis) % rank for axis in np.atleast_1d(value)}))


def scales(graph: Graph, index: int) -> NDArray[np.float64]:
    """Return a tensor's quantization scales; empty if it is not quantized."""
    quantization = graph.tensors[index].quantization if index >= 0 else None
    if quantization is None or quantization.scale is None:
        return np.empty(0)
    return np.asarray(quantization.scale, np.float64)


def zero_point(graph: Graph, index: int) -> int:
    """Return a tensor's zero point; 0 if it has none."""
    quantization = graph.tensors[index].quantization
    points = None if quantization is None else quantization.zeroPoint
    return 0 if points is None or len(points) == 0 else int(points[0])


def is_integer(graph: Graph, index: int) -> bool:
    """Return True if a tensor is int8 or uint8."""
    return index >= 0 and graph.dtype_name(index) in ("int8", "uint8")
