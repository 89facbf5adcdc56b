"""Gates: what an artefact must be before it is written. The rule is the docstring.

Converters fail silently (unfrozen variables, a float operator left in an "integer" network, a delegate
that takes half the graph), so every artefact is looked at, whoever made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from converters.data.embedding import embed_crops
from converters.graph.float_islands import find_float_islands
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.graph.partitions import is_sign_change, xnnpack_partitions
from converters.quantize.recipe import Recipe
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array

_STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}


@dataclass(frozen=True)
class Gate:
    """The outcome of one gate.

    Args:
        name: Which gate.
        wanted: What an artefact must be.
        found: What this one is.
        passed: Whether that is the same.
    """

    name: str
    wanted: str
    found: str
    passed: bool


def check(
    network: Network,
    recipe: Recipe,
    contract: InputContract,
    crops: UInt8Array,
    *,
    unsupported: Collection[str] = (),
) -> tuple[Gate, ...]:
    """Hold an artefact against every gate.

    Args:
        network: The artefact.
        recipe: How it was made and what that allows.
        contract: Its input contract.
        crops: A few real crops, shape (n, H, W, C), uint8.
        unsupported: Kinds of operators that XNNPACK does not run in the float network either; no conversion
            changes that.
    """
    graph = network.graph
    gates = [_static(graph), _stateless(graph), _integer(graph, recipe, unsupported)]
    if all(gate.passed for gate in gates):
        gates.append(_finite(network, contract, crops))
        if recipe.partitions:
            gates.append(_partitions(network, recipe, unsupported))
    return tuple(gates)


def _gate(rule: Callable[..., Gate], found: str, passed: bool) -> Gate:
    wanted = (rule.__doc__ or "").strip()
    return Gate(rule.__name__.strip("_"), wanted, found, passed)


def _static(graph: Graph) -> Gate:
    """every tensor has a static shape"""
    dynamic = [graph.name(i) for i in range(len(graph.tensors)) if -1 in graph.shape(i)]
    return _gate(_static, f"dynamic: {', '.join(dynamic[:3])}" if dynamic else "static", not dynamic)


def _stateless(graph: Graph) -> Gate:
    """no variables, no resources, no custom operators"""
    found = [op for op in graph.operator_counts() if op in _STATEFUL or op.startswith("'")]
    found += [
        graph.name(i) for i in range(len(graph.tensors)) if graph.dtype_name(i) in {"resource", "variant"}
    ]
    return _gate(_stateless, ", ".join(found[:3]) or "none", not found)


def _integer(graph: Graph, recipe: Recipe, unsupported: Collection[str]) -> Gate:
    """float tensors only where the recipe allows them"""
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
    strays += [
        f"{graph.dtype_name(i)} at the network's edge: {graph.name(i)!r}"
        for i in [*graph.inputs, *graph.outputs]
        if graph.dtype_name(i) not in ("int8", "uint8")
    ]
    found = (
        "; ".join(strays[:3])
        if strays
        else f"integer, {kept} of {len(graph.operators)} operators in float as allowed"
    )
    return _gate(_integer, found, not strays)


def _finite(network: Network, contract: InputContract, crops: UInt8Array) -> Gate:
    """a finite embedding for every image, and not the same one for all"""
    try:
        embeddings = embed_crops(network, contract, crops)
    except InputError as error:
        return _gate(_finite, str(error), False)
    same = len(embeddings) > 1 and float(np.ptp(embeddings, axis=0).max()) == 0.0
    return _gate(_finite, "one embedding for every image" if same else "finite", not same)


def _partitions(network: Network, recipe: Recipe, unsupported: Collection[str]) -> Gate:
    """XNNPACK runs all of the network that it runs in float, in the partitions the recipe allows"""
    found = xnnpack_partitions(network)
    graph = network.graph
    text = f"{found.count} partition{'s' if found.count != 1 else ''}"
    if found.outside:
        text += f", outside: {', '.join(sorted(set(found.outside)))}"
    at_edge = ["QUANTIZE"] * sum(is_sign_change(graph, operator) for operator in graph.operators)
    left = Counter(found.outside) - Counter(at_edge)
    passed = found.count <= recipe.partitions and (recipe.partitions != 1 or not left)
    # What is left alone takes its conversions along.
    passed = passed or bool(
        found.outside and set(found.outside) <= {*unsupported, *_CONVERSIONS} and unsupported
    )
    return _gate(_partitions, text, passed)
