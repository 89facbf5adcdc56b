"""Equalization keeps the float function and improves int8, bias correction does not harm, a search keeps improvements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.data.image_set import Crops
from converters.errors import ConversionError
from converters.graph.canonical import run_float
from converters.graph.network import Network
from converters.graph.rewrites.equalize import find_groups
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay, Search
from converters.quantize.budget import CosineBudget
from converters.quantize.int8 import build_float_reference, quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.saved_recipe import read_saved
from converters.quantize.search import search
from converters.quantize.statistics import channel_statistics
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from tests.networks import CONTRACT, NetworkBuilder, crops

PLAIN = shipped("cpu_int8")


def uneven(*, activation: str = "PRELU", seed: int = 3) -> Network:
    """Build a network whose channels have very different ranges before a depthwise convolution, like real networks."""
    net = NetworkBuilder(seed=seed)
    x = net.conv(net.input, 16)
    for index, factor in ((0, 60.0), (3, 25.0), (7, 0.02)):
        weights = net.graph.constant(net.graph.operators[-1].inputs[1]).copy()
        bias = net.graph.constant(net.graph.operators[-1].inputs[2]).copy()
        weights[index] *= factor
        bias[index] *= factor
        net.graph.set_constant(net.graph.operators[-1].inputs[1], weights)
        net.graph.set_constant(net.graph.operators[-1].inputs[2], bias)
    x = net.prelu(x, np.linspace(0.05, 0.4, 16)) if activation == "PRELU" else net.unary(activation, x)
    x = depthwise(net, x, undo={0: 1 / 60, 3: 1 / 25, 7: 50.0})
    x = net.prelu(net.conv(x, 16, size=1, stride=1), np.linspace(0.1, 0.3, 16))
    return net.finish(net.embedding(net.conv(x, 24), 16))


def depthwise(net: NetworkBuilder, x: int, undo: dict[int, float]) -> int:
    batch, height, width, channels = net.shape(x)
    weights = net.random.normal(0, 1 / 3, (1, 3, 3, channels)).astype(np.float32)
    for index, factor in undo.items():
        weights[..., index] *= factor
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideH, options.strideW, options.depthMultiplier = 0, 1, 1, 1
    options.dilationHFactor = options.dilationWFactor = 1
    bias = net.random.normal(0, 0.1, channels).astype(np.float32)
    return net.op(
        "DEPTHWISE_CONV_2D",
        [x, net.constant(weights), net.constant(bias)],
        (batch, height, width, channels),
        options,
    )


def fidelity(network: Network, recipe: Recipe, pixels: np.ndarray) -> float:
    statistics = channel_statistics(network, CONTRACT, pixels)
    quantized = quantize_int8(network, recipe, statistics, CONTRACT, pixels).network
    return float(
        cosine(embed_crops(network, CONTRACT, pixels), embed_crops(quantized, CONTRACT, pixels)).mean()
    )


@pytest.mark.parametrize("activation", ["PRELU", "RELU"])
@pytest.mark.parametrize("which", ["depthwise", "all"])
def test_equalization_keeps_the_float_function(activation: str, which: str) -> None:
    network, pixels = uneven(activation=activation), crops(24)
    statistics = channel_statistics(network, CONTRACT, pixels)
    after = build_float_reference(network, replace(PLAIN, equalize=which), statistics).network
    images = np.random.default_rng(5).normal(0, 1, (4, 16, 16, 3)).astype(np.float32)
    assert after != network
    np.testing.assert_allclose(run_float(after, images), run_float(network, images), rtol=1e-4, atol=1e-5)


def test_predicted_statistics_are_those_of_the_equalized_network() -> None:
    network, pixels = uneven(), crops(24)
    recipe = replace(PLAIN, equalize="all")
    reference = build_float_reference(network, recipe, channel_statistics(network, CONTRACT, pixels))
    measured, predicted = channel_statistics(reference.network, CONTRACT, pixels), reference.statistics
    assert set(measured) == set(predicted)
    for name, channels in measured.items():
        np.testing.assert_allclose(channels.high, predicted[name].high, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(channels.mean, predicted[name].mean, rtol=1e-3, atol=1e-4)


def test_equalization_gives_the_channels_of_a_group_similar_ranges() -> None:
    network, pixels = uneven(), crops(24)
    before = channel_statistics(network, CONTRACT, pixels)
    reference = build_float_reference(network, replace(PLAIN, equalize="depthwise"), before)
    name = network.graph.name(network.graph.operators[1].outputs[0])

    def spread(statistics: dict) -> float:
        reach = np.maximum(np.abs(statistics[name].low), np.abs(statistics[name].high))
        return float(reach.max() / np.median(reach))

    assert spread(before) > 10
    assert spread(dict(reference.statistics)) < 3
    assert reference.network != network


def test_equalization_improves_int8_with_uneven_channels() -> None:
    network, pixels = uneven(), crops(60)
    plain = fidelity(network, PLAIN, pixels)
    equalized = fidelity(network, replace(PLAIN, equalize="depthwise"), pixels)
    assert 1 - equalized < 0.35 * (1 - plain)


def test_bias_correction_does_not_harm() -> None:
    network, pixels = uneven(), crops(60)
    recipe = replace(PLAIN, equalize="depthwise")
    corrected = fidelity(network, replace(recipe, bias_correction=True), pixels)
    assert corrected > fidelity(network, recipe, pixels) - 2e-4


def test_a_group_that_cannot_be_scaled_is_unchanged() -> None:
    """Scaling the input of a sigmoid, or the output of the network, would change the result."""
    net = NetworkBuilder()
    x = net.unary("LOGISTIC", net.conv(net.input, 8))
    network = net.finish(net.embedding(net.conv(x, 8)))
    graph = network.edit()
    inside = {i for group in find_groups(graph) for i in group.tensors}
    touched = {graph.operators[0].outputs[0], graph.operators[1].outputs[0], *graph.outputs, *graph.inputs}
    assert not inside & {int(i) for i in touched}


def test_shared_weights_are_unchanged() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 4)
    y = net.conv(x, 4, stride=1)
    z = net.op(
        "CONV_2D",
        [y, *net.graph.operators[-1].inputs[1:]],
        net.shape(y),
        net.graph.operators[-1].builtinOptions,
    )
    graph = net.finish(net.embedding(z)).edit()
    for group in find_groups(graph):
        for operator in (*group.producers, *group.consumers):
            assert len(graph.consumers(int(operator.inputs[1]))) == 1


def test_operators_named_in_a_recipe_stay_in_float() -> None:
    network, pixels = uneven(), crops(24)
    graph = network.edit()
    name = graph.name(graph.operators[0].outputs[0])
    statistics = channel_statistics(network, CONTRACT, pixels)
    quantized = quantize_int8(
        network, replace(PLAIN, keep_float=(name,)), statistics, CONTRACT, pixels
    ).network.edit()
    kept = [
        op
        for op in quantized.operators
        if quantized.op_name(op) == "CONV_2D" and quantized.dtype_name(op.outputs[0]) == "float32"
    ]
    assert [quantized.name(op.outputs[0]) for op in kept] == [name]


def test_a_search_keeps_only_improvements_and_stops_at_the_budget() -> None:
    network = uneven()
    pixels = crops(90)
    model = FloatModel(network, CONTRACT, 16, {}, (), 1.0)
    images = _set(pixels)
    result = search(model, images, PLAIN, budget=CosineBudget(0.9))
    assert result.met
    assert [trial.what for trial in result.trials] == ["plain: true min/max ranges", "correct biases"]
    hard = search(model, images, PLAIN, budget=CosineBudget(0.99999))
    best = -1.0
    for trial in hard.trials:
        assert trial.kept == (trial.cosine_mean > best)
        best = max(best, trial.cosine_mean)
    assert hard.recipe.equalize
    assert not hard.met


def _set(pixels: np.ndarray) -> CalibrationSet:

    def part(chosen: np.ndarray) -> Crops:
        return Crops(tuple(map(str, range(len(chosen)))), chosen, "", 0)

    return CalibrationSet(part(pixels[::3]), part(pixels[1::3]), part(pixels[2::3]), True, len(pixels))


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "net.tflite").write_bytes(uneven().data)
    (tmp_path / "crops").mkdir()
    for number, pixels in enumerate(crops(60)):
        Image.fromarray(pixels).save(tmp_path / "crops" / f"{number:02}.png")
    return tmp_path


def test_auto_reports_its_trials_and_its_recipe_replays_to_the_same_bytes(workplace: Path) -> None:
    request = ConversionOptions(
        workplace / "net.tflite", CONTRACT, workplace / "crops", workplace / "auto", quantization=Search()
    )
    report = convert(request)
    search_report = report.searches["cpu_int8"]
    assert search_report["trials"]
    assert "searched for a mean cosine" in report.to_text()
    saved = workplace / "auto" / "net.cpu_int8.recipe.json"
    convert(replace(request, output=workplace / "again", quantization=Replay(saved)))
    name = "net.cpu_int8.tflite"
    assert (workplace / "auto" / name).read_bytes() == (workplace / "again" / name).read_bytes()
    assert (
        json.loads((workplace / "auto" / "net.report.json").read_text())["searches"]["cpu_int8"]
        == search_report
    )


def test_a_file_below_the_least_cosine_is_not_written(workplace: Path) -> None:
    request = ConversionOptions(
        workplace / "net.tflite",
        CONTRACT,
        workplace / "crops",
        workplace / "out",
        quantization=Search(CosineBudget(0.99999)),
        min_cosine=0.99999,
    )
    result = convert(request)
    errors = {refused.file: refused.error for refused in result.refused_files}
    assert "cosine to float 0" in errors["net.cpu_int8.tflite"]
    assert not result.passed
    assert {path.name for path in (workplace / "out").glob("*.tflite")} == {
        artefact.file for artefact in result.artefacts
    }
    assert not list((workplace / "out").glob("*cpu_int8*"))


def test_a_recipe_of_another_kind_is_rejected(workplace: Path) -> None:
    path = workplace / "x.recipe.json"
    path.write_text(json.dumps(shipped("float16").to_json()))
    request = ConversionOptions(
        workplace / "net.tflite", CONTRACT, workplace / "crops", workplace / "o", quantization=Replay(path)
    )
    with pytest.raises(ConversionError, match="expected a recipe for cpu int8, found any float16"):
        convert(request)
    path.write_text("{")
    with pytest.raises(ConversionError, match="expected a recipe in JSON"):
        read_saved(path)
    with pytest.raises(ConversionError, match="cannot be read"):
        read_saved(workplace / "none.json")
