"""Results of the comparison of two artefacts: differences of TAR, verdicts on them, thresholds and decisions that change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported


@dataclass(frozen=True)
class PairedDifference(Evidence):
    """TAR of a candidate minus TAR of the baseline at one FMR, on the same images.

    Attributes:
        target_fmr: The FMR; each artefact has its own threshold for it.
        baseline_tar, candidate_tar: Measured TAR, mean over subjects.
        difference: candidate - baseline; negative is a loss.
        interval: Interval of the difference, from the same resamples for both.
    """

    target_fmr: float
    baseline_tar: float
    candidate_tar: float
    difference: float
    interval: Interval | Unsupported


@dataclass(frozen=True)
class SmoothedDifference(Evidence):
    """Smoothed TAR of a candidate minus that of the baseline, averaged over a range of FMR (`smoothed.pooled_difference`).

    Attributes:
        lowest_fmr, highest_fmr: Ends of the range; equal for a single FMR.
        baseline_tar, candidate_tar: Smoothed TAR, mean over subjects and over the logarithm of FMR.
        difference: candidate - baseline; negative is a loss.
        standard_error: Of the difference, 0 or more; 0 if no score differs.
        interval: Interval of the difference; `replicates` is the number of groups.
        subjects: Number of subjects with mated comparisons.
        baseline_bandwidth, candidate_bandwidth: Standard deviation of the Gaussian kernel, in units of the score.
    """

    lowest_fmr: float
    highest_fmr: float
    baseline_tar: float
    candidate_tar: float
    difference: float
    standard_error: float
    interval: Interval
    subjects: int
    baseline_bandwidth: float
    candidate_bandwidth: float


@dataclass(frozen=True)
class MarginVerdict(Evidence):
    """Verdict on a difference of TAR against the largest acceptable loss (`margin.judge`).

    Attributes:
        margin: Largest acceptable loss D, a share: 0.003 is 0.3 percentage points.
        verdict: `no worse` than D, `worse` than D, or `cannot tell`.
        more_subjects: Number of further subjects with which the verdict would be given with a probability of 80 %, if the
            true difference is the measured one; None if there is a verdict, or if the difference is so close to -D that more
            than 100 times the subjects would be needed.
        unseen_share: Share of people, about 3 / subjects. A loss that falls on a smaller share can be absent from the data set
            with a probability of 5 % or more, so no verdict excludes it.
    """

    margin: float
    verdict: Literal["no worse", "worse", "cannot tell"]
    more_subjects: int | None
    unseen_share: float

    def unseen_in_words(self) -> str:
        """State the people whose loss can be absent from the data; empty if even their total loss is within the margin."""
        if self.unseen_share <= self.margin:
            return ""
        return f"unless the loss falls on fewer than {100 * self.unseen_share:.2g} % of the people"


@dataclass(frozen=True)
class DecisionFlips(Evidence):
    """Numbers of comparisons that two artefacts decide differently.

    Attributes:
        baseline_threshold, candidate_threshold: Threshold of each artefact.
        mated_lost: Mated comparisons accepted by the baseline and rejected by the candidate.
        mated_won: Mated comparisons rejected by the baseline and accepted by the candidate.
        non_mated_lost: Non-mated comparisons rejected by the baseline and accepted by the candidate.
        non_mated_won: Non-mated comparisons accepted by the baseline and rejected by the candidate.
    """

    baseline_threshold: float
    candidate_threshold: float
    mated_lost: int
    mated_won: int
    non_mated_lost: int
    non_mated_won: int


@dataclass(frozen=True)
class ThresholdDrift(Evidence):
    """Thresholds of two artefacts for one FMR.

    Attributes:
        target_fmr: The FMR.
        baseline_threshold, candidate_threshold: Threshold of each artefact for that FMR.
        drift: candidate - baseline.
        fmr_at_baseline_threshold, fnmr_at_baseline_threshold: Rates of the candidate at the
            threshold of the baseline; the second is None without mated comparisons.
        own: Flips with each artefact at its own threshold.
        kept: Flips with both artefacts at the baseline's threshold.
    """

    target_fmr: float
    baseline_threshold: float
    candidate_threshold: float
    drift: float
    fmr_at_baseline_threshold: float
    fnmr_at_baseline_threshold: float | None
    own: DecisionFlips
    kept: DecisionFlips


@dataclass(frozen=True)
class FidelityEvidence(Evidence):
    """Differences of a candidate (integer) artefact from its baseline (float) on the same images.

    Attributes:
        images: Number of images.
        cosine_mean, cosine_min: Mean and minimum over the images of the cosine between their two embeddings.
        cosine_percentiles: Rows (percentile, cosine), ascending.
        worst: (name, cosine) of the images with the lowest cosines, lowest first.
        non_mated_mean_shift: Mean non-mated score, candidate - baseline; positive if embeddings shift toward a common
            direction.
        tail_shift: 99.9th percentile of the non-mated scores, candidate - baseline.
        drifts: One row per FMR.
    """

    images: int
    cosine_mean: float
    cosine_min: float
    cosine_percentiles: tuple[tuple[float, float], ...]
    worst: tuple[tuple[str, float], ...]
    non_mated_mean_shift: float | Unsupported
    tail_shift: float | Unsupported
    drifts: tuple[ThresholdDrift | Unsupported, ...]
