"""One artefact on labelled images: error rates with intervals, and what the data cannot support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.error_analysis import ErrorAnalysis
from converters.evaluation.evidence import (
    AcquisitionEvidence,
    Evidence,
    IdentificationPoint,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluation.probability import Platt, ReliabilityBin

SCHEMA = "edge-sdk/evaluation/1"


@dataclass(frozen=True)
class ArtefactIdentity(Evidence):
    """Which file was measured.

    Attributes:
        file: Its name, without folder.
        sha256: Of the whole file, hex.
        model: The model's name: the card's, else the file's stem.
        precision: Such as `int8`; that of the input tensor where there is no card.
        target: The card's; empty without one.
        dimension: Length D of the embedding.
        contract: The input contract, one line.
        has_card: Whether the file carries a model card.
        notes: What was done to open it, such as `shapes made static`.
    """

    file: str
    sha256: str
    model: str
    precision: str
    target: str
    dimension: int
    contract: str
    has_card: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentificationEvidence(Evidence):
    """Open-set 1:N on one data set.

    Attributes:
        protocol: Who is enrolled and who is searched, one line.
        references, subjects: Templates and subjects in the gallery.
        mated_probes, non_mated_probes: Searches made or attempted.
        lost: Samples that could not be enrolled or searched.
        points: One row per FPIR asked for.
        ranks: (k, share of mated probes whose subject is among the first k), closed set; `Unsupported`
            without mated probes.
        fmr_needed: (FPIR, FMR per comparison that it takes over so many references).
    """

    protocol: str
    references: int
    subjects: int
    mated_probes: int
    non_mated_probes: int
    lost: AcquisitionEvidence
    points: tuple[IdentificationPoint | Unsupported, ...]
    ranks: tuple[tuple[int, float], ...] | Unsupported
    fmr_needed: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ProbabilityEvidence(Evidence):
    """From score to probability, and how good that probability is.

    Attributes:
        platt: Coefficients; its ratio of trials is its prior odds.
        bins: Reliability table on the same comparisons.
        brier: Mean squared difference of probability and outcome.
        log_loss: In nats.
        data_set, data_digest: What it was fitted on.
    """

    platt: Platt
    bins: tuple[ReliabilityBin, ...]
    brier: float
    log_loss: float
    data_set: str
    data_digest: str


@dataclass(frozen=True)
class Evaluation:
    """What one artefact is worth on one data set.

    Args:
        artefact: Which file.
        verification: 1:1, on all pairs or on a pairs file (`verification.protocol` says which).
        identification: 1:N; None where it was not asked for.
        probability: None where one half of the comparisons is missing.
        errors: None where it was not asked for, `Unsupported` where no threshold can be stated.
        notes: What a reader should know, one line each.
    """

    artefact: ArtefactIdentity
    verification: VerificationEvidence
    identification: IdentificationEvidence | None = None
    probability: ProbabilityEvidence | None = None
    errors: ErrorAnalysis | Unsupported | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The whole evidence as JSON values: no NaN, no clock, no path."""
        return {
            "schema": SCHEMA,
            "artefact": self.artefact.to_dict(),
            "verification": self.verification.to_dict(),
            "identification": _dict(self.identification),
            "probability": _dict(self.probability),
            "errors": _dict(self.errors),
            "notes": list(self.notes),
        }


def _dict(evidence: Evidence | None) -> dict[str, Any] | None:
    return None if evidence is None else dict(evidence.to_dict())
