"""Explained pairs and their pictures, on small real networks."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from converters.graph.network import Network
from edge_sdk.errors import InputError, ModelContractError, ModelError
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.input_contract import InputContract
from edge_sdk.vision.explanation import PairExplainer, explained_contract
from edge_sdk.vision.explanation_picture import explanation_picture, overlay, png
from edge_sdk.vision.occlusion import make_occlusion_map
from tests.networks import NetworkBuilder, crops

CONTRACT = InputContract(32, 48, "rgb", (127.5,) * 3, (128.0,) * 3)
PAIR = tuple(crops(2, (32, 48, 3)))


def network(*, activated: bool = False) -> Network:
    net = NetworkBuilder((1, 32, 48, 3))
    y = net.embedding(net.unary("RELU", net.conv(net.conv(net.input, 8), 8)))
    return net.finish(net.unary("RELU", y) if activated else y)


def test_both_methods_explain_the_cosine_of_the_network() -> None:
    explainer = PairExplainer(network().data, CONTRACT)
    explanation = explainer.explain(*PAIR)
    embeddings = explainer.embed(np.stack(PAIR))
    assert explanation.cosine == pytest.approx(float(embeddings[0] @ embeddings[1]))
    assert explanation.positions is not None and explanation.occlusion is not None
    assert [(method, first.shape) for method, first, _ in explanation.maps()] == [
        ("positions", (8, 12)),
        ("occlusion", (4, 6)),
    ]
    value = explanation.to_json()
    assert value["refused"] is None and len(value["positions"]) == 2
    for shares in value["positions"]:
        total = np.sum(shares["shares"]) + shares["constant"] + shares["remainder"]
        assert total == pytest.approx(value["cosine"], abs=1e-3)


def test_a_tail_that_is_not_linear_leaves_the_occlusion_map() -> None:
    data = network(activated=True).data
    explanation = PairExplainer(data, CONTRACT).explain(*PAIR)
    assert explanation.positions is None and explanation.occlusion is not None
    assert "found RELU after that map" in explanation.refused
    with pytest.raises(ModelContractError, match="found RELU after that map"):
        PairExplainer(data, CONTRACT, methods=("positions",))


def test_a_file_that_states_another_map_leaves_the_occlusion_map() -> None:
    """The interpreter computes the shapes of maps itself, so such a file runs."""
    net = NetworkBuilder((1, 32, 48, 3))
    activated = net.unary("RELU", net.conv(net.input, 8))
    y = net.embedding(activated)
    net.graph.tensors[activated].shape = [1, 16, 23, 8]
    data = net.finish(y).data
    explanation = PairExplainer(data, CONTRACT).explain(*PAIR)
    assert explanation.positions is None and explanation.occlusion is not None
    assert "contradict each other" in explanation.refused
    with pytest.raises(ModelError, match="contradict each other"):
        PairExplainer(data, CONTRACT, methods=("positions",)).explain(*PAIR)


def test_no_method_and_arrays_are_refused() -> None:
    with pytest.raises(InputError, match="at least one method"):
        PairExplainer(network().data, CONTRACT, methods=())
    with pytest.raises(
        ModelContractError, match="network of images to explain, found a network of arrays"
    ) as refusal:
        explained_contract(ArrayContract((160, 40)))
    assert "places of an image" in str(refusal.value.hint)
    assert explained_contract(CONTRACT) is CONTRACT


def test_occlusion_measures_the_cosine_to_the_other_image() -> None:
    explainer = PairExplainer(network().data, CONTRACT, methods=("occlusion",))
    first, second = PAIR
    reference = explainer.embed(second[None])[0]
    falls = make_occlusion_map(
        explainer.embed, CONTRACT, first, reference=reference, patch_px=8, stride_px=8
    ).falls
    covered = first.copy()
    covered[8:16, 16:24] = 128
    rows = explainer.embed(np.stack([first, covered]))
    assert falls[1, 2] == pytest.approx(float(rows[0] @ reference - rows[1] @ reference), abs=1e-6)


def test_a_crop_of_another_size_is_refused() -> None:
    explainer = PairExplainer(network().data, CONTRACT)
    with pytest.raises(InputError, match="expected a crop"):
        explainer.explain(PAIR[0], PAIR[1][:16])


def test_the_picture_shows_both_images_and_a_row_for_each_map() -> None:
    explanation = PairExplainer(network().data, CONTRACT).explain(*PAIR)
    picture = explanation_picture(
        explanation, names=("a.jpg", "a name that is far too long for the picture" * 3)
    )
    single = explanation_picture(replace(explanation, occlusion=None))
    assert picture.dtype == np.uint8 and picture.shape[1:] == single.shape[1:] == (2 * 288 + 3 * 14, 3)
    assert picture.shape[0] - single.shape[0] == 192 + 2 * 20 + 14
    opened = np.asarray(Image.open(io.BytesIO(png(picture))))
    np.testing.assert_array_equal(opened, picture)
    shown = np.asarray(Image.fromarray(PAIR[0]).resize((288, 192), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(picture[34 : 34 + 192, 14 : 14 + 288], shown)


def test_orange_is_above_zero_and_blue_below() -> None:
    grey = np.full((4, 8, 1), 128, np.uint8)
    colours = overlay(grey, np.array([[-1.0, 0.0, 1.0]], np.float32), 1.0).astype(int)
    assert colours[0, 0, 2] > colours[0, 0, 0] + 60, "blue"
    assert colours[0, -1, 0] > colours[0, -1, 2] + 60, "orange"
    strength = np.ptp(colours[0], axis=-1)
    assert strength[3:5].max() < 0.6 * strength[[0, -1]].min()


def test_gray_images_are_drawn() -> None:
    contract = InputContract(16, 16, "gray", (127.5,), (128.0,))
    net = NetworkBuilder((1, 16, 16, 1))
    data = net.finish(net.embedding(net.unary("RELU", net.conv(net.input, 8)))).data
    explanation = PairExplainer(data, contract).explain(*crops(2, (16, 16, 1)))
    assert explanation_picture(explanation).shape[2] == 3
