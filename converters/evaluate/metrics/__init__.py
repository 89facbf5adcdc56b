"""Biometric evaluation: what an artefact is worth, and what it lost against its float model.

The way its data goes is in docs/decisions/0005-evaluation.md: samples -> embeddings -> scores ->
curves -> figures with intervals -> evidence. Terms of ISO/IEC 19795-1. Loads numpy alone.
"""

from converters.evaluate.metrics.bootstrap import replicate_rates
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
    upper_bound_without_errors,
)
from converters.evaluate.metrics.discard import DiscardPoint, discard
from converters.evaluate.metrics.evidence import (
    AcquisitionEvidence,
    DecisionFlips,
    EqualErrorRate,
    Evidence,
    FidelityEvidence,
    IdentificationPoint,
    Interval,
    OperatingPointEvidence,
    PairedDifference,
    ThresholdDrift,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.metrics.fidelity import compare_artefacts, embedding_cosines, flipped_pairs
from converters.evaluate.metrics.identification import (
    cumulative_match,
    fmr_for_fpir,
    fnir_at,
    fpir,
    fpir_at,
    point_at_fpir,
    search,
)
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.presentation_attack import (
    PresentationAttackEvidence,
    SpeciesRate,
    presentation_attack_rates,
    threshold_at_apcer,
)
from converters.evaluate.metrics.probability import (
    Platt,
    ReliabilityBin,
    brier_score,
    fit_platt,
    log_loss,
    platt_of,
    reliability_bins,
)
from converters.evaluate.metrics.protocols import (
    match_pairs,
    read_open_set,
    read_pairs,
    search_open_set,
    split_open_set,
)
from converters.evaluate.metrics.samples import (
    EmbeddedSamples,
    Sample,
    SampleSet,
    collect,
    embed_content,
    embed_samples,
    in_common,
    open_samples,
    open_unlabelled,
)
from converters.evaluate.metrics.scores import ScoreSet, all_pairs, from_scores
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from converters.evaluate.metrics.verification import operating_points, verify_all_pairs, verify_pairs

__all__ = [
    "DEFAULT_FMRS",
    "AcquisitionEvidence",
    "AllPairs",
    "DecisionFlips",
    "DiscardPoint",
    "EmbeddedSamples",
    "EqualErrorRate",
    "Evidence",
    "FidelityEvidence",
    "IdentificationPoint",
    "Interval",
    "ListedPairs",
    "OperatingPointEvidence",
    "PairedDifference",
    "Platt",
    "PresentationAttackEvidence",
    "ReliabilityBin",
    "Sample",
    "SampleSet",
    "ScoreSet",
    "SpeciesRate",
    "ThresholdDrift",
    "Unsupported",
    "VerificationEvidence",
    "all_pairs",
    "best_accuracy",
    "brier_score",
    "collect",
    "compare_artefacts",
    "cumulative_match",
    "d_prime",
    "det_curve",
    "discard",
    "embed_content",
    "embed_samples",
    "embedding_cosines",
    "equal_error_rate",
    "false_match_rate",
    "false_non_match_rate",
    "fit_platt",
    "flipped_pairs",
    "fmr_for_fpir",
    "fnir_at",
    "fpir",
    "fpir_at",
    "from_scores",
    "in_common",
    "log_loss",
    "match_pairs",
    "open_samples",
    "open_unlabelled",
    "operating_points",
    "paired_differences",
    "platt_of",
    "point_at_fpir",
    "presentation_attack_rates",
    "read_open_set",
    "read_pairs",
    "reliability_bins",
    "replicate_rates",
    "search",
    "search_open_set",
    "split_open_set",
    "threshold_at_apcer",
    "threshold_at_fmr",
    "trials_needed",
    "upper_bound_without_errors",
    "verify_all_pairs",
    "verify_pairs",
]
