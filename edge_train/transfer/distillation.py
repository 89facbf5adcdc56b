"""Distillation: the objective and the batches of a student that learns a teacher's embeddings, without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from converters.data.samples import Sample, SampleSet
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray, UInt8Array
from edge_train.data.batches import SubjectBatches
from edge_train.data.subjects import Subjects
from edge_train.errors import PlanError
from edge_train.losses.base import Loss, unit


class CosineToTeacher(Loss):
    """Mean of 1 - cosine between the student's embedding and the teacher's, 0..2.

    For unit vectors it is half the squared distance, the regression of FitNets (Romero et al., arXiv:1412.6550) on the
    embedding. The targets are the teacher's embeddings, shape (B, D), float32.
    """

    def call(self, embeddings: Any, labels: Any, share: Any = 1.0, training: bool = False) -> Any:
        """Return the mean of a batch; ``share`` and ``training`` change nothing."""
        del share, training
        return ops.mean(1.0 - ops.sum(unit(embeddings) * unit(labels), axis=-1))


def as_subjects(samples: SampleSet, chosen: tuple[Sample, ...] | None = None) -> Subjects:
    """Return images as subjects of one image each, in the order of the samples."""
    images = samples.samples if chosen is None else chosen
    return Subjects(samples, tuple(sample.name for sample in images), tuple((sample,) for sample in images))


class TeacherBatches:
    """Batches of images in shuffled rounds, with the teacher's embeddings as targets.

    The teacher's embedding is that of the image as it is; the student sees it augmented.

    Args:
        images: The images, as ``as_subjects`` returns them.
        contract: Size and colour of the student's input.
        embeddings: Shape (N, D), float32, such as a memory-mapped file: the teacher's embedding of each image.
        size: Number of images in a batch, at least 2.
        seed: Seed of the order.

    Raises:
        PlanError: There is not one embedding for each image.
    """

    def __init__(
        self, images: Subjects, contract: InputContract, embeddings: FloatArray, *, size: int, seed: int
    ) -> None:
        if len(embeddings) != len(images.flat):
            raise PlanError(
                f"expected a teacher's embedding of each of {len(images.flat)} images, found {len(embeddings)}"
            )
        self._batches = SubjectBatches(images, contract, per_batch=size, images=1, seed=seed)
        self._embeddings = embeddings

    def batch(self, step: int) -> tuple[UInt8Array, FloatArray]:
        """Return the pixels of a step, shape (B, H, W, C), uint8, and the teacher's embeddings, shape (B, D), float32.

        Raises:
            TrainingError: An image cannot be read or decoded.
        """
        pixels, rows = self._batches.batch(step)
        return pixels, np.asarray(self._embeddings[rows], np.float32)
