"""Agreement of a student with its teacher: cosines, error rates of both, and comparisons across the two networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.evaluate.metrics.curves import equal_error_rate
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.scores import ScoreSet, all_pairs, from_scores
from edge_sdk.types import FloatArray
from edge_train.data.subjects import Subjects

# Comparisons across two networks need a matrix of this side squared.
_MOST_IMAGES = 3000


@dataclass(frozen=True)
class TeacherAgreement:
    """Agreement on images that the student was not trained on.

    Attributes:
        images: Number of images.
        cosine_mean, cosine_min: Cosine between the two embeddings of an image, -1..1.
        teacher_eer, student_eer: EER of each network, 0..1; None without labels.
        crossed_eer: EER of the student's probes against the teacher's references, 0..1; None without labels. If it is near
            the student's, a gallery of the teacher's references can be searched with the student.
    """

    images: int
    cosine_mean: float
    cosine_min: float
    teacher_eer: float | None = None
    student_eer: float | None = None
    crossed_eer: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return dict(vars(self))

    def to_text(self) -> tuple[str, ...]:
        """Return the values as lines for a terminal."""
        lines = [
            f"cosine to the teacher on {self.images} images that were not trained on: mean {self.cosine_mean:.4f},"
            f" least {self.cosine_min:.4f}"
        ]
        if self.teacher_eer is not None and self.student_eer is not None and self.crossed_eer is not None:
            lines.append(
                f"EER of the teacher {100 * self.teacher_eer:.2f} %, of the student {100 * self.student_eer:.2f} %,"
                f" of the student's probes against the teacher's references {100 * self.crossed_eer:.2f} %"
            )
        return tuple(lines)


def agreement(
    student: FloatArray, teacher: FloatArray, subjects: Subjects, *, labelled: bool = True
) -> TeacherAgreement:
    """Compare the embeddings of a student and of its teacher.

    Args:
        student: Shape (N, D), float32, unit rows.
        teacher: The same images by the teacher.
        subjects: The images, in the same order.
        labelled: True if the subjects are known, so that there are error rates.
    """
    cosines = np.sum(student * teacher, axis=1)
    rates: tuple[float | None, ...] = (None, None, None)
    if labelled:
        labels = subjects.labels.astype(np.int64)
        rates = tuple(
            _eer(scores)
            for scores in (
                all_pairs(teacher, labels),
                all_pairs(student, labels),
                _crossed(student, teacher, labels),
            )
        )
    return TeacherAgreement(len(cosines), float(cosines.mean()), float(cosines.min()), *rates)


def _crossed(student: FloatArray, teacher: FloatArray, labels: Any) -> ScoreSet:
    """Return the scores of each student's embedding with the teacher's of each other image."""
    kept = slice(0, _MOST_IMAGES)
    scores = np.clip(student[kept] @ teacher[kept].T, -1, 1).astype(np.float32)
    same = labels[kept, None] == labels[None, kept]
    other = ~np.eye(len(scores), dtype=bool)
    return from_scores(scores[same & other], scores[~same])


def _eer(scores: ScoreSet) -> float | None:
    result = equal_error_rate(scores)
    return None if isinstance(result, Unsupported) else float(result.rate)
