"""YuNet's outputs into candidates (Wu et al. 2023, YuNet: a tiny millisecond-level face detector).

One prediction for each cell of three grids; a box by the offset of its centre and the logarithm of its sides
in cells, landmarks by their offsets in cells, a score as the geometric mean of class and objectness.
"""

from __future__ import annotations

import numpy as np

from edge_sdk.errors import ModelContractError
from edge_sdk.perception.candidates import Candidates, sound
from edge_sdk.types import FloatArray

STRIDES = (8, 16, 32)
#: e^8 cells is wider than any frame; beyond it float64 would overflow on a broken network.
_MAX_LOG_SIDE = 8.0


class YuNetDecoder:
    """Decodes for one input size.

    Args:
        height: Of the network's input, a multiple of 32.
        width: The same.
        shapes: Of the network's outputs, by name.

    Raises:
        ModelContractError: The outputs are not YuNet's at this size.
    """

    blends = False
    smallest_face_px = 10.0
    score = 0.6

    def __init__(self, height: int, width: int, shapes: dict[str, tuple[int, ...]]) -> None:
        self._corners = {}
        for stride in STRIDES:
            rows, columns = height // stride, width // stride
            for name, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
                found = shapes.get(f"{name}_{stride}")
                if found != (1, rows * columns, values):
                    raise ModelContractError(
                        f"expected YuNet's output {name}_{stride} of shape {[1, rows * columns, values]}, found {found}"
                    )
            cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
            self._corners[stride] = cells.reshape(-1, 2).astype(np.float64)

    def decode(self, outputs: dict[str, FloatArray], min_score: float) -> Candidates:
        """Candidates at or above a score, in pixels of the network's input."""
        parts = []
        for stride, corners in self._corners.items():
            likely = outputs[f"cls_{stride}"].ravel().clip(0, 1) * outputs[f"obj_{stride}"].ravel().clip(0, 1)
            chosen = np.flatnonzero(likely >= min_score**2)
            cells = corners[chosen]
            box = outputs[f"bbox_{stride}"][0, chosen].astype(np.float64)
            points = outputs[f"kps_{stride}"][0, chosen].astype(np.float64).reshape(-1, 5, 2)
            centres = (cells + box[:, :2]) * stride
            sides = np.exp(np.minimum(box[:, 2:], _MAX_LOG_SIDE)) * stride
            parts.append(
                Candidates(
                    np.concatenate([centres - sides / 2, sides], axis=1),
                    (cells[:, None] + points) * stride,
                    np.sqrt(likely[chosen].astype(np.float64)),
                )
            )
        return sound(Candidates.joined(parts))
