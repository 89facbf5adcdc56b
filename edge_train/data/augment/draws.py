"""Random numbers of one augmented batch; they depend only on the step's seed and the order of the calls."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Draws:
    """A source of random numbers, one stream for each call.

    Args:
        seed: Shape (2,), int32: seed of the run and number of the step.
        count: Number of images, B.
    """

    def __init__(self, seed: Any, count: Any) -> None:
        self._seed, self.count, self._calls = seed, count, 0

    def new_seed(self) -> Any:
        """Return the seed of the next stream, shape (2,), int32."""
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._calls)

    def uniform(self, low: float, high: float, *shape: int) -> Any:
        """Draw uniform numbers, shape (B, *shape), float32."""
        return tf.random.stateless_uniform([self.count, *shape], self.new_seed(), low, high)

    def symmetric(self, spread: float, *shape: int) -> Any:
        """Draw uniform numbers of -spread..spread, shape (B, *shape), float32."""
        return self.uniform(-spread, spread, *shape)

    def chance(self, share: float, *shape: int) -> Any:
        """Draw 1.0 for a share of the images and 0.0 for the others, shape (B, *shape), float32."""
        return tf.cast(self.uniform(0.0, 1.0, *shape) < share, tf.float32)

    def subset(self, share: float) -> Any:
        """Choose a share of the images, at least 1; their positions, int32.

        Costly changes are computed only for a subset, so that they cost in proportion to their share.
        """
        order = tf.argsort(self.uniform(0.0, 1.0))
        return order[: tf.maximum(1, tf.cast(tf.round(share * tf.cast(self.count, tf.float32)), tf.int32))]
