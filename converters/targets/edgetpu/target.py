"""The target ``edgetpu``: Coral's Edge TPU as a USB stick, an M.2 card or on a board."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterator

from ai_edge_litert import schema_py_generated as schema

from converters.graph.attach_card import with_compiled_card
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.rewrites.decompose import DECOMPOSABLE
from converters.graph.rewrites.dense_as_convolution import replace_dense_layers
from converters.targets.base import ArtefactFile, FinishResult, ReportTable, Target
from converters.targets.edgetpu import compiler
from converters.targets.edgetpu.operators import INFERRED, OPERATORS, TABLE
from converters.targets.edgetpu.placement import (
    AFTER_MAPPED_PART,
    COMPILED,
    SRAM_BYTES,
    estimate_latency,
    is_float_conversion,
    placement_table,
    predict_placement,
    shape_reason,
    type_reason,
)
from converters.targets.operator_table import parse_for_rules, unsupported_reason, violated_condition
from converters.targets.rule import RuleFinding, join_names
from converters.targets.shared_rules import no_custom_operators, no_variables, static_shapes

_RELU = "train with RELU, RELU6 or PRELU instead"
_ADVICE = {
    **dict.fromkeys(("HARD_SWISH", "GELU", "LEAKY_RELU"), "convert with edge-convert, which decomposes it"), "ELU": _RELU,
    "DEQUANTIZE": "convert to full int8, without float operators in between",
    "DIV": "multiply by the reciprocal",
}  # fmt: skip
_OTHER_LAYER = "replace the layer; docs/reference/targets.md lists the operators that the Edge TPU supports"


def no_foreign_operators(graph: Graph) -> Iterator[RuleFinding]:
    """The only custom operator is the compiled program of the Edge TPU."""
    if any(graph.op_name(op) != COMPILED and _is_custom(graph.op_name(op)) for op in graph.operators):
        yield from no_custom_operators(graph)


def eight_bit_integers(graph: Graph) -> Iterator[RuleFinding]:
    """Every activation is int8 or uint8, the only types that the Edge TPU computes in."""
    yield from _one_finding(
        _count_reasons(graph, type_reason),
        "quantize every operator: edge-convert convert --target edgetpu writes full int8",
    )


def three_inner_dimensions(graph: Graph) -> Iterator[RuleFinding]:
    """Only the 3 innermost dimensions of an activation are above 1."""
    yield from _one_finding(
        _count_reasons(graph, shape_reason), "use batch 1, and tensors of at most 3 dimensions (H, W, C)"
    )


def operators_it_has(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator is of a kind that the compiler maps."""
    yield from _unsupported(
        Counter(
            graph.op_name(op)
            for op in graph.operators
            if graph.op_name(op) != COMPILED and not is_float_conversion(graph, op)
        )
    )


def operators_as_it_has_them(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator has a version and parameters that the compiler maps."""
    violations = Counter(
        (graph.op_name(op), unsupported_reason(TABLE, graph, op), condition)
        for op in graph.operators
        if (condition := violated_condition(TABLE, graph, op))
    )
    for (name, reason, condition), count in violations.items():
        yield RuleFinding(
            "refused", f"{count} {name}: {reason}", f"the Edge TPU supports {name} only if: {condition}"
        )


def nothing_on_the_cpu(graph: Graph) -> Iterator[RuleFinding]:
    """No operator lies after the one part of the network that the compiler maps: it would run on the CPU because an earlier one does."""
    dependent = Counter(
        graph.op_name(graph.operators[position])
        for position, reason in predict_placement(graph).on_cpu.items()
        if reason == AFTER_MAPPED_PART
    )
    if dependent:
        yield RuleFinding(
            "refused",
            f"{dependent.total()} of {len(graph.operators)} operators run on the CPU because they depend on operators that run there:"
            f" {_counted(dependent)}",
            "fix the operators that the other rules report",
        )


def integers_at_the_edge(graph: Graph) -> Iterator[RuleFinding]:
    """Input and output are integers; a conversion from or to float would run on the CPU."""
    count = sum(is_float_conversion(graph, operator) for operator in graph.operators)
    if count:
        yield RuleFinding(
            "slow",
            f"{count} conversions from or to float at the network's input and output run on the CPU",
            "convert with edge-convert, which writes int8 input and output; the device then quantizes by a lookup table",
        )


def parameters_on_chip(graph: Graph) -> Iterator[RuleFinding]:
    """The parameters fit into the chip's 8 MB; any excess is transferred for every inference."""
    placement = predict_placement(graph)
    if placement.streamed_bytes:
        yield RuleFinding(
            "slow",
            f"{placement.parameter_bytes / 1e6:.1f} MB of parameters, {placement.streamed_bytes / 1e6:.1f} MB more"
            f" than the chip's {SRAM_BYTES / 1e6:.1f} MB",
            "use a narrower network, or split it over two Edge TPUs",
        )


def not_compiled(graph: Graph) -> Iterator[RuleFinding]:
    """The file is not compiled; a compiled file runs, but cannot be compiled or converted again."""
    compiled = sum(graph.op_name(operator) == COMPILED for operator in graph.operators)
    if compiled:
        others = len(graph.operators) - compiled
        yield RuleFinding(
            "note",
            f"already compiled for the Edge TPU, with {others} other operators on the CPU",
            "run it with the delegate libedgetpu.so.1 on a device that has an Edge TPU",
        )


def an_int8_form(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator has a kind that the Edge TPU supports after conversion to full int8."""
    yield from _unsupported(
        # The recipe full_int8 decomposes some kinds, such as LEAKY_RELU into MUL and ADD.
        Counter(name for op in graph.operators if (name := graph.op_name(op)) not in DECOMPOSABLE)
    )


def adapt(network: Network) -> Network:
    """Rewrite dense layers as 1x1 convolutions, because the compiler rejects dense layers with a weight scale per channel."""
    graph = network.edit()
    replace_dense_layers(graph)
    return Network.of(graph)


def finish(artefact: ArtefactFile) -> FinishResult:
    """Compile the artefact if the compiler is installed, and compare its mapping with the prediction."""
    graph = parse_for_rules(artefact.network)
    placement = predict_placement(graph)
    figures = {
        "Operators on the Edge TPU, predicted": f"{placement.mapped} of {placement.operators}",
        "Parameters": f"{placement.parameter_bytes / 1e6:.2f} MB of {SRAM_BYTES / 1e6:.2f} MB",
    }
    program = compiler.find()
    if not program:
        note = RuleFinding(
            "note",
            "not compiled: edgetpu_compiler is not on the PATH",
            compiler.HOW_TO_GET_IT,
            rule="compiled",
        )
        return FinishResult(findings=(note,), tables=(placement_table(graph),), figures=figures)
    compiled, log = compiler.compile_network(artefact.network.data, program)
    figures |= {
        "Compiler": f"edgetpu_compiler {log.version}",
        "Operators on the Edge TPU, compiled": f"{log.mapped} of {sum(count for _, count, _ in log.rows)}",
        "Parameters on the chip": f"{log.on_chip_bytes / 1e6:.2f} MB",
        "Parameters streamed": f"{log.streamed_bytes / 1e6:.2f} MB",
    }
    rows = tuple((name, str(count), status) for name, count, status in log.rows)
    return FinishResult(
        files={
            f"{artefact.stem}_edgetpu.tflite": with_compiled_card(
                compiled, artefact.card, compiled_from=artefact.model_id.hex()
            )
        },
        findings=(*_cpu_findings(log), *_mapping_difference(graph, log)),
        tables=(
            placement_table(graph),
            ReportTable("Log of the compiler", ("Operator", "Count", "Status"), rows),
        ),
        figures=figures,
    )


def _cpu_findings(log: compiler.CompilerLog) -> Iterator[RuleFinding]:
    for name, count, status in log.on_cpu:
        yield RuleFinding(
            "refused",
            f"{count} {name} run on the CPU: {status}",
            "replace the layer, or ignore this finding with --allow compiled",
            rule="compiled",
        )


def _mapping_difference(graph: Graph, log: compiler.CompilerLog) -> Iterator[RuleFinding]:
    on_cpu = predict_placement(graph).on_cpu
    predicted = Counter(graph.op_name(op) for i, op in enumerate(graph.operators) if i not in on_cpu)
    mapped = Counter(dict.fromkeys(predicted, 0))
    for name, count, status in log.rows:
        mapped[name] += count if status == compiler.MAPPED else 0
    differences = [
        f"{mapped[name]} {name} mapped, {predicted[name]} predicted"
        for name in mapped
        if mapped[name] != predicted[name]
    ]
    if differences:
        yield RuleFinding(
            "note",
            f"the compiler's mapping differs from the prediction: {join_names(differences)}",
            "rely on the compiler's mapping",
            rule="prediction",
        )


def _unsupported(kinds: Counter[str]) -> Iterator[RuleFinding]:
    for name, count in kinds.items():
        if name not in TABLE and not _is_custom(name):  # another rule reports custom operators
            yield RuleFinding(
                "refused",
                f"{count} {name}: not supported by the Edge TPU",
                _ADVICE.get(name, _OTHER_LAYER),
            )


def _count_reasons(graph: Graph, check: Callable[[Graph, schema.OperatorT], str]) -> Counter[tuple[str, str]]:
    """Count operators by kind and reason; another rule counts float conversions at input and output."""
    return Counter(
        (graph.op_name(op), reason)
        for op in graph.operators
        if graph.op_name(op) != COMPILED
        and not is_float_conversion(graph, op)
        and (reason := check(graph, op))
    )


def _one_finding(reasons: Counter[tuple[str, str]], advice: str) -> Iterator[RuleFinding]:
    """Combine all violations of a rule into one finding that states the first reason."""
    if reasons:
        kinds: Counter[str] = Counter()
        for (name, _), count in reasons.items():
            kinds[name] += count
        yield RuleFinding("refused", f"{_counted(kinds)}: {next(iter(reasons))[1]}", advice)


def _counted(kinds: Counter[str]) -> str:
    return join_names([f"{count} {name}" for name, count in kinds.most_common()])


def _is_custom(name: str) -> bool:
    return name.startswith("'")


TARGET = Target(
    name="edgetpu",
    summary="Coral's Edge TPU (USB Accelerator, M.2, Dev Board), through libedgetpu.so.1",
    recipes={"edgetpu_int8": "full_int8"},
    network_rules=(static_shapes, no_variables, no_custom_operators, three_inner_dimensions, an_int8_form),
    file_rules=(
        static_shapes,
        no_variables,
        no_foreign_operators,
        not_compiled,
        eight_bit_integers,
        three_inner_dimensions,
        operators_it_has,
        operators_as_it_has_them,
        nothing_on_the_cpu,
        integers_at_the_edge,
        parameters_on_chip,
    ),
    adapt=adapt,
    operators=OPERATORS,
    finish=finish,
    by_products=lambda stem: (f"{glob.escape(stem)}_edgetpu.tflite",),
    estimate=estimate_latency,
    describe=lambda graph: (placement_table(graph),),
    notes=(
        'Source of the rules: Coral, "TensorFlow models on the Edge TPU", coral.ai/docs/edgetpu/models-intro, for compiler 16.0.384591198'
        " and runtime 14, the last ones.",
        "Placement is predicted as TensorFlow Lite partitions a network for a delegate: the compiler maps the first part that the Edge"
        " TPU can run, and the CPU runs everything before and after it.",
        *(f"Inferred, not documented: {item}" for item in INFERRED),
        f"Compiler: {compiler.HOW_TO_GET_IT}.",
        "Input and output are int8, as in the files for the CPU. The device quantizes images by a lookup table, so that uint8 would"
        " not be faster.",
        "The estimated latency is a lower bound: multiplications at the chip's peak rate, and streamed parameters over USB 3.",
    ),
)
