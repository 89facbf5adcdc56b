"""Searches of probes in a gallery, 1:N.

A search compares a probe with every reference. The score of a subject is the highest score of its references.
The subject of a mated probe is enrolled, the subject of a non-mated probe (a stranger) is not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import IntArray, check_vectors, on_grid
from converters.evaluate.metrics.scores import count_at_least
from converters.evaluate.metrics.subject_shares import SubjectShare, subject_share
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray

NEVER = np.float32(-2.0)
MAX_REFERENCES = 1_000_000


@dataclass(frozen=True, eq=False)
class SearchScores:
    """Results of a set of searches.

    Attributes:
        mated_scores: Shape (M,), float32: score of the probe's own subject; -2 after a failure to acquire the probe
            or to enrol its subject.
        mated_ranks: Shape (M,), int64: rank of the probe's own subject, 1 is best; other subjects with the same score
            rank first; 0 after such a failure.
        mated_subjects: Shape (M,), int64: subject of each mated probe, numbered from 0.
        non_mated_tops: Shape (N,), float32, ascending: highest score of each non-mated probe.
        strangers: Shape (N,), int64: subject of each non-mated probe, in the order of the tops, numbered from 0 without
            gaps.
        candidates: Shape (N,), int64: enrolled subject that gave each top, 0..`subjects` - 1.
        references: Number of templates in the gallery.
        subjects: Number of subjects in the gallery.
        failures: Number of mated probes that failed to acquire or whose subject failed to enrol.
    """

    mated_scores: FloatArray
    mated_ranks: IntArray
    mated_subjects: IntArray
    non_mated_tops: FloatArray
    strangers: IntArray
    candidates: IntArray
    references: int
    subjects: int
    failures: int

    @property
    def stranger_count(self) -> int:
        """Number of different subjects among the non-mated probes."""
        return int(self.strangers.max()) + 1 if self.strangers.size else 0

    def above(self, errors: int) -> float:
        """Return the lowest float32 threshold that at most `errors` non-mated searches reach, 0..N - 1."""
        tops = self.non_mated_tops
        return float(np.nextafter(tops[tops.size - 1 - errors], np.float32(np.inf)))

    def matches(self, threshold: float) -> int:
        """Count the non-mated searches with a score at or above the threshold."""
        return count_at_least(self.non_mated_tops, threshold)

    def missed(self, threshold: float, rank: int) -> SubjectShare | None:
        """Compute the share of mated searches whose subject is not among the first `rank` at or above the threshold.

        Failures count as misses. None without mated probes.
        """
        if not self.mated_scores.size:
            return None
        listed = (self.mated_ranks >= 1) & (self.mated_ranks <= rank)
        return subject_share(self.mated_subjects, ~listed | (self.mated_scores < np.float32(threshold)))


def search(
    references: FloatArray,
    reference_subjects: Sequence[str],
    probes: FloatArray,
    probe_subjects: Sequence[str],
    *,
    failed_to_enrol: Collection[str] = (),
    failed_probes: Sequence[str] = (),
    block_rows: int = 256,
) -> SearchScores:
    """Search the gallery for every probe.

    Args:
        references: Shape (G, D), float32, unit norm, G >= 1.
        reference_subjects: G labels.
        probes: Shape (P, D), float32, unit norm.
        probe_subjects: P labels; probes of a subject that is neither enrolled nor in `failed_to_enrol` are
            non-mated.
        failed_to_enrol: Subjects without any reference; their probes count as misses.
        failed_probes: Subjects of probes that failed to acquire; probes of enrolled subjects count as
            misses, the others are ignored, because they raise no alarm.
        block_rows: Probes per block; does not change the results.

    Raises:
        InputError: Vectors or labels are invalid, the gallery is empty, or the dimensions differ.
    """
    gallery, searched = check_vectors(references), check_vectors(probes)
    if len(gallery) == 0 or len(gallery) > MAX_REFERENCES or gallery.shape[1] != searched.shape[1]:
        raise InputError(
            f"expected 1..{MAX_REFERENCES} references of the probes' dimension, "
            f"found {gallery.shape} and {searched.shape}",
            hint="enrol at least one sample, with the same model",
        )
    if len(reference_subjects) != len(gallery) or len(probe_subjects) != len(searched) or block_rows < 1:
        raise InputError(
            f"expected one label per embedding, found {len(reference_subjects)} for {len(gallery)} "
            f"references and {len(probe_subjects)} for {len(searched)} probes",
            hint="keep embeddings and labels in the same order",
        )
    names, codes = np.unique(np.asarray(reference_subjects, dtype=np.str_), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(names.size))
    grid, probe_grid = on_grid(gallery[order]), on_grid(searched)
    number = {str(name): place for place, name in enumerate(names)}
    own = np.array([number.get(subject, -1) for subject in probe_subjects], dtype=np.int64)
    unenrolled = np.array([subject in failed_to_enrol for subject in probe_subjects], dtype=bool) & (own < 0)
    stranger = (own < 0) & ~unenrolled
    mated_scores, mated_ranks, tops, candidates = [], [], [], []
    for start in range(0, len(searched), block_rows):
        part = slice(start, start + block_rows)
        pairs = (probe_grid[part] @ grid.T).astype(np.float32)
        best = np.maximum.reduceat(pairs, starts, axis=1)
        inside = np.flatnonzero(own[part] >= 0)
        score = best[inside, own[part][inside]]
        mated_scores.append(score)
        mated_ranks.append((best[inside] >= score[:, None]).sum(axis=1))
        outside = best[stranger[part]]
        candidates.append(outside.argmax(axis=1))
        tops.append(np.take_along_axis(outside, candidates[-1][:, None], axis=1)[:, 0])
    labels = np.asarray(probe_subjects, dtype=np.str_)
    failed = [*labels[unenrolled], *(s for s in failed_probes if s in number or s in failed_to_enrol)]
    all_tops = np.concatenate([np.empty(0, np.float32), *tops])
    ascending = np.argsort(all_tops, kind="stable")
    return SearchScores(
        mated_scores=np.concatenate([*mated_scores, np.full(len(failed), NEVER)]).astype(np.float32),
        mated_ranks=np.concatenate([*mated_ranks, np.zeros(len(failed))]).astype(np.int64),
        mated_subjects=_numbered([*labels[own >= 0], *failed]),
        non_mated_tops=all_tops[ascending],
        strangers=_numbered(labels[stranger][ascending]),
        candidates=np.concatenate([np.empty(0, np.int64), *candidates])[ascending],
        references=len(gallery),
        subjects=int(names.size),
        failures=len(failed),
    )


def _numbered(labels: Sequence[str] | NDArray[np.str_]) -> IntArray:
    """Number equal labels alike, from 0."""
    return np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
