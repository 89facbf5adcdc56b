"""Gates: checks that every artefact must pass before it is written.

The docstring of each gate is shown to the user as its requirement. Converters fail silently (unfrozen variables, a float
operator in an "integer" network, a delegate that runs only half of the graph), so the gates check every artefact.

A user may allow a failed gate if the file still computes right answers and only takes longer: ``partitions``, and ``integer`` for operators
inside the network. The others find files that no device can run or whose answers are useless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from converters.data.embedding import embed_crops
from converters.errors import GateError
from converters.graph.float_islands import find_float_islands
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.graph.partitions import is_sign_change, xnnpack_partitions
from converters.quantize.recipe import Recipe
from edge_sdk.errors import InputError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import SampleArray

_STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
#: Gates that a user may allow, and gates that nobody may.
ALLOWABLE, STRICT = ("partitions", "integer"), ("static", "stateless", "finite")


@dataclass(frozen=True)
class Gate:
    """Result of one gate.

    Args:
        name: Name of the gate.
        wanted: Requirement of the gate.
        found: Property of the artefact.
        passed: True if the artefact meets the requirement.
        allowable: True if the user may allow the gate although it failed.
        allowed: True if it failed and the user allowed it.
    """

    name: str
    wanted: str
    found: str
    passed: bool
    allowable: bool = False
    allowed: bool = False

    def note(self, file: str) -> str:
        """Describe an allowed gate for the report."""
        return f"{file}: gate {self.name} failed and was allowed by the user: expected {self.wanted}, found {self.found}"


def check(
    network: Network,
    recipe: Recipe,
    contract: AnyContract,
    crops: SampleArray,
    *,
    unsupported: Collection[str] = (),
    allow: Collection[str] = (),
) -> tuple[Gate, ...]:
    """Check an artefact against every gate.

    Args:
        network: The artefact.
        recipe: Recipe of the artefact; it names the exceptions from the gates that are allowed.
        contract: Its input contract.
        crops: A few real crops, shape (n, H, W, C), uint8.
        unsupported: Kinds of operators that XNNPACK does not run in the float network either; the gates allow them in
            float and outside the partitions.
        allow: Names of gates that the user allows to fail; only those in ``ALLOWABLE`` have an effect.
    """
    gates = check_structure(network, recipe, unsupported=unsupported, allow=allow)
    if all(gate.passed or gate.allowed for gate in gates):
        gates.append(_finite(network, contract, crops))
        if recipe.partitions:
            gates.append(_with_permission(_partitions(network, recipe, unsupported), allow))
    return tuple(gates)


def check_structure(
    network: Network, recipe: Recipe, *, unsupported: Collection[str] = (), allow: Collection[str] = ()
) -> list[Gate]:
    """Check an artefact against the gates that do not run it; they apply to networks of any task."""
    graph = network.graph
    gates = [_static(graph), _stateless(graph), _integer(graph, recipe, unsupported)]
    return [_with_permission(gate, allow) for gate in gates]


def raise_if_failed(recipe: str, outcomes: Iterable[Gate]) -> None:
    """Raise an error for the first gate that failed and that the user does not allow.

    Raises:
        GateError: With the requirement, and with the option that allows it if there is one.
    """
    for gate in outcomes:
        if not (gate.passed or gate.allowed):
            allowance = f"; or write the file all the same with --allow {gate.name}" if gate.allowable else ""
            raise GateError(
                f"{recipe}: gate {gate.name!r} failed: expected {gate.wanted}, found {gate.found}",
                hint=f"edge-convert inspect lists the operators of a .tflite source{allowance}",
            )


def _gate(rule: Callable[..., Gate], result: str, passed: bool, *, allowable: bool = False) -> Gate:
    requirement = (rule.__doc__ or "").strip()
    return Gate(rule.__name__.strip("_"), requirement, result, passed, allowable and not passed)


def _with_permission(gate: Gate, allow: Collection[str]) -> Gate:
    return replace(gate, allowed=gate.allowable and gate.name in allow)


def _static(graph: Graph) -> Gate:
    """every tensor has a static shape"""
    dynamic = [graph.name(i) for i in range(len(graph.tensors)) if -1 in graph.shape(i)]
    return _gate(_static, f"dynamic: {', '.join(dynamic[:3])}" if dynamic else "static", not dynamic)


def _stateless(graph: Graph) -> Gate:
    """no variables, no resources, no custom operators"""
    forbidden = [op for op in graph.operator_counts() if op in _STATEFUL or op.startswith("'")]
    forbidden += [
        graph.name(i) for i in range(len(graph.tensors)) if graph.dtype_name(i) in {"resource", "variant"}
    ]
    return _gate(_stateless, ", ".join(forbidden[:3]) or "none", not forbidden)


def _integer(graph: Graph, recipe: Recipe, unsupported: Collection[str]) -> Gate:
    """no float tensors except those that the recipe allows"""
    if recipe.precision != "int8":
        return _gate(_integer, f"a {recipe.precision} network, float activations throughout", True)
    strays = []
    kept = 0
    float_operators = {*recipe.float_operators, *unsupported}
    keep_float = {*recipe.keep_float, *find_float_islands(graph, recipe.float_operators)}
    for operator in graph.operators:
        name = graph.op_name(operator)
        touched = [*indices(operator.inputs), *indices(operator.outputs)]
        is_float = any(i >= 0 and graph.dtype_name(i) == "float32" for i in touched)
        if not is_float or name in _CONVERSIONS:
            continue
        if name in float_operators or graph.name(indices(operator.outputs)[0]) in keep_float:
            kept += 1
        else:
            strays.append(f"{name} {graph.name(indices(operator.outputs)[0])!r}")
    at_the_edge = [
        f"{graph.dtype_name(i)} as input or output: {graph.name(i)!r}"
        for i in [*graph.inputs, *graph.outputs]
        if graph.dtype_name(i) not in ("int8", "uint8")
    ]
    strays = [*at_the_edge, *strays]
    result = (
        "; ".join(strays[:3])
        if strays
        else f"integer, {kept} of {len(graph.operators)} operators in float as allowed"
    )
    return _gate(_integer, result, not strays, allowable=not at_the_edge)


def _finite(network: Network, contract: AnyContract, crops: SampleArray) -> Gate:
    """a finite embedding for every image, not identical for all images"""
    try:
        embeddings = embed_crops(network, contract, crops)
    except InputError as error:
        return _gate(_finite, str(error), False)
    same = len(embeddings) > 1 and float(np.ptp(embeddings, axis=0).max()) == 0.0
    return _gate(_finite, "the same embedding for every image" if same else "finite", not same)


def _partitions(network: Network, recipe: Recipe, unsupported: Collection[str]) -> Gate:
    """XNNPACK runs every operator that it supports in float, in at most as many partitions as the recipe allows"""
    partitions = xnnpack_partitions(network)
    graph = network.graph
    text = f"{partitions.count} partition{'s' if partitions.count != 1 else ''}"
    if partitions.outside:
        text += f", outside: {', '.join(sorted(set(partitions.outside)))}"
    at_edge = ["QUANTIZE"] * sum(is_sign_change(graph, operator) for operator in graph.operators)
    left = Counter(partitions.outside) - Counter(at_edge)
    passed = partitions.count <= recipe.partitions and (recipe.partitions != 1 or not left)
    # QUANTIZE and DEQUANTIZE next to an unsupported operator are outside the partitions too.
    passed = passed or bool(
        partitions.outside and set(partitions.outside) <= {*unsupported, *_CONVERSIONS} and unsupported
    )
    return _gate(_partitions, text, passed, allowable=True)
