"""State of a training run, its compiled step and its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.training.schedule import Schedule

#: Changes a batch of pixels in the compiled step: (pixels float32 0..255, seed of shape (2,) int32) -> pixels.
Augment = Callable[[Any, Any], Any]


class Objective(Protocol):
    """A function of embeddings and targets that training makes small; every ``edge_train.losses.Loss`` is one."""

    head_rate: float
    trainable_variables: list[Any]
    non_trainable_variables: list[Any]

    def __call__(self, embeddings: Any, targets: Any, *, share: Any, training: bool) -> Any:
        """Return a float32 scalar."""


class Trainer:
    """A backbone, an objective and their optimizers.

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
        self._groups = [(backbone.trainable_variables, 1.0)]
        if objective.trainable_variables:
            self._groups.append((objective.trainable_variables, objective.head_rate))
        self._optimizers = []
        for variables, _ in self._groups:
            optimizer = keras.optimizers.AdamW(schedule.learning_rate, weight_decay=schedule.weight_decay)
            # Gains, shifts and slopes are few and not centred on 0: weight decay would only bias them.
            optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "alpha", "bias"])
            optimizer.build(variables)
            self._optimizers.append(optimizer)
        self._compiled = tf.function(self._update, reduce_retracing=True)

    def advance(self, pixels: UInt8Array, targets: NDArray[Any]) -> float:
        """Update the weights once and return the loss.

        Args:
            pixels: Shape (B, H, W, C), uint8.
            targets: Labels, shape (B,), int32, or what the objective expects.
        """
        for optimizer, (_, factor) in zip(self._optimizers, self._groups, strict=True):
            optimizer.learning_rate.assign(self.schedule.rate(self.step) * factor)
        loss = self._compiled(
            tf.constant(pixels),
            tf.constant(targets),
            tf.constant(self.schedule.share(self.step), tf.float32),
            tf.constant([self._seed, self.step], tf.int32),
        )
        self.step += 1
        return float(loss)

    def _update(self, pixels: tf.Tensor, targets: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        entry = tf.cast(pixels, tf.float32)
        if self._augment is not None:
            entry = self._augment(entry, seed)
        entry = (entry - self._contract.mean) / self._contract.scale
        with tf.GradientTape() as tape:
            embeddings = self.backbone(entry, training=True)
            loss = self.objective(embeddings, targets, share=share, training=True)
        lists = [variables for variables, _ in self._groups]
        for optimizer, gradients, variables in zip(
            self._optimizers, tape.gradient(loss, lists), lists, strict=True
        ):
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def _state(self) -> list[Any]:
        optimizers = [variable for optimizer in self._optimizers for variable in optimizer.variables]
        objective = [*self.objective.trainable_variables, *self.objective.non_trainable_variables]
        return [*self.backbone.variables, *objective, *optimizers]

    def save(self, path: Path) -> None:
        """Write a checkpoint completely or not at all, so that a run killed while writing keeps the previous checkpoint."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, *[np.asarray(variable) for variable in self._state()], step=np.array(self.step))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Load the state from a checkpoint of the same plan."""
        with np.load(path, allow_pickle=False) as stored:
            for place, variable in enumerate(self._state()):
                variable.assign(stored[f"arr_{place}"])
            self.step = int(stored["step"])


def embed(
    model: keras.Model, pixels: UInt8Array, contract: InputContract, *, batch: int = 128
) -> NDArray[np.float32]:
    """Embed images with a Keras model.

    Args:
        model: The backbone.
        pixels: Shape (N, H, W, C), uint8.
        contract: Normalization of the pixels.
        batch: Number of images that are embedded together.

    Returns:
        Shape (N, D), float32, unit rows.
    """
    parts = []
    for start in range(0, len(pixels), batch):
        entry = (pixels[start : start + batch].astype(np.float32) - contract.mean) / contract.scale
        parts.append(np.asarray(model(tf.constant(entry), training=False)))
    raw = np.concatenate(parts)
    length = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
    unit: NDArray[np.float32] = (raw / length).astype(np.float32)
    return unit
