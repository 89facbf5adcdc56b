"""Which operators of a network the Edge TPU runs, which fall to the CPU, and how many parameters it holds.

The compiler maps one stretch: the first operator that it cannot map, and every operator behind it, run on the
CPU (coral.ai/docs/edgetpu/models-intro, "Compiling").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.graph.multiplications import multiplications
from converters.targets.base import Estimate, Table
from converters.targets.edgetpu.operators import TABLE, innermost
from converters.targets.operator_table import activations, output, refusal

#: What is said of an operator behind the first one that is not mapped.
BEHIND = "behind an operator that is not mapped"
#: What is said of the conversions at the edge of a network that takes and gives float.
EDGE = "conversion from or to float at the network's edge"
#: The chip's memory for parameters; the program takes its share of it, 0.1 to 2 MB in the logs that people show.
SRAM_BYTES = 8 << 20
#: The one operator that a compiled network consists of.
COMPILED = "'edgetpu-custom-op'"

_MACS_PER_S = 2e12  # 4 TOPS at 8 bits; a multiplication and an addition are two operations
_USB3_BYTES_PER_S = 320e6


@dataclass(frozen=True)
class Placement:
    """Who runs what.

    Args:
        why: Position of each operator that runs on the CPU -> why.
        operators: How many operators there are.
        parameter_bytes: Constants of the operators on the Edge TPU.
    """

    why: Mapping[int, str]
    operators: int
    parameter_bytes: int

    @property
    def mapped(self) -> int:
        """How many operators the Edge TPU runs."""
        return self.operators - len(self.why)

    @property
    def streamed_bytes(self) -> int:
        """Parameters that do not fit on the chip, and travel to it for every inference; at least so many."""
        return max(0, self.parameter_bytes - SRAM_BYTES)


def place(graph: Graph) -> Placement:
    """Say which operators the compiler will map, without it."""
    why: dict[int, str] = {}
    on_cpu: set[int] = set()
    for position, operator in enumerate(graph.operators):
        found = edge(graph, operator) or not_mapped(graph, operator)
        if not found and on_cpu.intersection(indices(operator.inputs)):
            found = BEHIND
        if found:
            why[position] = found
        if found and found != EDGE:
            on_cpu.update(indices(operator.outputs))
    mapped = [operator for position, operator in enumerate(graph.operators) if position not in why]
    return Placement(why, len(graph.operators), _parameter_bytes(graph, mapped))


def not_mapped(graph: Graph, operator: schema.OperatorT) -> str:
    """Why the compiler does not map an operator, wherever it stands; empty where it does."""
    if graph.op_name(operator) == COMPILED:
        return ""
    return (
        _missing(graph, operator)
        or data_type(graph, operator)
        or rank(graph, operator)
        or refusal(TABLE, graph, operator)
    )


def data_type(graph: Graph, operator: schema.OperatorT) -> str:
    """Which activation of an operator is no 8-bit integer; empty where all are."""
    found = [graph.dtype_name(i) for i in activations(graph, operator)]
    strange = [dtype for dtype in found if dtype not in ("int8", "uint8")]
    return f"computes in {strange[0]}" if strange else ""


def rank(graph: Graph, operator: schema.OperatorT) -> str:
    """Which activation of an operator has an outer dimension above 1; empty where none has."""
    wide = [graph.shape(i) for i in activations(graph, operator) if not innermost(graph, i)]
    return f"shape {list(wide[0])}" if wide else ""


def table(graph: Graph) -> Table:
    """Who runs what, by kind of operator."""
    placement = place(graph)
    kinds = Counter(
        (graph.op_name(operator), placement.why.get(position, ""))
        for position, operator in enumerate(graph.operators)
    )
    rows = tuple(
        (name, str(count), f"CPU: {why}" if why else "Edge TPU")
        for (name, why), count in sorted(
            kinds.items(), key=lambda kind: (bool(kind[0][1]), -kind[1], kind[0])
        )
    )
    return Table("Who runs what, predicted", ("Operator", "Times", "Run by"), rows)


def estimate(graph: Graph) -> Estimate | None:
    """The least an inference can take: its multiplications at the chip's peak, its streamed parameters over USB 3."""
    placement = place(graph)
    if placement.why and any(why != EDGE for why in placement.why.values()):
        return None
    macs = sum(multiplications(graph).values())
    if not macs:
        return None
    seconds = macs / _MACS_PER_S + placement.streamed_bytes / _USB3_BYTES_PER_S
    streamed = f" and {placement.streamed_bytes / 1e6:.1f} MB over USB 3" if placement.streamed_bytes else ""
    basis = f"at least: {macs / 1e6:.0f} million multiplications at the chip's peak of 4 TOPS{streamed}"
    return Estimate(1e3 * seconds, basis)


def _missing(graph: Graph, operator: schema.OperatorT) -> str:
    return "" if graph.op_name(operator) in TABLE else refusal(TABLE, graph, operator)


def edge(graph: Graph, operator: schema.OperatorT) -> str:
    """``EDGE`` for a conversion from or to float where the network begins or ends; empty for others."""
    name, inputs = graph.op_name(operator), indices(operator.inputs)
    enters = name == "QUANTIZE" and inputs[0] in graph.inputs and graph.dtype_name(inputs[0]) == "float32"
    leaves = name == "DEQUANTIZE" and output(operator) in graph.outputs
    return EDGE if enters or leaves else ""


def _parameter_bytes(graph: Graph, operators: list[schema.OperatorT]) -> int:
    constants = {i for operator in operators for i in indices(operator.inputs)}
    values = [value for i in constants if (value := graph.constant(i)) is not None]
    compiled = [op.customOptions for op in operators if op.customOptions is not None]
    return sum(value.nbytes for value in values) + sum(len(options) for options in compiled)
