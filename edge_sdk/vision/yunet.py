"""Decoding of YuNet's outputs (Wu et al. 2023, YuNet: a tiny millisecond-level face detector).

There is one prediction for each cell of three grids. A box is given by the offset of its centre and the logarithm
of its sides, landmarks by their offsets, all in cells. The score is the geometric mean of class and objectness.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelContractError
from edge_sdk.runtime.network import Output
from edge_sdk.types import Float64Array, FloatArray
from edge_sdk.vision.candidates import Candidates, valid_candidates

STRIDES = (8, 16, 32)
#: e^8 cells is wider than any frame; the limit prevents an overflow of float64 with a broken network.
_MAX_LOG_SIDE = 8.0


class YuNetDecoder:
    """Decoder for one input size.

    Args:
        height: Height of the network's input in pixels, a multiple of 32.
        width: Width of the network's input in pixels, a multiple of 32.
        shapes: Shapes of the network's outputs, by name.

    Raises:
        ModelContractError: The outputs are not those of YuNet at this size.
    """

    blends = False
    smallest_face_px = 10.0
    score = 0.6

    def __init__(self, height: int, width: int, shapes: dict[str, tuple[int, ...]]) -> None:
        corners = []
        for stride in STRIDES:
            rows, columns = height // stride, width // stride
            for name, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
                shape = shapes.get(f"{name}_{stride}")
                if shape != (1, rows * columns, values):
                    raise ModelContractError(
                        f"expected YuNet's output {name}_{stride} of shape {[1, rows * columns, values]}, found {shape}"
                    )
            cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
            corners.append(np.column_stack([cells, np.full(len(cells), stride)]))
        # Column, row and stride of all cells, one grid after the other.
        self._cells = np.concatenate(corners).astype(np.float64)
        self._first = dict(zip(STRIDES, np.cumsum([0, *map(len, corners)]).tolist(), strict=False))

    def decode(self, outputs: Mapping[str, Output], min_score: float) -> Candidates:
        """Decode the candidates at or above a score, in pixels of the network's input."""
        parts = [
            part for stride in STRIDES if (part := self._likely(outputs, stride, min_score**2)) is not None
        ]
        if not parts:
            return Candidates.none()
        chosen, likely, box, points = (np.concatenate(column) for column in zip(*parts, strict=True))
        places = self._cells.take(chosen, axis=0)
        cells, stride = places[:, :2], places[:, 2:]
        centres = (cells + box[:, :2]) * stride
        sides = np.exp(np.minimum(box[:, 2:], _MAX_LOG_SIDE).astype(np.float64)) * stride
        landmarks = (cells[:, None] + points.reshape(-1, 5, 2)) * stride[:, None]
        return valid_candidates(
            Candidates(np.concatenate([centres - sides / 2, sides], axis=1), landmarks, np.sqrt(likely))
        )

    def _likely(
        self, outputs: Mapping[str, Output], stride: int, least: float
    ) -> tuple[NDArray[np.intp], Float64Array, FloatArray, FloatArray] | None:
        """Select the cells of a grid by the product of class and objectness.

        Returns:
            Cell indices, products, boxes and landmarks; None if no cell reaches ``least``.
        """
        classes, objects = outputs[f"cls_{stride}"], outputs[f"obj_{stride}"]
        # Neither factor exceeds 1, so both must reach what the product must reach.
        (rows,) = (classes.may_reach(least) & objects.may_reach(least)).nonzero()
        if not len(rows):
            return None
        likely = _share(classes.real(rows)[:, 0]) * _share(objects.real(rows)[:, 0])
        enough = np.flatnonzero(likely >= least)
        if not len(enough):
            return None
        rows = rows[enough]
        return (
            rows + self._first[stride],
            likely[enough].astype(np.float64),
            outputs[f"bbox_{stride}"].real(rows),
            outputs[f"kps_{stride}"].real(rows),
        )


def _share(values: FloatArray) -> FloatArray:
    """Clip to 0..1."""
    return np.minimum(np.maximum(values, 0), 1)
