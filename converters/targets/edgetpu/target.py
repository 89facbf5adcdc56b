"""edgetpu: Coral's Edge TPU, as a USB stick, a card or on a board."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterator

from ai_edge_litert import schema_py_generated as schema

from converters.graph.attach_card import with_compiled_card
from converters.graph.graph import Graph
from converters.graph.rewrites.dense_as_convolution import replace_dense_layers
from converters.targets.base import Finished, Finishing, Target
from converters.targets.base import Table as ReportTable
from converters.targets.edgetpu import compiler as edgetpu_compiler
from converters.targets.edgetpu.operators import OPERATORS, TABLE
from converters.targets.edgetpu.placement import (
    BEHIND,
    COMPILED,
    EDGE,
    SRAM_BYTES,
    data_type,
    edge,
    estimate,
    place,
    rank,
    table,
)
from converters.targets.operator_table import demand, legible, refusal
from converters.targets.rule import RuleFinding, named
from converters.targets.shared import no_custom_operators, no_variables, static_shapes

_RELU = "train with RELU, RELU6 or PRELU in its place"
_ADVICE = {
    "HARD_SWISH": _RELU, "GELU": _RELU, "ELU": _RELU, "LEAKY_RELU": "convert with edge-convert, which writes it as MUL and ADD",
    "DEQUANTIZE": "convert to full int8, without float operators in between",
    "DIV": "multiply by the reciprocal",
}  # fmt: skip


def no_foreign_operators(graph: Graph) -> Iterator[RuleFinding]:
    """No custom operators but the Edge TPU's own program."""
    if all(graph.op_name(op) == COMPILED or not _is_custom(graph, op) for op in graph.operators):
        return
    yield from no_custom_operators(graph)


def eight_bit_integers(graph: Graph) -> Iterator[RuleFinding]:
    """Every activation is int8 or uint8; the Edge TPU computes in nothing else."""
    yield from _kinds(
        _broken(graph, data_type),
        "quantize every operator: edge-convert convert --target edgetpu writes full int8",
    )


def three_inner_dimensions(graph: Graph) -> Iterator[RuleFinding]:
    """Only the 3 innermost dimensions of a tensor are above 1."""
    yield from _kinds(_broken(graph, rank), "one image at a time, and no tensor of more than (H, W, C)")


def operators_it_has(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator is among those that the compiler maps."""
    missing = Counter(
        graph.op_name(op)
        for op in graph.operators
        if graph.op_name(op) not in TABLE and graph.op_name(op) != COMPILED and not _at_edge(graph, op)
    )
    for name, count in missing.items():
        if name.startswith("'"):
            continue  # no-foreign-operators says it
        yield RuleFinding(
            "refused",
            f"{count} {name}: the Edge TPU does not have it",
            _ADVICE.get(name, "replace the layer; docs/reference/targets.md lists what the Edge TPU has"),
        )


def operators_as_it_has_them(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator is of a version, and with parameters, that the compiler maps."""
    broken = Counter(
        (graph.op_name(op), refusal(TABLE, graph, op), wanted)
        for op in graph.operators
        if (wanted := demand(TABLE, graph, op))
    )
    for (name, why, wanted), count in broken.items():
        yield RuleFinding(
            "refused", f"{count} {name}: {why}", f"the Edge TPU takes {name} so: {wanted.lower()}"
        )


def nothing_on_the_cpu(graph: Graph) -> Iterator[RuleFinding]:
    """No operator stands behind one that is not mapped: from there on the network runs on the CPU."""
    behind = Counter(
        graph.op_name(graph.operators[position])
        for position, why in place(graph).why.items()
        if why == BEHIND
    )
    if behind:
        found = named([f"{count} {name}" for name, count in behind.most_common()])
        yield RuleFinding(
            "refused",
            f"{behind.total()} of {len(graph.operators)} operators run on the CPU, being behind others that do: {found}",
            "mend the operators that the other rules name",
        )


def integers_at_the_edge(graph: Graph) -> Iterator[RuleFinding]:
    """The network takes and gives integers; a conversion from or to float runs on the CPU."""
    count = sum(_at_edge(graph, operator) for operator in graph.operators)
    if count:
        yield RuleFinding(
            "slow",
            f"{count} conversions from or to float at the network's edge run on the CPU",
            "write int8 input and output, as edge-convert convert does; the device quantizes with one lookup",
        )


def parameters_on_chip(graph: Graph) -> Iterator[RuleFinding]:
    """The parameters fit into the chip's 8 MB; what does not travels to it for every inference."""
    placement = place(graph)
    if placement.streamed_bytes:
        yield RuleFinding(
            "slow",
            f"{placement.parameter_bytes / 1e6:.1f} MB of parameters, {placement.streamed_bytes / 1e6:.1f} MB more"
            f" than the chip's {SRAM_BYTES / 1e6:.1f} MB",
            "a narrower network; or one of its halves on a second Edge TPU",
        )


def not_compiled(graph: Graph) -> Iterator[RuleFinding]:
    """The file is not compiled yet; a compiled one can be run, and neither compiled nor converted again."""
    compiled = sum(graph.op_name(operator) == COMPILED for operator in graph.operators)
    if compiled:
        others = len(graph.operators) - compiled
        yield RuleFinding(
            "note",
            f"compiled for the Edge TPU already, {others} operators beside it on the CPU",
            "it takes the delegate libedgetpu.so.1 and a chip to run it",
        )


def an_int8_form(graph: Graph) -> Iterator[RuleFinding]:
    """Converting leaves no operator that the Edge TPU does not have."""
    spelled = {"LEAKY_RELU"}  # full int8 writes it as MUL and ADD
    missing = Counter(
        name for op in graph.operators if (name := graph.op_name(op)) not in TABLE and name not in spelled
    )
    for name, count in missing.items():
        if not name.startswith("'"):
            yield RuleFinding(
                "refused",
                f"{count} {name}: the Edge TPU does not have it",
                _ADVICE.get(name, "replace the layer; docs/reference/targets.md lists what the Edge TPU has"),
            )


def adapt(network: bytes) -> bytes:
    """Dense layers as 1x1 convolutions: the compiler knows a scale for each channel of those alone."""
    graph = Graph.parse(network)
    replace_dense_layers(graph)
    return graph.to_bytes()


def finish(finished: Finished) -> Finishing:
    """Compile where the compiler is installed, and hold its mapping against the prediction."""
    graph = legible(finished.network)
    placement = place(graph)
    figures = {
        "Operators on the Edge TPU, predicted": f"{placement.mapped} of {placement.operators}",
        "Parameters": f"{placement.parameter_bytes / 1e6:.2f} MB of {SRAM_BYTES / 1e6:.2f} MB",
    }
    program = edgetpu_compiler.find()
    if not program:
        note = RuleFinding(
            "note",
            "not compiled: edgetpu_compiler is not on the PATH",
            edgetpu_compiler.HOW_TO_GET_IT,
            rule="compiled",
        )
        return Finishing(findings=(note,), tables=(table(graph),), figures=figures)
    compiled, log = edgetpu_compiler.compile_network(finished.network, program)
    figures |= {
        "Compiler": f"edgetpu_compiler {log.version}",
        "Operators on the Edge TPU, compiled": f"{log.mapped} of {sum(count for _, count, _ in log.rows)}",
        "Parameters on the chip": f"{log.on_chip_bytes / 1e6:.2f} MB",
        "Parameters streamed": f"{log.streamed_bytes / 1e6:.2f} MB",
    }
    rows = tuple((name, str(count), status) for name, count, status in log.rows)
    return Finishing(
        files={
            f"{finished.stem}_edgetpu.tflite": with_compiled_card(
                compiled, finished.card, compiled_from=finished.model_id.hex()
            )
        },
        findings=(*_fallen(log), *_disagreement(graph, log)),
        tables=(table(graph), ReportTable("The compiler's log", ("Operator", "Times", "Status"), rows)),
        figures=figures,
    )


def _fallen(log: edgetpu_compiler.Log) -> Iterator[RuleFinding]:
    for name, count, status in log.on_cpu:
        yield RuleFinding(
            "refused",
            f"{count} {name} run on the CPU: {status}",
            "replace the layer, or --allow compiled",
            rule="compiled",
        )


def _disagreement(graph: Graph, log: edgetpu_compiler.Log) -> Iterator[RuleFinding]:
    why = place(graph).why
    expected = Counter(
        graph.op_name(op) for position, op in enumerate(graph.operators) if position not in why
    )
    found = Counter(dict.fromkeys(expected, 0))
    for name, count, status in log.rows:
        found[name] += count if status == edgetpu_compiler.MAPPED else 0
    wrong = [
        f"{name} {found[name]}, expected {expected[name]}" for name in found if found[name] != expected[name]
    ]
    if wrong:
        yield RuleFinding(
            "note",
            f"the compiler maps otherwise than the rules expected: {named(wrong)}",
            "what the compiler says holds",
            rule="prediction",
        )


def _broken(graph: Graph, check: Callable[[Graph, schema.OperatorT], str]) -> Counter[tuple[str, str]]:
    """What a check says, by kind of operator; the conversions at a float network's edge have a rule of their own."""
    return Counter(
        (graph.op_name(op), why)
        for op in graph.operators
        if graph.op_name(op) != COMPILED and not _at_edge(graph, op) and (why := check(graph, op))
    )


def _kinds(broken: Counter[tuple[str, str]], advice: str) -> Iterator[RuleFinding]:
    """One finding for all operators that break a rule in the same way or another."""
    if broken:
        counts: Counter[str] = Counter()
        for (name, _), count in broken.items():
            counts[name] += count
        first = next(iter(broken))[1]
        found = named([f"{count} {name}" for name, count in counts.most_common()])
        yield RuleFinding("refused", f"{found}: {first}", advice)


def _is_custom(graph: Graph, operator: schema.OperatorT) -> bool:
    return graph.op_name(operator).startswith("'")


def _at_edge(graph: Graph, operator: schema.OperatorT) -> bool:
    return edge(graph, operator) == EDGE


TARGET = Target(
    name="edgetpu",
    summary="Coral's Edge TPU (USB Accelerator, M.2, Dev Board), through libedgetpu.so.1",
    makes={"edgetpu_int8": "full_int8"},
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
    beside=lambda stem: (f"{glob.escape(stem)}_edgetpu.tflite",),
    estimate=estimate,
    describe=lambda graph: (table(graph),),
    notes=(
        'Source of the rules: Coral, "TensorFlow models on the Edge TPU", coral.ai/docs/edgetpu/models-intro, as of'
        " compiler 16.0 and runtime 14.",
        f"The compiler: {edgetpu_compiler.HOW_TO_GET_IT}.",
        "int8 at the network's edge, not uint8: the device's one lookup makes either, and the CPU's file is int8 too.",
        "The estimate is a floor: multiplications at the chip's peak, streamed parameters over USB 3.",
    ),
)
