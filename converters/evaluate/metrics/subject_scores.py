"""Comparisons and their scores with the subjects of each score, for resampling by subject.

A `ScoreSet` gives the number of scores above a threshold; `SubjectScores` also gives their subjects,
for all mated scores and the highest non-mated scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.cosines import (
    DEFAULT_BLOCK_ROWS,
    IntArray,
    check_vectors,
    listed_scores,
    subject_codes,
    tiles,
)
from converters.evaluate.metrics.dyadic import PairDesign
from converters.evaluate.metrics.scores import ScoreSet, all_pairs, count_at_least, from_scores
from converters.evaluate.metrics.subject_shares import SubjectShare, subject_share
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray

#: Fewest subjects from whom a variance between subjects is estimated.
MIN_SUBJECTS = 10


@dataclass(frozen=True, eq=False)
class SubjectScores:
    """Mated scores and the highest non-mated scores, both descending, with subject numbers.

    Attributes:
        mated: Shape (M,), float32.
        mated_subject: Shape (M,), int64, 0..S-1.
        non_mated: Shape (K,), float32: at least every score >= the requested floor.
        first, second: Shape (K,), int32 or int64: the two subjects of each non-mated score.
        subjects: S.
        images: Shape (S,), int64: images per subject if all pairs were compared; None for listed comparisons, whose
            non-mated scores are all in `non_mated`.
        complete: True if `non_mated` contains every non-mated comparison.
    """

    mated: FloatArray
    mated_subject: IntArray
    non_mated: FloatArray
    first: NDArray[np.integer]
    second: NDArray[np.integer]
    subjects: int
    images: IntArray | None
    complete: bool

    def design(self) -> PairDesign:
        """Return the numbers of non-mated comparisons per pair of subjects."""
        if self.images is not None:
            return PairDesign.of_images(self.images)
        return PairDesign.of_pairs(self.first, self.second, self.subjects)

    def missed(self, threshold: float) -> SubjectShare | None:
        """Compute the FNMR at a threshold, a float32 value, as a mean over subjects; None without mated comparisons."""
        if not self.mated.size:
            return None
        return subject_share(self.mated_subject, self.mated < np.float32(threshold))

    def matches(self, threshold: float) -> int:
        """Count the non-mated scores at or above a threshold."""
        return count_at_least(self.non_mated[::-1], threshold)


@dataclass(frozen=True, eq=False)
class _LabelledVectors:
    """Embeddings with one subject label each."""

    vectors: FloatArray
    labels: Sequence[str] | IntArray

    def __post_init__(self) -> None:
        checked = check_vectors(self.vectors)
        object.__setattr__(self, "vectors", checked)
        object.__setattr__(self, "labels", subject_codes(self.labels, len(checked)))

    @property
    def codes(self) -> IntArray:
        """Subject number of each image, shape (n,), int64."""
        return np.asarray(self.labels, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class AllPairs(_LabelledVectors):
    """Comparisons of every image with every other.

    Args:
        vectors: Shape (n, D), float32, unit norm, n >= 2.
        labels: One subject label per image.
        block_rows: Rows per tile; does not change the results.

    Raises:
        InputError: The vectors or labels are invalid.
    """

    block_rows: int = DEFAULT_BLOCK_ROWS

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return int(self.codes.max()) + 1 if self.codes.size else 0

    def scores(self) -> ScoreSet:
        """Return the score set (`scores.all_pairs`); it is computed once."""
        return self._scores

    @cached_property
    def _scores(self) -> ScoreSet:
        return all_pairs(self.vectors, self.codes, block_rows=self.block_rows)

    def with_subjects(self, floor: float) -> SubjectScores:
        """Compute all mated scores and the non-mated scores >= floor, with their subjects."""
        codes = self.codes
        mated, owners = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        above, first, second = [np.empty(0, np.float32)], [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        for tile in tiles(self.vectors, codes, block_rows=self.block_rows):
            high = tile.scores >= floor
            if tile.mated is not None and tile.non_mated is not None:
                rows, _ = np.nonzero(tile.mated)
                mated.append(tile.scores[tile.mated])
                owners.append(codes[tile.rows[rows]])
                high &= tile.non_mated
            rows, columns = np.nonzero(high)
            above.append(tile.scores[rows, columns])
            first.append(codes[tile.rows[rows]].astype(np.int32))
            second.append(codes[tile.columns[columns]].astype(np.int32))
        own, top = np.concatenate(mated), np.concatenate(above)
        by_own, by_top = _descending(own), _descending(top)
        images = np.bincount(codes).astype(np.int64)
        pairs = (codes.size**2 - int((images**2).sum())) // 2
        return SubjectScores(
            own[by_own],
            np.concatenate(owners)[by_own],
            top[by_top],
            np.concatenate(first)[by_top],
            np.concatenate(second)[by_top],
            images.size,
            images,
            top.size == pairs,
        )


@dataclass(frozen=True, eq=False)
class ListedPairs(_LabelledVectors):
    """Listed comparisons, such as those of a pairs file.

    Args:
        vectors: Shape (n, D), float32, unit norm.
        labels: One subject label per image.
        first, second: Shape (P,), rows of the two images of each comparison; P >= 1.

    Raises:
        InputError: The vectors or labels are invalid, or there is no comparison.
    """

    first: IntArray
    second: IntArray

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.asarray(self.first).size == 0:
            raise InputError("expected at least one comparison, found none", hint="check the pairs file")

    @property
    def subjects(self) -> int:
        """Number of subjects among the listed comparisons' images."""
        return int(np.unique(np.concatenate([self.codes[self.first], self.codes[self.second]])).size)

    def scores(self) -> ScoreSet:
        """Compute the score set of the listed comparisons."""
        values = listed_scores(self.vectors, self.first, self.second)
        same = self.codes[self.first] == self.codes[self.second]
        return from_scores(values[same], values[~same])

    def with_subjects(self, floor: float) -> SubjectScores:
        """Compute all listed scores with their subjects; `floor` is ignored, because all scores are kept."""
        del floor
        values = listed_scores(self.vectors, self.first, self.second)
        used, numbers = np.unique(
            np.concatenate([self.codes[self.first], self.codes[self.second]]), return_inverse=True
        )
        left, right = numbers[: values.size], numbers[values.size :]
        same = left == right
        own, other = np.flatnonzero(same), np.flatnonzero(~same)
        own, other = own[_descending(values[own])], other[_descending(values[other])]
        return SubjectScores(
            values[own], left[own], values[other], left[other], right[other], int(used.size), None, True
        )


Comparisons = AllPairs | ListedPairs


def check_same_comparisons(baseline: Comparisons, candidate: Comparisons) -> None:
    """Raise InputError unless both compare the same images in the same order."""
    same = type(baseline) is type(candidate) and np.array_equal(baseline.codes, candidate.codes)
    for name in ("first", "second"):
        same = same and np.array_equal(getattr(baseline, name, 0), getattr(candidate, name, 0))
    if not same:
        raise InputError(
            f"expected the same images in the same order for both artefacts, "
            f"found {baseline.codes.size} and {candidate.codes.size} images or other labels",
            hint="keep the images that both artefacts embedded (`in_common`)",
        )


def mated_per_subject(comparisons: Comparisons) -> IntArray:
    """Count the mated comparisons of each subject; shape (largest subject number + 1,)."""
    codes = comparisons.codes
    if isinstance(comparisons, AllPairs):
        images = np.bincount(codes)
        return np.asarray(images * (images - 1) // 2, dtype=np.int64)
    left, right = codes[comparisons.first], codes[comparisons.second]
    return np.bincount(left[left == right], minlength=int(codes.max()) + 1).astype(np.int64)


def mated_subjects(comparisons: Comparisons) -> int:
    """Count the subjects with at least one mated comparison."""
    return int(np.count_nonzero(mated_per_subject(comparisons)))


def subject_pairs(comparisons: Comparisons) -> int:
    """Count the pairs of different subjects that are compared at least once."""
    if isinstance(comparisons, AllPairs):
        return comparisons.subjects * (comparisons.subjects - 1) // 2
    left, right = comparisons.codes[comparisons.first], comparisons.codes[comparisons.second]
    other = left != right
    return PairDesign.of_pairs(left[other], right[other], int(comparisons.codes.max()) + 1).dyads


def _descending(scores: FloatArray) -> IntArray:
    return np.argsort(-scores, kind="stable")
