"""Losses and gradients agree with pytorch-metric-learning, in the environment of ``make test-pytorch``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pml_losses = pytest.importorskip("pytorch_metric_learning.losses")
from pytorch_metric_learning import miners, reducers  # noqa: E402

from edge_train.losses import build_loss  # noqa: E402

CLASSES, DIMENSION, PER_CLASS = 12, 16, 4
#: The largest difference of a float32 loss, relative, and of its gradient, relative to the largest entry.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 5e-6, 5e-5


@dataclass(frozen=True)
class Case:
    """One loss and its peer.

    Args:
        settings: Settings of our loss.
        peer: Makes pytorch-metric-learning's loss.
        prepare: Copies our head into the peer.
        miner: Chooses the peer's pairs or triplets; None for all.
    """

    settings: dict[str, Any]
    peer: Callable[[], Any]
    prepare: Callable[[Any, Any], None] = lambda peer, loss: None
    miner: Callable[[], Any] | None = None


def _copy(name: str) -> Callable[[Any, Any], None]:
    def prepare(peer: Any, loss: Any) -> None:
        centres = torch.tensor(np.asarray(loss.centres))
        getattr(peer, name).data = centres.T.clone() if name == "proxies" else centres.clone()

    return prepare


def _degrees(radians: float) -> float:
    return radians * 180 / np.pi


_HEAD = {"num_classes": CLASSES, "embedding_size": DIMENSION}
CASES = {
    "normface": Case(
        {"scale": 12.0},
        lambda: pml_losses.NormalizedSoftmaxLoss(**_HEAD, temperature=1 / 12.0),
        _copy("W"),
    ),
    "cosface": Case(
        {"scale": 12.0, "margin": 0.2},
        lambda: pml_losses.CosFaceLoss(**_HEAD, margin=0.2, scale=12.0),
        _copy("W"),
    ),
    "arcface": Case(
        {"scale": 12.0, "margin": 0.3},
        lambda: pml_losses.ArcFaceLoss(**_HEAD, margin=_degrees(0.3), scale=12.0),
        _copy("W"),
    ),
    "subcentre_arcface": Case(
        {"scale": 12.0, "margin": 0.3, "centres": 3},
        lambda: pml_losses.SubCenterArcFaceLoss(**_HEAD, margin=_degrees(0.3), scale=12.0, sub_centers=3),
        _copy("W"),
    ),
    "contrastive": Case(
        {"margin": 1.0, "squared": False},
        lambda: pml_losses.ContrastiveLoss(
            pos_margin=0, neg_margin=1.0, reducer=reducers.AvgNonZeroReducer()
        ),
    ),
    "triplet": Case(
        {"margin": 0.2, "squared": False},
        lambda: pml_losses.TripletMarginLoss(margin=0.2),
        miner=lambda: miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    ),
    "batch_hard": Case(
        {"margin": 0.2, "soft": False, "squared": False},
        lambda: pml_losses.TripletMarginLoss(margin=0.2, reducer=reducers.MeanReducer()),
        miner=miners.BatchHardMiner,
    ),
    "circle": Case({"scale": 32.0, "margin": 0.25}, lambda: pml_losses.CircleLoss(m=0.25, gamma=32)),
    "multi_similarity": Case(
        {"mated_scale": 2.0, "non_mated_scale": 50.0, "base": 0.5, "mining": 0.1},
        lambda: pml_losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5),
        miner=lambda: miners.MultiSimilarityMiner(epsilon=0.1),
    ),
    "proxy_anchor": Case(
        {"scale": 32.0, "margin": 0.1},
        lambda: pml_losses.ProxyAnchorLoss(**_HEAD, margin=0.1, alpha=32),
        _copy("proxies"),
    ),
    "supcon": Case({"temperature": 0.1}, lambda: pml_losses.SupConLoss(temperature=0.1)),
}


def batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings in loose groups, one per class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS).astype(np.int32)
    groups = rng.normal(size=(CLASSES, DIMENSION))
    return (groups[labels] + 0.8 * rng.normal(size=(len(labels), DIMENSION))).astype(np.float32), labels


def ours(loss: Any, embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    import tensorflow as tf

    entry = tf.Variable(embeddings)
    with tf.GradientTape() as tape:
        value = loss(entry, tf.constant(labels), share=1.0, training=False)
    return float(value), np.asarray(tape.gradient(value, entry))


def theirs(case: Case, loss: Any, embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    peer = case.peer()
    case.prepare(peer, loss)
    entry = torch.tensor(embeddings, requires_grad=True)
    owners = torch.tensor(labels, dtype=torch.long)
    chosen = None if case.miner is None else case.miner()(entry, owners)
    value = peer(entry, owners, chosen)
    value.backward()
    return float(value.detach()), entry.grad.numpy()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_agree(name: str, seed: int) -> None:
    case = CASES[name]
    loss = build_loss(
        name, classes=CLASSES, dimension=DIMENSION, steps=1000, settings=case.settings, seed=seed
    )
    embeddings, labels = batch(seed)
    value, gradient = ours(loss, embeddings, labels)
    expected, expected_gradient = theirs(case, loss, embeddings, labels)
    assert value > 0
    assert value == pytest.approx(expected, rel=LOSS_TOLERANCE)
    largest = np.abs(expected_gradient).max()
    assert largest > 0
    assert np.abs(gradient - expected_gradient).max() <= GRADIENT_TOLERANCE * largest


def test_an_own_cosine_of_one_has_a_finite_gradient_where_the_peer_has_none() -> None:
    case = CASES["arcface"]
    loss = build_loss("arcface", classes=CLASSES, dimension=DIMENSION, steps=1000, settings=case.settings)
    embeddings = np.zeros((2, DIMENSION), np.float32)
    embeddings[:, 0] = 1
    centres = np.asarray(loss.centres).copy()
    centres[:, 0] = embeddings[0]
    loss.centres.assign(centres)
    labels = np.zeros(2, np.int32)
    assert np.isfinite(ours(loss, embeddings, labels)[1]).all()
    assert not np.isfinite(theirs(case, loss, embeddings, labels)[1]).all()
