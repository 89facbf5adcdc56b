"""PReLU spelled out in MUL and ADD, for runtimes that have no fast int8 kernel for the operator itself.

XNNPACK takes neither an int8 PRELU nor an int8 LEAKY_RELU of a slope below 1/64; the operators that stand
for them here it takes. The float function stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.graph import Graph, indices

#: Activations that can be spelled out.
SPELLED = ("PRELU", "LEAKY_RELU")
_RELU = schema.ActivationFunctionType.RELU


@dataclass(frozen=True)
class Summand:
    """A tensor that a spelling adds to the activation's operand x: ``factor * max(-x, 0)``.

    Args:
        source: The operand x, by name.
        output: The activation's output.
        factor: Shape (1,), (..., C) or (C,), as the slopes.
    """

    source: str
    output: str
    factor: NDArray[np.float32]


def spell_activations(graph: Graph, kinds: Collection[str]) -> dict[str, Summand]:
    """Replace activations with slope k by x + relu((k - 1) x), in place: (k - 1) x where x < 0, else 0.

    Where a slope exceeds 1 the relu's operand is turned round, and its sign given back by a second MUL.

    Args:
        graph: A float network.
        kinds: Which of ``SPELLED``.

    Returns:
        The new tensors by name.
    """
    summands: dict[str, Summand] = {}
    for operator in list(graph.operators):
        kind = graph.op_name(operator)
        slope = _slope(graph, operator) if kind in kinds and kind in SPELLED else None
        if slope is None:
            continue
        source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
        x, y = graph.name(source), graph.name(output)
        at = graph.operators.index(operator)
        graph.operators.remove(operator)
        size = np.abs(1 - slope)
        added = _multiply(graph, source, -size, f"{y}/below", at, _RELU)
        summands[graph.name(added)] = Summand(x, y, size)
        if slope.max() > 1:
            at += 1
            added = _multiply(graph, added, np.sign(1 - slope), f"{y}/signed", at)
            summands[graph.name(added)] = Summand(x, y, 1 - slope)
        graph.add_operator(
            "ADD",
            [source, added],
            [output],
            at=at + 1,
            options=schema.AddOptionsT(),
            options_type=schema.BuiltinOptions.AddOptions,
        )
    return summands


def _slope(graph: Graph, operator: schema.OperatorT) -> NDArray[np.float32] | None:
    if graph.op_name(operator) == "LEAKY_RELU":
        return np.full((1,), operator.builtinOptions.alpha, np.float32)
    return graph.constant(indices(operator.inputs)[1])


def _multiply(
    graph: Graph, source: int, factor: NDArray[np.float32], name: str, at: int, activation: int = 0
) -> int:
    product = graph.add_tensor(name, graph.shape(source), np.float32)
    held = graph.add_tensor(f"{name}/factor", factor.shape, np.float32, factor)
    options = schema.MulOptionsT()
    options.fusedActivationFunction = activation
    graph.add_operator(
        "MUL",
        [source, held],
        [product],
        at=at,
        options=options,
        options_type=schema.BuiltinOptions.MulOptions,
    )
    return product
