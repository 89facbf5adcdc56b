"""BlazeFace's outputs into candidates (Bazarevsky et al. 2019, arXiv:1907.05047).

Anchors are the centres of grid cells; a prediction is a box and six points relative to one, in pixels of the
network's input. The points are both eyes, the nose, the middle of the mouth and both ears.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edge_sdk.errors import ModelContractError
from edge_sdk.runtime.network import Output
from edge_sdk.types import Float64Array
from edge_sdk.vision.candidates import Candidates, sound

#: Side of each grid's cells in pixels, and how many anchors each cell has.
GRIDS = {
    "blazeface_short_range": ((8, 2), (16, 6)),
    "blazeface_full_range": ((4, 1),),
}
_VALUES = 16
_MAX_LOGIT = 100.0
# From here on the logistic function is 1 in float64.
_CERTAIN_LOGIT = 36.0
_LOGIT_MARGIN = 1e-3
# Half the mouth's width as a share of the distance between the eyes, in the ArcFace template.
_HALF_MOUTH = 0.414


def anchors(method: str, height: int, width: int) -> Float64Array:
    """Centres of the anchors in pixels of the network's input: shape (n, 2), (x, y), in the outputs' order."""
    parts = []
    for side, count in GRIDS[method]:
        columns, rows = np.arange(width // side), np.arange(height // side)
        cells = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        parts.append(np.repeat((cells + 0.5) * side, count, axis=0))
    return np.concatenate(parts)


class BlazeFaceDecoder:
    """Decodes for one network.

    BlazeFace does not say where the corners of the mouth are. They are put on both sides of its middle,
    along the line of the eyes, as far apart as in a frontal face; that is enough to align a crop and too
    little to judge an expression.

    Args:
        method: One of ``GRIDS``.
        height: Of the network's input.
        width: The same.
        shapes: Of the network's outputs, by name.

    Raises:
        ModelContractError: The outputs are not BlazeFace's.
    """

    blends = True
    score = 0.5

    def __init__(self, method: str, height: int, width: int, shapes: dict[str, tuple[int, ...]]) -> None:
        self._anchors = anchors(method, height, width)
        count = len(self._anchors)
        self.smallest_face_px = 16.0 if method == "blazeface_short_range" else 8.0
        for name, values in (("regressors", _VALUES), ("scores", 1)):
            if shapes.get(name) != (1, count, values):
                raise ModelContractError(
                    f"expected BlazeFace's output {name} of shape {[1, count, values]}, found {shapes.get(name)}"
                )

    def decode(self, outputs: Mapping[str, Output], min_score: float) -> Candidates:
        """Candidates at or above a score, in pixels of the network's input."""
        scores = outputs["scores"]
        least = math.log(min_score / (1 - min_score)) if min_score < 1 else _CERTAIN_LOGIT
        # The logistic function rounds: only its own result says whether a score is reached.
        (near,) = scores.may_reach(min(least, _CERTAIN_LOGIT) - _LOGIT_MARGIN).nonzero()
        logits = scores.real(near)[:, 0].astype(np.float64)
        likely = 1.0 / (1.0 + np.exp(-logits.clip(-_MAX_LOGIT, _MAX_LOGIT)))
        reached = likely >= min_score
        chosen, likely = near[reached], likely[reached]
        raw = outputs["regressors"].real(chosen).astype(np.float64)
        centres = raw[:, :2] + self._anchors[chosen]
        boxes = np.concatenate([centres - raw[:, 2:4] / 2, raw[:, 2:4]], axis=1)
        points = raw[:, 4:12].reshape(-1, 4, 2) + self._anchors[chosen][:, None]
        left, right, nose, mouth = (points[:, i] for i in range(4))
        half = (right - left) * _HALF_MOUTH
        landmarks = np.stack([left, right, nose, mouth - half, mouth + half], axis=1)
        return sound(Candidates(boxes, landmarks, likely))
