"""Predict which operators of a network the Edge TPU runs, and how many bytes of parameters they have.

The compiler maps one connected part of the network: the first operator that it cannot map, and every operator that depends on it, run on the
CPU (coral.ai/docs/edgetpu/models-intro, "Compiling").
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

#: Reason for an operator that depends on an unmapped operator.
DEPENDS_ON_UNMAPPED = "depends on an operator that is not mapped"
#: Reason for a conversion from or to float at the network's input or output.
FLOAT_CONVERSION = "conversion from or to float at the network's input or output"
#: The chip's memory for parameters, in bytes. The compiled program takes a part of it: 0.1 to 2 MB in published logs.
SRAM_BYTES = 8 << 20
#: Name of the custom operator that contains the compiled program.
COMPILED = "'edgetpu-custom-op'"

_MACS_PER_S = 2e12  # 4 TOPS at 8 bits; a multiplication and an addition are two operations
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
    on_cpu: dict[int, str] = {}
    cpu_tensors: set[int] = set()
    for position, operator in enumerate(graph.operators):
        converts = is_float_conversion(graph, operator)
        reason = FLOAT_CONVERSION if converts else unmapped_reason(graph, operator)
        if not reason and cpu_tensors.intersection(indices(operator.inputs)):
            reason = DEPENDS_ON_UNMAPPED
        if reason:
            on_cpu[position] = reason
        if reason and not converts:
            cpu_tensors.update(indices(operator.outputs))
    mapped = [operator for position, operator in enumerate(graph.operators) if position not in on_cpu]
    return EdgeTpuPlacement(on_cpu, len(graph.operators), _parameter_bytes(graph, mapped))


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
    """Return the first activation type that is not an 8-bit integer, as a reason, or an empty string."""
    types = [graph.dtype_name(i) for i in activations(graph, operator)]
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
        None if an operator other than a float conversion runs on the CPU, or if the network has no multiplications.
    """
    placement = predict_placement(graph)
    if any(reason != FLOAT_CONVERSION for reason in placement.on_cpu.values()):
        return None
    macs = sum(multiplications(graph).values())
    if not macs:
        return None
    seconds = macs / _MACS_PER_S + placement.streamed_bytes / _USB3_BYTES_PER_S
    streamed = f" and {placement.streamed_bytes / 1e6:.1f} MB over USB 3" if placement.streamed_bytes else ""
    basis = f"lower bound: {macs / 1e6:.0f} million multiplications at the chip's peak of 4 TOPS{streamed}"
    return Estimate(1e3 * seconds, basis)


def _parameter_bytes(graph: Graph, operators: list[schema.OperatorT]) -> int:
    constants = {i for operator in operators for i in indices(operator.inputs)}
    values = [value for i in constants if (value := graph.constant(i)) is not None]
    compiled = [op.customOptions for op in operators if op.customOptions is not None]
    return sum(value.nbytes for value in values) + sum(len(options) for options in compiled)
