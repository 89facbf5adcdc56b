"""Degenerate batches give finite losses and gradients; margins never make a logit rise with the angle; state is kept apart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge_sdk.model.card import InputContract
from edge_train.losses import LOSSES, build_loss
from edge_train.losses.margins import arc, psi
from edge_train.training.schedule import Schedule
from edge_train.training.trainer import Trainer

DIMENSION = 8
PAIRWISE = [name for name, entry in LOSSES.items() if not entry.has_classes]
HEADS = [name for name, entry in LOSSES.items() if entry.has_classes]


def _run(loss: Any, x: Any, labels: list[int], share: float = 1.0) -> tuple[float, list[Any]]:
    """Return the loss and its gradients with respect to the embeddings and the weights; all must be finite."""
    entry = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(entry)
        value = loss(entry, tf.constant(labels, tf.int32), share=share, training=True)
    gradients = tape.gradient(value, [entry, *loss.trainable_variables], unconnected_gradients="zero")
    assert value.dtype == tf.float32
    assert math.isfinite(float(value))
    for gradient in gradients:
        assert np.isfinite(gradient).all()
    for state in loss.non_trainable_variables:
        assert np.isfinite(np.asarray(state)).all()
    return float(value), [np.asarray(gradient) for gradient in gradients]


def _loss(name: str, classes: int = 4) -> Any:
    return build_loss(name, classes=classes, dimension=DIMENSION, steps=900)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_own_cosine_of_exactly_plus_or_minus_1(name: str, sign: float) -> None:
    loss = _loss(name)
    vectors = loss.centres.shape[1] // 4
    loss.centres.assign(np.repeat(np.eye(DIMENSION, dtype=np.float32)[:, :4], vectors, axis=1))
    x = sign * 3 * np.eye(DIMENSION, dtype=np.float32)[[0, 0, 1, 2]]
    _, gradients = _run(loss, x, [0, 0, 1, 2])
    assert max(np.abs(gradient).max() for gradient in gradients) < 1e3


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("x", "labels"),
    [
        pytest.param(np.zeros((4, DIMENSION)), [0, 0, 1, 1], id="zero embeddings"),
        pytest.param(np.ones((4, DIMENSION)), [0, 0, 1, 1], id="all equal"),
        pytest.param(np.eye(DIMENSION)[:4], [0, 1, 2, 3], id="no positives"),
        pytest.param(np.eye(DIMENSION)[:4], [1, 1, 1, 1], id="no negatives"),
        pytest.param(np.eye(DIMENSION)[:1], [1], id="a single image"),
        pytest.param(np.eye(DIMENSION)[[0, 0, 1, 1]] * [[1], [-1], [1], [-1]], [0, 0, 1, 1], id="opposite"),
        pytest.param(1e4 * np.eye(DIMENSION)[:4], [0, 0, 1, 1], id="long embeddings"),
    ],
)
def test_degenerate_batch(name: str, x: Any, labels: list[int]) -> None:
    value, gradients = _run(_loss(name), x.astype(np.float32), labels)
    # Zero embeddings are divided by sqrt(NORM_EPSILON), so their gradient is long, but finite.
    assert np.abs(gradients[0]).max() < 1e9
    if name in PAIRWISE and len(set(labels)) in (1, 4):
        assert value == pytest.approx(0.0, abs=1e-6) or name in ("contrastive", "margin", "supcon")


@pytest.mark.parametrize("name", PAIRWISE)
def test_collapse_has_no_gradient(name: str) -> None:
    x = np.tile(np.random.default_rng(0).normal(size=DIMENSION).astype(np.float32), (6, 1))
    _, gradients = _run(_loss(name), x, [0, 0, 1, 1, 2, 2])
    assert np.abs(gradients[0]).max() < 1e-4


@pytest.mark.parametrize("name", [name for name, entry in LOSSES.items() if entry.needs == 2])
def test_a_singleton_subject_is_no_anchor(name: str) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, DIMENSION)).astype(np.float32)
    x[4] = -x[:4].mean(axis=0)
    value, gradients = _run(_loss(name), x, [0, 0, 1, 1, 2])
    assert value > 0
    assert np.abs(gradients[0]).max() > 0


def test_a_singleton_does_not_scale_supcon() -> None:
    # The singleton is opposite to all others, so it adds next to nothing to their sums.
    x = np.array(
        [[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0.8, 0, 0.3, 0], [0.9, 0, 0.2, 0.1], [-1, 0, 0, 0]], np.float32
    )
    loss = build_loss("supcon", classes=3, dimension=4, steps=300, settings={"temperature": 0.1})
    with_singleton, _ = _run(loss, x, [0, 0, 1, 1, 2])
    without, _ = _run(loss, x[:4], [0, 0, 1, 1])
    assert with_singleton == pytest.approx(without, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_float16_embeddings_are_computed_in_float32(name: str) -> None:
    x = np.random.default_rng(5).normal(size=(6, DIMENSION)).astype(np.float16)
    labels = [0, 0, 1, 1, 2, 2]
    half, gradients = _run(_loss(name), x, labels)
    full, _ = _run(_loss(name), x.astype(np.float32), labels)
    assert half == full
    assert gradients[0].dtype == np.float16


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("softmax", "deepid2")])
def test_the_direction_of_huge_embeddings_counts(name: str) -> None:
    x = np.random.default_rng(7).normal(size=(8, DIMENSION))
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    settings = {"norm_low": 1.0, "norm_high": 2.0} if name == "magface" else None
    values = []
    for factor in (1e3, 1e20):
        loss = build_loss(name, classes=4, dimension=DIMENSION, steps=900, settings=settings)
        values.append(_run(loss, (x * factor).astype(np.float32), labels)[0])
    if name == "sphereface":  # its logits grow with the norm
        values[1] /= 1e17
    if name == "adaface":  # norms beyond 1e15 count as 1e15
        return
    assert values[0] == pytest.approx(values[1], rel=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_labels_of_any_integer_type(name: str) -> None:
    x = np.random.default_rng(8).normal(size=(6, DIMENSION)).astype(np.float32)
    labels = np.array([0, 0, 1, 1, 2, 2])
    values = [float(_loss(name)(x, labels.astype(kind))) for kind in ("int32", "int64", "uint8")]
    assert len(set(values)) == 1


@pytest.mark.parametrize(
    "name", ["subcentre_arcface", "adacos", "magface", "quadruplet", "proxy_anchor", "deepid2"]
)
def test_a_model_with_losses_can_be_saved_and_loaded(name: str, tmp_path: Path) -> None:
    entry, labels = keras.Input((DIMENSION,)), keras.Input((), dtype="int32")
    losses = [build_loss(name, classes=3, dimension=DIMENSION, steps=300, seed=seed) for seed in (1, 2)]
    model = keras.Model([entry, labels], [loss(entry, labels) for loss in losses])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(
        tmp_path / "model.keras", custom_objects={type(losses[0]).__name__: type(losses[0])}
    )
    batch = [np.random.default_rng(9).normal(size=(6, DIMENSION)), np.array([0, 0, 1, 1, 2, 2])]
    np.testing.assert_array_equal(loaded(batch), model(batch))


@pytest.mark.parametrize("name", [*HEADS, "triplet", "supcon"])
def test_two_classes(name: str) -> None:
    rng = np.random.default_rng(6)
    value, gradients = _run(
        _loss(name, classes=2), rng.normal(size=(6, DIMENSION)).astype(np.float32), [0, 0, 0, 1, 1, 1]
    )
    assert value > 0
    assert np.abs(gradients[0]).max() > 0


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5, 1.2, math.pi / 2, -0.4])
def test_the_arc_nowhere_rises_with_the_angle(margin: float) -> None:
    angles = np.linspace(0, math.pi, 4001)
    values = np.asarray(arc(tf.constant(np.cos(angles), tf.float32), tf.constant(margin)))
    assert np.diff(values).max() < 1e-6
    inside = (angles + margin > 0.01) & (angles + margin < math.pi - 0.01) & (np.sin(angles) > 0.01)
    np.testing.assert_allclose(values[inside], np.cos(angles + margin)[inside], atol=1e-5)


def test_psi_nowhere_rises_with_the_angle() -> None:
    values = np.asarray(psi(tf.constant(np.cos(np.linspace(0, math.pi, 4001)), tf.float32), 4))
    assert np.diff(values).max() < 1e-5
    assert values[[0, -1]] == pytest.approx([1, -7], abs=1e-4)


@pytest.mark.parametrize("name", ["adacos", "adaface", "curricularface"])
def test_state_changes_in_training_only(name: str) -> None:
    loss = _loss(name, classes=20)
    x = tf.constant(np.random.default_rng(7).normal(size=(6, DIMENSION)), tf.float32)
    labels = tf.constant([0, 0, 1, 1, 2, 2], tf.int32)
    step = tf.function(lambda training: loss(x, labels, share=1.0, training=training))
    before = [np.asarray(state) for state in loss.non_trainable_variables]
    step(False)
    assert [np.asarray(state) for state in loss.non_trainable_variables] == before
    step(True)
    assert [np.asarray(state) for state in loss.non_trainable_variables] != before


@pytest.mark.parametrize("name", ["softmax", "arcface", "adacos_fixed", "triplet"])
def test_other_losses_have_no_state(name: str) -> None:
    assert len(_loss(name).non_trainable_variables) == (name == "adacos_fixed")


def test_the_scale_of_adacos_is_bounded_if_all_centres_are_close() -> None:
    loss = _loss("adacos", classes=20)
    first = float(loss.scale)
    loss.centres.assign(np.ones((DIMENSION, 20), np.float32))
    for _ in range(8):
        _run(loss, np.ones((4, DIMENSION), np.float32), [0, 1, 2, 3])
    assert first < float(loss.scale) <= 2 * first


def test_margins_warm_up() -> None:
    loss = build_loss("arcface", classes=4, dimension=DIMENSION, steps=900, settings={"margin": 0.5})
    x = np.random.default_rng(8).normal(size=(4, DIMENSION)).astype(np.float32)
    values = [_run(loss, x, [0, 1, 2, 3], share)[0] for share in (0.0, 0.2, 1.0)]
    assert values == sorted(values)
    assert values[0] < values[2]


@pytest.mark.parametrize("name", ["magface", "adaface"])
def test_the_norm_of_the_raw_embedding_matters(name: str) -> None:
    x = np.random.default_rng(9).normal(size=(4, DIMENSION)).astype(np.float32)
    longer = x * np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    assert _run(_loss(name), x, [0, 1, 2, 3])[0] != pytest.approx(
        _run(_loss(name), longer, [0, 1, 2, 3])[0], rel=1e-3
    )


@pytest.mark.parametrize("name", ["adacos", "adaface", "curricularface", "margin"])
def test_a_checkpoint_holds_head_and_state(name: str, tmp_path: Path) -> None:
    import keras

    def trainer() -> Trainer:
        entry = keras.Input((8, 8, 1))
        layer = keras.layers.Dense(DIMENSION, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
        backbone = keras.Model(entry, layer(keras.layers.Flatten()(entry)))
        contract = InputContract(8, 8, "gray", (127.5,), (128.0,))
        return Trainer(backbone, _loss(name, classes=6), contract, Schedule(steps=6, learning_rate=0.05))

    pixels = np.random.default_rng(2).integers(0, 256, (6, 8, 8, 1), np.uint8)
    labels = np.array([0, 0, 1, 1, 2, 2], np.int32)
    whole, first, second = trainer(), trainer(), trainer()
    losses = [whole.advance(pixels, labels) for _ in range(6)]
    for _ in range(3):
        first.advance(pixels, labels)
    first.save(tmp_path / "run.npz")
    second.restore(tmp_path / "run.npz")
    assert [second.advance(pixels, labels) for _ in range(3)] == losses[3:]
