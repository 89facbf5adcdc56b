"""PReLU as two LeakyReLUs: channels are put in the order of their slopes, and each half gets one slope.

XNNPACK, Ethos-U and others run int8 LEAKY_RELU, SPLIT and CONCATENATION, and no int8 PRELU. With one slope for
each tensor the network is lost; with two, and where it does least harm, the rest can be trained. The order costs
nothing: a permutation of channels goes into the weights on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.data.embedding import embed_crops
from converters.data.tensor_values import Activations
from converters.errors import ConversionError
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from edge_sdk.matching import cosine
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array

#: Four are nearer to PReLU, and no faster than PReLU itself where it is spelled out.
_SECTIONS = 2
#: XNNPACK wants slope times input scale over output scale to be at least 1/256 in magnitude; the output's range
#: is hardly ever four times the input's.
LEAST_SLOPE = 1 / 64
LARGEST_SLOPE = 8.0
#: What a slope is worth shows on few images.
CHOICE_IMAGES = 24

_SAME_CHANNELS = {"RELU", "LEAKY_RELU", "PRELU", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD"}
_MIXING = {"CONV_2D", "FULLY_CONNECTED"}


@dataclass(frozen=True)
class _Weight:
    """How much the slope of each channel of one PReLU matters.

    Args:
        negative: Mean square of what the slope is multiplied with, shape (C,).
        share: The same over the variance of the whole output, shape (C,).
    """

    negative: Float64Array
    share: Float64Array


def choose_leaky(
    network: Network, share: float, contract: InputContract, pixels: UInt8Array
) -> tuple[str, ...]:
    """Which PReLUs to replace: those that do least harm for what they compute, each measured alone.

    Args:
        network: A float network.
        share: Of all values that PReLUs compute, how many a LeakyReLU may, 0..1.
        contract: The input contract.
        pixels: Shape (n, H, W, C), uint8; up to 24 of them are looked at.

    Returns:
        The PReLUs by the name of their output tensor, in execution order.
    """
    graph, pixels = network.graph, pixels[:CHOICE_IMAGES]
    outputs = [indices(op.outputs)[0] for op in graph.operators if _is_prelu(graph, op)]
    sizes = {graph.name(i): int(np.prod(graph.shape(i))) for i in outputs}
    weights = _weights(network, contract, pixels)
    wanted = embed_crops(network, contract, pixels)
    harm = {}
    for name in sizes:
        replaced = _with_leaky(network, [name], weights)[1]
        harm[name] = 1 - float(cosine(wanted, embed_crops(replaced, contract, pixels)).mean())
    chosen, room = set(), share * sum(sizes.values())
    for name in sorted(sizes, key=lambda name: harm[name] / sizes[name]):
        if sizes[name] <= room:
            chosen.add(name)
            room -= sizes[name]
    return tuple(name for name in sizes if name in chosen)


def with_leaky(
    network: Network, names: Sequence[str], contract: InputContract, pixels: UInt8Array
) -> tuple[Network, Network]:
    """Replace PReLUs by LeakyReLUs, one for each half of their channels.

    Args:
        network: A float network.
        names: Which, by the name of their output tensor. One whose channels cannot be put in another order, or
            are odd in number, gets one slope.
        contract: The input contract.
        pixels: Shape (n, H, W, C), uint8; slopes are chosen by up to 24 of them.

    Returns:
        The network with its channels in order, which is the same function, and the one with LeakyReLU, which
        is not.

    Raises:
        ConversionError: The network has no such PReLU.
    """
    weights = _weights(network, contract, pixels[:CHOICE_IMAGES])
    unknown = sorted(set(names) - set(weights))
    if unknown:
        raise ConversionError(
            f"recipe: it makes a LeakyReLU of {unknown[0]!r}, which is no PReLU of this network",
            hint="replay a recipe on the network it was found for",
        )
    return _with_leaky(network, names, weights)


def _with_leaky(
    network: Network, names: Sequence[str], weights: Mapping[str, _Weight]
) -> tuple[Network, Network]:
    graph = network.edit()
    ordered: dict[str, tuple[int, Float64Array]] = {}
    for domain in _domains(graph):
        found = [
            op
            for op in graph.operators
            if indices(op.outputs)[0] in domain and _is_prelu(graph, op) and _output(graph, op) in names
        ]
        if not found:
            continue
        channels = graph.shape(indices(found[0].outputs)[0])[-1]
        count = _SECTIONS if channels % _SECTIONS == 0 and _can_be_ordered(graph, domain) else 1
        order = np.arange(channels)
        if count > 1:
            slopes = np.stack([_slopes(graph, op) for op in found])
            shares = np.stack([weights[_output(graph, op)].share for op in found])
            order = _alike(slopes, shares)
            _reorder(graph, domain, order)
        for op in found:
            name = _output(graph, op)
            ordered[name] = (count, weights[name].negative[order])
    graph.prune()
    same = Network.of(graph)
    for op in [op for op in graph.operators if _is_prelu(graph, op) and _output(graph, op) in ordered]:
        _replace(graph, op, *ordered[_output(graph, op)])
    graph.prune()
    return same, Network.of(graph)


def _output(graph: Graph, operator: schema.OperatorT) -> str:
    return graph.name(indices(operator.outputs)[0])


def _is_prelu(graph: Graph, operator: schema.OperatorT) -> bool:
    """A PReLU with a slope for each channel."""
    if graph.op_name(operator) != "PRELU":
        return False
    slope = graph.constant(indices(operator.inputs)[1])
    channels = graph.shape(indices(operator.outputs)[0])[-1]
    return slope is not None and slope.dtype == np.float32 and slope.size == slope.shape[-1] == channels


def _slopes(graph: Graph, operator: schema.OperatorT) -> Float64Array:
    value = graph.constant(indices(operator.inputs)[1])
    return np.zeros(0) if value is None else value.reshape(-1).astype(np.float64)


def _weights(network: Network, contract: InputContract, pixels: UInt8Array) -> dict[str, _Weight]:
    graph = network.graph
    ends = [
        (graph.name(indices(op.inputs)[0]), graph.name(indices(op.outputs)[0]))
        for op in graph.operators
        if _is_prelu(graph, op)
    ]
    inside = Activations(network, contract, list(dict.fromkeys(name for pair in ends for name in pair)))
    negative: dict[str, Float64Array] = {}
    square: dict[str, Float64Array] = {}
    mean: dict[str, Float64Array] = {}
    for crop in pixels:
        inside.run(crop)
        for before, after in ends:
            x, y = (inside[n].reshape(-1, inside[n].shape[-1]).astype(np.float64) for n in (before, after))
            negative[after] = negative.get(after, 0.0) + (np.minimum(x, 0) ** 2).mean(axis=0) / len(pixels)
            square[after] = square.get(after, 0.0) + (y**2).mean(axis=0) / len(pixels)
            mean[after] = mean.get(after, 0.0) + y.mean(axis=0) / len(pixels)
    variance = {name: float((square[name] - mean[name] ** 2).sum()) for name in square}
    return {
        name: _Weight(found, found / variance[name] if variance[name] > 0 else np.zeros_like(found))
        for name, found in negative.items()
    }


def _domains(graph: Graph) -> list[set[int]]:
    """Tensors whose channels are the same channels, joined by operators that treat each channel alone."""
    parent = list(range(len(graph.tensors)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for operator in graph.operators:
        if graph.op_name(operator) in _SAME_CHANNELS or _is_plain_depthwise(graph, operator):
            output = indices(operator.outputs)[0]
            for i in indices(operator.inputs):
                if i >= 0 and graph.constant(i) is None:
                    parent[find(i)] = find(output)
    members: dict[int, set[int]] = {}
    for i in graph.computed():
        members.setdefault(find(i), set()).add(i)
    return list(members.values())


def _is_plain_depthwise(graph: Graph, operator: schema.OperatorT) -> bool:
    return graph.op_name(operator) == "DEPTHWISE_CONV_2D" and operator.builtinOptions.depthMultiplier == 1


def _can_be_ordered(graph: Graph, domain: set[int]) -> bool:
    """Whether only mixing operators with weights of their own stand at the domain's edges, and nothing in it has
    constants of another form than one value per channel."""
    sizes = {graph.shape(i)[-1] for i in domain}
    if domain & {*graph.inputs, *graph.outputs} or len(sizes) != 1:
        return False
    channels = sizes.pop()
    for operator in graph.operators:
        writes, reads = domain & set(indices(operator.outputs)), domain & set(indices(operator.inputs))
        if not writes and not reads:
            continue
        constants = [
            (position, graph.constant(i), len(graph.consumers(i)))
            for position, i in enumerate(indices(operator.inputs))
            if i >= 0 and graph.constant(i) is not None
        ]
        if any(
            readers != 1 for _, value, readers in constants if value is not None and value.dtype == np.float32
        ):
            return False
        name = graph.op_name(operator)
        if bool(writes) != bool(reads):
            first = graph.constant(indices(operator.inputs)[1]) if name in _MIXING else None
            if first is None or (reads and first.shape[-1] != channels):
                return False
        elif name == "PAD":
            paddings = next((v for p, v, _ in constants if p == 1), None)
            if paddings is None or paddings[-1].any():
                return False
        elif name in {"ADD", "PRELU", "LEAKY_RELU"} and any(
            v is not None and v.size not in (1, channels) for _, v, _ in constants
        ):
            return False
    return True


def _reorder(graph: Graph, domain: set[int], order: NDArray[np.intp]) -> None:
    """Put the channels of every tensor of a domain in another order, in place."""

    def take(index: int, axis: int) -> None:
        value = graph.constant(index)
        if value is not None and value.dtype == np.float32 and value.shape[axis] == len(order):
            graph.set_constant(index, np.take(value, order, axis=axis))

    for operator in graph.operators:
        writes, reads = domain & set(indices(operator.outputs)), domain & set(indices(operator.inputs))
        operands = [i for i in indices(operator.inputs) if i >= 0]
        if writes and reads:
            for i in operands[1:] if graph.op_name(operator) != "ADD" else operands:
                if (value := graph.constant(i)) is not None and value.ndim:
                    take(i, -1)
        elif writes:
            for i in operands[1:]:
                take(i, 0)
        elif reads:
            take(operands[1], -1)


def _alike(slopes: Float64Array, shares: Float64Array) -> NDArray[np.intp]:
    """The order of channels whose halves hold like slopes, where that matters most.

    Args:
        slopes: Shape (L, C): of each PReLU that the channels go through.
        shares: How much each matters, shape (L, C).
    """
    weight = shares + 1e-30
    centre = (slopes * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    spread = (weight * (slopes - centre) ** 2).sum(axis=1)
    return np.argsort(slopes[int(spread.argmax())], kind="stable")


def _replace(graph: Graph, operator: schema.OperatorT, count: int, negative: Float64Array) -> None:
    source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
    slopes = np.split(_slopes(graph, operator), count)
    best = [_best_slope(a, w) for a, w in zip(slopes, np.split(negative, count), strict=True)]
    at = graph.operators.index(operator)
    graph.operators.remove(operator)
    if count == 1:
        _add_leaky(graph, source, output, best[0], at)
        return
    name, shape = graph.name(output), graph.shape(output)
    part = (*shape[:-1], shape[-1] // count)
    parts = [graph.add_tensor(f"{name}/section_{i}", part, np.float32) for i in range(count)]
    leaky = [graph.add_tensor(f"{name}/leaky_{i}", part, np.float32) for i in range(count)]
    axis = graph.add_tensor(f"{name}/axis", (), np.int32, np.array(len(shape) - 1, np.int32))
    split, concatenation = schema.SplitOptionsT(), schema.ConcatenationOptionsT()
    split.numSplits, concatenation.axis = count, len(shape) - 1
    options = schema.BuiltinOptions
    graph.add_operator(
        "SPLIT", [axis, source], parts, at=at, options=split, options_type=options.SplitOptions
    )
    for i, slope in enumerate(best):
        _add_leaky(graph, parts[i], leaky[i], slope, at + 1 + i)
    graph.add_operator(
        "CONCATENATION",
        leaky,
        [output],
        at=at + 1 + count,
        options=concatenation,
        options_type=options.ConcatenationOptions,
    )


def _best_slope(slopes: Float64Array, negative: Float64Array) -> float:
    """The one slope with the least mean squared error, as far as kernels take it."""
    weight = negative if negative.any() else np.ones_like(negative)
    return clipped_slope(float((slopes * weight).sum() / weight.sum()))


def clipped_slope(slope: float) -> float:
    """The nearest slope that integer kernels take, of the same sign."""
    magnitude = min(max(abs(slope), LEAST_SLOPE), LARGEST_SLOPE)
    return -magnitude if slope < 0 else magnitude


def _add_leaky(graph: Graph, source: int, output: int, slope: float, at: int) -> None:
    options = schema.LeakyReluOptionsT()
    options.alpha = slope
    graph.add_operator(
        "LEAKY_RELU",
        [source],
        [output],
        at=at,
        options=options,
        options_type=schema.BuiltinOptions.LeakyReluOptions,
    )
