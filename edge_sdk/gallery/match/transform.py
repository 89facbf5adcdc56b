"""SHP3: a keyed rotation of embeddings that preserves cosines.

Each of three rounds applies keyed signs, a Walsh-Hadamard transform and a keyed permutation. Templates of two galleries
cannot be linked, and a gallery can get a new key. It is not encryption: D known pairs of embedding and template reveal
the rotation. A Walsh-Hadamard transform needs a power of two, so a dimension D is divided into blocks by its binary
digits, largest first (500 = 256 + 128 + 64 + 32 + 16 + 4). Each block's transform is orthogonal, so the whole transform
is orthogonal as well. The permutations mix the blocks.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.types import Float64Array

ROUNDS = 3
LABEL = b"edge-sdk/gallery/transform@v1"


@dataclass(frozen=True, repr=False, eq=False)
class Shp3:
    """The keyed rotation of one gallery's templates.

    Attributes:
        signs: Shape (3, D), float64, each -1 or 1.
        permutations: Shape (3, D), int64; output i of round r is its input permutations[r, i].
    """

    signs: Float64Array
    permutations: NDArray[np.int64]

    @classmethod
    def from_key(cls, key: bytes, dimension: int) -> Shp3:
        """Derive a rotation from a key.

        Args:
            key: 32 bytes, derived by HKDF with `LABEL`.
            dimension: D, 1..65535.
        """
        sign_bytes = -(-dimension // 8)
        signs = np.empty((ROUNDS, dimension), dtype=np.float64)
        permutations = np.empty((ROUNDS, dimension), dtype=np.int64)
        for round_index in range(ROUNDS):
            stream = _stream(key, round_index, sign_bytes + 8 * dimension)
            packed = np.frombuffer(stream[:sign_bytes], dtype=np.uint8)
            signs[round_index] = 1.0 - 2.0 * np.unpackbits(packed, count=dimension, bitorder="little")
            order = np.frombuffer(stream[sign_bytes:], dtype="<u8")
            permutations[round_index] = np.argsort(order, kind="stable")
        return cls(signs, permutations)

    def apply(self, vectors: Float64Array) -> Float64Array:
        """Rotate vectors.

        Args:
            vectors: Shape (n, D), float64.

        Returns:
            Shape (n, D), float64; inner products of unit vectors change by at most 2e-15.
        """
        out = vectors
        for signs, permutation in zip(self.signs, self.permutations, strict=True):
            out = _hadamard(out * signs)[:, permutation]
        return out

    def invert(self, vectors: Float64Array) -> Float64Array:
        """Undo `apply`.

        Args:
            vectors: Shape (n, D), float64.

        Returns:
            Shape (n, D), float64.
        """
        out = vectors
        for signs, permutation in zip(self.signs[::-1], self.permutations[::-1], strict=True):
            unpermuted = np.empty_like(out)
            unpermuted[:, permutation] = out
            out = _hadamard(unpermuted) * signs
        return out


def blocks(dimension: int) -> list[int]:
    """Return the powers of two that sum to a dimension, largest first."""
    return [1 << bit for bit in range(dimension.bit_length() - 1, -1, -1) if dimension >> bit & 1]


def _stream(key: bytes, round_index: int, length: int) -> bytes:
    """Generate bytes by HMAC-SHA-256 in counter mode: HMAC(key, round as 1 byte || counter as 4 bytes, big-endian)."""
    count = -(-length // 32)
    parts = (
        hmac.new(key, bytes([round_index]) + counter.to_bytes(4, "big"), hashlib.sha256).digest()
        for counter in range(count)
    )
    return b"".join(parts)[:length]


def _hadamard(vectors: Float64Array) -> Float64Array:
    """Apply the orthonormal Walsh-Hadamard transform (natural order), its own inverse, to each block.

    A step writes the sums of neighbours to the first half of the block and their differences to the second half, which
    moves the last bit of the index to the front (Pease, 1968). After one step per bit the natural order is restored.
    """
    out = np.empty_like(vectors)
    start = 0
    for size in blocks(vectors.shape[1]):
        block = vectors[:, start : start + size]
        half = size // 2
        for _ in range(size.bit_length() - 1):
            even, odd = block[:, 0::2], block[:, 1::2]
            block = np.empty((len(vectors), size))
            np.add(even, odd, out=block[:, :half])
            np.subtract(even, odd, out=block[:, half:])
        np.divide(block, math.sqrt(size), out=out[:, start : start + size])
        start += size
    return out
