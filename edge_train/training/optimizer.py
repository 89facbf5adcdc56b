"""AdamW on all weights at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-7
# Gains, shifts and slopes are few and not centred on 0: weight decay would only bias them.
_NOT_DECAYED = ("gamma", "beta", "alpha", "bias")


class FlatAdamW:
    """Adam with decoupled weight decay (AdamW, arXiv:1711.05101) on the concatenation of all weights.

    A backbone has about a hundred small weights. An update for each of them costs more in the calls of operations than in
    arithmetic.

    Args:
        groups: Weights, Keras variables of float32, and the factor for their learning rate.
        weight_decay: Decay per step as a multiple of the learning rate; 0 or more.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[Any], float]], *, weight_decay: float) -> None:
        self._weights = [variable.value for variables, _ in groups for variable in variables]
        names = [variable.name for variables, _ in groups for variable in variables]
        self._sizes = [int(np.prod(weight.shape)) for weight in self._weights]
        factors = [factor for variables, factor in groups for _ in variables]
        decays = [0.0 if name in _NOT_DECAYED else weight_decay for name in names]
        # As tensors they are inputs of the compiled step; arrays would be copied into its graph, which may have 2 GB.
        self._factor = tf.constant(np.repeat(np.asarray(factors, np.float32), self._sizes))
        self._decay = tf.constant(np.repeat(np.asarray(decays, np.float32), self._sizes))
        total = sum(self._sizes)
        self._mean = tf.Variable(tf.zeros(total), trainable=False)
        self._square = tf.Variable(tf.zeros(total), trainable=False)
        self._count = tf.Variable(0.0, trainable=False)

    @property
    def variables(self) -> list[Any]:
        """State of the optimizer: both moments and the number of updates."""
        return [self._mean, self._square, self._count]

    def apply(self, gradients: Sequence[Any], rate: Any) -> Any:
        """Update the weights in a compiled step.

        Args:
            gradients: A gradient for each weight, in the order of the groups; None counts as zero.
            rate: Learning rate, a float32 scalar.

        Returns:
            L2 norm of all gradients, a float32 scalar.
        """
        parts = [
            tf.zeros(size) if gradient is None else tf.reshape(tf.convert_to_tensor(gradient), [-1])
            for gradient, size in zip(gradients, self._sizes, strict=True)
        ]
        gradient = tf.concat(parts, 0)
        count = self._count.assign_add(1.0)
        mean = self._mean.assign(_FIRST * self._mean + (1 - _FIRST) * gradient)
        square = self._square.assign(_SECOND * self._square + (1 - _SECOND) * tf.square(gradient))
        corrected = tf.sqrt(1 - tf.pow(_SECOND, count)) / (1 - tf.pow(_FIRST, count))
        rates = rate * self._factor
        weights = tf.concat([tf.reshape(weight, [-1]) for weight in self._weights], 0)
        moved = weights * (1 - rates * self._decay) - rates * corrected * mean / (tf.sqrt(square) + _EPSILON)
        for weight, part in zip(self._weights, tf.split(moved, self._sizes), strict=True):
            weight.assign(tf.reshape(part, weight.shape))
        return tf.sqrt(tf.reduce_sum(tf.square(gradient)))
