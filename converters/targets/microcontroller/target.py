"""The target ``microcontroller``: a core such as a Cortex-M or ESP32 with tflite-micro, without operating system or file system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from converters.analyze.golden_vectors import choose_most_different
from converters.errors import TargetError
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.targets.base import ArtefactFile, FinishResult, ReportTable, Target
from converters.targets.microcontroller import c_source, interpreter
from converters.targets.microcontroller.c_source import GoldenTensors
from converters.targets.microcontroller.operators import RESOLVER_METHODS
from converters.targets.operator_table import activations
from converters.targets.rule import RuleFinding, Severity, join_names
from converters.targets.shared_rules import no_custom_operators, no_variables, static_shapes
from edge_sdk.errors import EdgeSdkError, ModelError
from edge_sdk.model.golden import golden_input
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder

#: Seeds of the inputs to run. Inputs are synthetic, because the generated sources are distributed with them.
_SEEDS = range(1, 17)
_GOLDEN_COUNT = 3
_RUNS = "runs-in-tflite-micro"
_AS_REFERENCE = "as-the-reference-kernels"
#: Kinds in a float network that conversion replaces by other operators.
_DECOMPOSED = ("GELU", "RELU_N1_TO_1", "RELU_0_TO_1")
_ADVICE = {
    **dict.fromkeys(_DECOMPOSED, "convert the float model with edge-convert, which decomposes it"),
    "POW": "multiply the tensor by itself",
    "TILE": "repeat the tensor with CONCATENATION",
    "SELECT": "export the model again with SELECT_V2, which replaces SELECT",
}
_OTHER_LAYER = "train with another layer; docs/reference/targets.md lists the supported operators"


def operators_tflite_micro_has(graph: Graph) -> Iterator[RuleFinding]:
    """Every operator is supported by tflite-micro."""
    missing = Counter(
        name
        for op in graph.operators
        if (name := graph.op_name(op)) not in RESOLVER_METHODS
        and not (name in _DECOMPOSED and graph.dtype_name(indices(op.outputs)[0]) == "float32")
    )
    for name, count in missing.items():
        if not name.startswith("'"):  # reported by no-custom-operators
            yield RuleFinding(
                "refused", f"{count} {name}: not supported by tflite-micro", _ADVICE.get(name, _OTHER_LAYER)
            )


def integers_throughout(graph: Graph) -> Iterator[RuleFinding]:
    """Every activation is an integer, because floats take four times the memory, and tflite-micro rejects them between integer operators."""
    floats = Counter(
        graph.op_name(op)
        for op in graph.operators
        if any(graph.dtype_name(i).startswith("float") for i in activations(graph, op))
    )
    if floats:
        counts = join_names([f"{count} {name}" for name, count in floats.most_common()])
        yield RuleFinding(
            "refused",
            f"{floats.total()} operators compute in float: {counts}",
            "convert the float model with --target microcontroller, which writes full int8",
        )


def int8_at_the_edge(graph: Graph) -> Iterator[RuleFinding]:
    """The network has one int8 input and one int8 output, as the generated sources expect."""
    edges = [*graph.inputs, *graph.outputs]
    types = sorted({graph.dtype_name(i) for i in edges})
    if len(edges) != 2 or types != ["int8"]:
        yield RuleFinding(
            "refused",
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs of {', '.join(types)}",
            "convert the float model with --target microcontroller; this target takes networks with one output only",
        )


def confirm(network: Network) -> tuple[RuleFinding, ...]:
    """Run a network in tflite-micro and report the size of its arena."""
    if not interpreter.installed():
        return (_not_installed("note"),)
    try:
        backend = LiteRtBackend(network.data)
        run = interpreter.run(network, np.zeros(backend.input.shape, backend.input.dtype))
    except (TargetError, ModelError) as error:
        return (_does_not_run(error),)
    return (
        RuleFinding(
            "note",
            f"tflite-micro runs it in an arena of {run.arena_bytes} bytes, with {len(network.data)} bytes of flash",
            "reserve the arena as one array in RAM",
            rule=_RUNS,
        ),
    )


def finish(artefact: ArtefactFile) -> FinishResult:
    """Run the artefact in tflite-micro, compare it with LiteRT's reference kernels, and generate C++ sources.

    Raises:
        TargetError: Input or output is not int8.
    """
    if not interpreter.installed():
        return FinishResult(findings=(_not_installed("refused"),))
    backend = LiteRtBackend(artefact.network.data)
    if {backend.input.dtype, backend.output.dtype} != {np.dtype(np.int8)}:
        raise TargetError(
            f"{artefact.file}: expected an int8 input and an int8 output, found {backend.input.dtype}"
            f" and {backend.output.dtype}",
            hint="convert the float model with --target microcontroller",
        )
    encode = make_encoder(artefact.card.input, backend.input)
    inputs = np.empty((len(_SEEDS), *backend.input.shape[1:]), np.int8)
    for codes, seed in zip(inputs, _SEEDS, strict=True):
        encode(golden_input(artefact.card.input, seed), codes[None])
    try:
        run = interpreter.run(artefact.network, inputs)
    except TargetError as error:
        return FinishResult(findings=(_does_not_run(error),))
    agreement = interpreter.compare(artefact.network, inputs, run.outputs)
    golden = choose_most_different(run.outputs, _GOLDEN_COUNT)
    files = c_source.sources(
        artefact.stem,
        artefact.network.data,
        list(artefact.network.graph.operator_counts()),
        artefact.card,
        (backend.input, backend.output),
        GoldenTensors(inputs[golden], run.outputs[golden], tuple(_SEEDS[i] for i in golden)),
        arena_bytes=run.arena_bytes,
        model_id=artefact.model_id,
    )
    return FinishResult(
        files=files,
        findings=tuple(_reference_difference(agreement)),
        figures={
            "Arena": f"{run.arena_bytes} bytes of RAM (tflite-micro {version('tflite-micro')}, x86-64)",
            "Flash": f"{len(artefact.network.data)} bytes for the network, without code",
            "Same output as LiteRT's reference kernels": f"on {agreement.equal} of {agreement.inputs} inputs, bit for bit",
        },
    )


def _reference_difference(agreement: interpreter.Agreement) -> Iterator[RuleFinding]:
    if agreement.exact:
        return
    kinds = [
        f"{kind.values} of {kind.of} values of a {kind.name} differ by up to {_count(kind.steps, 'step')}, for"
        f" {_count(kind.codes, 'operand value')}"
        for kind in agreement.operators
    ]
    differing = (
        f"embeddings differ from LiteRT's reference kernels on {agreement.inputs - agreement.equal} of"
        f" {agreement.inputs} inputs, by at most {_count(agreement.steps, 'step')}"
    )
    if agreement.explained:
        yield RuleFinding(
            "note",
            f"{differing}, because of rounding: with the same operands, {join_names(kinds)}",
            "no action needed: the golden vectors are tflite-micro's own, and measurements on the workstation are valid up to"
            " this rounding",
            rule=_AS_REFERENCE,
        )
    else:
        yield RuleFinding(
            "refused",
            f"{differing}; with the same operands, {join_names(kinds) or 'no operator differs'}",
            "a kernel of tflite-micro computes different values: measure the embeddings on the device before relying on them",
            rule=_AS_REFERENCE,
        )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _not_installed(severity: Severity) -> RuleFinding:
    return RuleFinding(
        severity, "not run: tflite-micro is not installed", interpreter.HOW_TO_GET_IT, rule=_RUNS
    )


def _does_not_run(error: EdgeSdkError) -> RuleFinding:
    return RuleFinding(
        "refused",
        str(error),
        "if tflite-micro's message names an operator, train with another layer",
        rule=_RUNS,
    )


def _operators_table(graph: Graph) -> ReportTable:
    rows = tuple(
        (name, str(count), RESOLVER_METHODS.get(name, "-")) for name, count in graph.operator_counts().items()
    )
    return ReportTable("Operators and their methods in tflite-micro", ("Operator", "Count", "Method"), rows)


TARGET = Target(
    name="microcontroller",
    summary="a microcontroller with tflite-micro: C++ sources, no file system",
    recipes={"microcontroller_int8": "microcontroller_int8"},
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
    operators={name: "" for name in sorted(RESOLVER_METHODS) if not name.startswith("'")},
    kernels="reference",
    finish=finish,
    by_products=lambda stem: (f"{c_source.namespace_of(stem)}_constants.h",),
    describe=lambda graph: (_operators_table(graph),),
    notes=(
        "The operators are those of MicroMutableOpResolver in tflite-micro of October 2026. Not every one has an int8 kernel, so each"
        " file is also run in tflite-micro's interpreter.",
        f"Interpreter: {interpreter.HOW_TO_GET_IT}.",
        "PReLU stays one operator, because its decomposition needs an arena one and a half times as large. Measurements of two networks:"
        " [figures](../measurements/targets.md).",
        "firmware_examples/microcontroller shows how to get from the generated sources to the decision to accept or reject a face.",
    ),
)
