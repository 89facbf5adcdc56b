"""Error rates at thresholds, with intervals that take subjects, not comparisons, as independent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from converters.evaluate.metrics.claims import (
    EffectiveNumbers,
    claim_at,
    effective_numbers,
)
from converters.evaluate.metrics.dyadic import PairDesign
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.limits import CLAIM_CONFIDENCE, rate_interval, threshold_variance
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, SubjectScores
from converters.evaluate.metrics.subject_shares import BY_SUBJECT, BY_SUBJECT_WITH_THRESHOLD, SubjectShare
from converters.evaluate.metrics.verification_evidence import MeasuredPoint, OperatingPointEvidence

FMR_METHOD = "gamma limits of effective comparisons (dyadic variance)"

_Bounds = Interval | Unsupported | None


@dataclass(frozen=True, eq=False)
class Rates:
    """Error rates of one set of comparisons.

    Args:
        scores: All scores.
        tagged: Scores with their subjects; all non-mated scores down to `claims.tagged_rank`.
        confidence: Confidence of the intervals, above 0 and under 1.
        with_intervals: False omits the intervals.
    """

    scores: ScoreSet
    tagged: SubjectScores
    confidence: float = 0.95
    with_intervals: bool = True

    @cached_property
    def design(self) -> PairDesign:
        """The non-mated comparisons per pair of subjects."""
        return self.tagged.design()

    def row(
        self, fmr: float, measured_threshold: float, *, data_set: str, data_digest: str
    ) -> OperatingPointEvidence:
        """Compute the evidence at one FMR.

        Args:
            fmr: Target FMR.
            measured_threshold: `threshold_at_fmr` of the scores.
            data_set, data_digest: Name and SHA-256 of the data set.

        Raises:
            InputError: The confidence is outside its range.
        """
        effective = effective_numbers(self.tagged, self.design, fmr, confidence=self.confidence)
        numbers = effective if self.confidence == CLAIM_CONFIDENCE else None
        claimed = claim_at(self.tagged, self.design, fmr, numbers=numbers)
        threshold, claim = (measured_threshold, claimed) if isinstance(claimed, Unsupported) else claimed
        # Equal scores can make the threshold of the claim lower than the measured one by a rounding of bin edges.
        threshold = max(threshold, measured_threshold)
        matches, missed = self._false_matches(threshold), self.tagged.missed(threshold)
        return OperatingPointEvidence(
            target_fmr=fmr,
            threshold=threshold,
            fmr=matches / self.scores.non_mated_trials,
            fnmr=None if missed is None else missed.mean,
            fnmr_pooled=None if missed is None else missed.pooled,
            false_matches=matches,
            false_non_matches=int(self.scores.false_non_matches(np.array([threshold]))[0]),
            mated_trials=self.scores.mated_trials,
            non_mated_trials=self.scores.non_mated_trials,
            subjects=self.tagged.subjects,
            fmr_interval=self._fmr_interval(matches, effective),
            fnmr_interval=self._fnmr_interval(missed, BY_SUBJECT),
            claim=claim,
            measured=self._measured(fmr, measured_threshold, effective),
            data_set=data_set,
            data_digest=data_digest,
        )

    def _measured(self, fmr: float, threshold: float, effective: EffectiveNumbers) -> MeasuredPoint:
        matches, missed = self._false_matches(threshold), self.tagged.missed(threshold)
        added = self._threshold_variance(fmr, effective)
        bounds = self._fnmr_interval(missed, BY_SUBJECT_WITH_THRESHOLD if added else BY_SUBJECT, added)
        return MeasuredPoint(
            threshold=threshold,
            fmr=matches / self.scores.non_mated_trials,
            fnmr=None if missed is None else missed.mean,
            fnmr_pooled=None if missed is None else missed.pooled,
            false_matches=matches,
            tar_interval=bounds.complement() if isinstance(bounds, Interval) else bounds,
        )

    def _false_matches(self, threshold: float) -> int:
        return int(self.scores.false_matches(np.array([threshold]))[0])

    def _fmr_interval(self, matches: int, effective: EffectiveNumbers) -> _Bounds:
        """Compute the interval of the FMR at a fixed threshold with this number of false matches."""
        if not self.with_intervals:
            return None
        if self.tagged.subjects < MIN_SUBJECTS:
            return _too_few(self.tagged.subjects, "subjects")
        number = effective.interval
        trials = self.design.trials
        method = f"{FMR_METHOD}, {number:.0f} of {trials:.0f}"
        return rate_interval(matches, trials, effective=number, confidence=self.confidence, method=method)

    def _fnmr_interval(self, missed: SubjectShare | None, method: str, added: float = 0.0) -> _Bounds:
        """Compute the interval of the mean FNMR of the subjects; `added` is the variance that the threshold causes."""
        if not self.with_intervals or missed is None:
            return None
        if missed.subjects < MIN_SUBJECTS:
            return _too_few(missed.subjects, "subjects with two or more images")
        return missed.interval(method, added_variance=added, confidence=self.confidence)

    def _threshold_variance(self, fmr: float, effective: EffectiveNumbers) -> float:
        """Compute the variance of the FNMR at `fmr` that follows from the variance of the FMR."""
        trials = self.scores.non_mated_trials
        low, high = max(int(fmr / 3 * trials), 1), min(max(int(fmr * 3 * trials), 2), trials)
        strict, loose = (self.tagged.missed(self.scores.score_at_rank(rank)) for rank in (low, high))
        if strict is None or loose is None:
            return 0.0
        return threshold_variance(
            strict.mean - loose.mean, ratio=high / low, rate=fmr, effective=effective.interval
        )


def _too_few(subjects: int, units: str) -> Unsupported:
    return Unsupported.too_few(
        "confidence interval", MIN_SUBJECTS, subjects, figure="an interval", units=units
    )
