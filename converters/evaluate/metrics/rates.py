"""Error rates at thresholds, with intervals that take subjects, not comparisons, as independent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np

from converters.evaluate.metrics.claims import (
    EffectiveNumbers,
    claim_at,
    effective_numbers,
)
from converters.evaluate.metrics.dyadic import PairDesign
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.limits import rate_limits, share_limits
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, SubjectScores
from converters.evaluate.metrics.verification_evidence import MeasuredPoint, OperatingPointEvidence

FMR_METHOD = "gamma limits of effective comparisons (dyadic variance)"
FNMR_METHOD = "Korn and Graubard limits, subjects weigh alike"
TAR_METHOD = "Korn and Graubard limits, subjects weigh alike, with the variance of the threshold"

_Bounds = Interval | Unsupported | None


@dataclass(frozen=True, eq=False)
class Rates:
    """Error rates of one set of comparisons.

    Args:
        scores: All scores.
        tagged: Scores with their subjects; all non-mated scores down to twice the highest FMR.
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
        claimed = claim_at(self.tagged, self.design, fmr)
        threshold, claim = (measured_threshold, claimed) if isinstance(claimed, Unsupported) else claimed
        # Equal scores can make the threshold of the claim lower than the measured one by a rounding of bin edges.
        threshold = max(threshold, measured_threshold)
        at = np.array([threshold])
        matches, misses = int(self.scores.false_matches(at)[0]), int(self.scores.false_non_matches(at)[0])
        return OperatingPointEvidence(
            target_fmr=fmr,
            threshold=threshold,
            fmr=matches / self.scores.non_mated_trials,
            fnmr=self.fnmr(threshold),
            fnmr_pooled=self._pooled(misses),
            false_matches=matches,
            false_non_matches=misses,
            mated_trials=self.scores.mated_trials,
            non_mated_trials=self.scores.non_mated_trials,
            subjects=self.tagged.subjects,
            fmr_interval=self.fmr_interval(matches, effective),
            fnmr_interval=self.fnmr_interval(threshold),
            claim=claim,
            measured=self._measured(fmr, measured_threshold, effective),
            data_set=data_set,
            data_digest=data_digest,
        )

    def fnmr(self, threshold: float) -> float | None:
        """Compute the mean of the subjects' FNMRs; None without mated comparisons."""
        shares = self.tagged.false_non_match_shares(threshold)
        return float(shares.mean()) if shares.size else None

    def fmr_interval(self, matches: int, effective: EffectiveNumbers) -> _Bounds:
        """Compute the interval of the FMR at a fixed threshold with this number of false matches."""
        if not self.with_intervals:
            return None
        if self.tagged.subjects < MIN_SUBJECTS:
            return _too_few(self.tagged.subjects, "subjects")
        number = effective.interval
        errors = matches * number / self.design.trials
        low, high = rate_limits(errors, number, confidence=self.confidence)
        return Interval(
            low, high, self.confidence, 0, f"{FMR_METHOD}, {number:.0f} of {self.design.trials:.0f}"
        )

    def fnmr_interval(self, threshold: float, threshold_variance: float = 0.0) -> _Bounds:
        """Compute the interval of the mean FNMR of the subjects.

        Args:
            threshold: The threshold.
            threshold_variance: Variance of the FNMR that the noise of the threshold causes; 0 for a fixed threshold.
        """
        shares = self.tagged.false_non_match_shares(threshold)
        if not self.with_intervals or not shares.size:
            return None
        if shares.size < MIN_SUBJECTS:
            return _too_few(shares.size, "subjects with two or more images")
        low, high = share_limits(
            float(shares.mean()),
            float(shares.var(ddof=1)) / shares.size + threshold_variance,
            trials=self.scores.mated_trials,
            clusters=shares.size,
            confidence=self.confidence,
        )
        return Interval(low, high, self.confidence, 0, TAR_METHOD if threshold_variance else FNMR_METHOD)

    def _measured(self, fmr: float, threshold: float, effective: EffectiveNumbers) -> MeasuredPoint:
        at = np.array([threshold])
        matches, misses = int(self.scores.false_matches(at)[0]), int(self.scores.false_non_matches(at)[0])
        bounds = self.fnmr_interval(threshold, self._threshold_variance(fmr, effective))
        if isinstance(bounds, Interval):
            bounds = Interval(1.0 - bounds.high, 1.0 - bounds.low, bounds.confidence, 0, bounds.method)
        return MeasuredPoint(
            threshold=threshold,
            fmr=matches / self.scores.non_mated_trials,
            fnmr=self.fnmr(threshold),
            fnmr_pooled=self._pooled(misses),
            false_matches=matches,
            tar_interval=bounds,
        )

    def _pooled(self, misses: int) -> float | None:
        return misses / self.scores.mated_trials if self.scores.mated_trials else None

    def _threshold_variance(self, fmr: float, effective: EffectiveNumbers) -> float:
        """Compute the variance of the FNMR at `fmr` that follows from the variance of the FMR, by the delta method."""
        if not self.scores.mated_trials:
            return 0.0
        trials = self.scores.non_mated_trials
        low, high = max(int(fmr / 3 * trials), 1), min(max(int(fmr * 3 * trials), 2), trials)
        strict, loose = (self.fnmr(self.scores.score_at_rank(rank)) or 0.0 for rank in (low, high))
        slope = (strict - loose) / log(high / low) if high > low else 0.0
        relative = (1.0 - fmr) / (fmr * effective.interval)
        return slope * slope * min(relative, 4.0)


def _too_few(subjects: int, kind: str) -> Unsupported:
    reason = f"an interval needs {MIN_SUBJECTS} {kind}, found {subjects}"
    return Unsupported("confidence interval", MIN_SUBJECTS, subjects, reason)
