"""Heads with a fixed margin on the own class."""

from __future__ import annotations

from typing import Any

from keras import ops

from edge_train.losses.base import COSINE_MARGIN, CosineHead, cross_entropy, warm_up


class ArcFace(CosineHead):
    """Additive angular margin (ArcFace, arXiv:1801.07698).

    The logit of the own class is s cos(theta + m), that of any other class s cos(theta_j). Beyond theta = pi - m the cosine would
    rise again, so the logit continues as s (cos theta - m sin m), which falls everywhere.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0.
        margin: m in radians, 0..pi/2, reached after a warm-up.
        seed: Seed of the centres.
    """

    def __init__(
        self, *, classes: int, dimension: int, scale: float = 16.0, margin: float = 0.3, seed: int = 0
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed, name="arcface")
        self.scale, self.margin = scale, margin

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        own = self.own(labels)
        margin = self.margin * warm_up(share)
        mated = ops.clip(ops.sum(cosines * own, axis=1), -1 + COSINE_MARGIN, 1 - COSINE_MARGIN)
        moved = mated * ops.cos(margin) - ops.sqrt(1 - ops.square(mated)) * ops.sin(margin)
        moved = ops.where(mated > -ops.cos(margin), moved, mated - margin * ops.sin(margin))
        return cross_entropy(self.scale * (cosines + own * (moved - mated)[:, None]), labels)
