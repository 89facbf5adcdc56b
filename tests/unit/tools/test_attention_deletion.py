"""Deletion test: cells, order of removal, and areas of a network whose important place is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converters.graph.attach_card import with_card
from converters.graph.network import Network
from edge_sdk.model.input_contract import InputContract
from edge_sdk.vision.decomposition import Decomposer
from tests.conftest import card
from tests.labelled_images import contents, write
from tests.networks import CONTRACT, NetworkBuilder, crops
from tools.attention_deletion import (
    FILLS,
    METHODS,
    STEPS,
    cell_means,
    deleted,
    grad_cam,
    main,
    measure,
    position_gradients,
)

MEDIUM = InputContract(48, 48, "rgb", (127.5,) * 3, (128.0,) * 3)


def network(shape: tuple[int, ...] = (1, 16, 16, 3)) -> bytes:
    net = NetworkBuilder(shape)
    return net.finish(net.embedding(net.unary("RELU", net.conv(net.conv(net.input, 8), 8)))).data


def test_cells_are_removed_in_order_until_nothing_is_left() -> None:
    crop, fill = np.zeros((8, 12, 3), np.uint8), np.full((8, 12, 3), 9, np.uint8)
    order = np.array([5, *range(5), *range(6, 24)])
    steps = deleted(crop, fill, order, (4, 6))
    assert steps.shape == (STEPS, 8, 12, 3)
    first = np.argwhere(steps[0, ..., 0] == 9)
    assert first.min(axis=0).tolist() == [0, 0] and steps[0, 0, 10, 0] == 9
    assert (np.diff([(step == 9).sum() for step in steps]) >= 0).all()
    assert (steps[-1] == 9).all()


def test_a_map_is_averaged_over_cells() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(cell_means(values, (4, 4), 4, 4), values)
    np.testing.assert_allclose(cell_means(values, (2, 2), 4, 4), [[2.5, 4.5], [10.5, 12.5]])


def test_the_tail_as_a_matrix_gives_the_parts() -> None:
    decomposer = Decomposer(network(), CONTRACT)
    crop = crops(1)[0]
    gradients, values = position_gradients(decomposer), decomposer.activation_map(crop)
    parts, _ = decomposer.tail.parts_of_real(values[None])
    np.testing.assert_allclose(np.einsum("hwc,hwcd->hwd", values, gradients), parts, atol=1e-5)
    cam = grad_cam(gradients, decomposer.split(crop).embedding, values)
    assert cam.shape == (4, 4) and cam.min() >= 0


def test_areas_are_measured_for_every_fill_and_method() -> None:
    result = measure("net", network((1, 48, 48, 3)), MEDIUM, list(crops(3, (48, 48, 3))))
    assert set(result.areas) == {(fill, method) for fill in FILLS for method in METHODS}
    assert all(len(values) == 3 and max(values) < 1 for values in result.areas.values())
    assert result.remainder < 1e-5
    assert np.mean(result.areas["grey", "occlusion"]) < np.mean(result.areas["grey", "random"])


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = write(tmp_path / "people", contents(2, 2))
    path = tmp_path / "net.tflite"
    own = card(precision="float32", dimension=8, input=MEDIUM)
    path.write_bytes(with_card(Network(network((1, 48, 48, 3))), own))
    arguments = [str(path), "--images", str(people), "--count", "2"]
    assert main(arguments) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| network | places | images |") and len(table) == 4
    assert main([*arguments, "--json"]) == 0
    (value,) = json.loads(capsys.readouterr().out)
    assert value["grid"] == [12, 12] and len(value["rows"]) == len(FILLS) * len(METHODS)
    assert main([*arguments, "--exactness"]) == 0
    name, tail, images, remainder = capsys.readouterr().out.strip().strip("|").split(" | ")
    assert (name.strip(), tail, images) == ("net.tflite", "MEAN, FULLY_CONNECTED", "2")
    assert float(remainder) < 1e-5
