"""Thresholds whose false match rate is at most a stated one with 95 % confidence.

The lowest threshold with a *measured* FMR of at most f has a true FMR above f about as often as below. A claim
states the lowest threshold whose upper limit of the FMR is at most f: chi2(0.95; 2 a + 2) / 2 <= f n (Garwood 1936),
with the numbers of false matches a and of comparisons n reduced to independent ones.

Comparisons that share a subject are not independent. A claim at FMR f therefore needs 3 / f pairs of subjects and as many
effective comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.curves import allowed_errors, check_rate, too_few_subjects, trials_needed
from converters.evaluate.metrics.dyadic import PairDesign, effective_comparisons
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.limits import CLAIM_CONFIDENCE, upper_rate_limit
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, SubjectScores
from converters.evaluate.metrics.verification_evidence import Claim
from edge_sdk.model.operating_point import subjects_needed

# Up to this many false matches, the number at twice the FMR is used too. More give a variance without much noise.
_FEW_MATCHES = 1 << 21


def tagged_rank(fmr: float, trials: int) -> int:
    """Compute the rank of the lowest non-mated score that `effective_numbers` and `claim_at` need; 1 is the highest.

    Args:
        fmr: Above 0 and under 1.
        trials: Number of non-mated comparisons, 1 or more.
    """
    return min(trials, int(_doubled(fmr, trials) * trials) + 2)


def _doubled(fmr: float, trials: float) -> float:
    """Return twice an FMR, less if it is near 1 or if the FMR itself gives many false matches."""
    return max(fmr, min(2.0 * fmr, _FEW_MATCHES / trials, 0.5))


@dataclass(frozen=True)
class EffectiveNumbers:
    """Numbers of independent comparisons near one FMR.

    Attributes:
        claim: For a claim: the lower one of the numbers at the FMR and at twice the FMR. Few false matches give a
            variance that is too small more often than too large.
        interval: For an interval: the geometric mean of that number and the number at the FMR.
    """

    claim: float
    interval: float


def effective_numbers(
    tagged: SubjectScores, design: PairDesign, fmr: float, *, confidence: float = 0.95
) -> EffectiveNumbers:
    """Compute the effective numbers of comparisons near an FMR.

    Args:
        tagged: Scores with their subjects; all non-mated scores down to `tagged_rank`.
        design: The non-mated comparisons.
        fmr: Above 0 and under 1.
        confidence: Confidence of the limits in which the numbers are used.
    """
    doubled = _doubled(fmr, design.trials)
    at, twice = (
        effective_comparisons(design, *_highest(tagged, design, share), confidence=confidence)
        for share in (fmr, doubled)
    )
    lower = min(at, twice)
    return EffectiveNumbers(lower, sqrt(at * lower))


def most_errors(rate: float, *, trials: float, effective: float) -> int | None:
    """Compute the largest number of errors with which the upper 95 % limit of the error rate is at most `rate`.

    Args:
        rate: Above 0 and under 1.
        trials: Number of trials.
        effective: Number of independent trials with the same variance, 1..trials.

    Returns:
        The number of errors in `trials`; None if the limit is above `rate` even without errors.
    """
    if upper_rate_limit(0.0, effective) > rate:
        return None
    low, high = 0, int(allowed_errors(rate, np.asarray(float(trials))))
    while low < high:
        middle = (low + high + 1) // 2
        if upper_rate_limit(middle * effective / trials, effective) <= rate:
            low = middle
        else:
            high = middle - 1
    return low


def claim_at(
    tagged: SubjectScores, design: PairDesign, fmr: float, *, numbers: EffectiveNumbers | None = None
) -> tuple[float, Claim] | Unsupported:
    """Find the lowest threshold whose FMR is at most `fmr` with 95 % confidence.

    Args:
        tagged: Scores with their subjects; all non-mated scores down to `tagged_rank`.
        design: The non-mated comparisons.
        fmr: Above 0 and under 1.
        numbers: `effective_numbers` at this FMR and a confidence of 95 % (default: computed).

    Returns:
        The threshold, a float32 value, with its claim, or `Unsupported` with the number of subjects that the claim
        needs.

    Raises:
        InputError: `fmr` is outside its range.
    """
    check_rate(fmr)
    subjects = tagged.subjects
    refusal = claim_refusal(fmr, subjects=subjects, dyads=design.dyads)
    if refusal is not None:
        return refusal
    effective = (numbers or effective_numbers(tagged, design, fmr, confidence=CLAIM_CONFIDENCE)).claim
    needed = trials_needed(fmr)
    errors = most_errors(fmr, trials=design.trials, effective=effective) if effective >= needed else None
    if errors is None:
        more = max(ceil(subjects * sqrt(needed / effective)), subjects + 1)
        return Unsupported(
            f"claim at FMR {fmr:g}",
            more,
            subjects,
            f"FMR {fmr:g} needs more subjects than {subjects:,}, about {more:,}: because subjects are alike, or a few give"
            f" most false matches, {design.trials:,.0f} comparisons count as {effective:,.0f} of {needed:,} needed",
        )
    if errors < tagged.non_mated.size:
        threshold = float(np.nextafter(tagged.non_mated[errors], np.float32(np.inf)))
    else:
        threshold = -1.0
    if threshold > 1.0 or (tagged.mated.size and threshold > tagged.mated[0]):
        return Unsupported(
            f"claim at FMR {fmr:g}",
            subjects + 1,
            subjects,
            f"the threshold that keeps FMR {fmr:g} would reject every mated comparison: images of different subjects are"
            " more alike than those of one subject; look for one person under two names",
        )
    limit = upper_rate_limit(tagged.matches(threshold) * effective / design.trials, effective)
    return threshold, Claim(limit, CLAIM_CONFIDENCE, effective)


def claim_refusal(fmr: float, *, subjects: int, dyads: int) -> Unsupported | None:
    """Return a refusal if a claim has fewer than 3 / fmr pairs of subjects, or fewer than 10 subjects, otherwise None.

    Args:
        fmr: Above 0 and under 1.
        subjects: Number of subjects.
        dyads: Number of pairs of subjects that were compared.
    """
    needed, pairs = max(subjects_needed(fmr), MIN_SUBJECTS), trials_needed(fmr)
    if subjects < needed:
        return Unsupported(f"claim at FMR {fmr:g}", needed, subjects, too_few_subjects(fmr, needed, subjects))
    if dyads < pairs:
        reason = f"FMR {fmr:g} needs comparisons of at least {pairs:,} pairs of subjects, found {dyads:,}"
        return Unsupported(f"claim at FMR {fmr:g}", pairs, dyads, reason)
    return None


def _highest(
    tagged: SubjectScores, design: PairDesign, share: float
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the subjects of the highest `share` of the non-mated scores, including equal ones; at least one score."""
    count = max(int(allowed_errors(share, np.asarray(design.trials))), 1)
    lowest = tagged.non_mated[min(count, tagged.non_mated.size) - 1]
    end = tagged.matches(float(lowest))
    return tagged.first[:end], tagged.second[:end]
