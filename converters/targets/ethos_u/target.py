"""ethos-u: Arm's Ethos-U55, U65 and U85, beside a Cortex-M or Cortex-A core."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from converters.graph.attach_card import with_compiled_card
from converters.graph.graph import Graph, indices
from converters.targets.base import Estimate, Finished, Finishing, Setting, Table, Target
from converters.targets.ethos_u import vela
from converters.targets.ethos_u.operators import U55_U65, U85, conditions
from converters.targets.operator_table import legible, refusal, refusals
from converters.targets.rule import RuleFinding, named
from converters.targets.shared import no_custom_operators, no_variables, static_shapes

_ARTEFACT = "ethos_u_int8"
_ON_THE_NPU = "every-operator-on-the-npu"
_ADVICE = {
    "L2_NORMALIZATION": "take it off the network; the host does it, in float",
    "SQRT": "take the normalization off the network; the host does it, in float",
    "POW": "multiply the tensor by itself",
    "DIV": "multiply by the reciprocal",
    "FLOOR": "train without it",
}
_OTHER_LAYER = "train with another layer in its place; docs/reference/targets.md lists what an Ethos-U has"


def every_operator_on_the_npu(graph: Graph) -> Iterator[RuleFinding]:
    """The NPU runs every operator: what it does not have, or not with these parameters, falls to the CPU."""
    everywhere: Counter[tuple[str, str]] = Counter()
    older: Counter[tuple[str, str]] = Counter()
    for operator in graph.operators:
        name = graph.op_name(operator)
        if name == vela.NPU_OPERATOR:
            continue
        if why := refusal(U85, graph, operator):
            everywhere[name, why] += 1
        elif why := refusal(U55_U65, graph, operator):
            older[name, why] += 1
    for (name, why), count in everywhere.items():
        yield RuleFinding(
            "refused", f"{count} {name} run on the CPU: {why}", _advice(name, why), rule=_ON_THE_NPU
        )
    for (name, why), count in older.items():
        yield RuleFinding(
            "note",
            f"{count} {name} run on the CPU beside an Ethos-U55 or U65: {why}",
            "an Ethos-U85 takes them: --set ethos-u.accelerators=ethos-u85-256",
        )


def kinds_an_npu_has(graph: Graph) -> Iterator[RuleFinding]:
    """Converting leaves no operator that the NPU does not have."""
    missing = Counter(name for op in graph.operators if (name := graph.op_name(op)) not in U85)
    for name, count in missing.items():
        yield RuleFinding("refused", f"{count} {name}: no Ethos-U has it", _ADVICE.get(name, _OTHER_LAYER))
    newer = Counter(name for op in graph.operators if (name := graph.op_name(op)) in U85.keys() - U55_U65)
    for name, count in newer.items():
        yield RuleFinding(
            "note", f"{count} {name}: of the Ethos-U, the U85 alone has it", _ADVICE.get(name, _OTHER_LAYER)
        )


def slopes_spelled_out(graph: Graph) -> Iterator[RuleFinding]:
    """No PRELU in integers: its slopes are read again for every pixel, from flash at a tenth of the speed."""
    count = graph.operator_counts().get("PRELU", 0)
    integer = any(graph.dtype_name(i) == "int8" for i in graph.inputs)
    if count and integer:
        yield RuleFinding(
            "slow",
            f"{count} PRELU: a network with one after each convolution takes 3 times as long on an Ethos-U55-128",
            "convert the float model with --target ethos-u, which spells them out",
        )


def no_operator_of_others(graph: Graph) -> Iterator[RuleFinding]:
    """No custom operators but the one that stands for the NPU's program."""
    if any(
        graph.op_name(op).startswith("'") and graph.op_name(op) != vela.NPU_OPERATOR for op in graph.operators
    ):
        yield from no_custom_operators(graph)


def not_yet_compiled(graph: Graph) -> Iterator[RuleFinding]:
    """The file is not compiled yet; a compiled one runs on its NPU alone and cannot be compiled again."""
    compiled = sum(graph.op_name(operator) == vela.NPU_OPERATOR for operator in graph.operators)
    if compiled:
        others = len(graph.operators) - compiled
        yield RuleFinding(
            "note",
            f"compiled for an Ethos-U already, {others} operators beside it on the CPU",
            "it takes the NPU that it was compiled for, and tflite-micro or the Ethos-U delegate, to run it",
        )


def configurations(settings: Mapping[str, str]) -> tuple[vela.Configuration, ...]:
    """What the settings ask to compile for; raises TargetError where that is not possible."""
    return tuple(
        vela.Configuration(
            name.strip(), settings["system-config"], settings["memory-mode"], settings["config"]
        )
        for name in settings["accelerators"].split(",")
    )


def _model(stem: str) -> str:
    """The model's name without the artefact's: ``face.ethos_u_int8`` becomes ``face``, others stay."""
    return stem.removesuffix(f".{_ARTEFACT}")


def finish(finished: Finished) -> Finishing:
    """Compile for each accelerator asked for, and say what vela expects."""
    if not vela.installed():
        missing = RuleFinding(
            "refused",
            "not compiled: vela is not installed, so nobody knows what the NPU runs",
            vela.HOW_TO_GET_IT,
            rule="compiled",
        )
        return Finishing(findings=(missing,))
    made = [vela.compile_network(finished.network, c) for c in configurations(finished.settings)]
    model = _model(finished.stem)
    graph = legible(finished.network)
    return Finishing(
        files={
            f"{model}.{one.configuration.accelerator}.tflite": with_compiled_card(
                one.network, finished.card, compiled_from=finished.model_id.hex()
            )
            for one in made
        },
        findings=tuple(finding for one in made for finding in (*_fallen(one), *_disagreement(graph, one))),
        tables=(_expected(made),),
        figures={f"Expected of {one.configuration.accelerator}": _in_short(one) for one in made},
        estimate=Estimate(
            made[0].milliseconds,
            f"vela {version('ethos-u-vela')} for {made[0].configuration} at {made[0].clock_hz / 1e6:g} MHz;"
            " expected, not measured",
        ),
    )


def _fallen(made: vela.Compiled) -> Iterator[RuleFinding]:
    kinds = Counter((left.name, left.reason) for left in made.cpu_operators)
    for (name, reason), count in kinds.items():
        yield RuleFinding(
            "refused",
            f"{count} {name} run on the CPU beside an {made.configuration.accelerator}: {reason or 'vela does not say why'}",
            _advice(name, reason),
            rule=_ON_THE_NPU,
        )


def _disagreement(graph: Graph, made: vela.Compiled) -> Iterator[RuleFinding]:
    table = U85 if made.configuration.accelerator.startswith("ethos-u85") else U55_U65
    predicted = {
        graph.name(indices(graph.operators[place].outputs)[0]): graph.op_name(graph.operators[place])
        for place in refusals(table, graph)
    }
    left = {operator.output: operator.name for operator in made.cpu_operators}
    wrong = [
        f"{name} {output!r}"
        for output, name in {**predicted, **left}.items()
        if (output in predicted) != (output in left)
    ]
    if wrong:
        yield RuleFinding(
            "note",
            f"vela places otherwise than the rules expected: {named(wrong)}",
            "what vela says holds",
            rule="prediction",
        )


def _kibibytes(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count else "-"


def _in_short(made: vela.Compiled) -> str:
    memories = {"SRAM": made.sram_bytes, "DRAM": made.dram_bytes, "flash": made.flash_bytes}
    return (
        f"{made.milliseconds:.2f} ms at {made.clock_hz / 1e6:g} MHz, "
        + ", ".join(f"{_kibibytes(count)} of {memory}" for memory, count in memories.items() if count)
        + f", {made.npu_operators} of {made.operators} operators on the NPU"
    )


def _expected(made: list[vela.Compiled]) -> Table:
    return Table(
        "What vela expects; not measured",
        ("Accelerator", "System", "Memory", "Time", "Cycles", "SRAM", "DRAM", "Flash", "NPU runs"),
        tuple(
            (
                one.configuration.accelerator,
                f"{one.configuration.system_config}, {one.clock_hz / 1e6:g} MHz",
                one.configuration.memory_mode,
                f"{one.milliseconds:.2f} ms",
                str(one.cycles),
                _kibibytes(one.sram_bytes),
                _kibibytes(one.dram_bytes),
                _kibibytes(one.flash_bytes),
                f"{one.npu_operators} of {one.operators}",
            )
            for one in made
        ),
    )


def _placement(graph: Graph) -> Table:
    counts: Counter[tuple[str, str, str]] = Counter()
    for operator in graph.operators:
        name = graph.op_name(operator)
        if name != vela.NPU_OPERATOR:
            older, newer = (refusal(table, graph, operator) or "NPU" for table in (U55_U65, U85))
            counts[name, older, newer] += 1
    rows = tuple((name, str(count), older, newer) for (name, older, newer), count in counts.most_common())
    return Table("Who runs what, by the rules", ("Operator", "Times", "Ethos-U55, U65", "Ethos-U85"), rows)


def _advice(name: str, why: str) -> str:
    if "float" in why.lower():
        return "quantize every operator: edge-convert convert --target ethos-u writes full int8"
    return _ADVICE.get(name, _OTHER_LAYER if name not in U85 else "change the layer's parameters")


TARGET = Target(
    name="ethos-u",
    summary="Arm Ethos-U55, U65 and U85, compiled by vela",
    makes={_ARTEFACT: _ARTEFACT},
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
    beside=lambda stem: (f"{glob.escape(_model(stem))}.ethos-u*.tflite",),
    describe=lambda graph: (_placement(graph),),
    settings=(
        Setting(
            "accelerators", "ethos-u55-128", "one or several, with commas: " + ", ".join(vela.ACCELERATORS)
        ),
        Setting(
            "system-config", "", "clock and memories: a section of the configuration file; the family's usual"
        ),
        Setting(
            "memory-mode", "", "what lies where: a section of the configuration file; the family's usual"
        ),
        Setting("config", vela.CONFIG_FILE, "a vela.ini of your chip's, or the one that comes with vela"),
    ),
    notes=(
        "Source of the rules: vela --supported-ops-report, ethos-u-vela 5.2; the tests hold them against its answers.",
        "Of nearly every operator: activations are integers, beside an Ethos-U55 or U65 of 8 or 16 bits, with one scale"
        " above 0 for the whole tensor; weights may have one per channel.",
        f"The compiler: {vela.HOW_TO_GET_IT}.",
        "vela exits with 0 whatever it leaves to the CPU. What it left is counted in the file that it wrote.",
        "PReLU is spelled out as a depthwise product and a sum: an NPU streams the weights of a convolution once, and"
        " reads the slopes of a PRELU again for every pixel. LEAKY_RELU stays, one operator that costs next to nothing.",
        "What vela expects of two networks: [figures](../measurements/targets.md).",
    ),
)
