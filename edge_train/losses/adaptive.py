"""Heads whose scale, margin or weights follow from the state of the training or from the embedding's norm."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from edge_train.losses.base import COSINE_MARGIN, LARGE, ClassHead, cross_entropy, lengths, warm_up
from edge_train.losses.choice import LEAST_ADACOS_SCALE, adacos_scale
from edge_train.losses.margins import arc

#: AdaCos' dynamic scale is at most this multiple of its first value: it diverges if other centres are close (cosine > .707).
_MOST_ADACOS_GROWTH = 2.0


class AdaCos(ClassHead):
    """Softmax on cosines with a scale that needs no tuning (AdaCos, arXiv:1905.00292).

    The fixed scale is s = sqrt(2) ln(classes - 1). The dynamic scale of a step is s' = ln(B) / cos(min(pi/4, theta)): B is the
    batch's mean of sum_(j not own) exp(s cos(theta_j)), and theta is the median angle to the own centre.

    Differences from the paper: the scale is at least 2, because the formula gives 0 for 2 classes and .98 for 3, with which no
    class can become certain; and at most twice its first value, because the update diverges if the mean cosine to other centres
    exceeds .707. Evaluation (``training=False``) does not change the scale.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        dynamic: True updates the scale in each training step.
        seed: Seed of the centres.
    """

    def __init__(self, *, classes: int, dimension: int, dynamic: bool, seed: int = 0) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.dynamic = dynamic
        self.first = max(LEAST_ADACOS_SCALE, adacos_scale(classes))
        self.scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.first), trainable=False, name="scale"
        )

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        if self.dynamic and training:
            self.scale.assign(self.next_scale(ops.stop_gradient(cosines), labels))
        return cross_entropy(self.scale * cosines, labels)

    def next_scale(self, cosines: Any, labels: Any) -> Any:
        """Return the scale after a step with these cosines, shape (B, classes)."""
        others = ops.where(self.own(labels), -1e9, self.scale * cosines)
        total = ops.logsumexp(others) - ops.log(ops.cast(ops.shape(cosines)[0], "float32"))
        mated = ops.clip(self.mated(cosines, labels), -1 + COSINE_MARGIN, 1 - COSINE_MARGIN)
        angle = ops.minimum(math.pi / 4, ops.median(ops.arccos(mated)))
        return ops.clip(total / ops.cos(angle), LEAST_ADACOS_SCALE, _MOST_ADACOS_GROWTH * self.first)


class AdaFace(ClassHead):
    """Margin that depends on the quality of the image, estimated by the embedding's norm (AdaFace, arXiv:2204.00964).

    z = clip(h (|x| - mean) / (deviation + 1e-3), -1, 1), with running mean and deviation of the norms. The logit of the own class
    is s (cos(theta - m z) - m (1 + z)), that of any other class s cos(theta_j). No gradient flows through the norm. Beyond pi
    the arc continues as in ``ArcFace``.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0.
        margin: m, 0..pi/2, reached after a warm-up.
        concentration: h, above 0; the paper uses .333.
        momentum: Weight of the earlier mean and deviation, 0..1; the first batch sets both.
        seed: Seed of the centres.
    """

    def __init__(
        self,
        *,
        classes: int,
        dimension: int,
        scale: float,
        margin: float,
        concentration: float,
        momentum: float,
        seed: int = 0,
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale, self.margin = scale, margin
        self.concentration, self.momentum = concentration, momentum
        self.mean = self.add_weight(shape=(), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(), initializer="zeros", trainable=False, name="deviation")
        self.started = self.add_weight(shape=(), initializer="zeros", trainable=False, name="started")

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        # Larger norms would make the deviation infinite for the rest of the training.
        norms = ops.minimum(ops.stop_gradient(lengths(embeddings)), LARGE)
        if training:
            weight = self.momentum * self.started
            self.mean.assign(weight * self.mean + (1 - weight) * ops.mean(norms))
            self.deviation.assign(weight * self.deviation + (1 - weight) * ops.std(norms))
            self.started.assign(1.0)
        quality = self.concentration * (norms - self.mean) / (self.deviation + 1e-3)
        # Before the first training batch there is no mean yet: all images count as medium.
        quality = self.started * ops.clip(quality, -1.0, 1.0)
        margin = self.margin * warm_up(share)
        mated = arc(self.mated(cosines, labels), -margin * quality) - margin * (1 + quality)
        return cross_entropy(self.scale * self.replaced(cosines, labels, mated), labels)


class MagFace(ClassHead):
    """Margin that rises with the embedding's norm, which the loss makes long (MagFace, arXiv:2103.06627).

    a = clip(|x|, l, u). The margin m(a) rises linearly from ``margin_low`` at l to ``margin_high`` at u. The logit of the own
    class is s cos(theta + m(a)), that of any other class s cos(theta_j); g(a) = 1/a + a/u^2 is added to the loss, times a weight.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0.
        margin_low: Smallest margin in radians, 0..pi/2, reached after a warm-up.
        margin_high: Largest margin in radians, ``margin_low``..pi/2.
        norm_low: l, above 0; the paper uses 10 for 512 dimensions.
        norm_high: u, above l; the paper uses 110.
        weight: Weight of g, 0 or more; the paper uses 35 with a scale of 64.
        seed: Seed of the centres.
    """

    def __init__(
        self,
        *,
        classes: int,
        dimension: int,
        scale: float,
        margin_low: float,
        margin_high: float,
        norm_low: float,
        norm_high: float,
        weight: float,
        seed: int = 0,
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale, self.weight = scale, weight
        self.margin_low, self.margin_high = margin_low, margin_high
        self.norm_low, self.norm_high = norm_low, norm_high

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        norms = ops.clip(lengths(embeddings), self.norm_low, self.norm_high)
        slope = (self.margin_high - self.margin_low) / (self.norm_high - self.norm_low)
        margin = (self.margin_low + slope * (norms - self.norm_low)) * warm_up(share)
        mated = arc(self.mated(cosines, labels), margin)
        longer = ops.mean(1 / norms + norms / self.norm_high**2)
        return (
            cross_entropy(self.scale * self.replaced(cosines, labels, mated), labels) + self.weight * longer
        )


class CurricularFace(ClassHead):
    """Weight of hard classes that rises during the training (CurricularFace, arXiv:2004.00288).

    The logit of the own class is s cos(theta + m). That of another class is s cos(theta_j), or s cos(theta_j) (t + cos(theta_j))
    if cos(theta_j) exceeds cos(theta + m). t is the running mean of the own cosines, 0 at the start.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        scale: s, above 0.
        margin: m in radians, 0..pi/2, reached after a warm-up.
        momentum: Weight of the earlier t, 0..1; the paper uses .99.
        seed: Seed of the centres.
    """

    def __init__(
        self, *, classes: int, dimension: int, scale: float, margin: float, momentum: float, seed: int = 0
    ) -> None:
        super().__init__(classes=classes, dimension=dimension, seed=seed)
        self.scale, self.margin, self.momentum = scale, margin, momentum
        self.progress = self.add_weight(shape=(), initializer="zeros", trainable=False, name="progress")

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch; see ``Loss.call``."""
        cosines = self.cosines(embeddings)
        mated = self.mated(cosines, labels)
        if training:
            mean = ops.mean(ops.stop_gradient(mated))
            self.progress.assign(self.momentum * self.progress + (1 - self.momentum) * mean)
        mated = arc(mated, self.margin * warm_up(share))
        hard = cosines > ops.expand_dims(mated, 1)
        cosines = ops.where(hard, cosines * (self.progress + cosines), cosines)
        return cross_entropy(self.scale * self.replaced(cosines, labels, mated), labels)
