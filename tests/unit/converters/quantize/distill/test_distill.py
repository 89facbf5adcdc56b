"""Distillation restores accuracy lost by int8, is reproducible, and never gives a worse network."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.data.image_set import Crops
from converters.errors import ConversionError
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.quantize.distill.batches import BATCH, augment, batches
from converters.quantize.distill.distill import DistillationResult, add_leaky_relus, distill
from converters.quantize.distill.leaky_relu import SMALLEST_SLOPE, choose_prelus, replace_prelus
from converters.quantize.distill.schedule import TrainingLength, rate
from converters.quantize.recipe import Recipe, shipped
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops

PLAIN = shipped("cpu_int8")


def hurt_by_int8(*, seed: int = 0) -> Network:
    """Build a network in which one channel has fifteen times the range of the others, so int8 gives them few steps."""
    net = NetworkBuilder(seed=seed)
    x = net.conv(net.input, 8)
    spread = np.ones(8, np.float32)
    spread[3] = 15.0
    kernel, bias = indices(net.graph.operators[-1].inputs)[1:]
    for index in (kernel, bias):
        value = net.graph.constant(index)
        assert value is not None
        net.graph.set_constant(index, value * spread.reshape(-1, *[1] * (value.ndim - 1)))
    x = net.prelu(x, np.linspace(-0.5, 0.9, 8))
    x = net.conv(x, 16)
    kernel = indices(net.graph.operators[-1].inputs)[1]
    value = net.graph.constant(kernel)
    assert value is not None
    net.graph.set_constant(kernel, value / spread)
    x = net.prelu(x, np.linspace(0.7, -0.4, 16))
    return net.finish(net.embedding(net.conv(x, 16)))


def model(network: Network) -> FloatModel:
    return FloatModel(network, CONTRACT, 8, {}, (), 1.0)


def images(count: int = 120) -> CalibrationSet:
    def part(pixels: np.ndarray) -> Crops:
        return Crops(tuple(map(str, range(len(pixels)))), pixels, "", 0)

    pixels = crops(count)
    ranges = part(pixels[::2])
    return CalibrationSet(ranges, part(pixels[1::4]), part(pixels[3::4]), True, count, ranges)


def distilled(network: Network, recipe: Recipe, *, steps: int) -> DistillationResult:
    return distill(
        model(network),
        images(),
        recipe,
        length=TrainingLength(steps=steps),
        progress=lambda done, total: None,
    )


def fidelity(network: Network, other: Network) -> float:
    pixels = images().held_out.pixels
    return float(cosine(embed_crops(network, CONTRACT, pixels), embed_crops(other, CONTRACT, pixels)).mean())


def test_training_restores_accuracy_and_a_replay_gives_the_same_bytes() -> None:
    network = hurt_by_int8()
    progress: list[int] = []
    first = distill(
        model(network),
        images(),
        PLAIN,
        length=TrainingLength(steps=150),
        progress=lambda done, total: progress.append(done),
    )
    assert first.kept and first.after > first.before + 0.3 * (1 - first.before)
    assert fidelity(network, first.network) == pytest.approx(first.after, abs=0.02)
    assert first.recipe.distillation_steps == 150 and progress == sorted(progress) and progress[-1] == 1000
    # The student rounds like the int8 network, so both have the same cosine before the first step.
    assert first.curve[0].cosine == pytest.approx(first.before, abs=0.01)

    saved = Recipe.from_json(first.recipe.to_json())
    again = distilled(network, saved, steps=saved.distillation_steps)
    assert again.network == first.network and again.note == ""

    other = distilled(network, replace(saved, distillation_seed=1), steps=saved.distillation_steps)
    assert other.network != first.network and "other weights" in other.note


@pytest.mark.slow
def test_leaky_relu_replaces_prelu_and_training_restores_accuracy() -> None:
    network = hurt_by_int8(seed=3)
    recipe = add_leaky_relus(model(network), images(), PLAIN, share=1.0)
    assert len(recipe.leaky) == 2 and recipe.equalize == "all"
    kept = add_leaky_relus(model(network), images(), replace(PLAIN, equalize="depthwise"), share=1.0)
    assert kept.equalize == "depthwise"
    result = distilled(network, recipe, steps=150)
    graph = result.network.edit()
    counts = graph.operator_counts()
    assert "PRELU" not in counts and counts["LEAKY_RELU"] == 4
    assert {graph.dtype_name(i) for i in graph.computed()} == {"int8"}
    assert result.after > result.before + 0.3 * (1 - result.before)


@pytest.mark.slow
def test_a_network_made_worse_by_training_is_not_used() -> None:
    network = hurt_by_int8(seed=1)
    result = distilled(network, replace(PLAIN, equalize="all", keep_float=()), steps=1)
    pixels = images().selection.pixels
    reached = cosine(embed_crops(network, CONTRACT, pixels), embed_crops(result.network, CONTRACT, pixels))
    assert reached.mean() == pytest.approx(max(result.before, result.after), abs=1e-6)
    assert (result.recipe.distillation_steps == 1) is result.kept


def test_an_operator_that_cannot_be_differentiated_is_named() -> None:
    net = NetworkBuilder()
    options = schema.SpaceToDepthOptionsT()
    options.blockSize = 2
    x = net.op("SPACE_TO_DEPTH", [net.input], (1, 8, 8, 12), options)
    network = net.finish(net.embedding(net.conv(x, 8)))
    with pytest.raises(ConversionError, match=r"SPACE_TO_DEPTH") as error:
        distilled(network, PLAIN, steps=1)
    assert "--recover" in str(error.value.hint)


def test_sorted_channels_keep_the_function_and_kernels_support_the_slopes() -> None:
    network = hurt_by_int8()
    names = choose_prelus(network, 1.0, CONTRACT, crops(8))
    same, replaced = replace_prelus(network, names, CONTRACT, crops(8))
    assert fidelity(network, same) == pytest.approx(1, abs=1e-6)
    graph = replaced.edit()
    slopes = [op.builtinOptions.alpha for op in graph.operators if graph.op_name(op) == "LEAKY_RELU"]
    assert len(slopes) == 4 and all(abs(slope) >= SMALLEST_SLOPE for slope in slopes)
    # The mean slope of one half of the channels is negative, that of the other half positive.
    assert min(slopes) < 0 < max(slopes)
    assert same.graph.operator_counts() == network.graph.operator_counts()


def test_the_share_limits_replacements_and_unknown_names_are_rejected() -> None:
    network = hurt_by_int8()
    assert choose_prelus(network, 0.0, CONTRACT, crops(8)) == ()
    (first, second) = choose_prelus(network, 1.0, CONTRACT, crops(8))
    # The first PReLU computes 8x8x8 values, the second 4x4x16. A share of one half is enough only for the second.
    assert choose_prelus(network, 0.5, CONTRACT, crops(8)) == (second,)
    with pytest.raises(ConversionError, match="expected a PReLU with output 'elsewhere'"):
        replace_prelus(network, [first, "elsewhere"], CONTRACT, crops(8))


def test_the_rate_rises_stays_constant_and_falls_to_zero() -> None:
    steps = 1000
    rates = [rate(done, steps, 0.01) for done in range(steps)]
    assert rates[0] < rates[20] < rates[60] == rates[600 - 1]
    assert all(a >= b for a, b in pairwise(rates[600:]))
    assert rates[-1] < 1e-4 * rates[60]
    assert rate(10_000, 0, 0.01) == rates[60] == 0.01  # 0: the number of steps is not known yet


def test_every_crop_is_used_once_per_pass_with_new_augmentation() -> None:
    pixels = crops(2 * BATCH)
    stream = batches(pixels, np.random.default_rng(0))
    seen = np.concatenate([next(stream), next(stream)])
    assert seen.shape == pixels.shape and seen.dtype == np.uint8
    again = batches(pixels, np.random.default_rng(0))
    assert np.array_equal(seen[:BATCH], next(again))
    random = np.random.default_rng(1)
    assert not np.array_equal(augment(pixels[0], random), augment(pixels[0], random))


def test_a_saved_recipe_keeps_the_distillation() -> None:
    recipe = replace(
        PLAIN, leaky=("a", "b"), distillation_steps=7, distillation_seed=3, distilled_sha256="ab" * 32
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(PLAIN.to_json()) == PLAIN
