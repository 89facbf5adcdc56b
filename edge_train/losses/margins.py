"""Heads with a fixed margin on the own class."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from edge_train.losses.base import COSINE_MARGIN, ClassHead, cross_entropy, lengths, warm_up


def arc(cosines: Any, margin: Any) -> Any:
    """Return cos(theta + margin), changed so that it nowhere rises with theta.

    Beyond theta = pi - margin the cosine would rise again. There the value continues as cos(theta) - margin sin(margin), which
    falls everywhere. A negative margin gives 1 if theta is below -margin.

    Args:
        cosines: cos(theta), shape (B,).
        margin: Radians, -pi/2..pi/2, a scalar or shape (B,).

    Returns:
        Shape (B,). The gradient is finite at cosines of exactly 1 and -1.
    """
    clipped = ops.clip(cosines, -1 + COSINE_MARGIN, 1 - COSINE_MARGIN)
    moved = clipped * ops.cos(margin) - ops.sqrt(1 - ops.square(clipped)) * ops.sin(margin)
    falls = ops.logical_or(margin < 0, cosines > -ops.cos(margin))
    moved = ops.where(falls, moved, cosines - margin * ops.sin(margin))
    return ops.where(ops.logical_and(margin < 0, cosines > ops.cos(margin)), 1.0, moved)


class CosFace(ClassHead):
    """Additive cosine margin (CosFace, arXiv:1801.09414).

    The logit of the own class is s (cos(theta) - m), that of any other class s cos(theta_j).

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0.
        margin: m, 0..1, reached after a warm-up.
        seed: Seed of the centres.
    """

    def __init__(self, *, classes: int, dimension: int, scale: float, margin: float, seed: int = 0) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale, self.margin = scale, margin

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        mated = self.mated(cosines, labels) - self.margin * warm_up(share)
        return cross_entropy(self.scale * self.replaced(cosines, labels, mated), labels)


class ArcFace(ClassHead):
    """Additive angular margin (ArcFace, arXiv:1801.07698), with several centres per class on request.

    The logit of the own class is s cos(theta + m), that of any other class s cos(theta_j). Beyond theta = pi - m the cosine would
    rise again, so the logit continues as s (cos theta - m sin m), which falls everywhere.

    With more than one centre per class, cos(theta_j) is the largest cosine to a centre of class j (sub-centre ArcFace, ECCV 2020):
    images with a wrong label gather at a centre of their own.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0.
        margin: m in radians, 0..pi/2, reached after a warm-up.
        centres: Number of centres per class, 1..10.
        seed: Seed of the centres.
    """

    def __init__(
        self,
        *,
        classes: int,
        dimension: int,
        scale: float = 16.0,
        margin: float = 0.3,
        centres: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, vectors=centres, seed=seed)
        self.scale, self.margin, self.per_class = scale, margin, centres

    def cosines(self, embeddings: Any) -> Any:
        """Return the largest cosine to a centre of each class, shape (B, classes)."""
        cosines = super().cosines(embeddings)
        if self.per_class == 1:
            return cosines
        return ops.max(ops.reshape(cosines, (-1, self.classes, self.per_class)), axis=-1)

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        mated = arc(self.mated(cosines, labels), self.margin * warm_up(share))
        return cross_entropy(self.scale * self.replaced(cosines, labels, mated), labels)


class SphereFace(ClassHead):
    """Multiplicative angular margin, annealed (SphereFace, arXiv:1704.08063).

    The logit of the own class is |x| (lambda cos(theta) + psi(theta)) / (1 + lambda), that of any other class |x| cos(theta_j).
    psi(theta) = (-1)^k cos(m theta) - 2k with k = floor(m theta / pi), which falls everywhere. lambda falls from ``blend_start``
    to ``blend_end`` during the first 40 % of the training, so that 1 + lambda falls geometrically. Without it, training does not
    start.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        margin: m, a whole number, 1..6.
        blend_start: lambda at the start, 0 or more.
        blend_end: lambda after 40 % of the training, 0 or more; the paper's code ends with 5.
        seed: Seed of the centres.
    """

    def __init__(
        self,
        *,
        classes: int,
        dimension: int,
        margin: int,
        blend_start: float,
        blend_end: float,
        seed: int = 0,
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.margin, self.blend_start, self.blend_end = margin, blend_start, blend_end

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        part = warm_up(share, 0.0, 0.4)
        blend = (1 + self.blend_start) ** (1 - part) * (1 + self.blend_end) ** part - 1
        cosines = self.cosines(embeddings)
        mated = self.mated(cosines, labels)
        mated = (blend * mated + psi(mated, self.margin)) / (1 + blend)
        norms = ops.expand_dims(lengths(embeddings), 1)
        return cross_entropy(norms * self.replaced(cosines, labels, mated), labels)


def psi(cosines: Any, margin: int) -> Any:
    """Return SphereFace's psi(theta) = (-1)^k cos(m theta) - 2k, k = floor(m theta / pi).

    cos(m theta) is the Chebyshev polynomial T_m(cos theta), so no angle is needed and the gradient is finite everywhere.

    Args:
        cosines: cos(theta), shape (B,).
        margin: m, 1 or more.
    """
    previous, multiple = ops.ones_like(cosines), cosines
    for _ in range(margin - 1):
        previous, multiple = multiple, 2 * cosines * multiple - previous
    # The largest k is m - 1, reached at theta = pi as well, because psi is continuous.
    bounds = ops.cos(ops.arange(1, margin, dtype="float32") * (math.pi / margin))
    k = ops.sum(ops.cast(ops.expand_dims(cosines, 1) <= ops.expand_dims(bounds, 0), "float32"), axis=1)
    return (1 - 2 * ops.mod(k, 2)) * multiple - 2 * k
