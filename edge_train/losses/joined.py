"""Losses that combine class weights with pairs of a batch."""

from __future__ import annotations

from typing import Any

from keras import ops

from edge_train.losses.base import ClassHead
from edge_train.losses.pairs import NOTHING, distances, mean_where, pair_masks
from edge_train.losses.softmax import Softmax


class ProxyAnchor(ClassHead):
    """Proxy-anchor loss (arXiv:2003.13911).

    With the cosine c of an image and a proxy (a centre), each proxy whose class is in the batch costs ln(1 + sum over its images of
    exp(-s (c - m))), averaged over these proxies. Each proxy costs ln(1 + sum over the images of other classes of exp(s (c + m))),
    averaged over all proxies. Each proxy has few images, so the proxies need a higher learning rate (``head_rate``).

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0; the paper's alpha.
        margin: m, 0..1; the paper's delta.
        head_rate: Factor for the learning rate of the proxies, above 0; the paper uses 100.
        seed: Seed of the proxies.
    """

    def __init__(
        self,
        *,
        classes: int,
        dimension: int,
        scale: float,
        margin: float,
        head_rate: float,
        seed: int = 0,
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale, self.margin, self.head_rate = scale, margin, head_rate

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        own = self.own(labels)
        present = ops.any(own, axis=0)
        together = ops.logsumexp(ops.where(own, -self.scale * (cosines - self.margin), NOTHING), axis=0)
        apart = ops.logsumexp(ops.where(own, NOTHING, self.scale * (cosines + self.margin)), axis=0)
        return mean_where(ops.softplus(together), present) + ops.mean(ops.softplus(apart))


class DeepID2(Softmax):
    """Joint identification and verification (DeepID2, arXiv:1406.4773).

    The softmax cross-entropy of a linear classifier on the raw embedding, plus a weight times the verification signal: d^2 / 2 for a
    mated pair and max(0, m - d)^2 / 2 for a non-mated pair, with distances d of unit embeddings, because scores are cosines. As in
    ``Contrastive``, the non-mated pairs that cost nothing are left out of their mean.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        weight: Weight of the verification signal, 0 or more.
        margin: m, above 0, at most 2.
        seed: Seed of the weight vectors.
    """

    needs = 2

    def __init__(self, *, classes: int, dimension: int, weight: float, margin: float, seed: int = 0) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.weight, self.margin = weight, margin

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        mated, non_mated = pair_masks(labels)
        close = ops.relu(self.margin - distances(embeddings, squared=False))
        active = ops.logical_and(non_mated, close > 0)
        verification = mean_where(distances(embeddings, squared=True), mated)
        verification = (verification + mean_where(ops.square(close), active)) / 2
        return super().call(embeddings, labels) + self.weight * verification
