"""Golden vectors: outputs of a network for inputs that any device can generate from a seed.

They detect a runtime that runs without error but computes wrongly: a delegate that returns the same embedding
for every face, an encoder with swapped channels, a kernel whose rounding exceeds the tolerance.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelCardError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.json_fields import JsonFields, numbers, text
from edge_sdk.types import SampleArray, UInt8Array

GENERATOR = "smooth-fields/1"
ARRAY_GENERATOR = "smooth-arrays/1"
MAX_VECTORS = 16
#: Key of the tolerance for runtimes and kernels other than those that computed the vectors.
OTHER = "other"
SAME = "same"
_NAME = "golden vectors"
_DTYPES = {"int8": "<i1", "uint8": "<u1", "int16": "<i2", "float32": "<f4"}
_CELLS = 4


def smooth_field(shape: tuple[int, int, int], seed: int) -> UInt8Array:
    """Generate one image: random colours on a 5x5 grid with bilinear interpolation, in integer arithmetic.

    The grid's bytes, row by row and channel by channel, are ``(state >> 16) & 255`` of the generator
    ``state = (1103515245 * state + 12345) mod 2**31`` (ISO C's example), which starts at the seed. Pixel
    (y, x) lies at (4 * 256 * y // height, 4 * 256 * x // width) in 256ths of a cell. Its value is the bilinear
    mean of the four grid values around this position, rounded down.

    Args:
        shape: (height, width, channels).
        seed: 0 or more, below 2**31.

    Returns:
        Shape (height, width, channels), uint8; channels in an image's order (RGB).
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


def generator_of(contract: AnyContract) -> str:
    """Return the name of the generator of inputs for a contract."""
    return ARRAY_GENERATOR if isinstance(contract, ArrayContract) else GENERATOR


def golden_input(contract: AnyContract, seed: int) -> SampleArray:
    """Generate one input for a contract: a smooth field, for arrays converted to the contract's range.

    The field of an array has its shape: (n,) as (n, 1, 1), (h, w) as (h, w, 1), (a, b, c, d) as (a * b, c, d). A field value
    v becomes ``rest + share * (low + (high - low) * v / 255 - rest)``, computed in float64 and rounded half to even for an
    integer type. ``rest`` is the value of the range nearest to 0. ``share`` is 1, 1/4, 1/16 or 1/64 for seed modulo 4 = 0,
    1, 2, 3, because most values of real samples are often far from the ends of their range.

    Args:
        contract: Input contract of the network.
        seed: 0 or more, below 2**31.

    Returns:
        The contract's shape; uint8 for images, the contract's dtype for arrays.
    """
    if not isinstance(contract, ArrayContract):
        return smooth_field(contract.shape, seed)
    sides = (*contract.shape, 1, 1)[:3] if len(contract.shape) < 4 else contract.shape
    *rows, width, channels = sides
    field = smooth_field((math.prod(rows), width, channels), seed).reshape(contract.shape)
    low, high = contract.real_range
    rest = min(max(low, 0.0), high)
    values = rest + 0.25 ** (seed % 4) * (low + (high - low) * field.astype(np.float64) / 255 - rest)
    return (values if contract.dtype == "float32" else np.rint(values)).astype(contract.dtype)


def digest(array: NDArray[Any]) -> str:
    """Compute the SHA-256 of an array's little-endian bytes, in hex."""
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


@dataclass(frozen=True)
class GoldenVector:
    """Input and expected output of one test run of the network.

    Args:
        seed: Seed of the input, 0 or more, below 2**31.
        pixels_sha256: SHA-256 of the uint8 image, or of the array in the contract's type, hex.
        input_sha256: SHA-256 of the input tensor (the sample encoded by the contract), hex.
        output: Raw output tensor, little-endian bytes.
    """

    seed: int
    pixels_sha256: str
    input_sha256: str
    output: bytes = field(repr=False)


@dataclass(frozen=True)
class GoldenVectors:
    """Expected outputs of one network, and the tolerance for each runtime.

    Args:
        runtime: Package and version that computed the outputs, such as ``ai-edge-litert 2.3.0``.
        kernels: Kernels that computed the outputs: ``xnnpack`` or ``reference``.
        dtype: Data type of the output tensor.
        tolerance: Largest allowed difference: for an integer output in LSB, for a float output as a share of the
            expected output's largest magnitude. Key ``same`` applies to the same runtime and kernels, ``other``
            to any other.
        vectors: 1 to 16 vectors.
        generator: Name of the function that generates the inputs.
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
                f"golden vectors: expected an output dtype of {', '.join(_DTYPES)}, found {self.dtype!r}"
            )
        if not 1 <= len(self.vectors) <= MAX_VECTORS:
            raise ModelCardError(
                f"golden vectors: expected 1..{MAX_VECTORS} vectors, found {len(self.vectors)}"
            )
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
        """Unit of the tolerance: ``LSB``, or ``of the largest value`` for a float output."""
        return "of the largest value" if self.dtype == "float32" else "LSB"

    @property
    def expected(self) -> NDArray[Any]:
        """Expected outputs: shape (n, D), in the output's dtype."""
        return np.stack([np.frombuffer(v.output, _DTYPES[self.dtype]) for v in self.vectors])

    def allowed(self, runtime: str, kernels: str) -> float:
        """Return the tolerance for a runtime and its kernels, in ``unit``."""
        same = (runtime, kernels) == (self.runtime, self.kernels)
        return float(self.tolerance[SAME if same else OTHER])

    def differences(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the largest difference of each output from the expected one, in ``unit``.

        Args:
            outputs: Shape (n, D), in the output's dtype.

        Returns:
            Shape (n,), float64; infinite for an output with a value that is not finite.
        """
        expected = self.expected.astype(np.float64)
        off = np.abs(outputs.astype(np.float64) - expected).max(axis=1)
        if self.dtype == "float32":
            off = off / np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
        return np.asarray(np.where(np.isfinite(off), off, np.inf), np.float64)

    def to_json(self) -> dict[str, Any]:
        """Convert the vectors to JSON values; outputs in base64."""
        vectors = [
            {**vars(vector), "output": base64.b64encode(vector.output).decode()} for vector in self.vectors
        ]
        return {**vars(self), "tolerance": dict(self.tolerance), "vectors": vectors}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GoldenVectors:
        """Read the vectors from a model card's ``golden`` field.

        Raises:
            ModelCardError: A field is missing or malformed.
        """
        fields = JsonFields(value, _NAME)
        return cls(
            runtime=fields.read("runtime", text),
            kernels=fields.read("kernels", text),
            dtype=fields.read("dtype", text),
            tolerance=fields.read("tolerance", numbers),
            vectors=fields.read("vectors", _vectors),
            generator=fields.read("generator", text),
        )


def _vectors(value: Any) -> tuple[GoldenVector, ...]:
    if not isinstance(value, list) or len(value) > MAX_VECTORS:
        raise ModelCardError(f"golden vectors: expected a list of 1..{MAX_VECTORS} vectors")
    return tuple(
        GoldenVector(
            seed=vector.read("seed", _seed),
            pixels_sha256=vector.read("pixels_sha256", text),
            input_sha256=vector.read("input_sha256", text),
            output=vector.read("output", lambda coded: base64.b64decode(text(coded), validate=True)),
        )
        for vector in (JsonFields(item, _NAME) for item in value)
    )


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise TypeError(f"{value!r} is not a seed")
    return value
