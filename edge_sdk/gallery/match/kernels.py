"""Kernels: dot products of one probe with every stored row.

A kernel returns approximate scores and an upper bound of their error for all rows; `search`
computes the exact answer from them. For int8, simsimd (extra `fast`) is used if it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.types import Float64Array, FloatArray

PROBE_MAX = 32_767
COARSE_STEP = 258  # 32767 / 258 rounds to 127

_FEW_NUMBERS = 1 << 15  # matrices up to this size are copied to float64: 256 KiB at most
_BLOCK_NUMBERS = 1 << 17  # numbers per block of rows, so that its float32 copy stays in the cache
_UNIT_ROUNDOFF = 2.0**-24
_SLACK = 1e-6  # more than the rounding errors of a score after its dot product


@dataclass(frozen=True, eq=False)
class Probe:
    """A probe, quantized for comparison.

    Attributes:
        integers: Shape (D,), float64, integers in -32767..32767.
        length: Euclidean length of `integers`.
        coarse: Shape (1, D), int8, `integers / 258` rounded.
        remainder: Euclidean length of `integers - 258 * coarse`.
    """

    integers: Float64Array
    length: float
    coarse: NDArray[np.int8]
    remainder: float

    @classmethod
    def of(cls, unit: Float64Array) -> Probe:
        """Quantize a transformed embedding, shape (D,), float64, length 1."""
        integers = np.rint(unit * (PROBE_MAX / np.abs(unit).max()))
        coarse = np.rint(integers * (1 / COARSE_STEP))
        rest = integers - COARSE_STEP * coarse
        return cls(
            integers,
            float(np.dot(integers, integers)) ** 0.5,
            coarse.astype(np.int8)[np.newaxis],
            float(np.dot(rest, rest)) ** 0.5,
        )


class Kernel(Protocol):
    """Approximate scores of all rows."""

    def scores(self, probe: Probe) -> tuple[Float64Array, float, float]:
        """Compare a probe with every row.

        Returns:
            Values, shape (M,), float64, newly allocated; the divisor above 0 that turns them into cosines; and the
            upper bound of the error of these cosines, 0 if they are exact.
        """


class FewRows:
    """Kernel for small matrices, exact because float64 represents every partial sum of the integers."""

    def __init__(self, matrix: NDArray[Any], scales: FloatArray) -> None:
        self._rows = matrix.astype(np.float64)
        self._scales = scales.astype(np.float64)

    def scores(self, probe: Probe) -> tuple[Float64Array, float, float]:
        """Compare a probe with every row; see `Kernel.scores`."""
        dots: Float64Array = self._rows.dot(probe.integers)
        dots *= self._scales
        return dots, probe.length, 0.0


class Float32Blocks:
    """Kernel for any dtype that computes blocks of rows in float32 with numpy."""

    def __init__(self, matrix: NDArray[Any], scales: FloatArray) -> None:
        self._matrix = matrix
        self._scales = scales.astype(np.float64)
        # Twice gamma_D, the error bound of a dot product in any order (Higham 2002, 3.1).
        self._error = _longest(matrix, scales) * 2 * matrix.shape[1] * _UNIT_ROUNDOFF + _SLACK

    def scores(self, probe: Probe) -> tuple[Float64Array, float, float]:
        """Compare a probe with every row; see `Kernel.scores`."""
        integers = probe.integers.astype(np.float32)
        count, dimension = self._matrix.shape
        step = max(1, min(count, _BLOCK_NUMBERS // dimension))
        block = np.empty((step, dimension), np.float32)
        dots = np.empty(count)
        for start in range(0, count, step):
            rows = block[: min(step, count - start)]
            np.copyto(rows, self._matrix[start : start + step])
            dots[start : start + step] = np.dot(rows, integers)
        dots *= self._scales
        return dots, probe.length, self._error


class Int8Rows:
    """Kernel for int8: simsimd computes exact dot products of the stored rows with the 8-bit part of the probe."""

    def __init__(self, simsimd: ModuleType, matrix: NDArray[np.int8], scales: FloatArray) -> None:
        self._cdist = simsimd.cdist
        self._matrix = matrix
        self._scales = scales.astype(np.float64)
        self._longest = _longest(matrix, scales)

    def scores(self, probe: Probe) -> tuple[Float64Array, float, float]:
        """Compare a probe with every row; see `Kernel.scores`."""
        dots: Float64Array = np.frombuffer(self._cdist(probe.coarse, self._matrix, "dot"))
        dots *= self._scales
        return dots, probe.length / COARSE_STEP, self._longest * probe.remainder / probe.length + _SLACK


def kernel_for(matrix: NDArray[Any], scales: FloatArray, *, fast: bool = True) -> Kernel:
    """Return the fastest available kernel for a matrix.

    Args:
        matrix: Shape (M, D), int8 or float16, C-contiguous.
        scales: Reciprocal lengths of the rows, shape (M,), float32.
        fast: Use simsimd if it is installed.
    """
    if matrix.size <= _FEW_NUMBERS:
        return FewRows(matrix, scales)
    simsimd = _simsimd() if fast and matrix.dtype == np.int8 else None
    return Float32Blocks(matrix, scales) if simsimd is None else Int8Rows(simsimd, matrix, scales)


def _simsimd() -> ModuleType | None:
    try:
        import simsimd
    except ImportError:
        return None
    module: ModuleType = simsimd
    return module


def _longest(matrix: NDArray[Any], scales: FloatArray) -> float:
    """Return an upper bound of the length of a row times its scale: about 1 if the scales are right."""
    step = max(1, _BLOCK_NUMBERS // matrix.shape[1])
    greatest = 0.0
    for start in range(0, len(matrix), step):
        rows = matrix[start : start + step].astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        greatest = max(greatest, float((lengths * scales[start : start + step]).max()))
    return greatest * (1 + _SLACK)
