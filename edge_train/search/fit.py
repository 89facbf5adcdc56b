"""Rates of a target's time, fitted to times of a few networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_train.errors import PlanError
from edge_train.search.budget import KINDS, LayerRates


def fit_rates(samples: Sequence[tuple[Mapping[str, float], float]], *, unit: str = "ms") -> LayerRates:
    """Fit a linear model of time with rates of at least 0; relative errors have equal weight.

    Args:
        samples: Work of a network (``work_of``) and its measured or estimated time, at least two; networks of several widths
            and sizes make the rates distinguishable.
        unit: Unit of the times.

    Raises:
        PlanError: Fewer than two samples, or a time that is not above 0.
    """
    import numpy as np
    from scipy.optimize import nnls

    if len(samples) < 2 or any(time <= 0 for _, time in samples):
        raise PlanError(f"expected two times above 0 or more, found {[time for _, time in samples]}")
    names = (*KINDS, "value", "layer")
    terms = np.array([[work[name] for name in names] for work, _ in samples])
    scale = np.maximum(terms.max(axis=0), 1e-30)
    times = np.array([time for _, time in samples])
    # Dividing each row by its time makes the residuals relative errors.
    rates, _ = nnls(terms / scale / times[:, None], np.ones(len(samples)))
    rates = dict(zip(names, rates / scale, strict=True))
    return LayerRates(
        multiplication={kind: float(rates[kind]) for kind in KINDS},
        value=float(rates["value"]),
        layer=float(rates["layer"]),
        unit=unit,
    )
