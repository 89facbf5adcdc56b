"""Replace a PReLU by two LeakyReLUs: sort the channels by slope and give each half one slope.

XNNPACK, Ethos-U and other runtimes have int8 kernels for LEAKY_RELU, SPLIT and CONCATENATION, but not for PRELU. One
slope per tensor loses too much accuracy. Two slopes, used in the least sensitive layers, lose so little that training
recovers it. Sorting has no cost at run time, because the weights of the operators around the PReLU are permuted.
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
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import Float64Array, SampleArray

#: LeakyReLUs per PReLU. Four would approximate PReLU better, but would be no faster than a decomposed PReLU.
_SECTIONS = 2
#: XNNPACK requires |slope * input scale / output scale| >= 1/256. A slope of 1/64 meets this if the output range is at
#: most four times the input range, which is almost always so.
SMALLEST_SLOPE = 1 / 64
LARGEST_SLOPE = 8.0
#: A few images are enough to measure the effect of a slope.
CHOICE_IMAGES = 24

_SAME_CHANNELS = {"RELU", "LEAKY_RELU", "PRELU", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD"}
_MIXING = {"CONV_2D", "FULLY_CONNECTED"}


@dataclass(frozen=True)
class _Importance:
    """Importance of the slope of each channel of one PReLU.

    Args:
        negative: Mean square of the negative input values, shape (C,).
        share: ``negative`` divided by the variance of the PReLU's whole output, shape (C,).
    """

    negative: Float64Array
    share: Float64Array


def choose_prelus(
    network: Network, share: float, contract: AnyContract, pixels: SampleArray
) -> tuple[str, ...]:
    """Choose the PReLUs whose replacement costs least accuracy per value computed; each is measured alone.

    Args:
        network: A float network.
        share: Largest share of all PReLU output values that LeakyReLUs may compute, 0..1.
        contract: The input contract.
        pixels: Shape (n, H, W, C), uint8; up to 24 images are used.

    Returns:
        Names of the PReLUs' output tensors, in execution order.
    """
    graph, pixels = network.graph, pixels[:CHOICE_IMAGES]
    outputs = [indices(op.outputs)[0] for op in graph.operators if _is_prelu(graph, op)]
    sizes = {graph.name(i): int(np.prod(graph.shape(i))) for i in outputs}
    weights = _measure_importance(network, contract, pixels)
    reference = embed_crops(network, contract, pixels)
    loss = {}
    for name in sizes:
        replaced = _replace_prelus(network, [name], weights)[1]
        loss[name] = 1 - float(cosine(reference, embed_crops(replaced, contract, pixels)).mean())
    chosen, remaining = set(), share * sum(sizes.values())
    for name in sorted(sizes, key=lambda name: loss[name] / sizes[name]):
        if sizes[name] <= remaining:
            chosen.add(name)
            remaining -= sizes[name]
    return tuple(name for name in sizes if name in chosen)


def replace_prelus(
    network: Network, names: Sequence[str], contract: AnyContract, pixels: SampleArray
) -> tuple[Network, Network]:
    """Replace PReLUs by LeakyReLUs, one for each half of their channels.

    Args:
        network: A float network.
        names: Names of the PReLUs' output tensors. A PReLU gets one slope if its channels cannot be sorted or their
            number is odd.
        contract: The input contract.
        pixels: Shape (n, H, W, C), uint8; slopes are computed from up to 24 images.

    Returns:
        Two networks: the first has sorted channels and computes the same function as before; the second is the first
        with LeakyReLUs, which computes another function.

    Raises:
        ConversionError: the network has no such PReLU.
    """
    weights = _measure_importance(network, contract, pixels[:CHOICE_IMAGES])
    unknown = sorted(set(names) - set(weights))
    if unknown:
        raise ConversionError(
            f"recipe: expected a PReLU with output {unknown[0]!r} to replace, found none in this network",
            hint="replay a recipe on the network it was found for",
        )
    return _replace_prelus(network, names, weights)


def _replace_prelus(
    network: Network, names: Sequence[str], weights: Mapping[str, _Importance]
) -> tuple[Network, Network]:
    graph = network.edit()
    ordered: dict[str, tuple[int, Float64Array]] = {}
    for domain in _domains(graph):
        prelus = [
            op
            for op in graph.operators
            if indices(op.outputs)[0] in domain and _is_prelu(graph, op) and _output(graph, op) in names
        ]
        if not prelus:
            continue
        channels = graph.shape(indices(prelus[0].outputs)[0])[-1]
        count = _SECTIONS if channels % _SECTIONS == 0 and _can_be_sorted(graph, domain) else 1
        order = np.arange(channels)
        if count > 1:
            slopes = np.stack([_get_slopes(graph, op) for op in prelus])
            shares = np.stack([weights[_output(graph, op)].share for op in prelus])
            order = _sorted_order(slopes, shares)
            _reorder(graph, domain, order)
        for op in prelus:
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
    """Return True for a PReLU with one slope per channel."""
    if graph.op_name(operator) != "PRELU":
        return False
    slope = graph.constant(indices(operator.inputs)[1])
    channels = graph.shape(indices(operator.outputs)[0])[-1]
    return slope is not None and slope.dtype == np.float32 and slope.size == slope.shape[-1] == channels


def _get_slopes(graph: Graph, operator: schema.OperatorT) -> Float64Array:
    value = graph.constant(indices(operator.inputs)[1])
    return np.zeros(0) if value is None else value.reshape(-1).astype(np.float64)


def _measure_importance(
    network: Network, contract: AnyContract, pixels: SampleArray
) -> dict[str, _Importance]:
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
        name: _Importance(square, square / variance[name] if variance[name] > 0 else np.zeros_like(square))
        for name, square in negative.items()
    }


def _domains(graph: Graph) -> list[set[int]]:
    """Return sets of tensors that must share one channel order, because channel-wise operators connect them."""
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


def _can_be_sorted(graph: Graph, domain: set[int]) -> bool:
    """Return True if the channels of a domain can be reordered.

    Every operator at the boundary of the domain must mix channels and share its weights with no other operator.
    Constants inside the domain must have one value per channel.
    """
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
    """Reorder the channels of every tensor of a domain, in place."""

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


def _sorted_order(slopes: Float64Array, shares: Float64Array) -> NDArray[np.intp]:
    """Return the channel order sorted by the slopes of the PReLU with the largest weighted spread.

    Args:
        slopes: Slopes of each PReLU of the domain, shape (L, C).
        shares: Importance of each slope, shape (L, C).
    """
    weight = shares + 1e-30
    centre = (slopes * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    spread = (weight * (slopes - centre) ** 2).sum(axis=1)
    return np.argsort(slopes[int(spread.argmax())], kind="stable")


def _replace(graph: Graph, operator: schema.OperatorT, count: int, negative: Float64Array) -> None:
    source, output = indices(operator.inputs)[0], indices(operator.outputs)[0]
    slopes = np.split(_get_slopes(graph, operator), count)
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
    """Return the common slope with the least mean squared error, clipped to the range that kernels support."""
    weight = negative if negative.any() else np.ones_like(negative)
    return clip_slope(float((slopes * weight).sum() / weight.sum()))


def clip_slope(slope: float) -> float:
    """Return the nearest slope of the same sign that integer kernels support."""
    magnitude = min(max(abs(slope), SMALLEST_SLOPE), LARGEST_SLOPE)
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
