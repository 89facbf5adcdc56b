"""Motion gate: skips the search for faces while the picture of an empty scene does not change."""

from __future__ import annotations

import numpy as np

from edge_sdk.types import FloatArray, UInt8Array

#: Longest time without a search, in seconds: a person whom the gate does not notice is found after it.
LONGEST_SKIP_S = 1.0
#: Number of sampled rows of a frame, about; four by four samples make a cell, whose mean has a quarter of the noise.
_SAMPLED_ROWS = 60
_CELL = 4
#: A cell has changed if its mean differs by more than this many times the median difference, which is the sensor's
#: noise in a still scene. For 300 cells of Gaussian noise the largest difference is about five times the median.
_TIMES_MEDIAN = 8.0
#: Limits of this difference, in levels of 0..255.
_LEAST, _MOST = 2.0, 12.0


class MotionGate:
    """Decides if a frame of an empty scene can be skipped.

    Frames are compared with the last frame in which no face was found, so that slow changes add up. The gate only saves
    work and never decides about a person: it is asked while no face is tracked, and after `LONGEST_SKIP_S` seconds it lets a
    frame pass in any case.
    """

    def __init__(self) -> None:
        self._empty: FloatArray | None = None
        self._searched_s = 0.0

    def skips(self, frame: UInt8Array, now_s: float) -> bool:
        """Return True if the frame shows the same as the last one without a face, and a search is not due.

        Args:
            frame: Shape (H, W, 3), uint8.
            now_s: Monotonic time, seconds.
        """
        if self._empty is None or now_s - self._searched_s >= LONGEST_SKIP_S:
            return False
        cells = _cells(frame)
        if cells.shape != self._empty.shape:
            return False
        change = np.abs(cells - self._empty)
        return bool(change.max() <= np.clip(_TIMES_MEDIAN * np.median(change), _LEAST, _MOST))

    def searched(self, frame: UInt8Array, now_s: float, *, empty: bool) -> None:
        """Note that a frame without a face was searched.

        Args:
            frame: Shape (H, W, 3), uint8.
            now_s: Monotonic time, seconds.
            empty: False if a face is tracked that was not found in this frame; then no frame is skipped.
        """
        self._empty = _cells(frame) if empty else None
        self._searched_s = now_s

    def found(self) -> None:
        """Note that a face was found: no frame is skipped until one without a face was searched."""
        self._empty = None


def _cells(frame: UInt8Array) -> FloatArray:
    """Return the means of the cells of a grid of samples of the green channel, shape (rows, columns), float32."""
    step = max(1, min(frame.shape[:2]) // _SAMPLED_ROWS)
    samples = frame[::step, ::step, 1]
    rows, columns = (max(1, side // _CELL) for side in samples.shape)
    kept = samples[: rows * _CELL, : columns * _CELL]
    if kept.size != rows * columns * _CELL * _CELL:
        return samples.astype(np.float32)
    cells = kept.reshape(rows, _CELL, columns, _CELL)
    return np.asarray(cells.mean(axis=(1, 3), dtype=np.float32))
