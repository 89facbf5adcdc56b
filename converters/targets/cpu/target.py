"""cpu: a core that runs LiteRT with its XNNPACK delegate, such as a Raspberry Pi's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from converters.graph.graph import Graph
from converters.graph.partitions import is_sign_change, xnnpack_partitions
from converters.targets.base import Table, Target
from converters.targets.cpu import xnnpack
from converters.targets.operator_table import legible, output
from converters.targets.rule import RuleFinding, named
from converters.targets.shared import no_custom_operators, no_variables, static_shapes

_ADVICE = {
    "int8": "convert the float model with --target cpu, which leaves these in float, inside one partition",
    "uint8": "convert the float model with --target cpu, which writes int8 and leaves these in float",
    "float32": "another layer in their place would be faster; in integers they stay outside as well",
}
# A network with a PRELU after every convolution, in int8 against float32: 3.5 to 8 times slower.
_COST = {"PRELU": ", about 5x slower than float32"}


def xnnpack_takes_it(graph: Graph) -> Iterator[RuleFinding]:
    """XNNPACK takes every operator, in one partition; what it leaves runs on LiteRT's own kernels, slower.

    The change between uint8 and int8 at the network's edge aside: one pass over an image.
    """
    predicted = xnnpack.predict(graph)
    kinds = Counter(
        (graph.op_name(graph.operators[place]), graph.dtype_name(output(graph.operators[place])), why)
        for place, why in predicted.outside.items()
        if not graph.op_name(graph.operators[place]).startswith("'")  # no-custom-operators says it
        and not is_sign_change(graph, graph.operators[place])
    )
    stretches = f"{predicted.count} partition{'s' if predicted.count != 1 else ''}"
    for (name, dtype, why), count in sorted(kinds.items(), key=lambda kind: -kind[1]):
        plain = why in (dtype, "not among the operators it has")
        cost = _COST.get(name, "") if plain and dtype != "float32" else ""
        yield RuleFinding(
            "slow",
            f"{count} {dtype} {name} run on LiteRT's own kernel in {stretches}{cost}{'' if plain else f' ({why})'}",
            _ADVICE.get(dtype, "fold what depends on no image into constants"),
        )


def confirm(network: bytes) -> tuple[RuleFinding, ...]:
    """Load a network and hold what XNNPACK took against the prediction."""
    graph = legible(network)
    predicted = xnnpack.predict(graph)
    try:
        measured = xnnpack_partitions(network)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        return (
            RuleFinding(
                "refused",
                f"LiteRT does not load it: {reason}",
                "convert it again; no runtime has a kernel for what the message names",
                rule="loads",
            ),
        )
    expected = Counter(graph.op_name(graph.operators[place]) for place in predicted.outside)
    found = Counter(measured.outside)
    if predicted.count == measured.count and expected == found:
        return ()
    return (
        RuleFinding(
            "note",
            f"XNNPACK here runs {measured.count} partitions and leaves {_counted(found)};"
            f" the rules expected {predicted.count} and {_counted(expected)}",
            "what was measured holds on this host; the rules were measured on ai-edge-litert 2.3",
            rule="xnnpack-confirmed",
        ),
    )


def describe(graph: Graph) -> tuple[Table, ...]:
    """Which operators XNNPACK takes, by kind; no table where it takes all."""
    outside = xnnpack.predict(graph).outside
    if not outside:
        return ()
    kinds = Counter((graph.op_name(op), place not in outside) for place, op in enumerate(graph.operators))
    rows = tuple(
        (name, str(count), "XNNPACK" if taken else "LiteRT's own kernel")
        for (name, taken), count in sorted(kinds.items(), key=lambda kind: (kind[0][1], -kind[1], kind[0][0]))
    )
    return (Table("Who runs what, predicted", ("Operator", "Times", "Run by"), rows),)


def _counted(kinds: Counter[str]) -> str:
    return named([f"{count} {name}" for name, count in kinds.most_common()]) or "nothing"


TARGET = Target(
    name="cpu",
    summary="a 64-bit ARM or x86 core, through LiteRT and its XNNPACK delegate",
    makes={
        "float32": "float32",
        "float16": "float16",
        "dynamic_range": "dynamic_range",
        "cpu_int8": "cpu_int8",
    },
    network_rules=(static_shapes, no_variables, no_custom_operators, xnnpack_takes_it),
    file_rules=(static_shapes, no_variables, no_custom_operators, xnnpack_takes_it),
    operators=xnnpack.OPERATORS,
    confirm=confirm,
    describe=describe,
    on_xnnpack=True,
    notes=(
        "What XNNPACK takes was measured on networks of one operator each, loaded into ai-edge-litert 2.3 on"
        " x86-64; the prediction is confirmed by loading whenever a file is linted or converted.",
        "dynamic_range has int8 weights under float activations, a third of the size: no calibration image has a part"
        " in it, and it stays near float where plain int8 does not (y1: cosine 0.9994 against 0.87). Depthwise"
        " convolutions stay float in it: XNNPACK leaves them alone otherwise.",
        "Speed is measured on the host, one thread; only the ratio to float32 carries over to another core.",
    ),
)
