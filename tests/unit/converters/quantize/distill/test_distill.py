"""Training without labels brings back what int8 takes, gives the same bytes again, and never a worse file."""

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
from converters.quantize.distill.distill import Distilled, distill, with_leaky_relu
from converters.quantize.distill.options import Length
from converters.quantize.distill.schedule import BATCH, augment, batches, rate
from converters.quantize.distill.sections import LEAST_SLOPE, choose_leaky, with_leaky
from converters.quantize.recipe import Recipe, shipped
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops

PLAIN = shipped("cpu_int8")


def hurt_by_int8(*, seed: int = 0) -> Network:
    """One channel reaches fifteen times as far as the others, so that these are left with a few steps."""
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


def recovered(network: Network, recipe: Recipe, *, steps: int) -> Distilled:
    return distill(
        model(network), images(), recipe, length=Length(steps=steps), progress=lambda done, total: None
    )


def fidelity(network: Network, found: Network) -> float:
    pixels = images().held_out.pixels
    return float(cosine(embed_crops(network, CONTRACT, pixels), embed_crops(found, CONTRACT, pixels)).mean())


def test_training_brings_back_what_int8_takes_and_a_replay_gives_the_same_bytes() -> None:
    network = hurt_by_int8()
    told: list[int] = []
    first = distill(
        model(network),
        images(),
        PLAIN,
        length=Length(steps=150),
        progress=lambda done, total: told.append(done),
    )
    assert first.kept and first.after > first.before + 0.3 * (1 - first.before)
    assert fidelity(network, first.network) == pytest.approx(first.after, abs=0.02)
    assert first.recipe.recovery_steps == 150 and told == sorted(told) and told[-1] == 1000
    # The student rounds as the int8 file does: before the first step it stands where the file stands.
    assert first.curve[0].cosine == pytest.approx(first.before, abs=0.01)

    saved = Recipe.from_json(first.recipe.to_json())
    again = recovered(network, saved, steps=saved.recovery_steps)
    assert again.network == first.network and again.note == ""

    other = recovered(network, replace(saved, recovery_seed=1), steps=saved.recovery_steps)
    assert other.network != first.network and "other weights" in other.note


@pytest.mark.slow
def test_leaky_relu_takes_the_place_of_prelu_and_training_makes_up_for_it() -> None:
    network = hurt_by_int8(seed=3)
    recipe = with_leaky_relu(model(network), images(), PLAIN, share=1.0)
    assert len(recipe.leaky) == 2 and recipe.equalize == "all"
    kept = with_leaky_relu(model(network), images(), replace(PLAIN, equalize="depthwise"), share=1.0)
    assert kept.equalize == "depthwise"
    found = recovered(network, recipe, steps=150)
    graph = found.network.edit()
    counts = graph.operator_counts()
    assert "PRELU" not in counts and counts["LEAKY_RELU"] == 4
    assert {graph.dtype_name(i) for i in graph.computed()} == {"int8"}
    assert found.after > found.before + 0.3 * (1 - found.before)


@pytest.mark.slow
def test_what_training_makes_worse_is_not_taken() -> None:
    network = hurt_by_int8(seed=1)
    found = recovered(network, replace(PLAIN, equalize="all", keep_float=()), steps=1)
    pixels = images().selection.pixels
    reached = cosine(embed_crops(network, CONTRACT, pixels), embed_crops(found.network, CONTRACT, pixels))
    assert reached.mean() == pytest.approx(max(found.before, found.after), abs=1e-6)
    assert (found.recipe.recovery_steps == 1) is found.kept


def test_an_operator_that_cannot_be_differentiated_is_named() -> None:
    net = NetworkBuilder()
    options = schema.SpaceToDepthOptionsT()
    options.blockSize = 2
    x = net.op("SPACE_TO_DEPTH", [net.input], (1, 8, 8, 12), options)
    network = net.finish(net.embedding(net.conv(x, 8)))
    with pytest.raises(ConversionError, match=r"SPACE_TO_DEPTH") as refused:
        recovered(network, PLAIN, steps=1)
    assert "--recover" in str(refused.value.hint)


def test_channels_in_order_are_the_same_function_and_slopes_are_what_kernels_take() -> None:
    network = hurt_by_int8()
    names = choose_leaky(network, 1.0, CONTRACT, crops(8))
    same, replaced = with_leaky(network, names, CONTRACT, crops(8))
    assert fidelity(network, same) == pytest.approx(1, abs=1e-6)
    graph = replaced.edit()
    slopes = [op.builtinOptions.alpha for op in graph.operators if graph.op_name(op) == "LEAKY_RELU"]
    assert len(slopes) == 4 and all(abs(slope) >= LEAST_SLOPE for slope in slopes)
    # Halves of like slopes: one negative on average, one positive.
    assert min(slopes) < 0 < max(slopes)
    assert same.graph.operator_counts() == network.graph.operator_counts()


def test_the_share_bounds_what_is_replaced_and_foreign_names_are_refused() -> None:
    network = hurt_by_int8()
    assert choose_leaky(network, 0.0, CONTRACT, crops(8)) == ()
    (first, second) = choose_leaky(network, 1.0, CONTRACT, crops(8))
    # 8x8x8 values in the first and 4x4x16 in the second: half of all has room for the second alone.
    assert choose_leaky(network, 0.5, CONTRACT, crops(8)) == (second,)
    with pytest.raises(ConversionError, match=r"elsewhere.*no PReLU"):
        with_leaky(network, [first, "elsewhere"], CONTRACT, crops(8))


def test_the_rate_is_warmed_up_held_and_brought_down_to_nothing() -> None:
    steps = 1000
    rates = [rate(done, steps, 0.01) for done in range(steps)]
    assert rates[0] < rates[20] < rates[60] == rates[600 - 1]
    assert all(a >= b for a, b in pairwise(rates[600:]))
    assert rates[-1] < 1e-4 * rates[60]
    assert rate(10_000, 0, 0.01) == rates[60] == 0.01  # the end is not settled yet


def test_every_crop_comes_once_before_any_comes_again_and_each_time_otherwise() -> None:
    pixels = crops(2 * BATCH)
    stream = batches(pixels, np.random.default_rng(0))
    seen = np.concatenate([next(stream), next(stream)])
    assert seen.shape == pixels.shape and seen.dtype == np.uint8
    again = batches(pixels, np.random.default_rng(0))
    assert np.array_equal(seen[:BATCH], next(again))
    random = np.random.default_rng(1)
    assert not np.array_equal(augment(pixels[0], random), augment(pixels[0], random))


def test_a_saved_recipe_keeps_what_recovery_did() -> None:
    recipe = replace(PLAIN, leaky=("a", "b"), recovery_steps=7, recovery_seed=3, recovered_sha256="ab")
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(PLAIN.to_json()) == PLAIN
