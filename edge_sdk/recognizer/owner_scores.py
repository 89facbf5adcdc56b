"""Scores of a probe for the owner of a gallery: bounded in number and precision, and recorded in the audit log.

Anyone who has a key of the gallery can read its templates, so the scores tell the owner nothing new. They are bounded because of what
happens to them afterwards: a screen, a log or a web page shows them to others. From about 192 scores of the best
precision a usable template can be reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery import Gallery

#: Most probes whose scores are shown within `WITHIN_S` seconds; each gives two scores.
MOST_PROBES = 20
WITHIN_S = 86_400
SHOWN_SUBJECTS = 2


@dataclass(frozen=True)
class OwnerScore:
    """Score of one subject, for the owner.

    Attributes:
        subject: Name of the subject.
        score: Cosine of the subject's most similar template, rounded to two decimals.
        threshold: Cosine that the subject has to reach, rounded up to two decimals; None without a decision policy.
    """

    subject: str
    score: float
    threshold: float | None


def owner_scores(gallery: Gallery, embedding: NDArray[np.float32]) -> tuple[OwnerScore, ...]:
    """Return the two most similar subjects with their scores; revoked and expired subjects count too.

    Args:
        gallery: The gallery, opened with one of its keys.
        embedding: Shape (D,), float32, finite, any length.

    Raises:
        InputError: The embedding is malformed.
        GalleryError: The gallery keeps no audit log, it cannot be written, or scores were shown too often.
    """
    gallery.refresh()
    probe = gallery.transform_probe(embedding)
    references, subjects = gallery.references(), gallery.subjects()
    gallery.audit.record_scores_shown(most=MOST_PROBES, within_s=WITHIN_S)
    rows = references.matrix.astype(np.float64)
    scores = (rows @ probe) / np.linalg.norm(rows, axis=1)
    best = np.full(len(subjects), -1.0)
    np.maximum.at(best, references.subject_indices, scores)
    policy_threshold = gallery.status().threshold
    return tuple(
        OwnerScore(
            subjects[index].name,
            round(float(best[index]), 2),
            _rounded_up(policy_threshold, subjects[index].threshold),
        )
        for index in np.argsort(-best, kind="stable")[:SHOWN_SUBJECTS].tolist()
    )


def _rounded_up(policy: float | None, own: float | None) -> float | None:
    thresholds = [threshold for threshold in (policy, own) if threshold is not None]
    return float(np.ceil(max(thresholds) * 100 - 1e-9) / 100) if thresholds else None
