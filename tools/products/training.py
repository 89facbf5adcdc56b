"""Train the backbone with ArcFace (arXiv:1801.07698), with a checkpoint after each epoch.

Learning rate and margin depend only on the step, and the order of photos only on the epoch. So an interrupted run
continues from the last complete epoch with the same result as an uninterrupted run.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.products.dataset import batches, progress
from tools.products.photos import MEAN, SCALE
from tools.products.settings import Settings

if TYPE_CHECKING:
    import keras

_WARM_UP = 0.06  # share of the steps with a rising learning rate
# Shares of the steps between which the margin rises. A small network that starts with the full margin learns little,
# because no angle is small yet.
_MARGIN_FROM, _MARGIN_TO = 0.08, 0.4


def learning_rate_at(progress_share: float, peak: float) -> float:
    """Return the learning rate after a share of the run, 0..1: a linear rise, then a cosine to 1 % of `peak`."""
    if progress_share < _WARM_UP:
        return peak * (0.05 + 0.95 * progress_share / _WARM_UP)
    rest = (progress_share - _WARM_UP) / (1 - _WARM_UP)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, rest))))


def margin_at(progress_share: float, full: float) -> float:
    """Return ArcFace's margin, radians, after a share of the run, 0..1."""
    return full * min(1.0, max(0.0, (progress_share - _MARGIN_FROM) / (_MARGIN_TO - _MARGIN_FROM)))


@dataclass(eq=False)
class Training:
    """State of a training run, saved in a checkpoint.

    Attributes:
        centres: ArcFace head, shape (embedding, classes), float32.
        epoch: Number of completed epochs.
    """

    settings: Settings
    backbone: keras.Model
    centres: Any
    optimizer: Any
    classes: int
    epoch: int = 0

    @classmethod
    def start(cls, settings: Settings, classes: int) -> Training:
        """Start a new run for `classes` products."""
        import keras

        from tools.products import network

        keras.utils.set_random_seed(settings.seed)
        backbone = network.build(settings.embedding)
        centres = keras.Variable(
            np.random.default_rng([settings.seed, 3]).normal(0, 0.05, (settings.embedding, classes)),
            dtype="float32",
            name="centres",
        )
        optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
        # Gains, shifts and slopes are few and not centred on 0: weight decay would only bias them.
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "alpha"])
        optimizer.build([*backbone.trainable_variables, centres])
        return cls(settings, backbone, centres, optimizer, classes)

    def _state(self) -> list[Any]:
        return [*self.backbone.variables, self.centres, *self.optimizer.variables]

    def save(self, path: Path) -> None:
        """Write a checkpoint completely or not at all, so that a run killed while writing keeps the previous checkpoint."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, *[np.asarray(variable) for variable in self._state()], epoch=np.array(self.epoch))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Load the state from the checkpoint at `path`."""
        with np.load(path, allow_pickle=False) as stored:
            for place, variable in enumerate(self._state()):
                variable.assign(stored[f"arr_{place}"])
            self.epoch = int(stored["epoch"])


def _compile_step(training: Training) -> Any:
    """Return a compiled `step(pictures, labels, margin) -> (loss, hits)` that updates the weights once."""
    import tensorflow as tf

    settings, backbone = training.settings, training.backbone
    variables = [*backbone.trainable_variables, training.centres]

    @tf.function(jit_compile=False, reduce_retracing=True)
    def step(pictures: tf.Tensor, labels: tf.Tensor, margin: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        entry = (tf.cast(pictures, tf.float32) - MEAN) / SCALE
        with tf.GradientTape() as tape:
            unit = tf.math.l2_normalize(backbone(entry, training=True), axis=1)
            cosine = unit @ tf.math.l2_normalize(tf.convert_to_tensor(training.centres), axis=0)
            own = tf.one_hot(labels, training.classes)
            mated = tf.clip_by_value(tf.reduce_sum(cosine * own, axis=1), -1 + 1e-6, 1 - 1e-6)
            # cos(angle + margin) would rise again beyond pi - margin, so a line replaces it there.
            moved = mated * tf.cos(margin) - tf.sqrt(1 - mated * mated) * tf.sin(margin)
            moved = tf.where(mated > -tf.cos(margin), moved, mated - margin * tf.sin(margin))
            logits = settings.scale * (cosine + own * (moved - mated)[:, None])
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, variables)
        training.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        hits = tf.reduce_mean(tf.cast(tf.argmax(cosine, axis=1) == tf.cast(labels, tf.int64), tf.float32))
        return loss, hits

    return step


def train(settings: Settings, photos: np.ndarray, work: Path) -> keras.Model:
    """Train on `photos`, starting from the checkpoint in `work` if it exists.

    Args:
        photos: Shape (classes, photos, H, W, 3), uint8, RGB.
        work: Folder for `checkpoint.npz` and `training.log`.

    Returns:
        The trained backbone.
    """
    import tensorflow as tf

    classes, count = photos.shape[:2]
    training = Training.start(settings, classes)
    checkpoint = work / "checkpoint.npz"
    if checkpoint.exists():
        training.restore(checkpoint)
        print(f"resume after epoch {training.epoch} of {settings.epochs}", file=sys.stderr)
    step = _compile_step(training)
    per_epoch = classes * count // settings.batch
    flat = photos.reshape(-1, *photos.shape[2:])
    for epoch in range(training.epoch, settings.epochs):
        order = batches(classes, count, batch=settings.batch, seed=settings.seed, epoch=epoch)
        losses, hits = [], []
        for place, chosen in enumerate(
            progress(order, total=per_epoch, title=f"epoch {epoch + 1}/{settings.epochs}")
        ):
            share = (epoch * per_epoch + place) / (settings.epochs * per_epoch)
            training.optimizer.learning_rate.assign(learning_rate_at(share, settings.learning_rate))
            loss, hit = step(
                tf.constant(flat[chosen]),
                tf.constant(chosen // count, tf.int32),
                tf.constant(margin_at(share, settings.margin), tf.float32),
            )
            losses.append(float(loss))
            hits.append(float(hit))
        training.epoch = epoch + 1
        training.save(checkpoint)
        line = f"epoch {epoch + 1} loss {np.mean(losses[-200:]):.3f} hits {np.mean(hits[-200:]):.3f}"
        with (work / "training.log").open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, file=sys.stderr, flush=True)
    return training.backbone
