"""Predict which operators of a network the Edge TPU runs, and how many bytes of parameters they have.

The compiler is a delegate of TensorFlow Lite (its log reports "delegate application failure"), so that TensorFlow Lite partitions the
network: ``PartitionGraphIntoIndependentNodeSubsets`` in tensorflow/lite/graph_info.cc collects operators of one processor as long as their
inputs are computed, then changes the processor. Unless it is called with ``-a``, the compiler keeps only the first partition of the Edge TPU;
its log says "More than one subgraph is not supported" for the others. Operators that it cannot map and that need only the network's inputs
can come before that partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.graph.multiplications import multiplications
from converters.targets.base import Estimate, ReportTable
from converters.targets.edgetpu.operators import TABLE, fits_three_dimensions
from converters.targets.operator_table import activations, output, unsupported_reason

#: Reason for an operator that the Edge TPU could run, after the part of the network that is mapped.
AFTER_MAPPED_PART = "after the mapped part: it depends on an operator that is not mapped"
#: Reason for a conversion from or to float at the network's input or output.
FLOAT_CONVERSION = "conversion from or to float at the network's input or output"
#: The chip's memory for parameters, in bytes. The compiled program takes a part of it: 0.1 to 2 MB in published logs.
SRAM_BYTES = 8 << 20
#: Name of the custom operator that contains the compiled program.
COMPILED = "'edgetpu-custom-op'"

_MACS_PER_S = 2e12  # 4 TOPS at 8 bits; a multiplication and an addition are two operations
#: Operators with weights whose multiplications are not counted.
_NOT_COUNTED = {"LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "TRANSPOSE_CONV"}
_USB3_BYTES_PER_S = 320e6


@dataclass(frozen=True)
class EdgeTpuPlacement:
    """Prediction for one network.

    Args:
        on_cpu: Operators that run on the CPU: position -> reason.
        operators: Number of operators of the network.
        parameter_bytes: Bytes of the constants of the operators on the Edge TPU.
    """

    on_cpu: Mapping[int, str]
    operators: int
    parameter_bytes: int

    @property
    def mapped(self) -> int:
        """Number of operators that the Edge TPU runs."""
        return self.operators - len(self.on_cpu)

    @property
    def streamed_bytes(self) -> int:
        """Lower bound of the parameters, in bytes, that do not fit on the chip and are transferred for every inference."""
        return max(0, self.parameter_bytes - SRAM_BYTES)


def predict_placement(graph: Graph) -> EdgeTpuPlacement:
    """Predict which operators the compiler maps."""
    reasons = [
        FLOAT_CONVERSION if is_float_conversion(graph, operator) else unmapped_reason(graph, operator)
        for operator in graph.operators
    ]
    first = _first_mappable_partition(graph, [not reason for reason in reasons])
    on_cpu = {
        position: reason or AFTER_MAPPED_PART
        for position, reason in enumerate(reasons)
        if position not in first
    }
    mapped = [graph.operators[position] for position in sorted(first)]
    return EdgeTpuPlacement(on_cpu, len(graph.operators), _parameter_bytes(graph, mapped))


def _first_mappable_partition(graph: Graph, mappable: list[bool]) -> set[int]:
    """Return the positions of the first partition whose operators are mappable; empty if there are none."""
    waiting = list(range(len(graph.operators)))
    pending = {i for operator in graph.operators for i in indices(operator.outputs)}
    while waiting:
        partition: set[int] = set()
        kind = None
        for position in waiting:
            operator = graph.operators[position]
            if pending.isdisjoint(indices(operator.inputs)) and kind in (None, mappable[position]):
                kind = mappable[position]
                partition.add(position)
                pending.difference_update(indices(operator.outputs))
        if kind or not partition:
            return partition
        waiting = [position for position in waiting if position not in partition]
    return set()


def unmapped_reason(graph: Graph, operator: schema.OperatorT) -> str:
    """Return why the compiler does not map an operator, judged alone, or an empty string if it does."""
    name = graph.op_name(operator)
    if name == COMPILED:
        return ""
    if name not in TABLE:
        return unsupported_reason(TABLE, graph, operator)
    return (
        type_reason(graph, operator)
        or shape_reason(graph, operator)
        or unsupported_reason(TABLE, graph, operator)
    )


def type_reason(graph: Graph, operator: schema.OperatorT) -> str:
    """Return the first activation type that is not an 8-bit integer, as a reason, or an empty string.

    States of recurrent operators are no activations; the compiler maps LSTM with its 16-bit cell state.
    """
    types = [graph.dtype_name(i) for i in activations(graph, operator) if not graph.tensors[i].isVariable]
    unsupported = [dtype for dtype in types if dtype not in ("int8", "uint8")]
    return f"computes in {unsupported[0]}" if unsupported else ""


def shape_reason(graph: Graph, operator: schema.OperatorT) -> str:
    """Return the first activation shape with more than 3 dimensions above 1, as a reason, or an empty string."""
    shapes = [graph.shape(i) for i in activations(graph, operator) if not fits_three_dimensions(graph, i)]
    return f"shape {list(shapes[0])}" if shapes else ""


def is_float_conversion(graph: Graph, operator: schema.OperatorT) -> bool:
    """Return True for a QUANTIZE from float at the network's input and for a DEQUANTIZE at its output."""
    name, inputs = graph.op_name(operator), indices(operator.inputs)
    enters = name == "QUANTIZE" and inputs[0] in graph.inputs and graph.dtype_name(inputs[0]) == "float32"
    return enters or (name == "DEQUANTIZE" and output(operator) in graph.outputs)


def placement_table(graph: Graph) -> ReportTable:
    """List the kinds of operators with the processor that runs them."""
    placement = predict_placement(graph)
    kinds = Counter(
        (graph.op_name(operator), placement.on_cpu.get(position, ""))
        for position, operator in enumerate(graph.operators)
    )
    rows = tuple(
        (name, str(count), f"CPU: {reason}" if reason else "Edge TPU")
        for (name, reason), count in sorted(
            kinds.items(), key=lambda kind: (bool(kind[0][1]), -kind[1], kind[0])
        )
    )
    return ReportTable("Placement of operators, predicted", ("Operator", "Count", "Run by"), rows)


def estimate_latency(graph: Graph) -> Estimate | None:
    """Compute a lower bound of the latency: multiplications at the chip's peak rate plus streamed parameters over USB 3.

    Returns:
        None if an operator other than a float conversion runs on the CPU, or if the multiplications are not known.
    """
    placement = predict_placement(graph)
    if any(reason != FLOAT_CONVERSION for reason in placement.on_cpu.values()):
        return None
    macs = sum(multiplications(graph).values())
    if not macs or any(graph.op_name(operator) in _NOT_COUNTED for operator in graph.operators):
        return None
    seconds = macs / _MACS_PER_S + placement.streamed_bytes / _USB3_BYTES_PER_S
    streamed = f" and {placement.streamed_bytes / 1e6:.1f} MB over USB 3" if placement.streamed_bytes else ""
    basis = f"lower bound: {macs / 1e6:.3g} million multiplications at the chip's peak of 4 TOPS{streamed}"
    return Estimate(1e3 * seconds, basis)


def _parameter_bytes(graph: Graph, operators: list[schema.OperatorT]) -> int:
    constants = {i for operator in operators for i in indices(operator.inputs)}
    values = [value for i in constants if (value := graph.constant(i)) is not None]
    compiled = [op.customOptions for op in operators if op.customOptions is not None]
    return sum(value.nbytes for value in values) + sum(len(options) for options in compiled)
