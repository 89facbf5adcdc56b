"""Quantize to int8 as a recipe defines: equalize, decompose, quantize, correct biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from converters.errors import ConversionError
from converters.graph.float_islands import find_float_islands
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.rewrites.bound_prelu_slopes import bound_slopes
from converters.graph.rewrites.decompose import DECOMPOSABLE, Summand, decompose
from converters.graph.rewrites.equalize import Group, equalize, find_groups
from converters.quantize.ai_edge_quantizer import quantize_static
from converters.quantize.bias_correction import correct_biases
from converters.quantize.full_int8 import quantize_full_int8
from converters.quantize.ranges import find_ranges
from converters.quantize.recipe import Recipe
from converters.quantize.statistics import ChannelStatistics, TensorRange
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array

#: Images for bias correction; a few are enough to measure the mean error of a channel.
BIAS_IMAGES = 64


def quantize_int8(
    network: Network,
    recipe: Recipe,
    statistics: Mapping[str, ChannelStatistics],
    contract: InputContract,
    pixels: UInt8Array,
    *,
    reference: tuple[Network, Mapping[str, ChannelStatistics]] | None = None,
    ranges: Mapping[str, TensorRange] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
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
    network, statistics = reference or build_float_reference(network, recipe, statistics)
    if ranges is None:
        ranges = find_ranges(network, recipe.ranges, contract, statistics, pixels)
    if recipe.quantizer == "integer":
        quantized = quantize_full_int8(network, ranges)
    else:
        keep_float = {*recipe.keep_float, *find_float_islands(network.graph, recipe.float_operators)}
        quantized = quantize_static(
            network, ranges, float_operators=recipe.float_operators, keep_float=keep_float
        )
    if not recipe.bias_correction:
        return quantized
    step = max(1, len(pixels) // BIAS_IMAGES)
    return correct_biases(quantized, network, contract, pixels[::step][:BIAS_IMAGES], progress=progress)


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
    unknown_kinds = sorted(set(recipe.decomposed) - set(DECOMPOSABLE))
    if unknown_kinds:
        raise ConversionError(
            f"recipe {recipe.name}: only {', '.join(DECOMPOSABLE)} can be decomposed, found {unknown_kinds[0]!r} in ``decomposed``"
        )
    unknown = sorted(set(recipe.keep_float) - {graph.name(i) for i in graph.computed()})
    if unknown:
        raise ConversionError(
            f"recipe: ``keep_float`` names the output {unknown[0]!r}, but no operator of this network has it"
            + (f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            hint="replay a recipe on the network it was found for, or search with --recipe auto",
        )


def find_recipe_ranges(
    network: Network,
    recipe: Recipe,
    statistics: Mapping[str, ChannelStatistics],
    contract: InputContract,
    pixels: UInt8Array,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, TensorRange]:
    """Find the range of every activation of the float reference; ``quantize_int8`` describes the arguments."""
    network, statistics = build_float_reference(network, recipe, statistics)
    return find_ranges(network, recipe.ranges, contract, statistics, pixels, progress=progress)


def build_float_reference(
    network: Network, recipe: Recipe, statistics: Mapping[str, ChannelStatistics]
) -> tuple[Network, Mapping[str, ChannelStatistics]]:
    """Build the float reference of the int8 network, and its statistics.

    It computes the same function as the network, but is equalized and decomposed as the recipe defines.
    """
    if not (recipe.bound_slopes or recipe.equalize or recipe.decomposed):
        return network, statistics
    graph = network.edit()
    after = dict(statistics)
    if recipe.bound_slopes:
        after.update(_scaled(graph, bound_slopes(graph), after))
    if recipe.equalize:
        after.update(_scaled(graph, _equalize(graph, recipe, after), after))
    for name, summand in decompose(graph, recipe.decomposed).items():
        after[name] = _summand_statistics(summand, after)
    graph.prune()
    return Network.of(graph), after


def _scaled(
    graph: Graph, scales: Mapping[int, Float64Array], statistics: Mapping[str, ChannelStatistics]
) -> dict[str, ChannelStatistics]:
    return {graph.name(i): statistics[graph.name(i)].scaled(scale) for i, scale in scales.items()}


def _equalize(
    graph: Graph, recipe: Recipe, statistics: Mapping[str, ChannelStatistics]
) -> dict[int, Float64Array]:
    groups = [group for group in find_groups(graph) if recipe.equalize == "all" or _depthwise(graph, group)]
    magnitudes = {
        i: np.maximum(np.abs(channels.low), np.abs(channels.high))
        for group in groups
        for i in group.tensors
        for channels in [statistics[graph.name(i)]]
    }
    return equalize(graph, groups, magnitudes, weight_share=recipe.weight_share)


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
