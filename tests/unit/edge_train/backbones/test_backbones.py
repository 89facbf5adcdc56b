"""Backbones: shapes, parameters of the papers, determinism, and networks that convert."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edge_train.backbones import BACKBONES, build_backbone
from edge_train.backbones.blocks import rounded, strides
from edge_train.backbones.channels import structure
from edge_train.errors import PlanError
from edge_train.search.budget import MACS

SMALL = {"input_shape": (32, 32, 1), "dimension": 16, "width": 0.25}


def multiplications(model: keras.Model) -> float:
    parts = structure(model)
    return float(MACS.cost(parts.work, parts.channels))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 32, 3)])
def test_any_size_and_colour_gives_an_embedding(name: str, shape: tuple[int, int, int]) -> None:
    model = build_backbone(name, input_shape=shape, dimension=24, width=0.25)
    pictures = np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype(np.float32)
    embeddings = np.asarray(model(pictures, training=False))
    assert embeddings.shape == (2, 24)
    assert np.isfinite(embeddings).all()
    assert not np.allclose(embeddings[0], embeddings[1])


@pytest.mark.parametrize("name", BACKBONES)
def test_the_seed_determines_the_weights(name: str) -> None:
    first, same, other = (build_backbone(name, **SMALL, seed=seed) for seed in (3, 3, 4))
    pairs = list(zip(first.get_weights(), same.get_weights(), other.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b, _ in pairs)
    assert any(not np.array_equal(a, c) for a, _, c in pairs)


def test_building_leaves_the_callers_random_numbers_alone() -> None:
    keras.utils.set_random_seed(5)
    before = np.random.random()
    keras.utils.set_random_seed(5)
    build_backbone("mobilefacenet", **SMALL, seed=1)
    assert np.random.random() == before


@pytest.mark.parametrize(
    ("name", "side", "dimension", "parameters", "macs"),
    [
        # MobileFaceNet, table 2 and table 3: 0.99 million parameters, 221 million multiplications with 112x112.
        ("mobilefacenet", 112, 128, 0.99e6, 221e6),
        # MobileNetV2, table 4: 3.4 million parameters and 300 million multiplications with 1000 classes at 224 px.
        ("mobilenet_v2", 224, 1000, 3.4e6, 300e6),
        # MobileNetV3-Small, table 3: 2.5 million parameters, 56 million multiplications with 1000 classes at 224 px.
        ("mobilenet_v3_small", 224, 1000, 2.5e6, 56e6),
    ],
)
def test_size_and_work_agree_with_the_paper(
    name: str, side: int, dimension: int, parameters: float, macs: float
) -> None:
    model = build_backbone(name, input_shape=(side, side, 3), dimension=dimension)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == pytest.approx(parameters, rel=0.05)
    assert multiplications(model) == pytest.approx(macs, rel=0.05)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_larger_width_costs_more_and_channels_are_multiples_of_8(name: str) -> None:
    costs = []
    for width in (0.3, 0.7):
        model = build_backbone(name, input_shape=(32, 32, 3), dimension=16, width=width)
        assert all(group.channels % 8 == 0 for group in structure(model).groups)
        costs.append(multiplications(model))
    assert costs[0] < costs[1]


def test_only_the_named_backbone_for_int8_is_free_of_layers_that_int8_dislikes() -> None:
    def activations(name: str) -> set[str]:
        model = build_backbone(name, **SMALL)
        return {
            layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)
        }

    assert any("hard_s" in kind for kind in activations("mobilenet_v3_small"))
    assert not any("hard" in kind for kind in activations("quantized"))


def test_rounding_never_loses_more_than_a_tenth() -> None:
    assert [rounded(value) for value in (1, 8, 11, 12, 19, 20, 100)] == [8, 8, 16, 16, 24, 24, 104]
    assert all(rounded(value) >= 0.9 * value for value in range(1, 400))


def test_small_inputs_keep_a_map_of_3_px() -> None:
    assert strides((224, 224, 3), (2, 2, 2, 2, 1, 2)) == [2, 2, 2, 2, 1, 2]
    assert strides((96, 96, 3), (2, 2, 2, 2, 1, 2)) == [2, 2, 2, 2, 1, 2]
    assert strides((28, 28, 1), (2, 1, 2, 2, 1, 2)) == [1, 1, 2, 2, 1, 2]
    assert strides((128, 16, 1), (2, 2, 2)) == [1, 2, 2]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mobilefacnet", {}, "backbone: expected quantized"),
        ("quantized", {"input_shape": (8, 32, 1)}, "sides of 16..512"),
        ("quantized", {"input_shape": (32, 32, 4)}, "1 or 3 channels, found 4"),
        ("quantized", {"width": 0.0}, "width: expected a number above 0"),
        ("quantized", {"width": float("nan")}, "width: expected a number above 0"),
        ("quantized", {"dimension": 1}, "dimension: expected at least 2"),
        ("quantized", {"seed": -1}, "seed: expected 0 to"),
        ("quantized", {"seed": 2**32}, "seed: expected 0 to"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build_backbone(name, **{**SMALL, **change})


def test_a_misspelled_name_gets_the_nearest() -> None:
    with pytest.raises(PlanError) as refused:
        build_backbone("mobilefacnet", **SMALL)
    assert refused.value.hint == "did you mean mobilefacenet?"
