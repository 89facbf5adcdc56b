"""Biometric error rates of an artefact, and its differences from the float model, computed from embeddings.

The data flow is embeddings -> scores -> curves -> figures with intervals -> evidence
(docs/decisions/0005-evaluation.md). Terms are those of ISO/IEC 19795-1. Importing this package loads only numpy.
"""

from converters.evaluate.metrics.bootstrap import replicate_tars
from converters.evaluate.metrics.calibration import cllr, min_cllr
from converters.evaluate.metrics.curves import (
    DEFAULT_FMRS,
    best_accuracy,
    d_prime,
    det_curve,
    equal_error_rate,
    false_match_rate,
    false_non_match_rate,
    threshold_at_fmr,
    trials_needed,
)
from converters.evaluate.metrics.difference_evidence import (
    FidelityEvidence,
    MarginVerdict,
    PairedDifference,
    SmoothedDifference,
    ThresholdDrift,
)
from converters.evaluate.metrics.discard import discard
from converters.evaluate.metrics.embedded_samples import (
    EmbeddedSamples,
    in_common,
)
from converters.evaluate.metrics.evidence import Evidence, Interval, Unsupported
from converters.evaluate.metrics.fidelity import compare_artefacts, embedding_cosines, flipped_pairs
from converters.evaluate.metrics.identification import (
    cumulative_match,
    fmr_for_fpir,
    point_at_fpir,
    rank_shares,
)
from converters.evaluate.metrics.identification_evidence import (
    IdentificationClaim,
    IdentificationPoint,
    MeasuredIdentification,
    RankShare,
)
from converters.evaluate.metrics.margin import judge
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.probability import (
    DEFAULT_PRIOR,
    Platt,
    ReliabilityBin,
    brier_score,
    fit_platt,
    log_loss,
    platt_of,
    prior_weights,
    reliability_bins,
)
from converters.evaluate.metrics.probability_evidence import (
    ProbabilityEvidence,
    ProbabilityQuality,
    measure_probability,
)
from converters.evaluate.metrics.protocols import (
    match_pairs,
    search_open_set,
    split_open_set,
)
from converters.evaluate.metrics.score_noise import ScoreNoise, score_noise
from converters.evaluate.metrics.scores import ScoreSet, all_pairs, from_scores
from converters.evaluate.metrics.searches import search
from converters.evaluate.metrics.smoothed import pooled_difference, smoothed_differences
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from converters.evaluate.metrics.verification import operating_points, verify_all_pairs, verify_pairs
from converters.evaluate.metrics.verification_evidence import (
    AcquisitionEvidence,
    EqualErrorRate,
    OperatingPointEvidence,
    VerificationEvidence,
)

__all__ = [
    "DEFAULT_FMRS",
    "DEFAULT_PRIOR",
    "AcquisitionEvidence",
    "AllPairs",
    "EmbeddedSamples",
    "EqualErrorRate",
    "Evidence",
    "FidelityEvidence",
    "IdentificationClaim",
    "IdentificationPoint",
    "Interval",
    "ListedPairs",
    "MarginVerdict",
    "MeasuredIdentification",
    "OperatingPointEvidence",
    "PairedDifference",
    "Platt",
    "ProbabilityEvidence",
    "ProbabilityQuality",
    "RankShare",
    "ReliabilityBin",
    "ScoreNoise",
    "ScoreSet",
    "SmoothedDifference",
    "ThresholdDrift",
    "Unsupported",
    "VerificationEvidence",
    "all_pairs",
    "best_accuracy",
    "brier_score",
    "cllr",
    "compare_artefacts",
    "cumulative_match",
    "d_prime",
    "det_curve",
    "discard",
    "embedding_cosines",
    "equal_error_rate",
    "false_match_rate",
    "false_non_match_rate",
    "fit_platt",
    "flipped_pairs",
    "fmr_for_fpir",
    "from_scores",
    "in_common",
    "judge",
    "log_loss",
    "match_pairs",
    "measure_probability",
    "min_cllr",
    "operating_points",
    "paired_differences",
    "platt_of",
    "point_at_fpir",
    "pooled_difference",
    "prior_weights",
    "rank_shares",
    "reliability_bins",
    "replicate_tars",
    "score_noise",
    "search",
    "search_open_set",
    "smoothed_differences",
    "split_open_set",
    "threshold_at_fmr",
    "trials_needed",
    "verify_all_pairs",
    "verify_pairs",
]
