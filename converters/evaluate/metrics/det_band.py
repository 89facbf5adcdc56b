"""Confidence limits of a DET curve, threshold by threshold.

At each threshold the FMR has the limits of effective comparisons (Garwood 1936, dyadic variance) and the FNMR, the mean over
subjects, those of Korn and Graubard (1998): the limits of a row of operating points. They hold for one threshold at a time.
"""

from __future__ import annotations

import numpy as np

from converters.evaluate.metrics.claims import effective_numbers
from converters.evaluate.metrics.cosines import IntArray
from converters.evaluate.metrics.limits import rate_limits
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, SubjectScores
from converters.evaluate.metrics.subject_shares import subject_share
from edge_sdk.types import Float64Array

#: Largest number of rows of a band.
MAX_ROWS = 100
#: Largest number of false matches whose subjects are counted; above their FMR, the FMR has no limits.
MAX_MATCHES = 1 << 21
# With fewer false matches the variance is too uncertain; that of this many is used.
_LEAST_MATCHES = 30

#: (threshold, FMR, its limits, FNMR as mean over subjects, its limits); a limit is None if it cannot be stated.
BandRow = tuple[float, float, float | None, float | None, float, float | None, float | None]


def det_band(
    scores: ScoreSet, tagged: SubjectScores, thresholds: Float64Array, *, confidence: float = 0.95
) -> tuple[BandRow, ...]:
    """Compute FMR and FNMR with their limits at thresholds of a DET curve.

    Args:
        scores: All scores; both kinds.
        tagged: Their subjects; all non-mated scores, or the highest 2^21 or more.
        thresholds: Shape (T,), ascending; at most 100 of them are used, evenly chosen.
        confidence: Confidence of each limit, above 0 and under 1.

    Returns:
        One row per threshold used. FMR has no limits with fewer than 10 subjects, FNMR with fewer than 10 subjects with mated
        comparisons, and FMR above the share of the tagged scores.

    Raises:
        InputError: `confidence` is outside its range.
    """
    chosen = np.unique(np.linspace(0, thresholds.size - 1, MAX_ROWS).round().astype(np.int64))
    thresholds = thresholds[chosen]
    matches = scores.false_matches(thresholds)
    effective = _effective_numbers(tagged, matches, scores.non_mated_trials, confidence)
    rows: list[BandRow] = []
    for k, threshold in enumerate(thresholds.tolist()):
        fmr, missed = (
            int(matches[k]) / scores.non_mated_trials,
            subject_share(tagged.mated_subject, tagged.mated < threshold),
        )
        of_fmr: tuple[float | None, float | None] = (None, None)
        of_fnmr: tuple[float | None, float | None] = (None, None)
        if np.isfinite(effective[k]):
            number = float(effective[k])
            of_fmr = rate_limits(fmr * number, number, confidence=confidence)
        if missed.subjects >= MIN_SUBJECTS:
            of_fnmr = missed.limits(confidence=confidence)
        rows.append((threshold, fmr, *of_fmr, missed.mean, *of_fnmr))
    return tuple(rows)


def band_floor(scores: ScoreSet) -> float:
    """Return the lowest score whose subjects `det_band` uses."""
    if not scores.non_mated_trials:
        return 2.0
    return scores.score_at_rank(min(scores.non_mated_trials, MAX_MATCHES))


def _effective_numbers(
    tagged: SubjectScores, matches: IntArray, trials: int, confidence: float
) -> Float64Array:
    """Interpolate the effective numbers of comparisons between numbers of false matches that grow threefold.

    Returns:
        Shape (T,); NaN if the subjects of the matches are not known, or are too few.
    """
    unknown = np.full(matches.shape, np.nan)
    if tagged.subjects < MIN_SUBJECTS or not tagged.non_mated.size:
        return unknown
    design = tagged.design()
    known = tagged.non_mated.size
    # Above an FMR of 1/4 the number hardly changes, and the rows of operating points look at twice the FMR.
    most = min(known, MAX_MATCHES, max(1, trials // 4))
    least = min(_LEAST_MATCHES, most)
    steps = max(1, round(float(np.log(most / least) / np.log(3.0))))
    anchors = np.unique(np.geomspace(least, most, steps + 1).round().astype(np.int64))
    numbers = [
        effective_numbers(tagged, design, count / trials, confidence=confidence).interval
        for count in anchors.tolist()
    ]
    place = np.log(np.clip(matches, least, most))
    effective = np.exp(np.interp(place, np.log(anchors), np.log(numbers)))
    return np.where(matches > known, unknown, effective)
