"""Losses on pairs of embeddings of a batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from edge_train.losses.base import Loss, unit

#: Stands for minus infinity in a log-sum-exp; its gradient is 0, not NaN.
NOTHING = -1e9
#: Squared distances below this are rounding noise: the distance and its gradient are 0.
_DISTANCE_NOISE = 1e-6


def cosine_matrix(embeddings: Any) -> Any:
    """Return the cosines of all pairs of embeddings, shape (B, B)."""
    vectors = unit(embeddings)
    return ops.matmul(vectors, ops.transpose(vectors))


def distances(embeddings: Any, *, squared: bool) -> Any:
    """Return the Euclidean distances of all pairs of unit embeddings, 0..2, or their squares, 0..4; shape (B, B).

    The gradient of the distance is 0 at equal embeddings; without this rule it is not finite there.
    """
    values = 2 - 2 * cosine_matrix(embeddings)
    apart = values > _DISTANCE_NOISE
    values = ops.where(apart, values, 1.0)
    return ops.where(apart, values if squared else ops.sqrt(values), 0.0)


def pair_masks(labels: Any) -> tuple[Any, Any]:
    """Return the masks of mated pairs (without the pair of an image and itself) and of non-mated pairs, each (B, B), bool."""
    same = ops.expand_dims(labels, 0) == ops.expand_dims(labels, 1)
    place = ops.arange(ops.shape(labels)[0])
    other = ops.expand_dims(place, 0) != ops.expand_dims(place, 1)
    return ops.logical_and(same, other), ops.logical_not(same)


def mean_where(values: Any, mask: Any) -> Any:
    """Return the mean of the values of a mask; 0 if the mask is empty."""
    count = ops.sum(ops.cast(mask, "float32"))
    return ops.sum(ops.where(mask, values, 0.0)) / ops.maximum(count, 1.0)


def some(mask: Any) -> Any:
    """Return the rows of a mask of shape (B, B) with at least one true value, shape (B,), bool."""
    return ops.any(mask, axis=1)


def log_sum(values: Any, mask: Any) -> Any:
    """Return ln sum exp of the values of a mask in each row; about -1e9 for a row without any."""
    return ops.logsumexp(ops.where(mask, values, NOTHING), axis=1)


class Contrastive(Loss):
    """Contrastive loss of a siamese network (Hadsell, Chopra and LeCun, CVPR 2006).

    A mated pair at distance d costs d^2 / 2, a non-mated pair max(0, m - d)^2 / 2. If ``squared`` is false, they cost d and
    max(0, m - d). The loss is the mean of the mated pairs, plus the mean of the non-mated pairs that cost something: most of them
    are far apart, and a mean over all would make them vanish. Distances are those of unit embeddings.

    Args:
        margin: m, above 0, at most 2.
        squared: True for half squares, as in the paper.
    """

    needs = 2

    def __init__(self, *, margin: float, squared: bool) -> None:
        super().__init__()
        self.margin, self.squared = margin, squared

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        apart = distances(embeddings, squared=False)
        mated, non_mated = pair_masks(labels)
        close = ops.relu(self.margin - apart)
        active = ops.logical_and(non_mated, close > 0)
        if self.squared:
            together = distances(embeddings, squared=True)
            return (mean_where(together, mated) + mean_where(ops.square(close), active)) / 2
        return mean_where(apart, mated) + mean_where(close, active)


class MarginLoss(Loss):
    """Margin loss with distance-weighted negatives (Wu et al., arXiv:1706.07567).

    A mated pair costs max(0, d - b + m), a non-mated pair max(0, b + m - d); the boundary b is learned. The paper draws one
    negative per mated pair with a probability proportional to 1/q(d), q(d) = d^(D-2) (1 - d^2/4)^((D-3)/2), the density of
    distances on the unit sphere. This class takes the mean over that draw instead: the same gradient on average, without noise.
    d is at least .5 in q, and negatives beyond 1.4 are not drawn, as in the paper's code. The sum is divided by the (expected)
    number of pairs that cost something.

    Args:
        dimension: D, length of the embedding, at least 3.
        margin: m, above 0.
        boundary: b at the start, 0..2.
    """

    needs = 2

    def __init__(self, *, dimension: int, margin: float, boundary: float) -> None:
        super().__init__()
        self.dimension, self.margin = dimension, margin
        # The optimizer excludes variables named beta from weight decay.
        self.boundary = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(boundary), name="beta"
        )

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        apart = distances(embeddings, squared=False)
        mated, non_mated = pair_masks(labels)
        together = ops.where(mated, ops.relu(apart - self.boundary + self.margin), 0.0)
        drawn = self.probabilities(ops.stop_gradient(apart), non_mated)
        # An anchor with n mated pairs draws n negatives.
        drawn = drawn * ops.sum(ops.cast(mated, "float32"), axis=1, keepdims=True)
        close = ops.relu(self.boundary + self.margin - apart)
        count = ops.sum(ops.cast(together > 0, "float32")) + ops.sum(ops.where(close > 0, drawn, 0.0))
        total = ops.sum(together) + ops.sum(close * drawn)
        return total / ops.maximum(ops.stop_gradient(count), 1.0)

    def probabilities(self, apart: Any, non_mated: Any) -> Any:
        """Return the probability with which each anchor draws each negative, shape (B, B); rows sum to 1, or to 0 without any."""
        inner = ops.clip(apart, 0.5, 1.99)
        density = (self.dimension - 2) * ops.log(inner)
        density = density + (self.dimension - 3) / 2 * ops.log(1 - ops.square(inner) / 4)
        allowed = ops.logical_and(non_mated, apart < 1.4)
        weights = ops.where(allowed, -density, NOTHING)
        drawn = ops.exp(weights - ops.max(weights, axis=1, keepdims=True))
        drawn = ops.where(allowed, drawn, 0.0)
        return drawn / ops.maximum(ops.sum(drawn, axis=1, keepdims=True), 1e-12)


class Circle(Loss):
    """Circle loss (arXiv:2002.10857).

    With cosines p of mated pairs and n of non-mated pairs, an anchor costs ln(1 + sum_n exp(g a_n (n - m)) sum_p exp(-g a_p (p - 1
    + m))). The weights a_n = max(0, n + m) and a_p = max(0, 1 + m - p) have no gradient. The loss is the mean over the anchors
    that have a mated and a non-mated pair.

    Args:
        scale: g, above 0; the paper's gamma.
        margin: m, 0..1.
    """

    needs = 2

    def __init__(self, *, scale: float, margin: float) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = cosine_matrix(embeddings)
        mated, non_mated = pair_masks(labels)
        fixed = ops.stop_gradient(cosines)
        apart = self.scale * ops.relu(fixed + self.margin) * (cosines - self.margin)
        together = -self.scale * ops.relu(1 + self.margin - fixed) * (cosines - 1 + self.margin)
        costs = ops.softplus(log_sum(apart, non_mated) + log_sum(together, mated))
        return mean_where(costs, ops.logical_and(some(mated), some(non_mated)))


class MultiSimilarity(Loss):
    """Multi-similarity loss with its mining (arXiv:1904.06627).

    With cosines p of mated pairs and n of non-mated pairs, an anchor costs ln(1 + sum_p exp(-a (p - l))) / a + ln(1 + sum_n exp(b
    (n - l))) / b. Mining keeps the non-mated pairs with n > min p - e and the mated pairs with p < max n + e. The loss is the
    mean over the anchors that have a mated and a non-mated pair.

    Args:
        mated_scale: a, above 0; the paper's alpha.
        non_mated_scale: b, above 0; the paper's beta.
        base: l, -1..1; the paper's lambda.
        mining: e, 0..4; 4 keeps all pairs.
    """

    needs = 2

    def __init__(self, *, mated_scale: float, non_mated_scale: float, base: float, mining: float) -> None:
        super().__init__()
        self.mated_scale, self.non_mated_scale = mated_scale, non_mated_scale
        self.base, self.mining = base, mining

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = cosine_matrix(embeddings)
        mated, non_mated = pair_masks(labels)
        anchors = ops.logical_and(some(mated), some(non_mated))
        fixed = ops.stop_gradient(cosines)
        least = ops.min(ops.where(mated, fixed, 9.0), axis=1, keepdims=True)
        most = ops.max(ops.where(non_mated, fixed, -9.0), axis=1, keepdims=True)
        non_mated = ops.logical_and(non_mated, fixed > least - self.mining)
        mated = ops.logical_and(mated, fixed < most + self.mining)
        together = ops.softplus(log_sum(-self.mated_scale * (cosines - self.base), mated))
        apart = ops.softplus(log_sum(self.non_mated_scale * (cosines - self.base), non_mated))
        return mean_where(together / self.mated_scale + apart / self.non_mated_scale, anchors)


class SupCon(Loss):
    """Supervised contrastive loss (arXiv:2004.11362, L_out).

    An anchor costs the mean over its mated pairs p of -ln(exp(p/t) / sum over all other images a of exp(a/t)), with cosines p and
    a. The loss is the mean over the anchors that have a mated pair; an anchor without any only serves as a negative.

    Args:
        temperature: t, .01..10.
    """

    needs = 2

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        logits = cosine_matrix(embeddings) / self.temperature
        mated, non_mated = pair_masks(labels)
        total = log_sum(logits, ops.logical_or(mated, non_mated))
        count = ops.maximum(ops.sum(ops.cast(mated, "float32"), axis=1), 1.0)
        together = ops.sum(ops.where(mated, logits, 0.0), axis=1) / count
        return mean_where(total - together, some(mated))
