"""The target ``ethos-u``: Arm's NPUs Ethos-U55, U65 and U85, next to a Cortex-M or Cortex-A core."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from converters.graph.attach_card import with_compiled_card
from converters.graph.graph import Graph, indices
from converters.targets.base import ArtefactFile, Estimate, FinishResult, ReportTable, Target, TargetOption
from converters.targets.ethos_u import compiler
from converters.targets.ethos_u.operators import U55_U65, U85, conditions
from converters.targets.operator_table import parse_for_rules, unsupported_operators, unsupported_reason
from converters.targets.rule import RuleFinding, join_names
from converters.targets.shared_rules import no_custom_operators, no_variables, static_shapes

_ARTEFACT = "ethos_u_int8"
_ON_THE_NPU = "every-operator-on-the-npu"
_ADVICE = {
    "L2_NORMALIZATION": "remove the layer from the network; the host normalizes embeddings in float",
    "SQRT": "remove the normalization from the network; the host normalizes embeddings in float",
    "POW": "multiply the tensor by itself",
    "DIV": "multiply by the reciprocal",
    "FLOOR": "train without this operator",
}
_OTHER_LAYER = (
    "train with another layer; docs/reference/targets.md lists the operators that an Ethos-U supports"
)


def every_operator_on_the_npu(graph: Graph) -> Iterator[RuleFinding]:
    """The NPU runs every operator; an operator of a kind or with parameters that it does not support runs on the CPU."""
    every_npu: Counter[tuple[str, str]] = Counter()
    older_only: Counter[tuple[str, str]] = Counter()
    for operator in graph.operators:
        name = graph.op_name(operator)
        if name == compiler.NPU_OPERATOR:
            continue
        if reason := unsupported_reason(U85, graph, operator):
            every_npu[name, reason] += 1
        elif reason := unsupported_reason(U55_U65, graph, operator):
            older_only[name, reason] += 1
    for (name, reason), count in every_npu.items():
        yield RuleFinding(
            "refused", f"{count} {name} run on the CPU: {reason}", _advice(name, reason), rule=_ON_THE_NPU
        )
    for (name, reason), count in older_only.items():
        yield RuleFinding(
            "note",
            f"{count} {name} run on the CPU with an Ethos-U55 or U65: {reason}",
            "compile for an Ethos-U85, which supports them: --set ethos-u.accelerators=ethos-u85-256",
        )


def kinds_an_npu_has(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator has a kind that the NPU supports after conversion."""
    kinds = Counter(graph.op_name(op) for op in graph.operators)
    for name, count in kinds.items():
        advice = _ADVICE.get(name, _OTHER_LAYER)
        if name not in U85:
            yield RuleFinding("refused", f"{count} {name}: not supported by any Ethos-U", advice)
        elif name not in U55_U65:
            yield RuleFinding("note", f"{count} {name}: supported only by Ethos-U85", advice)


def slopes_spelled_out(graph: Graph) -> Iterator[RuleFinding]:
    """An integer network has no PRELU, because the NPU reads the slopes of a PRELU from slow flash again for every pixel."""
    count = graph.operator_counts().get("PRELU", 0)
    integer = any(graph.dtype_name(i) == "int8" for i in graph.inputs)
    if count and integer:
        yield RuleFinding(
            "slow",
            f"{count} PRELU: with one after each convolution, a network takes 3 times as long as with decomposed PReLUs"
            " on an Ethos-U55-128",
            "convert the float model with --target ethos-u, which decomposes them",
        )


def no_operator_of_others(graph: Graph) -> Iterator[RuleFinding]:
    """The only custom operator is the compiled program of the NPU."""
    if any(
        graph.op_name(op).startswith("'") and graph.op_name(op) != compiler.NPU_OPERATOR
        for op in graph.operators
    ):
        yield from no_custom_operators(graph)


def not_yet_compiled(graph: Graph) -> Iterator[RuleFinding]:
    """The file is not compiled; a compiled file runs only on its NPU and cannot be compiled again."""
    compiled = sum(graph.op_name(operator) == compiler.NPU_OPERATOR for operator in graph.operators)
    if compiled:
        others = len(graph.operators) - compiled
        yield RuleFinding(
            "note",
            f"already compiled for an Ethos-U, with {others} other operators on the CPU",
            "run it on the NPU that it was compiled for, with tflite-micro or the Ethos-U delegate",
        )


def configurations(options: Mapping[str, str]) -> tuple[compiler.Configuration, ...]:
    """Return the hardware configurations to compile for.

    Args:
        options: Value of every option of the target.

    Raises:
        TargetError: An accelerator is unknown, or the name of a section is malformed.
    """
    return tuple(
        compiler.Configuration(
            name.strip(), options["system-config"], options["memory-mode"], options["config"]
        )
        for name in options["accelerators"].split(",")
    )


def _model_name(stem: str) -> str:
    """Remove the artefact's name: ``face.ethos_u_int8`` becomes ``face``; other stems are returned unchanged."""
    return stem.removesuffix(f".{_ARTEFACT}")


def finish(artefact: ArtefactFile) -> FinishResult:
    """Compile the artefact for each accelerator in the options, and report vela's estimates."""
    if not compiler.installed():
        missing = RuleFinding(
            "refused",
            "not compiled: vela is not installed, so it is unknown which operators the NPU runs",
            compiler.HOW_TO_GET_IT,
            rule="compiled",
        )
        return FinishResult(findings=(missing,))
    networks = [
        compiler.compile_network(artefact.network, configuration)
        for configuration in configurations(artefact.options)
    ]
    first = networks[0]
    model = _model_name(artefact.stem)
    graph = parse_for_rules(artefact.network)
    return FinishResult(
        files={
            f"{model}.{compiled.configuration.accelerator}.tflite": with_compiled_card(
                compiled.network.data, artefact.card, compiled_from=artefact.model_id.hex()
            )
            for compiled in networks
        },
        findings=tuple(
            finding
            for compiled in networks
            for finding in (*_cpu_findings(compiled), *_placement_difference(graph, compiled))
        ),
        tables=(_estimates(networks),),
        figures={
            f"Estimate for {compiled.configuration.accelerator}": _summary(compiled) for compiled in networks
        },
        estimate=Estimate(
            first.milliseconds,
            f"vela {version('ethos-u-vela')} for {first.configuration} at {first.clock_hz / 1e6:g} MHz;"
            " estimated, not measured",
        ),
    )


def _cpu_findings(compiled: compiler.CompiledNetwork) -> Iterator[RuleFinding]:
    kinds = Counter((operator.name, operator.reason) for operator in compiled.cpu_operators)
    for (name, reason), count in kinds.items():
        yield RuleFinding(
            "refused",
            f"{count} {name} run on the CPU with an {compiled.configuration.accelerator}: {reason or 'vela gives no reason'}",
            _advice(name, reason),
            rule=_ON_THE_NPU,
        )


def _placement_difference(graph: Graph, compiled: compiler.CompiledNetwork) -> Iterator[RuleFinding]:
    table = U85 if compiled.configuration.accelerator.startswith("ethos-u85") else U55_U65
    predicted = {
        graph.name(indices(graph.operators[i].outputs)[0]): graph.op_name(graph.operators[i])
        for i in unsupported_operators(table, graph)
    }
    actual = {operator.output: operator.name for operator in compiled.cpu_operators}
    differences = [
        f"{name} {output!r}"
        for output, name in {**predicted, **actual}.items()
        if (output in predicted) != (output in actual)
    ]
    if differences:
        yield RuleFinding(
            "note",
            f"vela's placement differs from the prediction: {join_names(differences)}",
            "rely on vela's placement",
            rule="prediction",
        )


def _kibibytes(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count else "-"


def _summary(compiled: compiler.CompiledNetwork) -> str:
    memories = {"SRAM": compiled.sram_bytes, "DRAM": compiled.dram_bytes, "flash": compiled.flash_bytes}
    return (
        f"{compiled.milliseconds:.2f} ms at {compiled.clock_hz / 1e6:g} MHz, "
        + ", ".join(f"{_kibibytes(count)} of {memory}" for memory, count in memories.items() if count)
        + f", {compiled.npu_operators} of {compiled.operators} operators on the NPU"
    )


def _estimates(networks: list[compiler.CompiledNetwork]) -> ReportTable:
    return ReportTable(
        "Estimates of vela; not measured",
        ("Accelerator", "System", "Memory", "Time", "Cycles", "SRAM", "DRAM", "Flash", "On the NPU"),
        tuple(
            (
                compiled.configuration.accelerator,
                f"{compiled.configuration.system_config}, {compiled.clock_hz / 1e6:g} MHz",
                compiled.configuration.memory_mode,
                f"{compiled.milliseconds:.2f} ms",
                str(compiled.cycles),
                _kibibytes(compiled.sram_bytes),
                _kibibytes(compiled.dram_bytes),
                _kibibytes(compiled.flash_bytes),
                f"{compiled.npu_operators} of {compiled.operators}",
            )
            for compiled in networks
        ),
    )


def _placement_table(graph: Graph) -> ReportTable:
    counts: Counter[tuple[str, str, str]] = Counter()
    for operator in graph.operators:
        name = graph.op_name(operator)
        if name != compiler.NPU_OPERATOR:
            older, newer = (unsupported_reason(table, graph, operator) or "NPU" for table in (U55_U65, U85))
            counts[name, older, newer] += 1
    rows = tuple((name, str(count), older, newer) for (name, older, newer), count in counts.most_common())
    return ReportTable(
        "Placement of operators, predicted", ("Operator", "Count", "Ethos-U55, U65", "Ethos-U85"), rows
    )


def _advice(name: str, reason: str) -> str:
    if "float" in reason.lower():
        return "quantize every operator: edge-convert convert --target ethos-u writes full int8"
    return _ADVICE.get(name, _OTHER_LAYER if name not in U85 else "change the layer's parameters")


TARGET = Target(
    name="ethos-u",
    summary="Arm Ethos-U55, U65 and U85, compiled by vela",
    recipes={_ARTEFACT: _ARTEFACT},
    network_rules=(static_shapes, no_variables, no_custom_operators, kinds_an_npu_has),
    file_rules=(
        static_shapes,
        no_variables,
        no_operator_of_others,
        not_yet_compiled,
        every_operator_on_the_npu,
        slopes_spelled_out,
    ),
    operators=conditions(),
    kernels="reference",
    finish=finish,
    by_products=lambda stem: (f"{glob.escape(_model_name(stem))}.ethos-u*.tflite",),
    describe=lambda graph: (_placement_table(graph),),
    options=(
        TargetOption(
            "accelerators",
            "ethos-u55-128",
            "one or more accelerators, separated by commas: " + ", ".join(compiler.ACCELERATORS),
        ),
        TargetOption(
            "system-config",
            "",
            "section of the configuration file with clock rate and memories; default: vela's for the family of the accelerator",
        ),
        TargetOption(
            "memory-mode",
            "",
            "section of the configuration file with the memory of each kind of tensor; default: vela's for the family",
        ),
        TargetOption(
            "config",
            compiler.CONFIG_FILE,
            "path of a vela.ini for your chip; the default is part of vela",
        ),
    ),
    notes=(
        "Source of the rules: vela --supported-ops-report, ethos-u-vela 5.2. The tests compare them with vela's results.",
        "Conditions of almost every operator: activations are integers (8 or 16 bits on Ethos-U55 and U65), with one scale above 0 for"
        " the whole tensor; weights may have one scale per channel.",
        f"Compiler: {compiler.HOW_TO_GET_IT}.",
        "vela exits with 0 even if it leaves operators to the CPU, so these operators are counted in the file that it writes.",
        "PReLU is decomposed into a depthwise product and a sum: an NPU reads the weights of a convolution once, but it reads the"
        " slopes of a PRELU again for every pixel. LEAKY_RELU stays one operator, because its cost is negligible.",
        "Estimates of vela for two networks: [figures](../measurements/targets.md).",
    ),
)
