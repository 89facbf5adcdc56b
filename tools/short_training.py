"""Train networks briefly and equally on labelled pictures, to compare them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.data.samples import open_samples
from converters.evaluate.metrics import Unsupported, all_pairs, equal_error_rate, threshold_at_fmr
from converters.evaluate.metrics.curves import false_non_match_rate
from edge_sdk.model.card import InputContract
from edge_train.data.augment import make_augment
from edge_train.data.batches import SubjectBatches, prefetched
from edge_train.data.subjects import Subjects
from edge_train.errors import FolderError

if TYPE_CHECKING:
    import keras

_PER_BATCH, _IMAGES = 32, 4


@dataclass(frozen=True, eq=False)
class ShortTraining:
    """Pictures and settings that all compared networks share.

    Args:
        training: Subjects to train on.
        evaluation: Subjects to measure.
        contract: Input contract of the networks.
        dimension: Length of the embedding.
        steps: Number of steps of 32 subjects x 4 images.
        learning_rate: Peak learning rate.
        augmentation: Name of a set of augmentations.
    """

    training: Subjects
    evaluation: Subjects
    contract: InputContract
    dimension: int
    steps: int
    learning_rate: float
    augmentation: str

    @cached_property
    def evaluation_pixels(self) -> np.ndarray:
        """All evaluation images, shape (N, H, W, C), uint8."""
        return np.stack(
            [self.evaluation.samples.at_size(sample, self.contract) for sample in self.evaluation.flat]
        )

    def batches(self, seed: int) -> SubjectBatches:
        """Return the training batches."""
        return SubjectBatches(self.training, self.contract, per_batch=_PER_BATCH, images=_IMAGES, seed=seed)

    def objective(self, seed: int) -> Any:
        """Return an untrained softmax head on cosines, which needs no choice of a margin."""
        from edge_train.losses.margins import ArcFace

        return ArcFace(
            classes=len(self.training.names), dimension=self.dimension, scale=16.0, margin=0.0, seed=seed
        )

    def augment(self) -> Callable[[Any, Any], Any] | None:
        """Return the augmentation."""
        return make_augment(self.augmentation)

    def train(self, model: keras.Model, *, seed: int, factor: float = 1.0) -> float:
        """Train a model in place and return the processor time in seconds.

        Args:
            model: An untrained backbone.
            seed: Seed of the batches, the head and the augmentation.
            factor: Factor for the number of steps.
        """
        from converters.progress import stage
        from edge_train.training.schedule import Schedule
        from edge_train.training.trainer import Trainer

        began = time.process_time()
        schedule = Schedule(steps=round(factor * self.steps), learning_rate=self.learning_rate)
        trainer = Trainer(
            model, self.objective(seed), self.contract, schedule, augment=self.augment(), seed=seed
        )
        with stage("train") as progress:
            for pixels, targets in prefetched(self.batches(seed), 0, schedule.steps):
                trainer.advance(pixels, targets)
                progress(trainer.step, schedule.steps)
        return time.process_time() - began

    def rates(self, embeddings: np.ndarray) -> dict[str, float]:
        """Return ``eer`` and ``tar`` at FMR 1e-2 of all pairs of the evaluation images."""
        return error_rates(embeddings, self.evaluation.labels)


def error_rates(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return ``eer`` and ``tar`` at FMR 1e-2 of all pairs of images."""
    scores = all_pairs(embeddings, labels)
    rate, threshold = equal_error_rate(scores), threshold_at_fmr(scores, 1e-2)
    if isinstance(rate, Unsupported):
        raise FolderError(f"expected more evaluation pictures: {rate.reason}")
    if isinstance(threshold, Unsupported):
        raise FolderError(f"expected more evaluation pictures: {threshold.reason}")
    missed = false_non_match_rate(scores, np.array([threshold]))
    return {"eer": float(rate.rate), "tar": 1.0 - float(missed[0])}


def split_by_prefix(folder: Path, held_out: Sequence[str]) -> tuple[Subjects, Subjects]:
    """Split a folder ``SUBJECT/IMAGE`` into subjects to train on and subjects whose names begin with a prefix.

    Raises:
        FolderError: A part is empty.
    """
    samples = open_samples(folder)
    names = sorted({sample.subject for sample in samples.samples})
    evaluation = [name for name in names if name.startswith(tuple(held_out))]
    training = [name for name in names if name not in set(evaluation)]
    if len(training) < 2 or len(evaluation) < 2:
        raise FolderError(
            f"expected subjects to train on and subjects held out, found {len(training)} and {len(evaluation)}",
            hint="--held-out names the beginnings of the held-out subjects' names",
        )
    return Subjects.of(samples, training), Subjects.of(samples, evaluation)
