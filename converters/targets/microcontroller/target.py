"""microcontroller: a Cortex-M, ESP32 or the like, with tflite-micro and neither an operating system nor files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from converters.analyze.golden_vectors import most_different
from converters.errors import TargetError
from converters.graph.graph import Graph
from converters.targets.base import Finished, Finishing, Table, Target
from converters.targets.microcontroller import c_source, tflite_micro
from converters.targets.microcontroller.c_source import ADDERS, Golden
from converters.targets.operator_table import activations
from converters.targets.rule import RuleFinding, named
from converters.targets.shared import no_custom_operators, no_variables, static_shapes
from edge_sdk.errors import EdgeSdkError, ModelError
from edge_sdk.model.golden import smooth_field
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder

#: Inputs to try, drawn and no photographs: the sources are handed out with what is compiled from them.
_SEEDS = range(1, 17)
_GOLDEN = 3
_RUNS = "runs-in-tflite-micro"
_AS_REFERENCE = "as-the-reference-kernels"
_ADVICE = {
    "GELU": "train with RELU6 or HARD_SWISH in its place",
    "RELU_N1_TO_1": "train with RELU6 in its place",
    "RELU_0_TO_1": "train with RELU6 in its place",
    "POW": "multiply the tensor by itself",
    "TILE": "repeat by CONCATENATION",
    "SELECT": "export anew: SELECT_V2 has taken its place",
}


def operators_tflite_micro_has(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator is one of tflite-micro's."""
    missing = Counter(name for op in graph.operators if (name := graph.op_name(op)) not in ADDERS)
    for name, count in missing.items():
        if not name.startswith("'"):
            yield RuleFinding(
                "refused",
                f"{count} {name}: tflite-micro does not have it",
                _ADVICE.get(
                    name, "train with another layer in its place; docs/reference/targets.md lists what it has"
                ),
            )


def integers_throughout(graph: Graph) -> Iterator[RuleFinding]:
    """Every activation is an integer: floats take four times the memory, and between integers do not allocate."""
    floats = Counter(
        graph.op_name(op)
        for op in graph.operators
        if any(graph.dtype_name(i).startswith("float") for i in activations(graph, op))
    )
    if floats:
        found = named([f"{count} {name}" for name, count in floats.most_common()])
        yield RuleFinding(
            "refused",
            f"{floats.total()} operators compute in float: {found}",
            "convert the float model with --target microcontroller, which writes full int8",
        )


def int8_at_the_edge(graph: Graph) -> Iterator[RuleFinding]:
    """One int8 input and one int8 output: what the generated sources and the example expect."""
    edges = [*graph.inputs, *graph.outputs]
    kinds = sorted({graph.dtype_name(i) for i in edges})
    if len(edges) != 2 or kinds != ["int8"]:
        yield RuleFinding(
            "refused",
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs of {', '.join(kinds)}",
            "convert the float model with --target microcontroller",
        )


def confirm(network: bytes) -> tuple[RuleFinding, ...]:
    """Whether tflite-micro runs the network, and in how many bytes."""
    if not tflite_micro.installed():
        return (_not_run("note"),)
    try:
        backend = LiteRtBackend(network)
        found = tflite_micro.run(network, np.zeros(backend.input.shape, backend.input.dtype))
    except (TargetError, ModelError) as error:
        return (_does_not_run(error),)
    return (
        RuleFinding(
            "note",
            f"tflite-micro runs it in an arena of {found.arena_bytes} bytes, with {len(network)} bytes of flash",
            "the arena is one array in RAM, given to the interpreter",
            rule=_RUNS,
        ),
    )


def finish(finished: Finished) -> Finishing:
    """Run it in tflite-micro, hold that against LiteRT's reference kernels, and write it as C++.

    Raises:
        TargetError: Its input or output is not int8, which is what the sources are written for.
    """
    if not tflite_micro.installed():
        return Finishing(findings=(_not_run("refused"),))
    backend = LiteRtBackend(finished.network)
    if {backend.input.dtype, backend.output.dtype} != {np.dtype(np.int8)}:
        raise TargetError(
            f"{finished.file}: the sources are for an int8 input and an int8 output, found {backend.input.dtype}"
            f" and {backend.output.dtype}",
            hint="convert the float model with --target microcontroller",
        )
    encode = make_encoder(finished.card.input, backend.input)
    inputs = np.empty((len(_SEEDS), *backend.input.shape[1:]), np.int8)
    for codes, seed in zip(inputs, _SEEDS, strict=True):
        encode(smooth_field(finished.card.input.shape, seed), codes[None])
    try:
        run = tflite_micro.run(finished.network, inputs)
    except TargetError as error:
        return Finishing(findings=(_does_not_run(error),))
    agreement = tflite_micro.compare(finished.network, inputs, run.outputs)
    asked = most_different(run.outputs, _GOLDEN)
    files = c_source.sources(
        finished.stem,
        finished.network,
        list(Graph.parse(finished.network).operator_counts()),
        finished.card,
        (backend.input, backend.output),
        Golden(inputs[asked], run.outputs[asked], tuple(_SEEDS[i] for i in asked)),
        arena_bytes=run.arena_bytes,
        model_id=finished.model_id,
    )
    return Finishing(
        files=files,
        findings=tuple(_apart(agreement)),
        figures={
            "Arena": f"{run.arena_bytes} bytes of RAM (tflite-micro {version('tflite-micro')}, x86-64)",
            "Flash": f"{len(finished.network)} bytes of network, beside the code",
            "As LiteRT's reference kernels": f"bit for bit on {agreement.equal} of {agreement.inputs} inputs",
        },
    )


def _apart(agreement: tflite_micro.Agreement) -> Iterator[RuleFinding]:
    if agreement.exact:
        return
    kinds = [
        f"{kind.values} of {kind.of} values of a {kind.name}, by {_count(kind.steps, 'step')}, from"
        f" {_count(kind.codes, 'code')}"
        for kind in agreement.operators
    ]
    found = (
        f"another embedding than LiteRT's reference kernels' on {agreement.inputs - agreement.equal} of"
        f" {agreement.inputs} inputs, by {_count(agreement.steps, 'step')} at most"
    )
    if agreement.explained:
        yield RuleFinding(
            "note",
            f"{found}: given the same operands, {named(kinds)} are rounded otherwise",
            "the golden vectors are tflite-micro's own; what the workstation measures holds within that rounding",
            rule=_AS_REFERENCE,
        )
    else:
        yield RuleFinding(
            "refused",
            f"{found}; by themselves differ: {named(kinds) or 'no operators'}",
            "a kernel of tflite-micro computes otherwise: measure the embeddings on the device before you trust them",
            rule=_AS_REFERENCE,
        )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _not_run(severity: str) -> RuleFinding:
    return RuleFinding(
        "refused" if severity == "refused" else "note",
        "not tried: tflite-micro is not installed",
        tflite_micro.HOW_TO_GET_IT,
        rule=_RUNS,
    )


def _does_not_run(error: EdgeSdkError) -> RuleFinding:
    return RuleFinding(
        "refused",
        str(error),
        "train with other layers where it names one; what it prints is tflite-micro's own",
        rule=_RUNS,
    )


def _used(graph: Graph) -> Table:
    rows = tuple((name, str(count), ADDERS.get(name, "-")) for name, count in graph.operator_counts().items())
    return Table("Operators, by tflite-micro's names", ("Operator", "Times", "Resolver"), rows)


TARGET = Target(
    name="microcontroller",
    summary="a microcontroller with tflite-micro: C++ sources, no file system",
    makes={"microcontroller_int8": "microcontroller_int8"},
    network_rules=(static_shapes, no_variables, no_custom_operators, operators_tflite_micro_has),
    file_rules=(
        static_shapes,
        no_variables,
        no_custom_operators,
        operators_tflite_micro_has,
        integers_throughout,
        int8_at_the_edge,
    ),
    confirm=confirm,
    operators={name: "" for name in sorted(ADDERS) if not name.startswith("'")},
    kernels="reference",
    finish=finish,
    beside=lambda stem: (f"{c_source.namespace_of(stem)}_constants.h",),
    describe=lambda graph: (_used(graph),),
    notes=(
        "The operators are those of MicroMutableOpResolver in tflite-micro of October 2026. Not each has an int8"
        " kernel: its interpreter is asked, on the file itself.",
        f"Its interpreter: {tflite_micro.HOW_TO_GET_IT}.",
        "PReLU stays one operator here: spelled out it takes half again the arena. The figures of two networks:"
        " [figures](../measurements/targets.md).",
        "firmware_examples/microcontroller goes on from the generated sources to a decision.",
    ),
)
