"""Find equal and nearly equal pictures without a model, by digests and perceptual hashes.

The hash has 64 bits: the low frequencies of a thumbnail's discrete cosine transform, compared with their median (Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Only pictures are compared whose hashes are equal in
one of four parts of 16 bits: all pairs that differ in up to 3 bits are, and most that differ in 4 or 5. A pair counts only if
its thumbnails correlate too, because hashes of simple drawings are nearly equal by chance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.types import FloatArray, UInt8Array

#: Largest number of differing bits of nearly equal pictures.
MAX_BITS = 5
#: Least correlation of the thumbnails of nearly equal pictures.
LEAST_CORRELATION = 0.985
_LOW = 8
_PARTS = 4
_BATCH = 4096
# Pictures of one hash are compared with this many of them, so that many blank pictures do not take quadratic time.
_REPRESENTATIVES = 64


class Groups:
    """Disjoint groups of numbers that grow by joining (union-find)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, item: int) -> int:
        """Return the representative of a number's group, its smallest member."""
        while self._parents[item] != item:
            self._parents[item] = self._parents[self._parents[item]]
            item = self._parents[item]
        return item

    def join(self, first: int, second: int) -> None:
        """Join the groups of two numbers."""
        low, high = sorted((self.root(first), self.root(second)))
        self._parents[high] = low

    def several(self) -> list[list[int]]:
        """Return the groups of two or more numbers, sorted."""
        members: dict[int, list[int]] = defaultdict(list)
        for item in range(len(self._parents)):
            members[self.root(item)].append(item)
        return [group for group in members.values() if len(group) > 1]


@dataclass(frozen=True)
class Duplicates:
    """Equal pictures by position; each group has two or more.

    Args:
        identical: Groups of files with the same bytes.
        near: Groups of pictures with nearly equal pixels, each with at most one file of each group of identical ones.
    """

    identical: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, ...], ...]


def find_duplicates(digests: UInt8Array, thumbnails: UInt8Array, usable: NDArray[np.bool_]) -> Duplicates:
    """Find duplicates.

    Args:
        digests: Digest of each file, shape (N, 16), uint8.
        thumbnails: Shape (N, S, S, 3), uint8, S at least 8.
        usable: Pictures to compare, shape (N,); blank ones should be left out.
    """
    positions = np.flatnonzero(usable)
    by_digest: dict[bytes, list[int]] = defaultdict(list)
    for position in positions:
        by_digest[digests[position].tobytes()].append(int(position))
    identical = tuple(tuple(group) for group in by_digest.values() if len(group) > 1)
    first = np.array([group[0] for group in by_digest.values()], np.int64)
    groups = Groups(len(digests))
    for pairs in _candidates(perceptual_hashes(thumbnails, first)):
        alike = _correlations(thumbnails, first[pairs[:, 0]], first[pairs[:, 1]]) >= LEAST_CORRELATION
        for one_end, other_end in first[pairs[alike]]:
            groups.join(int(one_end), int(other_end))
    return Duplicates(identical, tuple(tuple(group) for group in groups.several()))


def perceptual_hashes(thumbnails: UInt8Array, positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Compute the hashes of some thumbnails, shape (n,), uint64."""
    side = thumbnails.shape[1]
    k, n = np.mgrid[:_LOW, :side]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * side)).astype(np.float32)
    hashes = np.empty(len(positions), np.uint64)
    for start in range(0, len(positions), _BATCH):
        part = positions[start : start + _BATCH]
        gray = thumbnails[part].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        low = (cosines @ gray @ cosines.T).reshape(len(part), -1)
        # The mean brightness has no sign of its own.
        low[:, 0] = 0
        bits = low > np.median(low, axis=1, keepdims=True)
        hashes[start : start + len(part)] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def _candidates(hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Yield pairs of positions, shape (n, 2), whose hashes differ in at most ``MAX_BITS`` bits."""
    unique, inverse = np.unique(hashes, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)
    for group in members:
        for number in range(min(len(group) - 1, _REPRESENTATIVES)):
            rest = group[number + 1 :]
            yield np.stack([np.full(len(rest), group[number]), rest], axis=1)
    heads = [group[:_REPRESENTATIVES] for group in members]
    parts = unique.view(np.uint16).reshape(len(unique), _PARTS)
    for part in range(_PARTS):
        for bucket in _equal(parts[:, part]):
            for place, number in enumerate(bucket[:-1]):
                others = bucket[place + 1 :]
                flipped = (unique[others] ^ unique[number]).view(np.uint8).reshape(-1, 8)
                differing = np.unpackbits(flipped, axis=1).sum(axis=1)
                near = [heads[other] for other in others[differing <= MAX_BITS]]
                if near:
                    left, right = heads[number], np.concatenate(near)
                    yield np.stack([np.repeat(left, len(right)), np.tile(right, len(left))], axis=1)


def _equal(values: NDArray[np.uint16]) -> Iterable[NDArray[np.int64]]:
    """Return groups of positions with equal values, two or more each."""
    order = np.argsort(values, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
    return (group for group in groups if len(group) > 1)


def _correlations(thumbnails: UInt8Array, first: NDArray[np.int64], second: NDArray[np.int64]) -> FloatArray:
    """Return Pearson's correlation of pairs of thumbnails over all pixels and channels, shape (n,)."""
    result = np.empty(len(first), np.float32)
    for start in range(0, len(first), _BATCH):
        sides = []
        for positions in (first, second):
            flat = (
                thumbnails[positions[start : start + _BATCH]]
                .reshape(-1, thumbnails[0].size)
                .astype(np.float32)
            )
            flat -= flat.mean(axis=1, keepdims=True)
            sides.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
        result[start : start + len(sides[0])] = (sides[0] * sides[1]).sum(axis=1)
    return result
