"""State of a training run, its compiled step and its checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.training.optimizer import FlatAdamW
from edge_train.training.schedule import Schedule

#: Changes a batch of pixels in the compiled step: (pixels float32 0..255, seed of shape (2,) int32) -> pixels.
Augment = Callable[[Any, Any], Any]
#: Normalized pixels, shape (B, H, W, C), float32 -> embeddings, shape (B, D), not normalized.
Inference = Callable[[Any], Any]


class Objective(Protocol):
    """A function of embeddings and targets that training makes small; every ``edge_train.losses.Loss`` is one."""

    head_rate: float
    trainable_variables: list[Any]
    non_trainable_variables: list[Any]

    def __call__(self, embeddings: Any, targets: Any, *, share: Any, training: bool) -> Any:
        """Return a float32 scalar."""


@dataclass(frozen=True, kw_only=True)
class StepFigures:
    """Figures of a step.

    Attributes:
        loss: Loss before the update.
        learning_rate: Learning rate of the backbone.
        mated: Mean cosine of embeddings of the same subject, -1..1; NaN if no subject has two images in the batch.
        alike: Mean cosine of embeddings of different subjects, -1..1; 1 is total collapse. If the targets are no labels, each
            image counts as a subject.
        gradient: L2 norm of the gradient, 0 or more.
    """

    loss: float
    learning_rate: float
    mated: float
    alike: float
    gradient: float


class Trainer:
    """A backbone, an objective and their optimizer.

    Args:
        backbone: Model from normalized pixels to embeddings; trained in place.
        objective: The loss.
        contract: Normalization of the pixels.
        schedule: Steps and learning rates.
        augment: Augmentation of the pixels; None for none.
        seed: Seed of the augmentation.
    """

    def __init__(
        self,
        backbone: keras.Model,
        objective: Objective,
        contract: InputContract,
        schedule: Schedule,
        *,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        self.backbone, self.objective, self.schedule = backbone, objective, schedule
        self.step = 0
        self._contract, self._augment, self._seed = contract, augment, seed
        groups = [(backbone.trainable_variables, 1.0), (objective.trainable_variables, objective.head_rate)]
        self._weights = [variable for variables, _ in groups for variable in variables]
        self._optimizer = FlatAdamW(groups, weight_decay=schedule.weight_decay)
        self._compiled = tf.function(self._update, reduce_retracing=True)
        self.figures = StepFigures(
            loss=math.nan, learning_rate=0.0, mated=math.nan, alike=math.nan, gradient=0.0
        )

    def advance(self, pixels: UInt8Array, targets: NDArray[Any]) -> float:
        """Update the weights once and return the loss; ``figures`` then holds all figures of the step.

        Args:
            pixels: Shape (B, H, W, C), uint8.
            targets: Labels, shape (B,), int32, or what the objective expects.
        """
        rate = self.schedule.rate(self.step)
        figures = self._compiled(
            tf.constant(pixels),
            tf.constant(targets),
            tf.constant(self.schedule.share(self.step), tf.float32),
            tf.constant(rate, tf.float32),
            tf.constant([self._seed, self.step], tf.int32),
        )
        loss, mated, alike, gradient = figures.numpy().tolist()
        self.step += 1
        self.figures = StepFigures(loss=loss, learning_rate=rate, mated=mated, alike=alike, gradient=gradient)
        return float(loss)

    def _update(
        self, pixels: tf.Tensor, targets: tf.Tensor, share: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        entry = tf.cast(pixels, tf.float32)
        if self._augment is not None:
            entry = self._augment(entry, seed)
        entry = (entry - self._contract.mean) / self._contract.scale
        with tf.GradientTape() as tape:
            embeddings = self.backbone(entry, training=True)
            loss = self.objective(embeddings, targets, share=share, training=True)
        gradient = self._optimizer.apply(tape.gradient(loss, self._weights), rate)
        return tf.stack([tf.cast(loss, tf.float32), *mean_cosines(embeddings, targets), gradient])

    def state(self) -> list[Any]:
        """Return every variable that a checkpoint contains."""
        objective = [*self.objective.trainable_variables, *self.objective.non_trainable_variables]
        return [*self.backbone.variables, *objective, *self._optimizer.variables]

    def save(self, path: Path, **extra: NDArray[Any]) -> None:
        """Write a checkpoint completely or not at all, so that a run killed while writing keeps the previous checkpoint.

        Args:
            path: The file.
            extra: Further arrays to store under their names.
        """
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            arrays = {f"arr_{place}": np.asarray(variable) for place, variable in enumerate(self.state())}
            arrays = {**arrays, "step": np.array(self.step), **extra}
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Load the state from a checkpoint of the same plan."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            for place, variable in enumerate(self.state()):
                variable.assign(stored[f"arr_{place}"])
            self.step = int(stored["step"])


def mean_cosines(embeddings: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the mean cosines of embeddings of the same subject and of different subjects, float32 scalars in -1..1.

    Args:
        embeddings: Shape (B, D), not normalized. Two zero embeddings count as equal, cosine 1.
        targets: Labels, shape (B,), integers. With targets of another kind, each image counts as a subject.

    Returns:
        (same, different); the first is NaN if no subject has two images, the second if there is only one subject.
    """
    raw = tf.cast(embeddings, tf.float32)
    length = tf.norm(raw, axis=1, keepdims=True)
    unit = raw / tf.maximum(length, 1e-12)
    zero = tf.cast(length < 1e-12, tf.float32)
    cosines = tf.matmul(unit, unit, transpose_b=True) + tf.matmul(zero, zero, transpose_b=True)
    itself = tf.eye(tf.shape(raw)[0])
    if targets.shape.rank == 1 and targets.dtype.is_integer:
        same = tf.cast(tf.equal(targets[:, None], targets[None, :]), tf.float32)
    else:
        same = itself
    mated, others = same - itself, 1.0 - same
    return (
        tf.reduce_sum(cosines * mated) / tf.reduce_sum(mated),
        tf.reduce_sum(cosines * others) / tf.reduce_sum(others),
    )


def inference(model: keras.Model) -> Inference:
    """Compile a model for inference: (B, H, W, C) normalized pixels, float32 -> (B, D), float32."""
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    compiled: Inference = tf.function(lambda entry: model(entry, training=False), input_signature=signature)
    return compiled


def embed(
    model: keras.Model | Inference, pixels: UInt8Array, contract: InputContract, *, batch: int = 128
) -> NDArray[np.float32]:
    """Embed images with a Keras model.

    Args:
        model: The backbone, or the function that ``inference`` returned for it, which is faster for many images.
        pixels: Shape (N, H, W, C), uint8.
        contract: Normalization of the pixels.
        batch: Number of images that are embedded together.

    Returns:
        Shape (N, D), float32, unit rows; a row of zeros if the embedding is zero.
    """
    run = partial(model, training=False) if isinstance(model, keras.Model) else model
    parts = []
    for start in range(0, len(pixels), batch):
        entry = (pixels[start : start + batch].astype(np.float32) - contract.mean) / contract.scale
        parts.append(np.asarray(run(tf.constant(entry, tf.float32))))
    raw = np.concatenate(parts)
    length = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
    unit: NDArray[np.float32] = (raw / length).astype(np.float32)
    return unit
