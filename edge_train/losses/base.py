"""Interface of losses, and the arithmetic that they share.

All arithmetic is float32, also in a model of mixed precision: in float16, 1 - 1e-7 is 1, and the gradient of an angle at
cosine 1 is not finite.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import ops

#: Cosines are clipped to +-(1 - this) before an angle or a sine is computed.
COSINE_MARGIN = 1e-6
#: Added inside the root of a norm, so that the gradient is finite at the zero vector.
NORM_EPSILON = 1e-12
#: Vectors with larger values are divided by their largest one before they are squared.
LARGE = 1e15


class Loss(keras.layers.Layer):  # type: ignore[misc]
    """A training objective on a batch of embeddings.

    The trainable weights are the head, such as class centres; the other weights are state, such as AdaCos' scale, and change
    only if ``training`` is true. Call a loss as ``loss(embeddings, labels, share=0.5, training=True)``.

    Attributes:
        needs: Smallest number of images per subject in a batch, 1 or 2.
        head_rate: Factor for the learning rate of the head's weights.
    """

    needs = 1
    head_rate = 1.0

    def __init__(self) -> None:
        super().__init__(dtype="float32", autocast=False)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Build a loss from its ``get_config``, which Keras collects from the arguments of the class."""
        own = inspect.signature(cls).parameters
        return cls(**{key: value for key, value in config.items() if key in own})

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean loss of a batch.

        Args:
            embeddings: Shape (B, D), not normalized; converted to float32.
            labels: Shape (B,), of any integer type, 0..classes - 1.
            share: Completed share of the training, 0..1; margins warm up with it.
            training: True updates state such as running means.

        Returns:
            A float32 scalar.
        """
        raise NotImplementedError


def unit(vectors: Any, axis: int = -1) -> Any:
    """Divide vectors by their L2 norm; the gradient is finite at the zero vector, because epsilon is inside the root."""
    vectors = ops.cast(vectors, "float32")
    vectors = vectors / _overflow_factor(vectors, axis)
    return vectors * ops.rsqrt(ops.sum(ops.square(vectors), axis=axis, keepdims=True) + NORM_EPSILON)


def lengths(vectors: Any) -> Any:
    """Return the L2 norms of vectors of shape (B, D), shape (B,); the gradient is finite at the zero vector."""
    vectors = ops.cast(vectors, "float32")
    factor = _overflow_factor(vectors, -1)
    length = ops.sqrt(ops.sum(ops.square(vectors / factor), axis=-1) + NORM_EPSILON)
    return length * ops.squeeze(factor, -1)


def _overflow_factor(vectors: Any, axis: int) -> Any:
    """Return the largest absolute value of vectors whose squares would exceed float32, and 1 for other vectors."""
    largest = ops.stop_gradient(ops.max(ops.abs(vectors), axis=axis, keepdims=True))
    return ops.where(largest > LARGE, largest, 1.0)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Return the mean softmax cross-entropy of logits of shape (B, classes) and labels of shape (B,)."""
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def warm_up(share: Any, start: float = 0.08, end: float = 0.4) -> Any:
    """Return a factor that rises linearly from 0 to 1 between two shares of the training.

    A small network that starts with the full margin learns little, because no angle is small yet.
    """
    return ops.clip((ops.cast(share, "float32") - start) / (end - start), 0.0, 1.0)


class ClassHead(Loss):
    """Base of losses with one weight vector per class.

    Args:
        classes: Number of subjects, at least 2.
        dimension: Length of the embedding.
        vectors: Number of weight vectors per class.
        seed: Seed of the weight vectors.
    """

    def __init__(self, *, classes: int, dimension: int, vectors: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.classes, self.dimension = classes, dimension
        self.centres = self.add_weight(
            shape=(dimension, classes * vectors),
            initializer=keras.initializers.RandomNormal(stddev=dimension**-0.5, seed=seed),
            name="centres",
        )

    def cosines(self, embeddings: Any) -> Any:
        """Return the cosines to all weight vectors, shape (B, classes)."""
        return ops.matmul(unit(embeddings), unit(self.centres, axis=0))

    def own(self, labels: Any) -> Any:
        """Return the mask of the own class, shape (B, classes), bool."""
        labels = ops.cast(labels, "int32")
        return ops.expand_dims(labels, 1) == ops.expand_dims(ops.arange(self.classes, dtype="int32"), 0)

    def mated(self, cosines: Any, labels: Any) -> Any:
        """Return the cosine to the own class, shape (B,)."""
        return ops.sum(ops.where(self.own(labels), cosines, 0.0), axis=1)

    def replaced(self, cosines: Any, labels: Any, values: Any) -> Any:
        """Return the cosines with the values, shape (B,), in place of the cosines to the own class."""
        return ops.where(self.own(labels), ops.expand_dims(values, 1), cosines)
