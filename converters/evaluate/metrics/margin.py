"""Verdict on a difference of TAR against a margin: the largest loss that is acceptable."""

from __future__ import annotations

from math import ceil, inf
from statistics import NormalDist

from converters.evaluate.metrics.curves import check_rate
from converters.evaluate.metrics.difference_evidence import MarginVerdict, SmoothedDifference

#: Largest acceptable loss of TAR, a share: 0.003 is 0.3 percentage points.
DEFAULT_MARGIN = 0.003
#: Probability with which the stated number of subjects leads to a verdict, if the true difference is the measured one.
POWER = 0.8

# With more subjects than this number of times the measured ones, the difference is too close to the margin to plan for.
_MOST_TIMES = 100.0


def judge(difference: SmoothedDifference, *, margin: float = DEFAULT_MARGIN) -> MarginVerdict:
    """Judge a difference against a margin D.

    `no worse`: the whole interval is above -D, so a loss of D or more is excluded. `worse`: the whole interval is below -D.
    `cannot tell`: the interval contains -D. A loss of few people, of whom the data set may have none, is not excluded: see
    `MarginVerdict.unseen_share`.

    Args:
        difference: The measured difference.
        margin: D, a share, above 0 and under 1: 0.003 is 0.3 percentage points.

    Raises:
        InputError: `margin` is outside its range.
    """
    limit = -check_rate(margin, "a margin")
    interval, unseen = difference.interval, 1.0 - 0.05 ** (1.0 / difference.subjects)
    if interval.low > limit:
        return MarginVerdict(margin, "no worse", None, unseen)
    if interval.high < limit:
        return MarginVerdict(margin, "worse", None, unseen)
    middle = difference.difference
    half = middle - interval.low if middle > limit else interval.high - middle
    needed = subjects_to_tell(
        half,
        difference.standard_error,
        difference.subjects,
        distance=abs(middle - limit),
    )
    more = ceil(needed - difference.subjects) if needed <= _MOST_TIMES * difference.subjects else None
    return MarginVerdict(margin, "cannot tell", None if more is None else max(more, 1), unseen)


def subjects_to_tell(half_width: float, standard_error: float, subjects: int, *, distance: float) -> float:
    """Compute the number of subjects with which an interval excludes a margin with a probability of 80 %.

    The standard error falls with the square root of the number of subjects.

    Args:
        half_width: Distance from the difference to the end of its interval, with these subjects.
        standard_error: Standard error of the difference, with these subjects; 0 if no score differs.
        subjects: Number of subjects, 1 or more.
        distance: Distance of the true difference from the margin, a share.

    Returns:
        The number of subjects; infinity if the distance is 0.
    """
    if distance <= 0.0:
        return inf
    reach = half_width + NormalDist().inv_cdf(POWER) * standard_error
    return float(subjects * (reach / distance) ** 2)
