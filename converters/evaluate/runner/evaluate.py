"""One artefact on labelled images: error rates with intervals, and what the data cannot support."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.samples import SampleSet
from converters.evaluate.metrics.bootstrap import DEFAULT_REPLICATES
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import (
    AcquisitionEvidence,
    Evidence,
    IdentificationPoint,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.metrics.identification import (
    SearchScores,
    cumulative_match,
    fmr_for_fpir,
    point_at_fpir,
)
from converters.evaluate.metrics.probability import (
    Platt,
    ReliabilityBin,
    brier_score,
    log_loss,
    platt_of,
    reliability_bins,
)
from converters.evaluate.metrics.protocols import OpenSetList, PairsList, match_pairs, search_open_set
from converters.evaluate.metrics.scores import BINS_PER_UNIT, ScoreSet
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.metrics.verification import verify_all_pairs, verify_pairs
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.error_analysis import (
    ErrorAnalysis,
    analyse_errors,
    errors_lines,
    measure_samples,
)
from converters.evaluate.runner.identity import ArtefactIdentity, identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.evaluate.runner.text import identification_lines, verification_lines
from converters.evaluate.runner.workers import Workers
from converters.number_format import fixed_percent
from converters.progress import Stages, stage
from edge_sdk.errors import InputError

SCHEMA = "edge-sdk/evaluation/1"
#: FMRs that are asked for where nobody says others.
ALL_PAIRS_FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
LISTED_FMRS = (1e-1, 1e-2, 1e-3)
FPIRS = (1e-1, 1e-2)
RANKS = (1, 5, 10, 20)


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

    def names_shown(self) -> tuple[str, ...]:
        """Images that the errors name."""
        if not isinstance(self.errors, ErrorAnalysis):
            return ()
        rows = (*self.errors.worst_false_matches, *self.errors.worst_false_non_matches)
        return tuple(dict.fromkeys(name for row in rows for name in (row.first, row.second)))

    def to_text(self) -> str:
        """The same for a terminal."""
        artefact = self.artefact
        lines = [
            f"{artefact.file}: {artefact.model}, {artefact.precision}, {artefact.dimension} values,"
            f" {artefact.contract}",
            f"measured with {artefact.measured_with()}",
            *(f"note: {note}" for note in (*artefact.notes, *self.notes)),
            "",
            *verification_lines(self.verification),
        ]
        if self.identification is not None:
            lines += ["", *_identification_text(self.identification)]
        if self.probability is not None:
            found = self.probability
            lines += [
                "",
                f"probability of one subject: 1 / (1 + exp(-({found.platt.slope:.4f} * score"
                f" {'-' if found.platt.intercept < 0 else '+'} {abs(found.platt.intercept):.4f}))),"
                f" Brier score {found.brier:.2e}",
            ]
        if self.errors is not None:
            lines += ["", *errors_lines(self.errors)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Protocol:
    """What is compared with what, and what is asked.

    Args:
        pairs: The comparisons of a pairs file; None compares every image with every other.
        fmrs: FMRs asked for; the usual ones where empty.
        open_set: Who is enrolled and who is searched, 1:N; None leaves it out.
        open_set_name: How that came about, one line.
        fpirs: FPIRs asked for.
        rank: Length of the candidate list.
        errors: How many errors of each kind to name; 0 leaves the analysis out.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
    """

    pairs: PairsList | None = None
    fmrs: tuple[float, ...] = ()
    open_set: OpenSetList | None = None
    open_set_name: str = ""
    fpirs: tuple[float, ...] = FPIRS
    rank: int = 1
    errors: int = 0
    replicates: int = DEFAULT_REPLICATES
    seed: int = 0

    def asked_fmrs(self) -> tuple[float, ...]:
        """The FMRs that are asked for."""
        return self.fmrs or (ALL_PAIRS_FMRS if self.pairs is None else LISTED_FMRS)


def evaluate(
    artefact: OpenedArtefact,
    samples: SampleSet,
    protocol: Protocol | None = None,
    *,
    workers: Workers | None = None,
    cache: Path | None = None,
    stages: Stages = stage,
) -> Evaluation:
    """Embed labelled images through the device's own path and measure what can be stated.

    Args:
        artefact: From ``open_artefact``.
        samples: The images.
        protocol: What is compared and asked; all pairs by default.
        workers: Where embeddings are made; in this process by default.
        cache: Folder of embeddings made before; None keeps none.
        stages: Shows progress.

    Raises:
        InputError: No image could be embedded, all embeddings are the same, or the comparisons are all of
            one kind (one subject, or one image of each).
        ModelError: The interpreter refuses the network.
    """
    asked = protocol or Protocol()
    with stages(f"embed with {artefact.path.name}") as progress:
        embedded = embed_with(artefact, samples, workers=workers, cache=cache, progress=progress)
    with stages("compare"):
        verification = verify(embedded, asked)
        identification = None if asked.open_set is None else identify(embedded, asked)
        comparisons = comparisons_of(embedded, asked.pairs)
        probability = _probability(comparisons.scores(), embedded)
    errors: ErrorAnalysis | Unsupported | None = None
    if asked.errors:
        with stages("measure images") as progress:
            measures = measure_samples(samples, embedded.names, artefact.card.input, progress=progress)
        errors = analyse_errors(embedded.names, comparisons, measures, worst=asked.errors)
    return Evaluation(
        identity_of(artefact), verification, identification, probability, errors, notes_of(samples)
    )


def notes_of(samples: SampleSet) -> tuple[str, ...]:
    """What a reader should know of the images."""
    if not samples.left_out:
        return ()
    return (f"{samples.left_out} images lie outside subject folders and were left out",)


def comparisons_of(embedded: EmbeddedSamples, pairs: PairsList | None) -> Comparisons:
    """What is compared: the pairs file's comparisons, or every image with every other.

    Raises:
        InputError: Nothing can be compared.
    """
    return embedded.all_pairs() if pairs is None else match_pairs(pairs, embedded)[0]


def check_both_kinds(embedded: EmbeddedSamples, pairs: PairsList | None) -> None:
    """Refuse data that hold comparisons of one kind alone.

    Raises:
        InputError: One subject, one image of each subject, or a pairs file whose images of one kind are
            all missing.
    """
    subjects = len(set(embedded.subjects))
    if pairs is None:
        if subjects == 1:
            raise InputError(
                f"expected images of two or more subjects in {embedded.data_set}, found"
                f" {len(embedded.names)} images of one, {embedded.subjects[0]}",
                hint="without strangers no false match rate and no threshold can be measured",
            )
        if subjects == len(embedded.subjects):
            raise InputError(
                f"expected two or more images of a subject in {embedded.data_set}, found one image each of"
                f" {subjects} subjects",
                hint="without a second image no true accept rate can be measured",
            )
        return
    listed, lost = match_pairs(pairs, embedded)
    mated = listed.codes[listed.first] == listed.codes[listed.second]
    if mated.all() or not mated.any():
        kind = "mated" if mated.all() else "non-mated"
        raise InputError(
            f"expected comparisons of both kinds in {pairs.name}, found {mated.size} that can be made, all"
            f" {kind}, and {lost.failures} that cannot",
            hint="; ".join(lost.first_names) or None,
        )


def verify(embedded: EmbeddedSamples, protocol: Protocol) -> VerificationEvidence:
    """1:1 figures of one artefact.

    Raises:
        InputError: As ``check_both_kinds``.
    """
    check_both_kinds(embedded, protocol.pairs)
    fmrs, replicates, seed = protocol.asked_fmrs(), protocol.replicates, protocol.seed
    if protocol.pairs is None:
        return verify_all_pairs(embedded, fmrs=fmrs, replicates=replicates, seed=seed)
    return verify_pairs(embedded, protocol.pairs, fmrs=fmrs, replicates=replicates, seed=seed)


def identify(embedded: EmbeddedSamples, protocol: Protocol) -> IdentificationEvidence:
    """Open-set 1:N figures of one artefact.

    Raises:
        InputError: Nothing to enrol, or a rate outside its range.
    """
    if protocol.open_set is None:
        raise InputError("expected who is enrolled and who is searched, found no list")
    scores, lost = search_open_set(protocol.open_set, embedded)
    return IdentificationEvidence(
        protocol=protocol.open_set_name,
        references=scores.references,
        subjects=scores.subjects,
        mated_probes=int(scores.mated_scores.size),
        non_mated_probes=int(scores.non_mated_tops.size),
        lost=lost,
        points=tuple(point_at_fpir(scores, fpir, rank=protocol.rank) for fpir in protocol.fpirs),
        ranks=_ranks(scores),
        fmr_needed=tuple((fpir, fmr_for_fpir(fpir, references=scores.references)) for fpir in protocol.fpirs),
    )


def _ranks(scores: SearchScores) -> tuple[tuple[int, float], ...] | Unsupported:
    if not scores.mated_scores.size:
        return Unsupported("rank-k share", 1, 0, "no mated probe: nobody who is searched is enrolled")
    known = [rank for rank in RANKS if rank <= scores.subjects]
    shares = cumulative_match(scores, max_rank=known[-1])
    return tuple((rank, float(shares[rank - 1])) for rank in known)


def _probability(scores: ScoreSet, embedded: EmbeddedSamples) -> ProbabilityEvidence | None:
    try:
        platt = platt_of(scores)
    except InputError:
        return None  # nothing to learn from, or nothing that converges: then none is stated
    filled = np.flatnonzero(scores.histogram)
    values = np.concatenate([scores.mated.astype(np.float64), (filled + 0.5) / BINS_PER_UNIT - 1.0])
    mated = np.arange(values.size) < scores.mated.size
    weights = np.concatenate([np.ones(scores.mated.size), scores.histogram[filled].astype(np.float64)])
    chances = platt.probability(values)
    return ProbabilityEvidence(
        platt=platt,
        bins=reliability_bins(chances, mated, weights=weights),
        brier=brier_score(chances, mated, weights=weights),
        log_loss=log_loss(chances, mated, weights=weights),
        data_set=embedded.data_set,
        data_digest=embedded.data_digest,
    )


def _identification_text(found: IdentificationEvidence) -> list[str]:
    lines = [
        f"1:N, {found.protocol}: {found.references} references of {found.subjects} subjects,"
        f" {found.mated_probes} mated and {found.non_mated_probes} non-mated probes"
    ]
    if found.lost.failures:
        lines.append(f"not enrolled or not searched: {found.lost.failures} of {found.lost.attempts} samples")
    lines += identification_lines(found.points)
    if isinstance(found.ranks, Unsupported):
        lines.append(f"ranks not stated: {found.ranks.reason}")
    else:
        lines.append(
            "found among the first k: " + ", ".join(f"{k}: {fixed_percent(s)}" for k, s in found.ranks)
        )
    lines += [
        f"FPIR {fpir:g} over {found.references} references takes FMR {fmr:.2g} or less per comparison"
        for fpir, fmr in found.fmr_needed
    ]
    return lines


def _dict(evidence: Evidence | None) -> dict[str, Any] | None:
    return None if evidence is None else dict(evidence.to_dict())
