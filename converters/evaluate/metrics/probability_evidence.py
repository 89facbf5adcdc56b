"""Probabilities from scores, cross-validated by subject.

The subjects are dealt to K folds. A comparison between subjects of the folds i and j gets its probability from a fit to the
comparisons in which no subject of fold i or fold j takes part, so both subjects are unknown to the fit. Each comparison is
used once, and all figures are computed over all comparisons together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.calibration import PooledBlocks, cllr, pool
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from converters.evaluate.metrics.probability import (
    DEFAULT_PRIOR,
    Platt,
    ReliabilityBin,
    brier_score,
    fit_counts,
    prior_odds,
    prior_weights,
    reliability_bins,
    sigmoid,
)
from converters.evaluate.metrics.score_counts import FoldCounts, ScoreCounts, fold_counts
from converters.evaluate.metrics.subject_scores import Comparisons
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array

FOLDS = 10
#: Largest number of PAV blocks in the evidence.
MAX_BLOCKS = 200


@dataclass(frozen=True)
class ProbabilityQuality(Evidence):
    """Quality of probabilities on one set of comparisons, at the prior of the fit.

    Attributes:
        brier: Mean squared difference of probability and outcome; 0 is perfect.
        log_loss: Mean negative log probability of the outcome, nats.
        cllr: Cost of the log-likelihood ratios over all priors, bits per comparison; 0 is perfect, 1 says nothing.
        bins: Reliability table.
    """

    brier: float
    log_loss: float
    cllr: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ProbabilityEvidence(Evidence):
    """Conversion of scores to probabilities, and its quality.

    Attributes:
        platt: Coefficients of the fit to all comparisons, with their prior.
        bins, brier, log_loss, cllr: See `ProbabilityQuality`; cross-validated by subject if `folds` is above 0,
            otherwise equal to `in_sample`.
        folds: Folds of subjects; 0 if the data are too few for a cross-validation.
        not_validated: Reason for the absence of a cross-validation; None if there is one.
        in_sample: The figures on the comparisons of the fit itself, which flatter.
        min_cllr: Lowest Cllr of any monotone conversion of these scores (PAV, in-sample), bits.
        pav: (lowest score, highest score, probability at the prior) of each PAV block, at most 200 of them.
        subjects: Number of subjects.
        data_set, data_digest: Data of the fit.
    """

    platt: Platt
    bins: tuple[ReliabilityBin, ...]
    brier: float
    log_loss: float
    cllr: float
    folds: int
    not_validated: Unsupported | None
    in_sample: ProbabilityQuality
    min_cllr: float
    pav: tuple[tuple[float, float, float], ...]
    subjects: int
    data_set: str
    data_digest: str

    @property
    def validation(self) -> str:
        """Validation of the figures, in words."""
        if self.folds:
            return f"cross-validated by subject, {self.folds} folds"
        return "on the comparisons of the fit itself, not cross-validated"


def measure_probability(
    comparisons: Comparisons,
    *,
    data_set: str,
    data_digest: str,
    prior: float = DEFAULT_PRIOR,
    folds: int = FOLDS,
) -> ProbabilityEvidence:
    """Fit probabilities to all comparisons and measure their quality, cross-validated by subject.

    Args:
        comparisons: The comparisons.
        data_set, data_digest: Name and SHA-256 of the data set, for the evidence.
        prior: Share of mated comparisons for which probabilities and figures hold, 1e-6..1 - 1e-6.
        folds: Folds of subjects, 3..32; at most one per subject is used.

    Raises:
        InputError: A value is outside its range, all comparisons are of one kind, or the fit does not converge.
    """
    if not 3 <= folds <= 32:
        raise InputError(f"expected 3..32 folds of subjects, found {folds}", hint="10 is usual")
    counted = fold_counts(comparisons, min(folds, max(1, comparisons.subjects)))
    counts = counted.all()
    platt = fit_counts(counts, prior=prior)
    in_sample = _quality(counts, platt.log_likelihood_ratio(counts.values), prior)
    validated = cross_validate(counted, platt, subjects=comparisons.subjects)
    refusal = validated if isinstance(validated, Unsupported) else None
    quality = in_sample if isinstance(validated, Unsupported) else validated
    blocks = pool(counts)
    return ProbabilityEvidence(
        platt=platt,
        bins=quality.bins,
        brier=quality.brier,
        log_loss=quality.log_loss,
        cllr=quality.cllr,
        folds=0 if refusal is not None else counted.folds,
        not_validated=refusal,
        in_sample=in_sample,
        min_cllr=blocks.cllr(),
        pav=_rows(blocks, prior),
        subjects=comparisons.subjects,
        data_set=data_set,
        data_digest=data_digest,
    )


def cross_validate(counted: FoldCounts, platt: Platt, *, subjects: int) -> ProbabilityQuality | Unsupported:
    """Measure the probabilities of comparisons whose subjects took no part in the fit.

    Args:
        counted: The comparisons by folds.
        platt: The fit to all comparisons; its prior is used, and it is the start of each fit.
        subjects: Number of subjects, for a refusal.

    Returns:
        The quality over all comparisons, or `Unsupported` if the comparisons without two of the folds are all of one
        kind: at least four subjects, and three with two or more images, are needed.
    """
    tested: list[ScoreCounts] = []
    ratios: list[Float64Array] = []
    for first in range(counted.folds):
        for second in range(first, counted.folds):
            part = counted.of(first, second)
            if not part.values.size:
                continue
            others = counted.without(first, second)
            if not (others.mated_trials and others.non_mated_trials):
                reason = (
                    "cross-validation needs four or more subjects, of which three or more have mated comparisons: "
                    "without the subjects of a comparison, the other comparisons are all of one kind"
                )
                return Unsupported("probability of unknown subjects", 4, subjects, reason)
            tested.append(part)
            ratios.append(fit_counts(others, prior=platt.prior, near=platt).log_likelihood_ratio(part.values))
    parts = ((part.values, part.mated, part.non_mated) for part in tested)
    values, mated, non_mated = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _quality(ScoreCounts(values, mated, non_mated), np.concatenate(ratios), platt.prior)


def _quality(counts: ScoreCounts, ratios: Float64Array, prior: float) -> ProbabilityQuality:
    """Measure log-likelihood ratios, shape (V,), of the rows of `counts`, which may repeat scores here."""
    chances = np.tile(sigmoid(ratios + prior_odds(prior)), 2)
    mated = np.arange(chances.size) < ratios.size
    numbers = np.concatenate([counts.mated, counts.non_mated])
    weights = prior_weights(mated, prior, weights=numbers)
    logits = np.where(mated, -1.0, 1.0) * np.tile(ratios + prior_odds(prior), 2)
    return ProbabilityQuality(
        brier=brier_score(chances, mated, weights=weights),
        log_loss=float(weights @ np.logaddexp(0.0, logits)),
        cllr=cllr(ratios, ratios, weights=(counts.mated, counts.non_mated)),
        bins=reliability_bins(chances, mated, weights=numbers, prior=prior),
    )


def _rows(blocks: PooledBlocks, prior: float) -> tuple[tuple[float, float, float], ...]:
    chosen = np.unique(np.linspace(0, blocks.lowest.size - 1, MAX_BLOCKS).astype(np.int64))
    columns = blocks.lowest[chosen], blocks.highest[chosen], blocks.probability(prior)[chosen]
    return tuple(zip(*(column.tolist() for column in columns), strict=True))
