"""Predict which operators XNNPACK runs, and in how many partitions, without loading the network."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from converters.errors import SourceError
from converters.graph.graph import Graph, indices
from converters.targets.cpu.operators import TABLE
from converters.targets.operator_table import unsupported_operators


@dataclass(frozen=True)
class XnnpackPlacement:
    """Prediction for one network.

    Args:
        count: Number of partitions that XNNPACK runs.
        outside: Operators that run on LiteRT's own kernels: position of the operator -> reason.
    """

    count: int
    outside: dict[int, str]


def predict_placement(graph: Graph) -> XnnpackPlacement:
    """Predict the partitions of a network.

    Args:
        graph: Graph from ``parse_for_rules``, which unpacks float16 constants as XNNPACK does.
    """
    outside = unsupported_operators(TABLE, graph)
    return XnnpackPlacement(_count_partitions(graph, outside), outside)


def _count_partitions(graph: Graph, outside: Collection[int]) -> int:
    """Count partitions by LiteRT's algorithm: each round runs every ready operator that is (or is not) delegated."""
    waiting = list(enumerate(graph.operators))
    computed = set(graph.computed())
    ready = {i for operator in graph.operators for i in indices(operator.inputs)} - computed
    count = 0
    while waiting:
        # The first ready operator decides if the round runs delegated operators or the others.
        delegated: bool | None = None
        later = []
        for position, operator in waiting:
            runnable = all(i < 0 or i in ready for i in indices(operator.inputs))
            if runnable and delegated is None:
                delegated = position not in outside
            if runnable and (position not in outside) == delegated:
                ready.update(indices(operator.outputs))
            else:
                later.append((position, operator))
        if delegated is None:
            raise SourceError(
                "expected operators in execution order, found one that reads a tensor computed later"
            )
        count += delegated
        waiting = later
    return count
