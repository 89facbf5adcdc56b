"""``edge-sdk explain`` as transcripts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from converters.graph.attach_card import with_card
from edge_sdk.model.array_contract import ArrayContract
from tests.conftest import Outcome
from tests.networks import NetworkBuilder


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory, make_card: Callable[..., Any]) -> Path:
    return write(tmp_path_factory.mktemp("explain") / "linear.tflite", make_card, activated=False)


def write(path: Path, make_card: Callable[..., Any], *, activated: bool) -> Path:
    net = NetworkBuilder((1, 96, 96, 3))
    x = net.conv(net.conv(net.conv(net.conv(net.input, 8), 8), 8), 8)
    y = net.embedding(net.unary("RELU", x), 16)
    network = net.finish(net.unary("RELU", y) if activated else y)
    path.write_bytes(with_card(network, make_card(precision="float32", dimension=16)))
    return path


def test_the_shares_add_up_and_the_picture_is_written(
    edge_sdk: Callable[..., Outcome], linear: Path, products: list[Any], tmp_path: Path
) -> None:
    first, second = products[0].enrol, products[0].probes[0]
    picture = tmp_path / "explained.png"
    outcome = edge_sdk("explain", first, second, "--model", linear, "--output", picture)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[-1] == f"picture written to {picture}"
    cosine = float(lines[0].removeprefix("cosine "))
    numbers = re.fullmatch(r".*: positions (\S+), constants (\S+), remainder (\S+)", lines[1])
    assert numbers is not None
    assert sum(map(float, numbers.groups())) == pytest.approx(cosine, abs=2e-4)
    assert lines[2].endswith("(of 6x6)") and lines[2].count(" at row ") == 5
    with Image.open(picture) as image:
        assert image.size[0] == 2 * 288 + 3 * 14
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]


def test_json_has_the_maps(edge_sdk: Callable[..., Outcome], linear: Path, products: list[Any]) -> None:
    first, second = products[0].enrol, products[1].enrol
    outcome = edge_sdk("explain", first, second, "--model", linear, "--method", "both", "--json")
    value = json.loads(outcome.out)
    assert value["first"] == str(first) and "picture" not in value
    assert len(value["positions"][0]["shares"]) == 6
    assert len(value["occlusion"][1]["falls"]) == 12


def test_a_network_with_a_late_activation_is_refused_with_a_hint(
    edge_sdk: Callable[..., Outcome], make_card: Callable[..., Any], products: list[Any], tmp_path: Path
) -> None:
    model = write(tmp_path / "late.tflite", make_card, activated=True)
    first, second = products[0].enrol, products[0].probes[0]
    outcome = edge_sdk("explain", first, second, "--model", model)
    assert outcome.code == 3 and outcome.out == ""
    assert outcome.err.splitlines() == [
        "edge-sdk: error: expected a network that is linear after its last map of positions, found RELU after that map",
        "edge-sdk: hint: use an occlusion map, which needs only embeddings (--method occlusion)",
    ]
    outcome = edge_sdk("explain", first, second, "--model", model, "--method", "both")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].startswith("no shares of positions: expected a network that is linear")


def test_a_picture_that_cannot_be_written_is_one_error(
    edge_sdk: Callable[..., Outcome], linear: Path, products: list[Any], tmp_path: Path
) -> None:
    target = tmp_path / "missing" / "a.png"
    outcome = edge_sdk("explain", products[0].enrol, products[0].enrol, "--model", linear, "--output", target)
    assert outcome.code == 3
    assert f"{target}: cannot write the picture" in outcome.err


def test_networks_of_arrays_are_refused(
    edge_sdk: Callable[..., Outcome], make_card: Callable[..., Any], products: list[Any], tmp_path: Path
) -> None:
    net = NetworkBuilder((1, 16, 16, 3))
    network = net.finish(net.embedding(net.conv(net.input, 8), 16))
    own = make_card(precision="float32", dimension=16, input=ArrayContract((16, 16, 3)))
    model = tmp_path / "arrays.tflite"
    model.write_bytes(with_card(network, own))
    outcome = edge_sdk("explain", products[0].enrol, products[0].enrol, "--model", model, "--method", "both")
    assert outcome.code == 3 and outcome.out == ""
    assert (
        "expected a network of images to explain, found a network of arrays of shape [16, 16, 3]"
        in outcome.err
    )
