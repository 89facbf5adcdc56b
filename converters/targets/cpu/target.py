"""The target ``cpu``: a 64-bit core, such as a Raspberry Pi's, that runs LiteRT with its XNNPACK delegate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.partitions import is_sign_change, xnnpack_partitions
from converters.targets.base import ReportTable, Target
from converters.targets.cpu.operators import OPERATORS
from converters.targets.cpu.placement import predict_placement
from converters.targets.operator_table import output, parse_for_rules
from converters.targets.rule import RuleFinding, join_names
from converters.targets.shared_rules import no_custom_operators, no_variables, static_shapes

_ADVICE = {
    "int8": "convert the float model with --target cpu, which keeps these operators in float, in one partition",
    "uint8": "convert the float model with --target cpu, which writes int8 and keeps these operators in float",
    "float32": "use another layer; XNNPACK does not run this one in integers either",
}
# A network with a PRELU after every convolution takes 3.5 to 8 times as long in int8 as in float32.
_COST = {"PRELU": ", about 5x slower than float32"}


def xnnpack_takes_it(graph: Graph) -> Iterator[RuleFinding]:
    """XNNPACK runs every operator, in one partition; an operator that it does not support runs on LiteRT's own, slower kernel.

    A conversion between uint8 and int8 at the input or output is exempt: it is one pass over an image.
    """
    placement = predict_placement(graph)
    kinds = Counter(
        (graph.op_name(graph.operators[i]), graph.dtype_name(output(graph.operators[i])), reason)
        for i, reason in placement.outside.items()
        if not graph.op_name(graph.operators[i]).startswith("'")  # reported by no-custom-operators
        and not is_sign_change(graph, graph.operators[i])
    )
    partitions = f"{placement.count} partition{'s' if placement.count != 1 else ''}"
    for (name, dtype, reason), count in sorted(kinds.items(), key=lambda kind: -kind[1]):
        unconditional = reason in (dtype, "unsupported operator")
        cost = _COST.get(name, "") if unconditional and dtype != "float32" else ""
        detail = "" if unconditional else f" ({reason})"
        yield RuleFinding(
            "slow",
            f"{count} {dtype} {name} run on LiteRT's own kernel{detail}{cost}; XNNPACK runs the rest in {partitions}",
            _ADVICE.get(dtype, "replace subgraphs that do not depend on the image by constants"),
        )


def confirm(network: Network) -> tuple[RuleFinding, ...]:
    """Load a network into LiteRT and compare the actual partitions with the prediction."""
    graph = parse_for_rules(network)
    placement = predict_placement(graph)
    try:
        measured = xnnpack_partitions(network)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        return (
            RuleFinding(
                "refused",
                f"LiteRT cannot load the file: {reason}",
                "convert the model again; LiteRT has no kernel for the operator or type that its message names",
                rule="loads",
            ),
        )
    predicted_kinds = Counter(graph.op_name(graph.operators[i]) for i in placement.outside)
    measured_kinds = Counter(measured.outside)
    if placement.count == measured.count and predicted_kinds == measured_kinds:
        return ()
    return (
        RuleFinding(
            "note",
            f"XNNPACK on this host runs {measured.count} partitions, all except {_counted(measured_kinds)}; the rules"
            f" predicted {placement.count} partitions, all except {_counted(predicted_kinds)}",
            "rely on the partitions of this host; the rules predict those of ai-edge-litert 2.3",
            rule="xnnpack-confirmed",
        ),
    )


def describe(graph: Graph) -> tuple[ReportTable, ...]:
    """List the kinds of operators and what runs them; empty if XNNPACK runs all of them."""
    outside = predict_placement(graph).outside
    if not outside:
        return ()
    kinds = Counter((graph.op_name(op), i not in outside) for i, op in enumerate(graph.operators))
    rows = tuple(
        (name, str(count), "XNNPACK" if delegated else "LiteRT's own kernel")
        for (name, delegated), count in sorted(
            kinds.items(), key=lambda kind: (kind[0][1], -kind[1], kind[0][0])
        )
    )
    return (ReportTable("Placement of operators, predicted", ("Operator", "Count", "Run by"), rows),)


def _counted(kinds: Counter[str]) -> str:
    return join_names([f"{count} {name}" for name, count in kinds.most_common()]) or "nothing"


_RULES = (static_shapes, no_variables, no_custom_operators, xnnpack_takes_it)

TARGET = Target(
    name="cpu",
    summary="a 64-bit ARM or x86 core, through LiteRT and its XNNPACK delegate",
    recipes={
        "float32": "float32",
        "float16": "float16",
        "dynamic_range": "dynamic_range",
        "cpu_int8": "cpu_int8",
    },
    network_rules=_RULES,
    file_rules=_RULES,
    operators=OPERATORS,
    confirm=confirm,
    describe=describe,
    on_xnnpack=True,
    notes=(
        "The table of operators was measured: networks of one operator each were loaded into ai-edge-litert 2.3 on x86-64. `lint`"
        " and `convert` load each file and report any difference from the prediction.",
        "dynamic_range has int8 weights and float activations. The file is a third of the float file's size, needs no calibration"
        " images, and is closer to float than plain int8 for networks with uneven channels (y1: cosine 0.9994 against 0.87), but not for"
        " every network: the report judges it like the other files. Depthwise"
        " convolutions keep float weights, because XNNPACK does not run them with int8 weights and float activations.",
        "Times are measured on the host with one thread; only their ratio to float32 is meaningful for another core.",
    ),
)
