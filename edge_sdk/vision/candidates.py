"""Candidates from a detector's grid, and non-maximum suppression of overlapping ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.runtime.network import Output
from edge_sdk.types import Float64Array

#: Largest number of candidates; the best are kept. If there are more, most of them are not faces.
MAX_CANDIDATES = 1000


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes with landmarks and scores, in one coordinate system.

    Args:
        boxes: Shape (n, 4), float64: left, top, width, height.
        landmarks: Shape (n, 5, 2), float64.
        scores: Shape (n,), float64, 0..1.
    """

    boxes: Float64Array
    landmarks: Float64Array
    scores: Float64Array

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, positions: NDArray[np.intp]) -> Candidates:
        return Candidates(
            self.boxes.take(positions, axis=0),
            self.landmarks.take(positions, axis=0),
            self.scores.take(positions),
        )

    def mapped(self, scale_x: float, scale_y: float, left: float, top: float) -> Candidates:
        """Transform the candidates into another coordinate system: scale, then shift."""
        scale, offset = np.array([scale_x, scale_y] * 2), np.array([left, top, 0.0, 0.0])
        return Candidates(self.boxes * scale + offset, self.landmarks * scale[:2] + offset[:2], self.scores)

    @classmethod
    def none(cls) -> Candidates:
        """Return an empty set of candidates."""
        return cls(np.empty((0, 4)), np.empty((0, 5, 2)), np.empty(0))

    @classmethod
    def joined(cls, parts: list[Candidates]) -> Candidates:
        """Concatenate sets of candidates."""
        return cls(
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.landmarks for p in parts]),
            np.concatenate([p.scores for p in parts]),
        )


class Decoder(Protocol):
    """Decodes a network's outputs into candidates; a pure function.

    ``blends``: True averages overlapping candidates, False keeps the best one. ``smallest_face_px``: width of the
    smallest face, in pixels of the network's input, that the network detects reliably. ``score``: the threshold of
    the network's authors.
    """

    blends: bool
    smallest_face_px: float
    score: float

    def decode(self, outputs: Mapping[str, Output], min_score: float) -> Candidates:
        """Decode the candidates at or above a score, in pixels of the network's input."""


def valid_candidates(candidates: Candidates) -> Candidates:
    """Keep the 1,000 best candidates whose numbers are finite and whose box has an area, best first."""
    numbers = np.concatenate(
        [candidates.boxes, candidates.landmarks.reshape(-1, 10), candidates.scores[:, None]], axis=1
    )
    whole = np.flatnonzero(np.isfinite(numbers).all(axis=1) & (candidates.boxes[:, 2:] > 0).all(axis=1))
    best = np.argsort(-candidates.scores[whole], kind="stable")[:MAX_CANDIDATES]
    return candidates[whole[best]]


def overlap(box: Float64Array, boxes: Float64Array) -> Float64Array:
    """Compute the intersection over union of one box with many.

    Args:
        box: Shape (4,): left, top, width, height.
        boxes: Shape (n, 4).

    Returns:
        Shape (n,), 0..1.
    """
    near = np.maximum(box[:2], boxes[:, :2])
    far = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:])
    across = np.maximum(far - near, 0.0)
    common = across[:, 0] * across[:, 1]
    union = box[2] * box[3] + boxes[:, 2] * boxes[:, 3] - common
    shares: Float64Array = common / np.maximum(union, 1e-12)
    return shares


def merge(candidates: Candidates, max_overlap: float, *, blend: bool) -> Candidates:
    """Reduce the candidates to one per face by greedy non-maximum suppression, best first.

    With ``blend`` a face is the score-weighted mean of its candidates, which makes landmarks steadier from frame to
    frame (Bazarevsky et al. 2019, arXiv:1907.05047, section 3.3).

    Args:
        candidates: Candidates sorted by score, best first; see ``valid_candidates``.
        max_overlap: Intersection over union above which two candidates are one face, 0..1.
        blend: Average the candidates of a face; False keeps the best one.
    """
    left = np.arange(len(candidates))
    groups = []
    while len(left):
        same = overlap(candidates.boxes[left[0]], candidates.boxes[left]) > max_overlap
        same[0] = True
        groups.append(left[same])
        left = left[~same]
    if not blend:
        return candidates[np.array([group[0] for group in groups], np.intp)]
    return Candidates.joined([_mean(candidates[group]) for group in groups]) if groups else Candidates.none()


def _mean(group: Candidates) -> Candidates:
    weights = group.scores / group.scores.sum()
    return Candidates(
        np.tensordot(weights, group.boxes, 1)[None],
        np.tensordot(weights, group.landmarks, 1)[None],
        group.scores[:1],
    )
