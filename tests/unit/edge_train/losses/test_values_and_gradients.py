"""Every loss and its gradients agree with formulas written out in float64 and with their finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from edge_train.losses import LOSSES, build_loss
from tests.unit.edge_train.losses.references import REFERENCES, Settings

CLASSES, DIMENSION = 7, 6
LABELS = [0, 0, 2, 2, 2, 5, 5, 6, 6]
VARIANTS: list[tuple[str, Settings]] = [
    *((name, settings) for name, (_, settings) in REFERENCES.items()),
    ("contrastive", {"margin": 1.3, "squared": False}),
    ("triplet", {"margin": 0.4, "squared": False}),
    ("batch_hard", {"margin": 0.3, "soft": True, "squared": False}),
    ("batch_hard", {"margin": 0.9, "soft": False, "squared": True}),
    ("quadruplet", {"margin": 0.4, "margin_others": 0.2, "squared": False}),
    ("multi_similarity", {"mated_scale": 2.0, "non_mated_scale": 10.0, "base": 0.4, "mining": 4.0}),
    ("sphereface", {"margin": 3, "blend_start": 10.0, "blend_end": 0.0}),
]


def _batch() -> NDArray[np.float32]:
    rng = np.random.default_rng(11)
    means = rng.normal(size=(CLASSES, DIMENSION))
    x = means[LABELS] + 0.7 * rng.normal(size=(len(LABELS), DIMENSION))
    return x.astype(np.float32)


def _differences(function: Any, at: NDArray[np.float64], step: float = 1e-6) -> NDArray[np.float64]:
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += step
        above = function(moved)
        moved[place] -= 2 * step
        gradient[place] = (above - function(moved)) / (2 * step)
    return gradient


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_value_and_gradients(name: str, settings: Settings) -> None:
    loss = build_loss(name, classes=CLASSES, dimension=DIMENSION, steps=300, settings=settings, seed=3)
    if "bias" in {weight.name for weight in loss.trainable_variables}:
        loss.bias.assign(np.linspace(-0.5, 0.5, CLASSES))
    x, labels = _batch(), tf.constant(LABELS, tf.int32)
    weights = [np.asarray(weight).astype(np.float64) for weight in loss.trainable_variables]
    exact = x.astype(np.float64)
    reference = REFERENCES[name][0]
    facts = {"centres": weights[0], **settings} if LOSSES[name].has_classes else dict(settings)

    entry = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(entry)
        value = loss(entry, labels, share=1.0, training=True)
    gradients = tape.gradient(value, [entry, *loss.trainable_variables])

    assert value.dtype == tf.float32
    assert value.shape == ()
    assert float(value) == pytest.approx(reference(exact, LABELS, weights, facts, exact), rel=2e-5)
    expected = _differences(lambda moved: reference(moved, LABELS, weights, facts, exact), exact)
    np.testing.assert_allclose(gradients[0], expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())
    for place, gradient in enumerate(gradients[1:]):

        def with_weight(moved: NDArray[np.float64], place: int = place) -> float:
            return reference(exact, LABELS, [*weights[:place], moved, *weights[place + 1 :]], facts, exact)

        expected = _differences(with_weight, weights[place])
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())


def test_every_loss_has_a_reference() -> None:
    assert set(REFERENCES) == set(LOSSES)
