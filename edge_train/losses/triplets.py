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
        super().__init__()
        self.margin, self.squared = margin, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        apart = distances(embeddings, squared=self.squared)
        mated, non_mated = pair_masks(labels)
        anchor, own = mated_pairs(apart, mated)
        return semi_hard(
            own, ops.take(apart, anchor, axis=0), ops.take(non_mated, anchor, axis=0), self.margin
        )


def mated_pairs(apart: Any, mated: Any) -> tuple[Any, Any]:
    """List the mated pairs, which are few: with them no matrix of shape (B, B, B) is needed.

    Returns:
        Index of the anchor, shape (N,), int32, and distance to its positive, shape (N, 1).
    """
    anchor, positive = (ops.cast(index, "int32") for index in ops.nonzero(mated))
    rows = ops.take(apart, anchor, axis=0)
    return anchor, ops.take_along_axis(rows, ops.expand_dims(positive, 1), axis=1)


def semi_hard(own: Any, other: Any, non_mated: Any, margin: float) -> Any:
    """Return the mean of d_ap - d_an + m over the triplets with d_ap < d_an < d_ap + m; 0 if there is none.

    Args:
        own: d_ap of mated pairs, shape (N, 1).
        other: Distances of their anchors to all images, shape (N, B).
        non_mated: True for images of other subjects, shape (N, B).
        margin: m.
    """
    costs = own - other + margin
    return mean_where(costs, non_mated & (other > own) & (costs > 0))


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
        super().__init__()
        self.margin, self.soft, self.squared = margin, soft, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        mated, non_mated = pair_masks(labels)
        own, other = hardest(distances(embeddings, squared=self.squared), mated, non_mated)
        costs = ops.softplus(own - other) if self.soft else ops.relu(own - other + self.margin)
        return mean_where(costs, ops.logical_and(some(mated), some(non_mated)))


class Quadruplet(Loss):
    """Quadruplet loss (Chen et al., arXiv:1704.01719).

    A mated pair (a, p) and an image n of another subject cost max(0, d_ap - d_an + m), and with the image q nearest to n of a third
    subject max(0, d_ap - d_nq + m2). The loss is the mean over the semi-hard triplets, as in ``Triplet``, plus the mean of the
    second term over all (a, p, n) for which it is not 0. The paper takes all q; the nearest makes the second term as small as the
    first to compute.

    Args:
        margin: m, above 0, at most 4.
        margin_others: m2, 0..4; below m in the paper.
        squared: True for squared distances, as in the paper.
    """

    needs = 2

    def __init__(self, *, margin: float, margin_others: float, squared: bool) -> None:
        super().__init__()
        self.margin, self.margin_others, self.squared = margin, margin_others, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        apart = distances(embeddings, squared=self.squared)
        mated, non_mated = pair_masks(labels)
        anchor, own = mated_pairs(apart, mated)
        negatives = ops.take(non_mated, anchor, axis=0)
        first = semi_hard(own, ops.take(apart, anchor, axis=0), negatives, self.margin)
        rest = ops.take(nearest_third(apart, labels, non_mated), anchor, axis=0)
        costs = own - rest + self.margin_others
        return first + mean_where(costs, negatives & (rest < _FAR) & (costs > 0))


def nearest_third(apart: Any, labels: Any, non_mated: Any) -> Any:
    """Return the distance of each image n to the nearest image of a subject that is neither n's nor a's.

    Returns:
        Shape (B, B), rows a, columns n; 9 if there is no third subject.
    """
    other = ops.where(non_mated, apart, _FAR)
    nearest = ops.take(labels, ops.argmin(other, axis=1), axis=0)
    of_nearest = ops.expand_dims(labels, 0) == ops.expand_dims(nearest, 1)
    without = ops.min(ops.where(of_nearest, _FAR, other), axis=1)
    is_anchor = ops.expand_dims(labels, 1) == ops.expand_dims(nearest, 0)
    return ops.where(is_anchor, ops.expand_dims(without, 0), ops.expand_dims(ops.min(other, axis=1), 0))
