"""Results of the comparison of groups (differential performance, ISO/IEC 19795-10)."""

from __future__ import annotations

from dataclasses import dataclass

from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported


@dataclass(frozen=True)
class GroupRates(Evidence):
    """Error rates of the comparisons within one group, or between two groups, at one threshold.

    Attributes:
        first, second: Names of the groups; equal within one group.
        subjects: Number of subjects in the comparisons.
        fmr: False matches / non-mated comparisons; None without comparisons.
        false_matches, non_mated_trials: Numbers of comparisons.
        effective_comparisons: Number of independent comparisons with the same variance of the FMR.
        fmr_interval: 95 % interval of the FMR: dyadic variance, Garwood limits.
        fnmr: Mean over the subjects of their share of false non-matches; None without mated comparisons.
        fnmr_pooled: False non-matches / mated comparisons.
        false_non_matches, mated_trials, mated_subjects: Numbers of mated comparisons and of their subjects.
        fnmr_interval: 95 % interval of the FNMR: variance of the subjects, limits of Korn and Graubard.
    """

    first: str
    second: str
    subjects: int
    fmr: float | None
    false_matches: int
    non_mated_trials: int
    effective_comparisons: float
    fmr_interval: Interval | None
    fnmr: float | None
    fnmr_pooled: float | None
    false_non_matches: int
    mated_trials: int
    mated_subjects: int
    fnmr_interval: Interval | None


@dataclass(frozen=True)
class GroupTest(Evidence):
    """Test of one group against all other groups of the covariate.

    Attributes:
        group: The group.
        rate: `FMR` (comparisons within the group against comparisons within each other group) or `FNMR`.
        value, others: The rate of the group and of the others: for the FMR the mean over pairs of subjects, for the FNMR
            the mean over subjects.
        p_value: Two-sided.
        adjusted: p-value adjusted for all tests of the evaluation (Holm).
        differs: True if `adjusted` is at most 0.05.
    """

    group: str
    rate: str
    value: float
    others: float
    p_value: float
    adjusted: float
    differs: bool


@dataclass(frozen=True)
class WorstGroupThreshold(Evidence):
    """Lowest threshold at which the FMR claim holds within every group that can support it.

    Attributes:
        threshold: At least the threshold of the row.
        group: Group that needs the threshold.
        thresholds: (group, threshold of its claim) of each group that can support the claim.
        without_claim: (group, reason) of each group that cannot.
        tar_before, tar_after: Mean TAR over all subjects at the threshold of the row, and at this threshold; None
            without mated comparisons.
    """

    threshold: float
    group: str
    thresholds: tuple[tuple[str, float], ...]
    without_claim: tuple[tuple[str, str], ...]
    tar_before: float | None
    tar_after: float | None


@dataclass(frozen=True)
class GroupPoint(Evidence):
    """Groups of one covariate at one threshold.

    Attributes:
        target_fmr: FMR of the row whose threshold is used for all groups.
        threshold: The threshold.
        within: One row per group.
        across: One row per pair of groups.
        tests: Tests of the groups that are large enough.
        fmr_max_to_mean, fnmr_max_to_mean: Highest rate of a group / geometric mean of the groups' rates (NISTIR 8429);
            None if a rate is 0 or missing. A ratio of few errors is too high.
        worst_group: The worst-group threshold, or the reason for its absence.
    """

    target_fmr: float
    threshold: float
    within: tuple[GroupRates, ...]
    across: tuple[GroupRates, ...]
    tests: tuple[GroupTest, ...]
    fmr_max_to_mean: float | None
    fnmr_max_to_mean: float | None
    worst_group: WorstGroupThreshold | Unsupported


#: Figure of a `SmallGroup` that needs subjects with mated comparisons.
FNMR_TEST = "a test of the FNMR"


def claim_figure(fmr: float) -> str:
    """Name the claim of an FMR as the figure of a `SmallGroup`."""
    return f"the claim FMR {fmr:g}"


@dataclass(frozen=True)
class SmallGroup(Evidence):
    """A group that is too small for a figure.

    Attributes:
        group: The group.
        subjects: Number of its subjects; for the FNMR, of those with mated comparisons.
        needed: Least number of subjects for the figure.
        figure: The figure, such as `a test of the FNMR` or `the claim FMR 0.001`.
    """

    group: str
    subjects: int
    needed: int
    figure: str


@dataclass(frozen=True)
class CovariateEvidence(Evidence):
    """Groups of one covariate.

    Attributes:
        covariate: Name of the covariate.
        groups: Names of the groups.
        images: Number of images of each group.
        points: One row per threshold.
        small: Figures that a group is too small for.
    """

    covariate: str
    groups: tuple[str, ...]
    images: tuple[int, ...]
    points: tuple[GroupPoint, ...]
    small: tuple[SmallGroup, ...]

    def flagged(self) -> tuple[tuple[float, GroupTest], ...]:
        """Return (target FMR, test) of each group that differs from the others."""
        return tuple((p.target_fmr, test) for p in self.points for test in p.tests if test.differs)


@dataclass(frozen=True)
class GroupsEvidence(Evidence):
    """Differential performance of one artefact.

    Attributes:
        file, digest: Name and SHA-256 of the file of covariates.
        of_images: True if the file describes images, False if it describes subjects.
        without_row: Number of subjects (or images) without a row.
        without_row_names: Up to five of them.
        tests: Number of tests that the p-values are adjusted for.
        covariates: One per covariate.
    """

    file: str
    digest: str
    of_images: bool
    without_row: int
    without_row_names: tuple[str, ...]
    tests: int
    covariates: tuple[CovariateEvidence, ...]


@dataclass(frozen=True)
class GroupChange(Evidence):
    """Change of the error rates of one group from the float file to another file, each at its own threshold.

    Attributes:
        group: The group.
        subjects: Number of subjects with mated comparisons.
        baseline_fnmr, candidate_fnmr: Mean over the subjects; None without mated comparisons.
        fnmr_change: candidate - baseline; positive is a loss.
        fnmr_interval: Interval of the change from the differences of the subjects; the intervals of all groups of the
            covariate hold together with 95 %.
        fnmr_others: Change of the others' FNMR.
        baseline_matches, candidate_matches: Numbers of false matches.
        fmr_ratio: FMR of the candidate / FMR of the baseline; None if one of them has fewer than 10 false matches.
        fmr_interval: Interval of the ratio; the intervals of all groups hold together with 95 %.
        adjusted_fnmr, adjusted_fmr: p-values of the test whether the change is that of the others (interaction),
            adjusted for all tests of the comparison (Holm); None if not tested.
        differs: True if one of them is at most 0.05.
    """

    group: str
    subjects: int
    baseline_fnmr: float | None
    candidate_fnmr: float | None
    fnmr_change: float | None
    fnmr_interval: Interval | None
    fnmr_others: float | None
    baseline_matches: int
    candidate_matches: int
    fmr_ratio: float | None
    fmr_interval: Interval | None
    adjusted_fnmr: float | None
    adjusted_fmr: float | None
    differs: bool


@dataclass(frozen=True)
class GroupChanges(Evidence):
    """Changes of the groups of one covariate at one target FMR.

    Attributes:
        covariate: Name of the covariate.
        target_fmr: Each file has its own threshold for it.
        baseline_threshold, candidate_threshold: The thresholds.
        changes: One row per group.
    """

    covariate: str
    target_fmr: float
    baseline_threshold: float
    candidate_threshold: float
    changes: tuple[GroupChange, ...]
