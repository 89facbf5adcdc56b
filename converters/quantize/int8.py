"""Quantize to int8 as a recipe defines: equalize, decompose, quantize, correct biases; from images or recorded statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.graph.float_islands import find_float_islands
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.rewrites.bound_prelu_slopes import bound_slopes
from converters.graph.rewrites.decompose import DECOMPOSABLE, Increasing, Summand, decompose
from converters.graph.rewrites.equalize import Group, apply_scales, equalize, find_groups
from converters.quantize.ai_edge_quantizer import quantize_static
from converters.quantize.bias_correction import apply_corrections, correct_biases
from converters.quantize.full_int8 import CLIPS, quantize_full_int8
from converters.quantize.ranges import find_ranges
from converters.quantize.recipe import Recipe
from converters.quantize.recorded import RecordedStatistics, require_computed, require_names
from converters.quantize.statistics import ChannelStatistics, TensorRange
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import Float64Array, SampleArray

#: Images for bias correction; a few are enough to measure the mean error of a channel.
BIAS_IMAGES = 64


@dataclass(frozen=True, eq=False)
class FloatReference:
    """The float network after the rewrites of a recipe; it computes the same function.

    Args:
        network: The network.
        statistics: Its statistics.
        scales: Divisors of the channels of each equalized group, by the name of the group's first tensor.
        effect: What the rewrites found in the network, such as ``12 groups of 40 tensors, 3104 channels``; empty without
            rewrites.
    """

    network: Network
    statistics: Mapping[str, ChannelStatistics]
    scales: Mapping[str, Float64Array]
    effect: str = ""


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """An int8 network and what it was built from.

    Args:
        network: The int8 network.
        float_reference: The float network with the same tensors and the same order of channels.
        statistics: Statistics of the calibration images, from which ``replay_int8`` builds the same network.
    """

    network: Network
    float_reference: Network
    statistics: RecordedStatistics


def quantize_int8(
    network: Network,
    recipe: Recipe,
    statistics: Mapping[str, ChannelStatistics],
    contract: AnyContract,
    pixels: SampleArray,
    *,
    reference: FloatReference | None = None,
    ranges: Mapping[str, TensorRange] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> QuantizedNetwork:
    """Quantize a canonical float network as a recipe defines.

    Args:
        network: The float network.
        recipe: An int8 recipe.
        statistics: Statistics of the float network, from ``channel_statistics``.
        contract: The input contract.
        pixels: The calibration images of the statistics, shape (n, H, W, C), uint8.
        reference: The result of ``build_float_reference`` for these arguments; computed if None.
        ranges: The result of ``find_recipe_ranges`` for these arguments; computed if None.
        progress: Called with (done, total) during bias correction.

    Returns:
        The int8 network; the same arguments give the same bytes.

    Raises:
        ConversionError: the recipe does not fit the network, or the quantizer rejects the network.
    """
    _check(network.graph, recipe)
    reference = reference or build_float_reference(network, recipe, statistics)
    if ranges is None:
        ranges = find_ranges(reference.network, recipe.ranges, contract, reference.statistics, pixels)
    quantized = _quantize(reference.network, recipe, ranges)
    corrections: dict[str, NDArray[np.int32]] = {}
    if recipe.bias_correction:
        step = max(1, len(pixels) // BIAS_IMAGES)
        images = pixels[::step][:BIAS_IMAGES]
        quantized, corrections = correct_biases(
            quantized, reference.network, contract, images, progress=progress
        )
    used = {name: ranges[name] for name in _activations(reference.network)}
    recorded = RecordedStatistics(used, reference.scales, corrections)
    return QuantizedNetwork(quantized, reference.network, recorded)


def replay_int8(network: Network, recipe: Recipe, recorded: RecordedStatistics) -> QuantizedNetwork:
    """Quantize a canonical float network with recorded statistics instead of calibration images.

    Args:
        network: The float network for which the statistics were recorded.
        recipe: The int8 recipe of that conversion.
        recorded: Its statistics.

    Returns:
        The int8 network; the same bytes as ``quantize_int8`` gave, if the float network has the same bytes.

    Raises:
        ConversionError: recipe or statistics do not fit the network, or the quantizer rejects the network.
    """
    _check(network.graph, recipe)
    reference = _repeat_float_reference(network, recipe, recorded.scales)
    require_names("ranges", dict.fromkeys(_activations(reference), 1), dict.fromkeys(recorded.ranges, 1))
    quantized = _quantize(reference, recipe, recorded.ranges)
    if recipe.bias_correction:
        quantized = apply_corrections(quantized, reference, recorded.bias_corrections)
    return QuantizedNetwork(quantized, reference, recorded)


def _activations(reference: Network) -> list[str]:
    """List the input and every computed float tensor by name."""
    graph = reference.graph
    computed = [i for i in graph.computed() if graph.dtype_name(i) == "float32"]
    return [graph.name(i) for i in [graph.inputs[0], *computed]]


def _quantize(reference: Network, recipe: Recipe, ranges: Mapping[str, TensorRange]) -> Network:
    if recipe.quantizer == "integer":
        return quantize_full_int8(
            reference, ranges, int16=recipe.int16, folded=CLIPS.keys() & {*recipe.decomposed}
        )
    keep_float = {*recipe.keep_float, *find_float_islands(reference.graph, recipe.float_operators)}
    return quantize_static(reference, ranges, float_operators=recipe.float_operators, keep_float=keep_float)


def _check(graph: Graph, recipe: Recipe) -> None:
    """Reject a recipe that contradicts itself or names operators that the network does not have.

    Raises:
        ConversionError: the recipe does not fit.
    """
    if recipe.quantizer == "integer" and (recipe.keep_float or recipe.float_operators):
        raise ConversionError(
            f"recipe {recipe.name}: expected no operators in float with the quantizer 'integer', found"
            f" {[*recipe.float_operators, *recipe.keep_float][0]!r}"
        )
    if recipe.int16 and recipe.quantizer != "integer":
        raise ConversionError(
            f"recipe {recipe.name}: expected ``int16`` with the quantizer 'integer' only, found {recipe.quantizer!r}"
        )
    unknown_kinds = sorted(set(recipe.decomposed) - set(DECOMPOSABLE))
    if unknown_kinds:
        raise ConversionError(
            f"recipe {recipe.name}: only {', '.join(DECOMPOSABLE)} can be decomposed, found {unknown_kinds[0]!r} in ``decomposed``"
        )
    require_computed(graph, "keep_float", recipe.keep_float)


def find_recipe_ranges(
    network: Network,
    recipe: Recipe,
    statistics: Mapping[str, ChannelStatistics],
    contract: AnyContract,
    pixels: SampleArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, TensorRange]:
    """Find the range of every activation of the float reference; ``quantize_int8`` describes the arguments."""
    reference = build_float_reference(network, recipe, statistics)
    return find_ranges(
        reference.network, recipe.ranges, contract, reference.statistics, pixels, progress=progress
    )


def build_float_reference(
    network: Network, recipe: Recipe, statistics: Mapping[str, ChannelStatistics]
) -> FloatReference:
    """Build the float reference of the int8 network, and its statistics.

    It computes the same function as the network, but is equalized and decomposed as the recipe defines. With
    ``scale_clips`` the function is the same on the calibration images only.
    """
    if not _rewrites(recipe):
        return FloatReference(network, statistics, {})
    graph = network.edit()
    after = dict(statistics)
    effects = []
    if recipe.bound_slopes:
        mirrored = bound_slopes(graph)
        after.update(_scaled(graph, mirrored, after))
        effects.append(_count(sum(int((scale < 0).any()) for scale in mirrored.values()), "mirrored tensor"))
    scales: dict[str, Float64Array] = {}
    if recipe.equalize:
        groups = _groups(graph, recipe)
        effects.insert(0, _describe(groups))
        divisors = equalize(
            graph, groups, _magnitudes(graph, groups, after), weight_share=recipe.weight_share
        )
        for group, scale in zip(groups, divisors, strict=True):
            scales[graph.name(group.tensors[0])] = scale
            after.update(_scaled(graph, dict.fromkeys(group.tensors, scale), after))
    for name, added in decompose(graph, recipe.decomposed).items():
        after[name] = _added_statistics(added, after)
    graph.prune()
    return FloatReference(Network.of(graph), after, scales, ", ".join(effects))


def _describe(groups: Sequence[Group]) -> str:
    if not groups:
        return "no group"
    tensors = sum(len(group.tensors) for group in groups)
    channels = sum(group.channels for group in groups)
    clips = sum(bool(group.limits) for group in groups)
    return f"{_count(len(groups), 'group')} of {_count(tensors, 'tensor')}, {channels} channels" + (
        f", {_count(clips, 'group')} with clips" if clips else ""
    )


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number > 1)}"


def _repeat_float_reference(network: Network, recipe: Recipe, scales: Mapping[str, Float64Array]) -> Network:
    """Build the network of ``build_float_reference`` with known scales."""
    if not _rewrites(recipe):
        return network
    graph = network.edit()
    if recipe.bound_slopes:
        bound_slopes(graph)
    if recipe.equalize:
        groups = _groups(graph, recipe)
        names = [graph.name(group.tensors[0]) for group in groups]
        expected = dict(zip(names, (group.channels for group in groups), strict=True))
        require_names("scales", expected, {name: scale.size for name, scale in scales.items()})
        apply_scales(graph, groups, [scales[name] for name in names])
    decompose(graph, recipe.decomposed)
    graph.prune()
    return Network.of(graph)


def _rewrites(recipe: Recipe) -> bool:
    return bool(recipe.bound_slopes or recipe.equalize or recipe.decomposed)


def _scaled(
    graph: Graph, scales: Mapping[int, Float64Array], statistics: Mapping[str, ChannelStatistics]
) -> dict[str, ChannelStatistics]:
    return {graph.name(i): statistics[graph.name(i)].scaled(scale) for i, scale in scales.items()}


def _groups(graph: Graph, recipe: Recipe) -> list[Group]:
    groups = find_groups(graph, clips=recipe.scale_clips)
    return [group for group in groups if recipe.equalize == "all" or _depthwise(graph, group)]


def _magnitudes(
    graph: Graph, groups: Sequence[Group], statistics: Mapping[str, ChannelStatistics]
) -> dict[int, Float64Array]:
    """Return the largest magnitude of each channel of the tensors of the groups, by tensor index."""
    return {
        i: np.maximum(np.abs(channels.low), np.abs(channels.high))
        for group in groups
        for i in group.tensors
        for channels in [statistics[graph.name(i)]]
    }


def _added_statistics(
    added: Summand | Increasing, statistics: Mapping[str, ChannelStatistics]
) -> ChannelStatistics:
    """Return the statistics of a tensor that a decomposition added; of an increasing function the mean is approximate."""
    if isinstance(added, Summand):
        return _summand_statistics(added, statistics)
    x = statistics[added.source]
    low, high = x.low, x.high
    if added.even:
        low, high = np.maximum(np.maximum(low, -high), 0.0), np.maximum(-low, high)
    return ChannelStatistics(added.of(low), added.of(high), added.of(x.mean))


def _summand_statistics(summand: Summand, statistics: Mapping[str, ChannelStatistics]) -> ChannelStatistics:
    """Return statistics of ``factor * max(-x, 0)`` from those of x; the mean is exact if a channel has one slope."""
    x, y = statistics[summand.source], statistics[summand.output]
    factor = np.broadcast_to(summand.factor, (*summand.factor.shape[:-1], x.low.size)).reshape(-1, x.low.size)
    extremes = factor * np.maximum(-x.low, 0.0)
    mean = y.mean - x.mean
    return ChannelStatistics(
        np.minimum(extremes.min(axis=0), 0.0),
        np.maximum(extremes.max(axis=0), 0.0),
        mean if (factor < 0).any() else np.abs(mean),
    )


def _depthwise(graph: Graph, group: Group) -> bool:
    return all(graph.op_name(op) == "DEPTHWISE_CONV_2D" for op in group.consumers)
