"""Heads without a margin."""

from __future__ import annotations

from typing import Any

from keras import ops

from edge_train.losses.base import ClassHead, cross_entropy, unit


class Softmax(ClassHead):
    """Softmax cross-entropy of a linear classifier.

    The logit of class j is w_j . x + b_j. The loss is -ln(exp(logit_y) / sum_j exp(logit_j)).

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        seed: Seed of the weight vectors.
    """

    def __init__(self, *, classes: int, dimension: int, seed: int = 0) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.bias = self.add_weight(shape=(classes,), initializer="zeros", name="bias")

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        return cross_entropy(ops.matmul(ops.cast(embeddings, "float32"), self.centres) + self.bias, labels)


class L2Softmax(ClassHead):
    """Softmax on embeddings of constant length (L2-constrained softmax, arXiv:1703.09507).

    The logit of class j is w_j . (s x / |x|) + b_j; the weight vectors are free.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0; the paper's alpha. The least useful value is ``choice.least_l2_softmax_scale``.
        seed: Seed of the weight vectors.
    """

    def __init__(self, *, classes: int, dimension: int, scale: float, seed: int = 0) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale = scale
        self.bias = self.add_weight(shape=(classes,), initializer="zeros", name="bias")

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        return cross_entropy(ops.matmul(self.scale * unit(embeddings), self.centres) + self.bias, labels)


class NormFace(ClassHead):
    """Softmax on scaled cosines (NormFace, arXiv:1704.06369).

    The logit of class j is s cos(theta_j), the angle between embedding and centre. The scale is fixed, not learned.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0. The least useful value is ``choice.least_cosine_scale``.
        seed: Seed of the centres.
    """

    def __init__(self, *, classes: int, dimension: int, scale: float, seed: int = 0) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale = scale

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        return cross_entropy(self.scale * self.cosines(embeddings), labels)
