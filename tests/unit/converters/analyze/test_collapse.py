"""Networks that give different images the same embedding are refused; networks of any kind that separate images pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.analyze.collapse import RULE, check_collapse, different_images, raise_if_collapsed
from converters.data.embedding import embed_crops
from converters.errors import GateError
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay
from edge_sdk.types import FloatArray
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny


def with_constant(share: float, *, values: int = 32, seed: int = 4) -> Network:
    """Build a network whose embedding is a constant plus a share of what a network computes from the image."""
    net = NetworkBuilder(seed=seed)
    x = net.embedding(net.unary("RELU", net.conv(net.input, 16)), values)
    scaled = net.binary("MUL", x, net.constant(np.full((1, values), share, np.float32)))
    constant = net.random.normal(0, 1, (1, values)).astype(np.float32)
    return net.finish(net.binary("ADD", scaled, net.constant(constant)))


def mostly_dead(*, alive_above: float) -> Network:
    """Build a network that ends with a ReLU: one value is always the same, the others are alive for few images."""
    net = NetworkBuilder(seed=6)
    x = net.embedding(net.conv(net.input, 16), 16)
    bias = np.full((1, 16), -alive_above, np.float32)
    bias[0, 0] = 50.0
    return net.finish(net.unary("RELU", net.binary("ADD", x, net.constant(bias))))


def embed(network: Network, count: int = 24) -> FloatArray:
    return embed_crops(network, CONTRACT, crops(count))


@pytest.mark.parametrize("share", [0.0, 1e-6, 1e-3, 1e-2])
def test_a_constant_plus_a_tiny_rest_is_refused(share: float) -> None:
    check = check_collapse(embed(with_constant(share)))
    assert check.collapsed and check.mean > 0.9998
    with pytest.raises(GateError, match="24 different images nearly the same embedding") as refused:
        raise_if_collapsed(check, ())
    assert "--allow collapse" in str(refused.value.hint)
    assert raise_if_collapsed(check, (RULE,)).allowed


def test_an_embedding_of_dead_units_is_refused_even_if_a_few_images_differ() -> None:
    assert check_collapse(embed(mostly_dead(alive_above=100.0))).collapsed
    alike = np.repeat(embed(tiny())[:1], 24, axis=0)
    alike[:3] = embed(tiny())[3:6]
    assert check_collapse(alike).collapsed


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_untrained_networks_that_separate_images_pass(seed: int) -> None:
    assert not check_collapse(embed(tiny(seed=seed))).collapsed
    assert not check_collapse(embed(with_constant(0.3, seed=seed))).collapsed


@pytest.mark.parametrize("dimension", [2, 8, 128, 512])
@pytest.mark.parametrize("common", [0.0, 1.0, 3.0])
def test_embeddings_with_a_common_direction_pass(dimension: int, common: float) -> None:
    rows = np.random.default_rng(3).standard_normal((40, dimension))
    rows[:, 0] += common * np.sqrt(dimension)
    check = check_collapse((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    assert not check.collapsed
    assert check.rounding < 0.25 * check.spread


def test_copies_of_an_image_do_not_count() -> None:
    pixels = np.concatenate([crops(4), crops(4), crops(4)[:3]])
    assert len(different_images(pixels)) == 4
    assert not check_collapse(embed(tiny(), 2)).collapsed


def test_a_conversion_refuses_a_collapsed_network_before_the_long_work(tmp_path: Path) -> None:
    """The check of the contract needs more images than these."""
    (tmp_path / "crops").mkdir()
    for number, pixels in enumerate(crops(5)):
        Image.fromarray(pixels).save(tmp_path / "crops" / f"{number:02}.png")
    (tmp_path / "dull.tflite").write_bytes(with_constant(2e-2).data)

    def options(*allow: str) -> ConversionOptions:
        source, images = tmp_path / "dull.tflite", tmp_path / "crops"
        return ConversionOptions(source, CONTRACT, images, tmp_path / "out", allow=allow)

    with pytest.raises(GateError, match=r"nearly the same embedding.*nothing was written"):
        convert(options())
    assert not (tmp_path / "out").exists()
    assert convert(options(RULE)).judge().level == "bad"
    recipes = Replay([tmp_path / "out" / "dull.cpu_int8.recipe.json"])
    replay = replace(
        options(), contract=None, calibration=None, quantization=recipes, output=tmp_path / "again"
    )
    with pytest.raises(GateError, match=r"5 different images nearly the same embedding"):
        convert(replay)
    assert convert(replace(replay, allow=(RULE,))).judge().level == "bad"
