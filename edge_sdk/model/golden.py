"""Golden vectors: what a network answers to inputs that any device can draw again from a number.

They tell a runtime that computes from one that only runs: a delegate that answers every face alike, an
encoder with the channels turned around, a kernel with other rounding than the tolerance allows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelCardError
from edge_sdk.types import UInt8Array

GENERATOR = "smooth-fields/1"
MAX_VECTORS = 16
#: The tolerance for whatever is not the runtime that the vectors were made with.
OTHER = "other"
SAME = "same"
_DTYPES = {"int8": "<i1", "uint8": "<u1", "int16": "<i2", "float32": "<f4"}
_CELLS = 4


def smooth_field(shape: tuple[int, int, int], seed: int) -> UInt8Array:
    """Draw one input: random colours on a 5x5 grid, interpolated between, all in integers.

    The grid's bytes, row by row and channel by channel, are ``(state >> 16) & 255`` of the generator
    ``state = (1103515245 * state + 12345) mod 2**31`` (ISO C's example), which starts at the seed. Pixel
    (y, x) lies at (4 * 256 * y // height, 4 * 256 * x // width) in 256ths of a cell, and is the bilinear mean
    with those weights, rounded down.

    Args:
        shape: (height, width, channels).
        seed: 0 or more, below 2**31.

    Returns:
        Shape (height, width, channels), uint8, in the order in which an image has them (RGB).
    """
    height, width, channels = shape
    side = _CELLS + 1
    values = np.empty(side * side * channels, np.int32)
    state = seed
    for position in range(values.size):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        values[position] = (state >> 16) & 255
    grid = values.reshape(side, side, channels)
    row, down = np.divmod(np.arange(height, dtype=np.int32) * (_CELLS * 256) // height, 256)
    column, across = np.divmod(np.arange(width, dtype=np.int32) * (_CELLS * 256) // width, 256)
    across = across[None, :, None]
    above = grid[row][:, column] * (256 - across) + grid[row][:, column + 1] * across
    below = grid[row + 1][:, column] * (256 - across) + grid[row + 1][:, column + 1] * across
    down = down[:, None, None]
    pixels: UInt8Array = ((above * (256 - down) + below * down) >> 16).astype(np.uint8)
    return pixels


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes, little-endian, hex."""
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


@dataclass(frozen=True)
class GoldenVector:
    """One question and its answer.

    Args:
        seed: Of the input.
        pixels_sha256: Of the uint8 image, hex.
        input_sha256: Of the input tensor, hex: the image as the contract encodes it.
        output: The raw output tensor, little-endian.
    """

    seed: int
    pixels_sha256: str
    input_sha256: str
    output: bytes = field(repr=False)


@dataclass(frozen=True)
class GoldenVectors:
    """What one network answers.

    Args:
        runtime: Package and version that answered, such as ``ai-edge-litert 2.3.0``.
        kernels: Which of its kernels: ``xnnpack`` or ``reference``.
        dtype: Of the output tensor.
        tolerance: How far an answer may be off, in LSB, for a float output as a share of the expected
            output's largest magnitude: ``same`` for this very runtime and these kernels, ``other`` for any other.
        vectors: 1 to 16 of them.
        generator: What draws the inputs.
    """

    runtime: str
    kernels: str
    dtype: str
    tolerance: Mapping[str, float]
    vectors: tuple[GoldenVector, ...]
    generator: str = GENERATOR

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ModelCardError(
                f"golden vectors: expected an output of {', '.join(_DTYPES)}, found {self.dtype!r}"
            )
        if not 1 <= len(self.vectors) <= MAX_VECTORS:
            raise ModelCardError(f"golden vectors: expected 1..{MAX_VECTORS}, found {len(self.vectors)}")
        for name in (SAME, OTHER):
            value = self.tolerance.get(name, -1.0)
            if not (math.isfinite(value) and value >= 0):
                raise ModelCardError(
                    f"golden vectors: expected a tolerance {name!r} of 0 or more, found {value!r}"
                )
        sizes = {len(vector.output) for vector in self.vectors}
        if len(sizes) != 1 or min(sizes) == 0 or min(sizes) % np.dtype(_DTYPES[self.dtype]).itemsize:
            raise ModelCardError(
                f"golden vectors: expected outputs of one length in {self.dtype}, found {sorted(sizes)} bytes"
            )

    @property
    def unit(self) -> str:
        """What the tolerance counts: ``LSB``, or ``of the largest value`` where the output is float."""
        return "of the largest value" if self.dtype == "float32" else "LSB"

    @property
    def answers(self) -> NDArray[Any]:
        """The expected outputs: shape (n, D), in their dtype."""
        return np.stack([np.frombuffer(v.output, _DTYPES[self.dtype]) for v in self.vectors])

    def allowed(self, runtime: str, kernels: str) -> float:
        """The tolerance for a runtime, in ``unit``."""
        same = (runtime, kernels) == (self.runtime, self.kernels)
        return float(self.tolerance[SAME if same else OTHER])

    def differences(self, found: NDArray[Any]) -> NDArray[np.float64]:
        """How far answers are off, in ``unit``.

        Args:
            found: Shape (n, D), in the output's dtype.

        Returns:
            Shape (n,), float64: each answer's largest difference; infinite where it is not finite.
        """
        expected = self.answers.astype(np.float64)
        off = np.abs(found.astype(np.float64) - expected).max(axis=1)
        if self.dtype == "float32":
            off = off / np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
        return np.asarray(np.where(np.isfinite(off), off, np.inf), np.float64)

    def to_json(self) -> dict[str, Any]:
        """The vectors as JSON values; outputs in base64."""
        return {
            "generator": self.generator,
            "runtime": self.runtime,
            "kernels": self.kernels,
            "dtype": self.dtype,
            "tolerance": dict(self.tolerance),
            "vectors": [
                {
                    "seed": vector.seed,
                    "pixels_sha256": vector.pixels_sha256,
                    "input_sha256": vector.input_sha256,
                    "output": base64.b64encode(vector.output).decode(),
                }
                for vector in self.vectors
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GoldenVectors:
        """Read the card's field.

        Raises:
            ModelCardError: A field is missing or malformed.
        """
        try:
            listed = value["vectors"]
            if not isinstance(listed, list) or len(listed) > MAX_VECTORS:
                raise ModelCardError(f"golden vectors: expected a list of 1..{MAX_VECTORS}")
            vectors = tuple(
                GoldenVector(
                    _seed(vector["seed"]),
                    _text(vector["pixels_sha256"]),
                    _text(vector["input_sha256"]),
                    base64.b64decode(_text(vector["output"]), validate=True),
                )
                for vector in listed
            )
            tolerance = {str(name): _number(limit) for name, limit in dict(value["tolerance"]).items()}
            return cls(
                runtime=_text(value["runtime"]),
                kernels=_text(value["kernels"]),
                dtype=_text(value["dtype"]),
                tolerance=tolerance,
                vectors=vectors,
                generator=_text(value["generator"]),
            )
        except KeyError as error:
            raise ModelCardError(f"golden vectors: expected the field {error}, found none") from error
        except (TypeError, ValueError, OverflowError, binascii.Error) as error:
            if isinstance(error, ModelCardError):
                raise
            raise ModelCardError(f"golden vectors: malformed field: {error}") from error


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise TypeError(f"{value!r} is not a seed")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)
