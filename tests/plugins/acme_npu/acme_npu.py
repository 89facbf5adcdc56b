"""Example of a target plug-in: an imaginary NPU that runs full-int8 networks of six kinds of operators."""

from __future__ import annotations

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph
from converters.targets.base import Target
from converters.targets.operator_table import (
    OperatorTable,
    condition_texts,
    fused_activation,
    unsupported_operators,
)
from converters.targets.rule import RuleFinding
from converters.targets.shared_rules import static_shapes


def relu_fused(_: Graph, operator: schema.OperatorT) -> str:
    """a fused activation function, if any, is RELU or RELU6"""
    fused = fused_activation(operator)
    return "" if fused in ("NONE", "RELU", "RELU6") else f"fused {fused}"


TABLE: OperatorTable = {
    "ADD": (relu_fused,),
    "CONV_2D": (relu_fused,),
    "DEPTHWISE_CONV_2D": (relu_fused,),
    "FULLY_CONNECTED": (),
    "MEAN": (),
    "RESHAPE": (),
}


def operators_on_the_npu(graph: Graph) -> Iterator[RuleFinding]:
    """The NPU supports every operator."""
    for position, reason in unsupported_operators(TABLE, graph).items():
        name = graph.op_name(graph.operators[position])
        yield RuleFinding("refused", f"{name}: {reason}", "train with another layer")


TARGET = Target(
    name="acme-npu",
    summary="the NPU of Acme's door controller",
    recipes={"acme_npu_int8": "full_int8"},
    network_rules=(static_shapes,),
    file_rules=(static_shapes, operators_on_the_npu),
    operators=condition_texts(TABLE),
)
