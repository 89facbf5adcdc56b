"""Mated scores and the highest non-mated scores with the images, subjects and groups of each comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from converters.evaluate.metrics.cosines import BoolArray, IntArray, listed_scores, tiles
from converters.evaluate.metrics.dyadic import PairDesign
from converters.evaluate.metrics.subject_scores import Comparisons, ListedPairs
from edge_sdk.types import FloatArray


@dataclass(frozen=True, eq=False)
class PairScores:
    """Scores of comparisons and their images.

    Attributes:
        scores: Shape (P,), float32.
        first, second: Shape (P,), int64: rows of the two images.
    """

    scores: FloatArray
    first: IntArray
    second: IntArray

    def select(self, rows: BoolArray) -> PairScores:
        """Select comparisons by a mask of shape (P,)."""
        return PairScores(self.scores[rows], self.first[rows], self.second[rows])


@dataclass(frozen=True, eq=False)
class GroupedScores:
    """Comparisons of images with subjects and groups.

    Attributes:
        subject: Shape (n,), int64: subject of each image, 0..S-1.
        group: Shape (n,), int64: group of each image, 0..G-1, or -1 for an image without a group.
        groups: G.
        mated: All mated comparisons.
        non_mated: All non-mated comparisons with a score at or above `floor`, in no order.
        floor: Lowest threshold for which counts of `non_mated` are complete.
        listed: All listed non-mated comparisons; None if every image was compared with every other.
    """

    subject: IntArray
    group: IntArray
    groups: int
    mated: PairScores
    non_mated: PairScores
    floor: float
    listed: PairScores | None

    def regrouped(self, group: IntArray, groups: int) -> GroupedScores:
        """Return the same scores with other groups."""
        return replace(self, group=group, groups=groups)

    @property
    def subjects(self) -> int:
        """Number of subjects, S."""
        return int(self.subject.max()) + 1 if self.subject.size else 0

    def images(self) -> IntArray:
        """Count the images per subject and group, shape (S, G)."""
        known = self.group >= 0
        cells = self.subject[known] * self.groups + self.group[known]
        counts = np.bincount(cells, minlength=self.subjects * self.groups)
        return counts.reshape(self.subjects, self.groups).astype(np.int64)

    def within(self, pairs: PairScores, chosen: BoolArray) -> BoolArray:
        """Select the pairs whose images are in the same group, if it is among the chosen groups (shape (G,) bool)."""
        group = self.group[pairs.first]
        return np.asarray((group == self.group[pairs.second]) & (group >= 0) & chosen[group])

    def across(self, pairs: PairScores, first: int, second: int) -> BoolArray:
        """Select the pairs with one image in each of two groups."""
        left, right = self.group[pairs.first], self.group[pairs.second]
        return np.asarray(((left == first) & (right == second)) | ((left == second) & (right == first)))

    def design_within(self, chosen: BoolArray) -> PairDesign:
        """Describe the non-mated comparisons within the chosen groups (shape (G,) bool)."""
        if self.listed is None:
            return PairDesign.within_groups(self.images()[:, chosen])
        return self._of_listed(self.listed.select(self.within(self.listed, chosen)))

    def design_across(self, first: int, second: int) -> PairDesign:
        """Describe the non-mated comparisons between two groups."""
        if self.listed is None:
            images = self.images()
            return PairDesign.across_groups(images[:, first], images[:, second])
        return self._of_listed(self.listed.select(self.across(self.listed, first, second)))

    def _of_listed(self, pairs: PairScores) -> PairDesign:
        return PairDesign.of_pairs(self.subject[pairs.first], self.subject[pairs.second], self.subjects)


def grouped_scores(comparisons: Comparisons, group: IntArray, groups: int, *, floor: float) -> GroupedScores:
    """Score the comparisons and keep their images.

    Args:
        comparisons: All pairs or listed pairs of n images.
        group: Shape (n,): group of each image, or -1.
        groups: Number of groups.
        floor: Non-mated scores below it are dropped; a listed comparison is always kept in `listed`.
    """
    codes = comparisons.codes
    if isinstance(comparisons, ListedPairs):
        first, second = (np.asarray(side, dtype=np.int64) for side in (comparisons.first, comparisons.second))
        every = PairScores(listed_scores(comparisons.vectors, first, second), first, second)
        same = codes[first] == codes[second]
        listed = every.select(~same)
        highest = listed.select(listed.scores >= np.float32(floor))
        return GroupedScores(codes, group, groups, every.select(same), highest, floor, listed)
    mated, above = [_no_pairs()], [_no_pairs()]
    for tile in tiles(comparisons.vectors, codes, block_rows=comparisons.block_rows):
        high = tile.scores >= np.float32(floor)
        if tile.mated is not None and tile.non_mated is not None:
            rows, columns = np.nonzero(tile.mated)
            mated.append(PairScores(tile.scores[rows, columns], tile.rows[rows], tile.columns[columns]))
            high &= tile.non_mated
        rows, columns = np.nonzero(high)
        above.append(PairScores(tile.scores[rows, columns], tile.rows[rows], tile.columns[columns]))
    return GroupedScores(codes, group, groups, _joined(mated), _joined(above), floor, None)


def _no_pairs() -> PairScores:
    return PairScores(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))


def _joined(parts: list[PairScores]) -> PairScores:
    return PairScores(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
    )
