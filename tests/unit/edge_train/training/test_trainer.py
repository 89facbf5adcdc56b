"""The compiled step: optimizer, figures and embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edge_train.errors import PlanError
from edge_train.training.optimizer import FlatAdamW
from edge_train.training.schedule import Schedule
from edge_train.training.trainer import embed, mean_cosines
from tests.drawn_subjects import CONTRACT, small_backbone


def test_the_optimizer_updates_as_keras_adamw_does() -> None:
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 4), "gamma": (5,), "centres": (4, 2)}
    start = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def variables() -> list[Any]:
        return [keras.Variable(value, name=name, dtype="float32") for name, value in start.items()]

    ours, theirs = variables(), variables()
    flat = FlatAdamW([(ours[:2], 1.0), (ours[2:], 10.0)], weight_decay=0.1)
    backbone = keras.optimizers.AdamW(weight_decay=0.1)
    backbone.exclude_from_weight_decay(var_names=["gamma"])
    backbone.build(theirs[:2])
    head = keras.optimizers.AdamW(weight_decay=0.1)
    head.build(theirs[2:])
    for step in range(5):
        gradients = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes.values()]
        rate = 0.01 / (step + 1)
        norm = flat.apply(gradients, tf.constant(rate))
        assert float(norm) == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-5)
        backbone.learning_rate.assign(rate)
        head.learning_rate.assign(rate * 10)
        backbone.apply_gradients(zip(gradients[:2], theirs[:2], strict=True))
        head.apply_gradients(zip(gradients[2:], theirs[2:], strict=True))
    for mine, other in zip(ours, theirs, strict=True):
        assert np.allclose(np.asarray(mine), np.asarray(other), atol=1e-6)


def test_a_weight_without_gradient_moves_by_its_decay_alone() -> None:
    import keras
    import tensorflow as tf

    weight = keras.Variable(np.ones(2, np.float32), name="kernel")
    FlatAdamW([([weight], 1.0)], weight_decay=0.5).apply([None], tf.constant(0.1))
    assert np.allclose(np.asarray(weight), 0.95)


def test_mean_cosines_of_a_batch() -> None:
    import tensorflow as tf

    embeddings = tf.constant([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0], [-1.0, 0.0]])
    mated, others = mean_cosines(embeddings, tf.constant([0, 0, 1, 2]))
    assert float(mated) == 0.0
    assert float(others) == pytest.approx((1 - 1 + 0 + 0 - 1) / 5)
    mated, others = mean_cosines(embeddings, tf.zeros((4, 7)))
    assert math.isnan(float(mated))
    assert float(others) == pytest.approx((0 + 1 - 1 + 0 + 0 - 1) / 6)
    # Zero embeddings are a collapse, although their cosine is undefined.
    assert [float(value) for value in mean_cosines(tf.zeros((4, 3)), tf.constant([0, 0, 1, 1]))] == [1.0, 1.0]


def test_the_learning_rate_rises_and_falls() -> None:
    schedule = Schedule(steps=100, learning_rate=1.0)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[6] == pytest.approx(1.0)
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert 0.01 <= rates[-1] < 0.02


@pytest.mark.parametrize("settings", [{"steps": 0}, {"learning_rate": -1.0}, {"weight_decay": math.nan}])
def test_a_schedule_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Schedule(**{"steps": 5, **settings})


def test_embeddings_do_not_depend_on_the_batch() -> None:
    model = small_backbone()
    pixels = np.random.default_rng(0).integers(0, 256, (7, *CONTRACT.shape)).astype(np.uint8)
    whole, parts = embed(model, pixels, CONTRACT), embed(model, pixels, CONTRACT, batch=3)
    assert whole.shape == (7, 16)
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    assert np.allclose(whole, parts, atol=1e-5)
