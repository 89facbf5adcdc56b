"""Operating points with just enough comparisons for their FMR, and a decision policy of two of them."""

from __future__ import annotations

import math

from edge_sdk.gallery import DecisionPolicy
from edge_sdk.model.operating_point import OperatingPoint


def point(fmr: float, threshold: float) -> OperatingPoint:
    return OperatingPoint(
        threshold, fmr, fnmr=0.01, mated_trials=100, non_mated_trials=math.ceil(3 / fmr) + 1
    )


TWO_POINTS = DecisionPolicy((point(1e-2, 0.4), point(1e-4, 0.6)), fpir=0.01)
