"""Groups of channels, and the same network with other numbers of channels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from edge_train.backbones import BACKBONES, build_backbone
from edge_train.backbones.channels import resized, structure
from edge_train.errors import PlanError

SMALL = {"input_shape": (32, 32, 1), "dimension": 16, "width": 0.25}


def residual_network() -> keras.Model:
    entry = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", name="stem")(entry)
    x = layers.BatchNormalization(name="stem_bn")(x)
    y = layers.Conv2D(24, 1, name="expand")(layers.ReLU(name="relu")(x))
    y = layers.BatchNormalization(name="expand_bn")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.BatchNormalization(name="depthwise_bn")(y)
    y = layers.Conv2D(16, 1, name="project")(y)
    y = layers.BatchNormalization(name="project_bn")(y)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Add(name="add")([x, y]))
    return keras.Model(entry, layers.Dense(5, name="embedding")(x))


def test_layers_of_a_residual_stream_share_a_group() -> None:
    groups = structure(residual_network()).groups
    assert [(group.name, group.channels, group.writers) for group in groups] == [
        ("conv1", 16, ("stem", "project")),
        ("conv2", 24, ("expand",)),
    ]


def test_the_last_normalization_of_a_branch_is_the_gate() -> None:
    stream, inside = structure(residual_network()).groups
    assert stream.gates == ("stem_bn", "project_bn")
    assert inside.gates == ("depthwise_bn",)


def test_work_names_the_groups_of_each_layer() -> None:
    work = {item.layer: item for item in structure(residual_network()).work}
    assert (work["stem"].kind, work["stem"].inputs, work["stem"].fixed_inputs) == ("convolution", None, 1)
    assert (work["depthwise"].kind, work["depthwise"].outputs) == ("depthwise", "conv2")
    assert (work["embedding"].positions, work["embedding"].outputs) == (1, None)
    assert (work["project"].taps, work["project"].positions) == (1, 64)


def test_resized_changes_all_layers_of_a_group() -> None:
    smaller = resized(residual_network(), {"conv1": 3, "conv2": 7})
    assert smaller.get_layer("stem").filters == 3
    assert smaller.get_layer("project").filters == 3
    assert smaller.get_layer("depthwise").output.shape[-1] == 7
    assert smaller.output.shape == (None, 5)


@pytest.mark.parametrize("name", BACKBONES)
def test_any_backbone_can_be_built_with_the_channels_of_a_search(name: str) -> None:
    groups = structure(build_backbone(name, **SMALL)).groups
    channels = {group.name: group.channels + 8 for group in groups}
    model = build_backbone(name, **SMALL, channels=channels)
    assert structure(model).channels == channels
    embeddings = np.asarray(model(np.zeros((1, 32, 32, 1), np.float32)))
    assert embeddings.shape == (1, 16)


@pytest.mark.parametrize("name", ["quantized", "mobilefacenet"])
def test_resized_networks_are_deterministic(name: str) -> None:
    first, second = (
        build_backbone(name, **SMALL, seed=7, channels={"conv1": 24}).get_weights() for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_channels_that_reach_an_unknown_layer_are_fixed() -> None:
    entry = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 1, name="fixed")(entry)
    y = layers.Conv2D(6, 1, name="free")(x)
    y = layers.Conv2D(4, 1, name="also_fixed")(y)
    model = keras.Model(entry, layers.Flatten()(layers.Concatenate()([x, y])))
    assert [group.writers for group in structure(model).groups] == [("free",)]


def test_unknown_groups_and_numbers_are_refused() -> None:
    model = residual_network()
    with pytest.raises(PlanError, match="found 'conv9'"):
        resized(model, {"conv9": 8})
    with pytest.raises(PlanError, match="at least 1, found 0"):
        resized(model, {"conv1": 0})


def test_models_without_a_graph_and_shared_layers_are_refused() -> None:
    with pytest.raises(PlanError, match="functional Keras model, found Sequential"):
        structure(keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 1)]))
    entry = keras.Input((8, 8, 1))
    shared = layers.Conv2D(1, 3, padding="same", name="shared")
    model = keras.Model(entry, shared(shared(entry)))
    with pytest.raises(PlanError, match="found shared used more often"):
        structure(model)
