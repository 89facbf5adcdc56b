"""Decoding of BlazeFace's outputs (Bazarevsky et al. 2019, arXiv:1907.05047).

Anchors are the centres of grid cells. A prediction is a box and six points relative to its anchor, in pixels of the
network's input. The points are both eyes, the nose, the middle of the mouth and both ears.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edge_sdk.errors import ModelContractError
from edge_sdk.runtime.network import Output
from edge_sdk.types import Float64Array
from edge_sdk.vision.candidates import Candidates, valid_candidates

#: Side of each grid's cells in pixels, and number of anchors per cell, by method.
GRIDS = {
    "blazeface_short_range": ((8, 2), (16, 6)),
    "blazeface_full_range": ((4, 1),),
}
_VALUES = 16
_MAX_LOGIT = 100.0
# From this logit the logistic function is 1 in float64.
_CERTAIN_LOGIT = 36.0
_LOGIT_MARGIN = 1e-3
# Half the mouth's width divided by the distance between the eyes, in the ArcFace template.
_HALF_MOUTH = 0.414


def anchors(method: str, height: int, width: int) -> Float64Array:
    """Compute the anchors' centres in pixels of the network's input: shape (n, 2), (x, y), in the outputs' order."""
    parts = []
    for side, count in GRIDS[method]:
        columns, rows = np.arange(width // side), np.arange(height // side)
        cells = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        parts.append(np.repeat((cells + 0.5) * side, count, axis=0))
    return np.concatenate(parts)


class BlazeFaceDecoder:
    """Decoder for one network.

    BlazeFace does not output the corners of the mouth. They are estimated on both sides of its middle, parallel to
    the line of the eyes, as far apart as in a frontal face. That is enough to align a crop, but not to judge an
    expression.

    Args:
        method: One of ``GRIDS``.
        height: Height of the network's input in pixels.
        width: Width of the network's input in pixels.
        shapes: Shapes of the network's outputs, by name.

    Raises:
        ModelContractError: The outputs are not those of BlazeFace.
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
        """Decode the candidates at or above a score, in pixels of the network's input."""
        scores = outputs["scores"]
        least = math.log(min_score / (1 - min_score)) if min_score < 1 else _CERTAIN_LOGIT
        # Select logits with a margin: rounding in the logistic function may still raise a score to the minimum.
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
        return valid_candidates(Candidates(boxes, landmarks, likely))
