"""Error rates by group for the runners: covariates of a data set, at the thresholds of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from converters.data.samples import SampleSet
from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.curves import threshold_at_fmr
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.group_changes import group_changes
from converters.evaluate.metrics.group_evidence import GroupChanges, GroupsEvidence
from converters.evaluate.metrics.groups import measure_groups
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence, VerificationEvidence
from edge_sdk.errors import InputError


def check_groups(covariates: Covariates, samples: SampleSet) -> tuple[str, ...]:
    """Compare the covariates with the data set; return the subjects (or images) without a row.

    Raises:
        InputError: The images have no subjects, a row names an unknown subject or image, or no subject or image has a
            row.
    """
    if not samples.labelled:
        raise InputError(
            f"expected one folder per subject in {samples.data_set} for groups, found images without subjects"
        )
    names = [sample.name for sample in samples.samples]
    missing = covariates.check(names, [sample.subject for sample in samples.samples])
    covariates.groupings(names, [sample.subject for sample in samples.samples])
    return missing


def groups_of(
    covariates: Covariates,
    samples: SampleSet,
    embedded: EmbeddedSamples,
    comparisons: Comparisons,
    verification: VerificationEvidence,
    *,
    seed: int,
) -> GroupsEvidence:
    """Compute the error rates by group at each threshold of an evaluation.

    Raises:
        InputError: The covariates do not fit the images.
    """
    thresholds = [
        (point.target_fmr, point.threshold)
        for point in verification.points
        if isinstance(point, OperatingPointEvidence)
    ]
    return measure_groups(
        comparisons,
        covariates,
        embedded.names,
        embedded.subjects,
        thresholds=thresholds,
        without_row=check_groups(covariates, samples),
        seed=seed,
    )


def changes_of(
    covariates: Covariates,
    embedded: EmbeddedSamples,
    baseline: Comparisons,
    candidate: Comparisons,
    fmrs: Sequence[float],
    *,
    seed: int,
) -> tuple[GroupChanges, ...]:
    """Compute the change of each group's error rates at each FMR that both files support.

    Raises:
        InputError: The covariates do not fit the images.
    """
    before, after = baseline.scores(), candidate.scores()
    thresholds = []
    for fmr in fmrs:
        own, other = threshold_at_fmr(before, fmr), threshold_at_fmr(after, fmr)
        if not isinstance(own, Unsupported) and not isinstance(other, Unsupported):
            thresholds.append((fmr, own, other))
    return group_changes(
        baseline,
        candidate,
        covariates,
        embedded.names,
        embedded.subjects,
        thresholds=thresholds,
        seed=seed,
    )
