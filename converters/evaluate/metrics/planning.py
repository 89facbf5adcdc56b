"""Number of subjects to collect before an evaluation: for claims of an FMR, for the interval of TAR, and for a difference.

The variance of an FMR f among S subjects with m images each is modelled as

    V = 4 c f^2 / S + 2 k f / (S (S - 1)),  k = r + (1 - r) / m^2

where c is the squared coefficient of variation of the subjects' own false match rates, and r is the correlation of two
comparisons of the same two subjects. f / V is the effective number of comparisons (Kish 1965). Both can be measured on
images of a pilot; without a pilot, `TYPICAL` states a range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

import numpy as np

from converters.evaluate.metrics.curves import allowed_errors, check_rate, threshold_at_fmr
from converters.evaluate.metrics.dyadic import dyadic_variance, pair_variance
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from converters.evaluate.metrics.limits import exact_share_limits, upper_rate_limit
from converters.evaluate.metrics.margin import POWER
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS, Comparisons
from converters.evaluate.metrics.subject_shares import subject_share
from edge_sdk.errors import InputError
from edge_sdk.model.operating_point import subjects_needed

#: Most subjects of a plan.
MAX_SUBJECTS = 10_000_000
#: Most images of each subject in a plan.
MAX_IMAGES = 1000

# The effective number that a claim measures is smaller than the true one, because it allows for the uncertainty of a
# variance from few false matches; with this share of the true number, nine of ten data sets support the claim.
_MEASURED_SHARE = 0.4
# False matches that a claim has room for in the second, comfortable number of subjects.
_COMFORTABLE_ERRORS = 10
# Exponent with which c grows as the FMR falls, between FMR 1e-2 and 1e-4 of LFW.
_GROWTH = 0.46
# A pilot is measured at the lowest FMR that gives this number of false matches.
_PILOT_MATCHES = 100
#: Lowest FNMR of a plan; a pilot without errors does not show that there are none.
LEAST_FNMR = 1e-3
# Highest FMR at which a pilot's FNMR is measured, for FMRs that the pilot does not support.
_HIGHEST_FMR = 1e-1


@dataclass(frozen=True)
class Dependence(Evidence):
    """Correlation of comparisons, and quantities of a pilot that determine the width of intervals.

    Attributes:
        at_fmr: FMR at which `unequal` holds; at FMR f it is multiplied by (at_fmr / f)^0.46.
        unequal: c, squared coefficient of variation of the subjects' own false match rates, 0 or more.
        alike: r, correlation of two comparisons of the same two subjects, 0..1.
        trials_per_subject: Number of independent mated trials that one subject is worth, 1 or more.
    """

    at_fmr: float
    unequal: float
    alike: float
    trials_per_subject: float = 1.0

    def effective(self, fmr: float, subjects: float, images: float) -> float:
        """Compute the effective number of non-mated comparisons; 1 or more subjects and images of each."""
        unequal = self.unequal * float((self.at_fmr / fmr) ** _GROWTH)
        pair = self.alike + (1.0 - self.alike) / images**2
        return 1.0 / (4 * unequal * fmr / subjects + 2 * pair / (subjects * (subjects - 1)))


#: Range without a pilot: simulated subjects that are nearly equal, and subjects as unequal as those of LFW.
TYPICAL = (Dependence(1e-2, 0.03, 0.2), Dependence(1e-2, 0.25, 0.4))
#: Range of the standard deviation between subjects of a smoothed difference of TAR (int8 against float), a share.
TYPICAL_DIFFERENCE = (0.015, 0.03)


@dataclass(frozen=True)
class ClaimPlan(Evidence):
    """Subjects for a claim at one FMR.

    Attributes:
        fmr: The claimed FMR.
        least: Least number of subjects that the rule of three allows: S (S - 1) / 2 >= 3 / fmr.
        subjects: Number of subjects with which nine of ten data sets support the claim, (low, high).
        comfortable: Number of subjects with which ten false matches are allowed, so that the threshold lies closer to the
            measured one, (low, high).
        tar_interval: Expected 95 % interval of TAR with the higher number of `subjects`; None with one image of each.
        fnmr: FNMR for which `tar_interval` holds.
        fnmr_at: FMR at which a pilot measured `fnmr`, above `fmr` if the pilot is too small for `fmr`; None if `fnmr` is
            assumed.
    """

    fmr: float
    least: int
    subjects: tuple[int, int]
    comfortable: tuple[int, int]
    tar_interval: tuple[float, float] | None
    fnmr: float
    fnmr_at: float | None = None


@dataclass(frozen=True)
class DifferencePlan(Evidence):
    """Subjects for a verdict on a difference of TAR.

    Attributes:
        margin: Largest acceptable loss D, a share.
        subjects: Number of subjects with which two equal artefacts are found to be no worse than D with a probability of
            80 %, (low, high).
    """

    margin: float
    subjects: tuple[int, int]


@dataclass(frozen=True)
class Plan(Evidence):
    """Subjects to collect.

    Attributes:
        images_per_subject: Images of each subject.
        fnmr: Expected FNMR of rows without a measured one.
        dependence: Assumed correlation of comparisons, (low, high); equal if a pilot was measured.
        pilot: Name of the pilot's data set; empty without a pilot.
        claims: One row per FMR, descending.
        difference: Subjects for a difference.
    """

    images_per_subject: int
    fnmr: float
    dependence: tuple[Dependence, Dependence]
    pilot: str
    claims: tuple[ClaimPlan, ...]
    difference: DifferencePlan


def make_plan(
    fmrs: Sequence[float],
    *,
    images_per_subject: int,
    margin: float,
    fnmr: float = 0.05,
    measured: Mapping[float, tuple[float, float]] | None = None,
    dependence: tuple[Dependence, Dependence] = TYPICAL,
    pilot: str = "",
) -> Plan:
    """Compute the number of subjects for each claim and for a difference.

    Args:
        fmrs: FMRs to claim, each at least 1e-9 and under 1.
        images_per_subject: Images of each subject, 1..1000; TAR and differences need 2.
        margin: Largest acceptable loss of TAR, a share.
        fnmr: Expected FNMR, above 0 and under 1.
        measured: Result of `measure_fnmr`; replaces `fnmr` at its FMRs (default: empty).
        dependence: Assumed correlation of comparisons, (low, high).
        pilot: Name of the data set on which `dependence` was measured.

    Raises:
        InputError: A value is outside its range.
    """
    if not 1 <= images_per_subject <= MAX_IMAGES:
        raise InputError(
            f"expected 1..{MAX_IMAGES} images per subject, found {images_per_subject}",
            hint="two or more images of each subject are needed for TAR",
        )
    check_rate(fnmr, "FNMR")
    check_rate(margin, "a margin")
    claims = tuple(
        _claim(fmr, images_per_subject, (measured or {}).get(fmr, (fnmr, None)), dependence)
        for fmr in sorted({_checked(fmr) for fmr in fmrs}, reverse=True)
    )
    low, high = (_difference_subjects(spread, margin) for spread in TYPICAL_DIFFERENCE)
    return Plan(images_per_subject, fnmr, dependence, pilot, claims, DifferencePlan(margin, (low, high)))


def measure_dependence(comparisons: Comparisons) -> tuple[Dependence, float] | Unsupported:
    """Measure the correlation of comparisons on a pilot.

    Args:
        comparisons: Comparisons of at least 10 subjects with two or more images each.

    Returns:
        The dependence, and FNMR at the lowest FMR with 100 false matches (at most 1e-1); `Unsupported` with fewer than 10
        subjects or 1,000 non-mated comparisons.
    """
    scores = comparisons.scores()
    trials, subjects = scores.non_mated_trials, comparisons.subjects
    if subjects < MIN_SUBJECTS or trials < 10 * _PILOT_MATCHES or scores.mated_trials == 0:
        return Unsupported(
            "pilot",
            MIN_SUBJECTS,
            subjects,
            f"a pilot needs at least {MIN_SUBJECTS} subjects with two or more images each and {10 * _PILOT_MATCHES:,}"
            f" non-mated comparisons, found {subjects} subjects and {trials:,} comparisons",
        )
    fmr = max(_PILOT_MATCHES / trials, 1e-4)
    rank = max(int(allowed_errors(fmr, np.asarray(float(trials)))), 1)
    tagged = comparisons.with_subjects(scores.score_at_rank(rank))
    threshold = scores.score_at_rank(rank)
    matches = tagged.matches(threshold)
    design = tagged.design()
    first, second = tagged.first[:matches], tagged.second[:matches]
    rate = matches / trials
    within = pair_variance(design, first, second)
    between = max(dyadic_variance(design, first, second).value - within, 0.0)
    pairs = design.dyads
    images = trials / pairs  # mean comparisons of a pair of subjects, m^2
    pair = within * pairs / rate
    alike = min(max((pair - 1 / images) / (1 - 1 / images), 0.0), 1.0) if images > 1 else 0.0
    share = subject_share(tagged.mated_subject, tagged.mated < threshold)
    worth = 1.0
    if 0.0 < share.mean < 1.0 and share.variance > 0.0:
        independent = share.mean * (1.0 - share.mean) / share.variance
        worth = max(1.0, min(independent, share.trials) / share.subjects)
    return Dependence(rate, between * subjects / (4 * rate * rate), alike, worth), share.mean


def measure_fnmr(comparisons: Comparisons, fmrs: Sequence[float]) -> dict[float, tuple[float, float]]:
    """Measure the FNMR of a pilot at each FMR, the mean over subjects.

    Args:
        comparisons: Comparisons with mated ones.
        fmrs: Each above 0 and under 1.

    Returns:
        (FNMR, at least 1e-3; FMR at which it is measured) by FMR. An FMR that has too few comparisons gets the values of the
        lowest FMR that has enough; FMRs above it get their own.
    """
    scores = comparisons.scores()
    tagged = comparisons.with_subjects(2.0)
    measured: dict[float, tuple[float, float]] = {}
    last: tuple[float, float] | None = None
    for fmr in sorted({*fmrs, _HIGHEST_FMR}, reverse=True):
        threshold = threshold_at_fmr(scores, fmr)
        if not isinstance(threshold, Unsupported):
            share = subject_share(tagged.mated_subject, tagged.mated < threshold)
            last = max(share.mean, LEAST_FNMR), fmr
        if last is not None:
            measured[fmr] = last
    return measured


def _claim(
    fmr: float,
    images: int,
    expected: tuple[float, float | None],
    dependence: tuple[Dependence, Dependence],
) -> ClaimPlan:
    least = max(subjects_needed(fmr), MIN_SUBJECTS)
    subjects = [_subjects(fmr, 3.0, images, item, least) for item in dependence]
    errors = upper_rate_limit(_COMFORTABLE_ERRORS, 1e9) * 1e9
    comfortable = [_subjects(fmr, errors, images, item, least) for item in dependence]
    worth = min(item.trials_per_subject for item in dependence)
    fnmr, fnmr_at = expected
    interval = exact_share_limits(1.0 - fnmr, max(subjects) * worth) if images > 1 else None
    return ClaimPlan(
        fmr,
        least,
        (min(subjects), max(subjects)),
        (min(comfortable), max(comfortable)),
        interval,
        fnmr,
        fnmr_at,
    )


def _subjects(fmr: float, errors: float, images: int, dependence: Dependence, least: int) -> int:
    """Find the least number of subjects, from `least` on, whose measured effective comparisons reach errors / fmr."""
    low, high = least, MAX_SUBJECTS
    if _MEASURED_SHARE * dependence.effective(fmr, high, images) < errors / fmr:
        raise InputError(
            f"FMR {fmr:g} needs more than {MAX_SUBJECTS:,} subjects", hint="plan for a higher FMR"
        )
    while low < high:
        middle = (low + high) // 2
        if _MEASURED_SHARE * dependence.effective(fmr, middle, images) >= errors / fmr:
            high = middle
        else:
            low = middle + 1
    return low


def _difference_subjects(spread: float, margin: float) -> int:
    normal = NormalDist()
    reach = normal.inv_cdf(0.975) + normal.inv_cdf(POWER)
    return max(ceil((reach * spread / margin) ** 2), MIN_SUBJECTS)


def _checked(fmr: float) -> float:
    if not 1e-9 <= fmr < 1.0:
        raise InputError(f"expected FMR of at least 1e-9 and under 1, found {fmr}", hint="for example 1e-4")
    return float(fmr)
