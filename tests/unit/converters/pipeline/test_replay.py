"""A saved recipe is replayed without images: the same bytes, or a report of the difference, or an error that names the cause."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.graph.graph import indices
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay
from converters.quantize.recipe import shipped
from edge_sdk.model.model_file import ModelFile
from tests.networks import CONTRACT, NetworkBuilder, crops


def embedder(seed: int = 0) -> Network:
    """Build a network with what statistics are recorded for: groups to equalize, PReLUs, biases."""
    net = NetworkBuilder(seed=seed)
    x = net.prelu(net.conv(net.input, 8), np.linspace(-0.5, 2, 8))
    x = net.prelu(net.conv(x, 16), np.linspace(0.1, 0.6, 16))
    return net.finish(net.embedding(net.conv(x, 16)))


def changed_weights(network: Network, change: Callable[[np.ndarray], np.ndarray]) -> Network:
    """Change the weights of every convolution."""
    graph = network.edit()
    for operator in graph.operators:
        if graph.op_name(operator) == "CONV_2D":
            index = indices(operator.inputs)[1]
            weights = graph.constant(index)
            assert weights is not None
            graph.set_constant(index, change(weights).astype(np.float32))
    return Network.of(graph)


TARGETS = ("cpu", "edgetpu", "mobile")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert a network for three targets, with all steps that statistics are recorded for; then delete the images."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "crops").mkdir()
    for number, pixels in enumerate(crops(36)):
        Image.fromarray(pixels).save(folder / "crops" / f"{number:02}.png")
    (folder / "net.tflite").write_bytes(embedder().data)
    recipes = []
    for name in ("cpu_int8", "edgetpu_int8", "mobile_int8"):
        plain = shipped({"edgetpu_int8": "full_int8"}.get(name, "cpu_int8"))
        recipe = replace(
            plain, name=name, target=name.partition("_")[0], equalize="all", bias_correction=True, ranges="mse",
            partitions=plain.partitions if name == "cpu_int8" else 0,
        )  # fmt: skip
        recipes.append(folder / f"{name}.json")
        recipes[-1].write_text(json.dumps(recipe.to_json()))
    options = ConversionOptions(
        folder / "net.tflite",
        CONTRACT,
        folder / "crops",
        folder / "first",
        TARGETS,
        quantization=Replay(recipes),
    )
    convert(options)
    shutil.rmtree(folder / "crops")
    return folder


def recipe_files(folder: Path, targets: tuple[str, ...] = TARGETS) -> list[Path]:
    return [folder / "first" / f"net.{target}_int8.recipe.json" for target in targets]


def replay(recorded: Path, output: Path, *, model: Path | None = None, **options: Any) -> Any:
    values: dict[str, Any] = {
        "contract": None,
        "calibration": None,
        "quantization": Replay(recipe_files(recorded)),
        **options,
    }
    values.setdefault("targets", TARGETS)
    return convert(ConversionOptions(model=model or recorded / "net.tflite", output=output, **values))


def test_a_replay_without_images_gives_the_same_files(recorded: Path, tmp_path: Path) -> None:
    result = replay(recorded, tmp_path / "again", targets=TARGETS[::-1])
    assert all(check.same_bytes and check.same_float for check in result.replays.values())
    for target in TARGETS:
        for suffix in ("tflite", "recipe.json"):
            name = f"net.{target}_int8.{suffix}"
            assert (tmp_path / "again" / name).read_bytes() == (recorded / "first" / name).read_bytes()
    text = result.to_text()
    for target in TARGETS:
        assert f"{target}_int8 replayed: same bytes as recorded" in text
    assert "as measured at recording on" in text and "generated inputs" in text
    report = json.loads((tmp_path / "again" / "net.report.json").read_text())
    assert report["replays"]["cpu_int8"]["same_bytes"] is True
    again = replay(
        recorded,
        tmp_path / "third",
        targets=("cpu",),
        quantization=Replay(tmp_path / "again" / "net.cpu_int8.recipe.json"),
    )
    assert again.replays["cpu_int8"].same_bytes


def test_a_card_contains_the_recipe_without_statistics(recorded: Path) -> None:
    card = ModelFile.open(recorded / "first" / "net.cpu_int8.tflite").card
    assert "statistics" not in card.recipe and card.calibration["images"] == 24
