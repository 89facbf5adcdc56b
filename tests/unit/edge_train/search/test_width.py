"""Width search: the penalty, the removal of channels, and a whole search on a small network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from edge_sdk.model.card import InputContract
from edge_train.backbones.channels import resized, structure
from edge_train.errors import PlanError
from edge_train.losses.margins import ArcFace
from edge_train.search.budget import MACS, SIZE, Budget
from edge_train.search.width import SparseObjective, search_widths, shrink, uniform_widths
from edge_train.training.schedule import Schedule

CONTRACT = InputContract(16, 16, "gray", (127.5,), (128.0,))


class Patterns:
    """Batches of four classes of noisy patterns."""

    def __init__(self) -> None:
        self._patterns = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 1))

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([2, step])
        labels = np.repeat(np.arange(4, dtype=np.int32), 4)
        noise = rng.normal(0, 40, (16, 16, 16, 1))
        return np.clip(self._patterns[labels] + noise, 0, 255).astype(np.uint8), labels


def network(channels: int = 16) -> keras.Model:
    """Return a network with one residual stream and one group inside the block."""
    entry = keras.Input((16, 16, 1), name="image")
    x = layers.Conv2D(channels, 3, strides=4, padding="same", name="stem")(entry)
    x = layers.BatchNormalization(name="stem_bn")(x)
    y = layers.Conv2D(2 * channels, 1, name="expand")(layers.ReLU(name="relu")(x))
    y = layers.BatchNormalization(name="expand_bn")(y)
    y = layers.Conv2D(channels, 1, name="project")(y)
    y = layers.BatchNormalization(name="project_bn")(y)
    x = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(layers.Add(name="add")([x, y])))
    return keras.Model(entry, layers.Dense(8, name="embedding")(x))


def head() -> ArcFace:
    return ArcFace(classes=4, dimension=8, margin=0.0)


def set_scales(model: keras.Model, **scales: Any) -> None:
    for name, values in scales.items():
        model.get_layer(name).gamma.assign(np.asarray(values, np.float32))


def test_the_penalty_is_1_at_the_beginning_and_follows_the_scales() -> None:
    model = network()
    sparse = SparseObjective(head(), model, MACS, strength=1.0)
    assert float(sparse.penalty()) == pytest.approx(1.0)
    for name in ("stem_bn", "expand_bn", "project_bn"):
        set_scales(model, **{name: np.full(model.get_layer(name).gamma.shape, 0.5)})
    assert float(sparse.penalty()) == pytest.approx(0.5)


def test_the_gradient_of_a_scale_is_the_cost_of_its_channel() -> None:
    model = network()
    sparse = SparseObjective(head(), model, MACS, strength=1.0)
    gamma = model.get_layer("expand_bn").gamma
    with tf.GradientTape() as tape:
        penalty = sparse.penalty()
    gradient = np.asarray(tape.gradient(penalty, gamma.value))
    # A channel inside the block costs 16 positions x 16 channels in the expansion and as much in the projection.
    stream = 16 * (16 * 9 * 1 + 8)  # stem and embedding, each scale of the stream
    inside = 32 * 2 * (16 * 16)  # expansion and projection, each scale inside
    total = stream + inside + 16 * 2 * (16 * 32)
    assert gradient == pytest.approx(np.full(32, 2 * 16 * 16 / total), rel=1e-5)


def test_removed_channels_make_their_neighbours_cheaper() -> None:
    model = network()
    sparse = SparseObjective(head(), model, SIZE, strength=1.0)
    gamma = model.get_layer("expand_bn").gamma

    def slope() -> float:
        with tf.GradientTape() as tape:
            penalty = sparse.penalty()
        return float(np.asarray(tape.gradient(penalty, gamma.value))[0])

    before = slope()
    half = [1.0] * 8 + [0.0] * 8
    set_scales(model, stem_bn=half, project_bn=half)
    assert slope() == pytest.approx(before / 2, rel=1e-5)


def test_a_stream_keeps_a_channel_that_one_writer_uses() -> None:
    model = network()
    parts = structure(model)
    sparse = SparseObjective(head(), model, MACS, strength=1.0)
    set_scales(model, stem_bn=[0.0] * 16)
    assert float(sparse.penalty()) == pytest.approx(1.0)
    assert parts.groups[0].gates == ("stem_bn", "project_bn")


def test_the_loss_is_added_to_the_penalty() -> None:
    model, objective = network(), head()
    sparse = SparseObjective(objective, model, MACS, strength=3.0)
    embeddings = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0, 1], np.int32)
    plain = float(objective(embeddings, labels, share=0.5, training=True))
    assert float(sparse(embeddings, labels, share=0.5, training=True)) == pytest.approx(plain + 3.0, rel=1e-5)


def test_shrinking_removes_the_smallest_scales_until_the_share_remains() -> None:
    parts = structure(network())
    scales = {"conv1": np.linspace(0.1, 1.0, 16), "conv2": np.linspace(0.01, 0.9, 32)}
    threshold, kept = shrink(parts, scales, MACS, remain=0.5)
    assert kept == {name: int((values >= threshold).sum()) for name, values in scales.items()}
    cost, whole = MACS.cost(parts.work, kept), MACS.cost(parts.work, parts.channels)
    assert 0.4 * whole < cost <= 0.5 * whole


def test_a_group_without_scales_is_never_shrunk() -> None:
    parts = structure(network())
    scales = {"conv1": np.full(16, np.inf), "conv2": np.linspace(0.01, 0.9, 32)}
    _, kept = shrink(parts, scales, MACS, remain=0.3)
    assert kept["conv1"] == 16
    assert 1 <= kept["conv2"] < 16


def test_a_search_keeps_the_budget_and_its_result_can_be_built() -> None:
    backbone = network()
    parts = structure(backbone)
    budget = Budget(0.5 * float(MACS.cost(parts.work, parts.channels)))
    schedule = Schedule(steps=10, learning_rate=1e-2)
    result = search_widths(backbone, head(), Patterns(), CONTRACT, schedule, budget, multiple=4)
    assert 0.7 * budget.limit < result.cost <= budget.limit
    assert all(count % 4 == 0 for count in result.channels.values())
    assert MACS.cost(parts.work, result.shrunk) <= 0.5 * result.seed_cost
    assert np.isfinite(result.loss)
    built = structure(resized(network(), result.channels))
    assert MACS.cost(built.work, built.channels) == result.cost


def test_the_penalty_drives_scales_to_zero() -> None:
    def smallest(strength: float) -> float:
        keras.utils.set_random_seed(1)
        model = network()
        search_widths(
            model,
            head(),
            Patterns(),
            CONTRACT,
            Schedule(steps=60, learning_rate=3e-2),
            Budget(1e5),
            strength=strength,
        )
        return float(np.abs(np.asarray(model.get_layer("expand_bn").gamma)).mean())

    assert smallest(20.0) < 0.5 * smallest(1e-6)


def test_uniform_widths_keep_the_proportions() -> None:
    parts = structure(network())
    channels = uniform_widths(parts, Budget(0.3 * float(MACS.cost(parts.work, parts.channels))), multiple=1)
    assert channels["conv2"] == pytest.approx(2 * channels["conv1"], abs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": 0.0}, "strength: expected a number above 0"),
        ({"remain": 1.0}, "remain: expected a share above 0 and below 1"),
        ({"budget": Budget(10.0)}, "budget: expected at least"),
    ],
)
def test_settings_out_of_range_are_refused_before_the_training(change: dict[str, Any], message: str) -> None:
    settings = {"budget": Budget(1e5), **change}
    budget = settings.pop("budget")
    with pytest.raises(PlanError, match=message):
        search_widths(network(), head(), Patterns(), CONTRACT, Schedule(steps=1), budget, **settings)
