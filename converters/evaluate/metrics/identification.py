"""Error rates of open-set identification, 1:N (ISO/IEC 19795-1): FPIR, FNIR, CMC, operating points."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from converters.evaluate.metrics.claims import EffectiveNumbers, most_errors
from converters.evaluate.metrics.curves import allowed_errors, check_rate, trials_needed
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.identification_evidence import (
    IdentificationClaim,
    IdentificationPoint,
    MeasuredIdentification,
    RankShare,
)
from converters.evaluate.metrics.limits import (
    CLAIM_CONFIDENCE,
    rate_interval,
    threshold_variance,
    upper_rate_limit,
)
from converters.evaluate.metrics.search_variance import search_variance
from converters.evaluate.metrics.searches import NEVER, SearchScores
from converters.evaluate.metrics.subject_shares import BY_SUBJECT, BY_SUBJECT_WITH_THRESHOLD
from edge_sdk.errors import InputError
from edge_sdk.model import operating_point
from edge_sdk.types import Float64Array


def fmr_for_fpir(rate: float, *, references: int) -> float:
    """Compute the FMR per comparison that gives an FPIR over N references: 1 - (1 - FPIR)^(1/N).

    The formula holds for independent comparisons; `point_at_fpir` measures the FPIR instead.

    Args:
        rate: FPIR, 0..1.
        references: N >= 1.

    Raises:
        InputError: A value is outside its range.
    """
    if not 0.0 <= rate <= 1.0 or references < 1:
        raise InputError(
            f"expected FPIR in 0..1 and at least 1 reference, found {rate} and {references}",
            hint="for example fmr_for_fpir(1e-2, references=50)",
        )
    return 1.0 if rate == 1.0 else operating_point.fmr_for_fpir(rate, references)


def cumulative_match(scores: SearchScores, *, max_rank: int = 20) -> Float64Array:
    """Compute the CMC: share of mated probes whose subject has rank <= k, for k = 1..max_rank.

    Returns:
        Shape (max_rank,), float64, non-decreasing.

    Raises:
        InputError: There is no mated probe, or `max_rank` is less than 1.
    """
    if scores.mated_ranks.size == 0 or max_rank < 1:
        raise InputError(
            f"expected one or more mated probes and max_rank of 1 or more, found {scores.mated_ranks.size} probes"
            f" and max_rank {max_rank}",
            hint="add probes of enrolled subjects",
        )
    ranks = scores.mated_ranks[(scores.mated_ranks >= 1) & (scores.mated_ranks <= max_rank)]
    counts = np.bincount(ranks, minlength=max_rank + 1)[1:]
    return np.asarray(np.cumsum(counts) / scores.mated_ranks.size, dtype=np.float64)


def rank_shares(
    scores: SearchScores, ranks: Sequence[int], *, confidence: float = 0.95
) -> tuple[RankShare, ...] | Unsupported:
    """Compute the share of mated searches whose subject has rank <= k as a mean over subjects, with intervals.

    Args:
        scores: Results of `search`; failures count as misses.
        ranks: Values of k, each >= 1.
        confidence: Confidence of the intervals, above 0 and under 1.

    Returns:
        One row per rank; `Unsupported` without mated probes.
    """
    rows = []
    for rank in ranks:
        missed = scores.missed(float(NEVER), rank)
        if missed is None:
            return Unsupported("rank-k share", 1, 0, "no mated probe: no searched subject is enrolled")
        interval = missed.interval(BY_SUBJECT, confidence=confidence).complement()
        rows.append(RankShare(rank, 1.0 - missed.mean, 1.0 - missed.pooled, interval))
    return tuple(rows)


def point_at_fpir(
    scores: SearchScores, rate: float, *, rank: int = 1, confidence: float = 0.95
) -> IdentificationPoint | Unsupported:
    """Find the lowest threshold whose upper 95 % limit of the FPIR is <= rate, and measure FPIR and FNIR at it.

    The claim needs 3 / rate strangers and as many effective searches (`SearchVariance.effective_searches`), because many
    searches of one stranger, or of one gallery, are alike. If they are missing, the row has the measured point:
    the lowest threshold whose measured FPIR is <= rate.

    Args:
        scores: Results of `search`.
        rate: FPIR, above 0 and under 1.
        rank: Length of the candidate list, >= 1.
        confidence: Confidence of the intervals, above 0 and under 1.

    Returns:
        The point, whose `claim` may be `Unsupported`; `Unsupported` with fewer than 3 / rate non-mated probes.

    Raises:
        InputError: `rate`, `rank` or `confidence` is outside its range.
    """
    tops, needed = scores.non_mated_tops, trials_needed(check_rate(rate, "FPIR"))
    check_rate(confidence, "a confidence")
    if rank < 1:
        raise InputError(f"expected a rank of 1 or more, found {rank}", hint="for example rank=1")
    strangers = scores.stranger_count
    few = Unsupported.too_few(
        f"claim at FPIR {rate:g}",
        needed,
        strangers,
        figure=f"FPIR {rate:g}",
        units="strangers",
        at_least=True,
    )
    if tops.size < needed:
        return few
    numbers = effective_searches(scores, rate, confidence=confidence)
    measured = _measured(scores, rate, rank, numbers, confidence)
    claimed = _claim(scores, rate, numbers) if strangers >= needed else few
    threshold, claim = (measured.threshold, claimed) if isinstance(claimed, Unsupported) else claimed
    missed = scores.missed(threshold, rank)
    matches = scores.matches(threshold)
    return IdentificationPoint(
        target_fpir=rate,
        threshold=threshold,
        fpir=matches / tops.size,
        fnir=None if missed is None else missed.mean,
        fnir_pooled=None if missed is None else missed.pooled,
        false_matches=matches,
        rank=rank,
        references=scores.references,
        subjects=scores.subjects,
        strangers=strangers,
        mated_probes=int(scores.mated_scores.size),
        non_mated_probes=int(tops.size),
        fpir_interval=_fpir_interval(scores, matches, numbers, confidence),
        fnir_interval=None if missed is None else missed.interval(BY_SUBJECT, confidence=confidence),
        claim=claim,
        measured=measured,
    )


def effective_searches(
    scores: SearchScores, rate: float, *, confidence: float = 0.95
) -> EffectiveNumbers | None:
    """Compute the numbers of independent searches near an FPIR; None with one stranger or one enrolled subject.

    A claim uses the lower one of the numbers at the FPIR and at twice the FPIR, because few false matches give a variance
    that is too small more often than too large.

    Args:
        scores: Results of `search` with non-mated probes.
        rate: FPIR, above 0 and under 1.
        confidence: Confidence of the limits in which the numbers are used.
    """
    if scores.stranger_count < 2 or scores.subjects < 2:
        return None
    at, twice = (
        search_variance(
            scores.strangers,
            scores.candidates,
            scores.non_mated_tops >= np.float32(_threshold(scores, share)),
            enrolled=scores.subjects,
        ).effective_searches(confidence=confidence)
        for share in (rate, min(2 * rate, (1 + rate) / 2))
    )
    return EffectiveNumbers(claim=min(at, twice), interval=at)


_BY_STRANGER = "gamma limits of effective searches (variance by stranger and by enrolled subject)"
_NO_VARIANCE = Unsupported(
    "interval of FPIR", 2, 1, "an interval of FPIR needs 2 or more strangers and 2 or more enrolled subjects"
)


def _claim(
    scores: SearchScores, rate: float, numbers: EffectiveNumbers | None
) -> tuple[float, IdentificationClaim] | Unsupported:
    title, needed, strangers = f"claim at FPIR {rate:g}", trials_needed(rate), scores.stranger_count
    if numbers is None:
        figure = f"FPIR {rate:g} in other galleries"
        return Unsupported.too_few(title, 2, scores.subjects, figure=figure, units="enrolled subjects")
    effective, searches = numbers.claim, scores.non_mated_tops.size
    errors = most_errors(rate, trials=searches, effective=effective) if effective >= needed else None
    if errors is None:
        more = max(ceil(strangers * needed / effective), strangers + 1)
        reason = (
            f"FPIR {rate:g} needs more strangers than {strangers:,}, about {more:,}, or more enrolled subjects than"
            f" {scores.subjects:,}: because subjects are alike, or a few give most false matches, {searches:,} searches"
            f" count as {effective:,.0f} of {needed:,} needed"
        )
        return Unsupported(title, more, strangers, reason)
    threshold = scores.above(errors)
    limit = upper_rate_limit(scores.matches(threshold) * effective / searches, effective)
    return threshold, IdentificationClaim(limit, CLAIM_CONFIDENCE, effective)


def _threshold(scores: SearchScores, rate: float) -> float:
    """Return the lowest float32 threshold whose measured FPIR is <= rate."""
    return scores.above(int(allowed_errors(rate, np.asarray(float(scores.non_mated_tops.size)))))


def _measured(
    scores: SearchScores, rate: float, rank: int, numbers: EffectiveNumbers | None, confidence: float
) -> MeasuredIdentification:
    threshold = _threshold(scores, rate)
    matches, missed = scores.matches(threshold), scores.missed(threshold, rank)
    fnir_interval: Interval | Unsupported | None = None
    if missed is not None:
        fnir_interval = _NO_VARIANCE
        if numbers is not None:
            added = _threshold_variance(scores, rate, rank, numbers)
            fnir_interval = missed.interval(
                BY_SUBJECT_WITH_THRESHOLD, added_variance=added, confidence=confidence
            )
    return MeasuredIdentification(
        threshold=threshold,
        fpir=matches / scores.non_mated_tops.size,
        fnir=None if missed is None else missed.mean,
        fnir_pooled=None if missed is None else missed.pooled,
        false_matches=matches,
        fpir_interval=_fpir_interval(scores, matches, numbers, confidence),
        fnir_interval=fnir_interval,
    )


def _threshold_variance(scores: SearchScores, rate: float, rank: int, numbers: EffectiveNumbers) -> float:
    """Compute the variance of FNIR at FPIR `rate` that follows from the variance of FPIR."""
    searches = scores.non_mated_tops.size
    low, high = max(int(rate / 3 * searches), 1), min(int(3 * rate * searches), searches - 1)
    strict, loose = (scores.missed(scores.above(errors), rank) for errors in (low, high))
    if strict is None or loose is None or high <= low:
        return 0.0
    return threshold_variance(
        strict.mean - loose.mean, ratio=high / low, rate=rate, effective=numbers.interval
    )


def _fpir_interval(
    scores: SearchScores, matches: int, numbers: EffectiveNumbers | None, confidence: float
) -> Interval | Unsupported:
    if numbers is None:
        return _NO_VARIANCE
    return rate_interval(
        matches,
        scores.non_mated_tops.size,
        effective=numbers.interval,
        confidence=confidence,
        method=_BY_STRANGER,
    )
