"""Losses on triplets and quadruplets of embeddings of a batch."""

from __future__ import annotations

from typing import Any

from keras import ops

from edge_train.losses.base import Loss
from edge_train.losses.pairs import distances, mean_where, pair_masks, some

_FAR = 9.0  # more than any distance or squared distance


class Triplet(Loss):
    """Triplet loss with semi-hard negatives (FaceNet, arXiv:1503.03832).

    An anchor, a positive and a negative cost max(0, d_ap - d_an + m), with squared distances of unit embeddings as in the paper,
    or plain ones. The loss is the mean over all semi-hard triplets, d_ap < d_an < d_ap + m; it is 0 if there is none.

    Args:
        margin: m, above 0, at most 4.
        squared: True for squared distances.
    """

    needs = 2

    def __init__(self, *, margin: float, squared: bool) -> None:
        super().__init__(name="triplet")
        self.margin, self.squared = margin, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        apart = distances(embeddings, squared=self.squared)
        mated, non_mated = pair_masks(labels)
        # Rows are mated pairs, which are few: no matrix of shape (B, B, B) is needed.
        anchor, positive = ops.nonzero(mated)
        anchor, positive = ops.cast(anchor, "int32"), ops.cast(positive, "int32")
        rows = ops.take(apart, anchor, axis=0)
        own = ops.take_along_axis(rows, ops.expand_dims(positive, 1), axis=1)
        costs = own - rows + self.margin
        semi_hard = ops.logical_and(rows > own, costs > 0)
        return mean_where(costs, ops.logical_and(semi_hard, ops.take(non_mated, anchor, axis=0)))


def hardest(apart: Any, mated: Any, non_mated: Any) -> tuple[Any, Any]:
    """Return each anchor's largest mated and smallest non-mated distance, each shape (B,)."""
    return ops.max(ops.where(mated, apart, 0.0), axis=1), ops.min(ops.where(non_mated, apart, _FAR), axis=1)


class BatchHard(Loss):
    """Triplet loss with each anchor's hardest positive and negative of the batch (arXiv:1703.07737).

    An anchor costs max(0, d_ap - d_an + m), or ln(1 + exp(d_ap - d_an)) with a soft margin. The loss is the mean over the anchors
    that have a positive and a negative.

    Args:
        margin: m, above 0, at most 4; without effect if ``soft``.
        soft: True for the soft margin.
        squared: True for squared distances; the paper prefers plain ones.
    """

    needs = 2

    def __init__(self, *, margin: float, soft: bool, squared: bool) -> None:
        super().__init__(name="batch_hard")
        self.margin, self.soft, self.squared = margin, soft, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        mated, non_mated = pair_masks(labels)
        own, other = hardest(distances(embeddings, squared=self.squared), mated, non_mated)
        costs = ops.softplus(own - other) if self.soft else ops.relu(own - other + self.margin)
        return mean_where(costs, ops.logical_and(some(mated), some(non_mated)))


class Quadruplet(Loss):
    """Quadruplet loss, batch-hard (Chen et al., arXiv:1704.01719).

    An anchor a, its hardest positive p, its hardest negative n, and the image q nearest to n of a third subject cost max(0, d_ap -
    d_an + m) + max(0, d_ap - d_nq + m2). The loss is the mean over the anchors that have all of them; without a third subject the
    second term is left out.

    Args:
        margin: m, above 0, at most 4.
        margin_others: m2, 0..4; below m in the paper.
        squared: True for squared distances, as in the paper.
    """

    needs = 2

    def __init__(self, *, margin: float, margin_others: float, squared: bool) -> None:
        super().__init__(name="quadruplet")
        self.margin, self.margin_others, self.squared = margin, margin_others, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        apart = distances(embeddings, squared=self.squared)
        mated, non_mated = pair_masks(labels)
        own, other = hardest(apart, mated, non_mated)
        anchors = ops.logical_and(some(mated), some(non_mated))
        negative = ops.argmin(ops.where(non_mated, apart, _FAR), axis=1)
        third = ops.logical_and(non_mated, ops.take(non_mated, negative, axis=0))
        rest = ops.min(ops.where(third, ops.take(apart, negative, axis=0), _FAR), axis=1)
        return mean_where(ops.relu(own - other + self.margin), anchors) + mean_where(
            ops.relu(own - rest + self.margin_others), ops.logical_and(anchors, some(third))
        )
