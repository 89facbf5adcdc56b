"""Evaluate one artefact on labelled images: error rates with intervals, and reasons why a rate is not supported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.data.alignment_check import alignment_note, look_at, zoo_detector
from converters.data.samples import SampleSet
from converters.evaluate.metrics.bootstrap import DEFAULT_REPLICATES, MAX_REPLICATES
from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.cross_camera import (
    Cameras,
    CrossCameraEvidence,
    cross_camera_pairs,
    search_across_cameras,
)
from converters.evaluate.metrics.curves import check_rate
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from converters.evaluate.metrics.group_evidence import GroupsEvidence
from converters.evaluate.metrics.probability import DEFAULT_PRIOR, check_prior
from converters.evaluate.metrics.probability_evidence import ProbabilityEvidence, measure_probability
from converters.evaluate.metrics.protocols import OpenSetList, PairsList, match_pairs
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.metrics.verification import verify_across_cameras, verify_all_pairs, verify_pairs
from converters.evaluate.metrics.verification_evidence import VerificationEvidence
from converters.evaluate.runner.alike_subjects import alike_note
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.error_analysis import (
    ErrorAnalysis,
    analyse_errors,
    errors_lines,
    measure_samples,
)
from converters.evaluate.runner.generalized_text import generalized_lines
from converters.evaluate.runner.group_rates import check_groups, groups_of
from converters.evaluate.runner.group_text import groups_lines
from converters.evaluate.runner.identification import (
    IdentificationEvidence,
    identification_lines,
    identification_of,
)
from converters.evaluate.runner.identity import ArtefactIdentity, identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.evaluate.runner.probability_text import probability_lines
from converters.evaluate.runner.shown_pairs import ShownPair, pairs_to_show
from converters.evaluate.runner.text import verification_lines
from converters.evaluate.runner.workers import Workers
from converters.number_format import wrapped
from converters.progress import Stages, stage
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract, ModelCard

SCHEMA = "edge-sdk/evaluation/1"
#: Default FMRs for all pairs and for listed pairs.
ALL_PAIRS_FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
LISTED_FMRS = (1e-1, 1e-2, 1e-3)
FPIRS = (1e-1, 1e-2)


@dataclass(frozen=True)
class Evaluation:
    """Results of one artefact on one data set.

    Args:
        artefact: The measured file.
        verification: 1:1, on all pairs or on a pairs file (see `verification.protocol`).
        identification: 1:N; None if not requested.
        probability: None if the comparisons are all mated or all non-mated, or if the fit does not converge.
        errors: None if not requested, `Unsupported` if no threshold can be stated.
        groups: Error rates by group; None if not requested.
        notes: Remarks for the reader, one line each.
        cameras: Searches across cameras; None if no cameras were given.
        shown_pairs: Pairs of which the page shows attention maps; empty if not requested.
    """

    artefact: ArtefactIdentity
    verification: VerificationEvidence
    identification: IdentificationEvidence | None = None
    probability: ProbabilityEvidence | None = None
    errors: ErrorAnalysis | Unsupported | None = None
    notes: tuple[str, ...] = ()
    groups: GroupsEvidence | None = None
    cameras: CrossCameraEvidence | None = None
    shown_pairs: tuple[ShownPair, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the whole evidence as JSON values, without NaN, times and paths."""
        return {
            "schema": SCHEMA,
            "artefact": self.artefact.to_json(),
            "verification": self.verification.to_json(),
            "identification": _dict(self.identification),
            "probability": _dict(self.probability),
            "errors": _dict(self.errors),
            "groups": _dict(self.groups),
            "notes": list(self.notes),
            "cameras": None if self.cameras is None else self.cameras.to_json(),
        }

    def names_shown(self) -> tuple[str, ...]:
        """Return the names of the images in the error analysis."""
        if not isinstance(self.errors, ErrorAnalysis):
            return ()
        rows = (*self.errors.worst_false_matches, *self.errors.worst_false_non_matches)
        return tuple(dict.fromkeys(name for row in rows for name in (row.first, row.second)))

    def to_text(self) -> str:
        """Format the evidence for a terminal."""
        artefact = self.artefact
        lines = [
            f"{artefact.file}: {artefact.model}, {artefact.precision}, {artefact.dimension} values,"
            f" {artefact.contract}",
            f"measured with {artefact.measured_with()}",
            *(line for note in (*artefact.notes, *self.notes) for line in wrapped(f"note: {note}")),
            "",
            *verification_lines(self.verification),
        ]
        counted = generalized_lines(self.verification)
        lines += ["", *counted] if counted else []
        if self.cameras is not None:
            lines += ["", *wrapped(self.cameras.line())]
        if self.identification is not None:
            lines += ["", *identification_lines(self.identification)]
        if self.probability is not None:
            lines += ["", *probability_lines(self.probability)]
        if self.groups is not None:
            lines += ["", *groups_lines(self.groups)]
        if self.errors is not None:
            lines += ["", *errors_lines(self.errors)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Protocol:
    """Comparisons and rates of an evaluation.

    Args:
        pairs: Comparisons of a pairs file; None compares every image with every other.
        cameras: The camera of each image, to leave out pairs of one subject from one camera; None compares them too.
        fmrs: FMRs of the operating points, each above 0 and under 1; empty for the defaults.
        open_set: Enrolled samples and probes for 1:N; None omits 1:N.
        open_set_name: Origin of the open-set list, one line.
        fpirs: FPIRs of the identification points, each above 0 and under 1.
        rank: Length of the candidate list, >= 1.
        errors: Number of errors of each kind to name; 0 omits the error analysis.
        groups: Covariates of subjects or images; None omits the error rates by group.
        replicates: Replicates of the bootstrap, 0..100000; 0 omits the intervals.
        seed: Seed of the bootstrap.
        prior: Share of mated comparisons for which probabilities hold, 1e-6..1 - 1e-6.
        attention: Number of pairs of each kind to show on the page with attention maps; 0 shows none.

    Raises:
        InputError: A value is outside its range.
    """

    pairs: PairsList | None = None
    fmrs: tuple[float, ...] = ()
    open_set: OpenSetList | None = None
    open_set_name: str = ""
    fpirs: tuple[float, ...] = FPIRS
    rank: int = 1
    errors: int = 0
    groups: Covariates | None = None
    replicates: int = DEFAULT_REPLICATES
    seed: int = 0
    prior: float = DEFAULT_PRIOR
    cameras: Cameras | None = None
    attention: int = 0

    def __post_init__(self) -> None:
        check_prior(self.prior)
        if self.pairs is not None and self.cameras is not None:
            raise InputError(
                "expected a pairs file or cameras, found both",
                hint="a pairs file lists its comparisons itself",
            )
        if self.open_set is not None and self.cameras is not None:
            raise InputError(
                "expected enrolled subjects and probes for 1:N, or cameras, found both",
                hint="with cameras, each image is searched among those of other cameras",
            )
        for rate in self.fmrs:
            check_rate(rate)
        for rate in self.fpirs:
            check_rate(rate, "FPIR")
        if self.attention < 0:
            raise InputError(f"expected 0 or more pairs with attention maps, found {self.attention}")
        if self.rank < 1 or self.errors < 0 or not 0 <= self.replicates <= MAX_REPLICATES:
            raise InputError(
                f"expected rank >= 1, errors >= 0 and replicates in 0..{MAX_REPLICATES}, found rank"
                f" {self.rank}, {self.errors} errors and {self.replicates} replicates"
            )

    @property
    def target_fmrs(self) -> tuple[float, ...]:
        """FMRs of the operating points: `fmrs`, or the defaults."""
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
    """Embed labelled images with the device's own code and compute the error rates that the data support.

    Args:
        artefact: See ``open_artefact``.
        samples: The images.
        protocol: Comparisons and rates (default: all pairs).
        workers: Workers that compute the embeddings (default: this process).
        cache: Folder of cached embeddings (default: no cache).
        stages: Shows progress.

    Raises:
        ConversionError: The artefact runs through a delegate, and the workers are other processes.
        InputError: No image could be embedded, all embeddings are the same, the comparisons are all of
            one kind (one subject, or one image of each), or the covariates do not fit the images.
        ModelError: The interpreter refuses the network.
    """
    protocol = protocol or Protocol()
    if protocol.groups is not None:
        check_groups(protocol.groups, samples)
    with stages(f"embed with {artefact.path.name}") as progress:
        embedded = embed_with(artefact, samples, workers=workers, cache=cache, progress=progress)
    with stages("compare"):
        verification = verify(embedded, protocol)
        identification = None if protocol.open_set is None else identify(embedded, protocol)
        comparisons = comparisons_of(embedded, protocol)
        across = None if protocol.cameras is None else search_across_cameras(embedded, protocol.cameras)
        probability = _probability(comparisons, embedded, protocol.prior)
    groups: GroupsEvidence | None = None
    if protocol.groups is not None:
        with stages("compare groups"):
            groups = groups_of(
                protocol.groups, samples, embedded, comparisons, verification, seed=protocol.seed
            )
    errors: ErrorAnalysis | Unsupported | None = None
    if protocol.errors:
        measures = {}
        if isinstance(artefact.card.input, InputContract):
            with stages("measure images") as progress:
                measures = measure_samples(samples, embedded.names, artefact.card.input, progress=progress)
        errors = analyse_errors(embedded.names, comparisons, measures, worst=protocol.errors)
    shown = pairs_to_show(embedded.names, comparisons, protocol.attention) if protocol.attention else ()
    alike = alike_note(comparisons, embedded.subjects)
    notes = (*notes_of(samples, artefact.card), *([alike] if alike else []))
    return Evaluation(
        identity_of(artefact), verification, identification, probability, errors, notes, groups, across, shown
    )


def notes_of(samples: SampleSet, card: ModelCard) -> tuple[str, ...]:
    """Return remarks for the reader, such as a doubt about the contract or a warning about images that are not aligned."""
    notes = []
    if isinstance(card.input, InputContract):
        notes.append(alignment_note(look_at(samples, card.input), card.input, zoo_detector()))
    doubt = card.source.get("input_contract")
    if isinstance(doubt, Mapping) and doubt.get("status") in ("doubtful", "allowed"):
        notes.insert(0, f"the conversion questioned the input contract: {doubt.get('reason', '')}")
    if samples.left_out:
        notes.append(f"{samples.left_out} images lie outside subject folders and were left out")
    return tuple(filter(None, notes))


def comparisons_of(embedded: EmbeddedSamples, protocol: Protocol) -> Comparisons:
    """Select the comparisons of a protocol: those across cameras, of a pairs file, or of every image with every other.

    Raises:
        InputError: Nothing can be compared.
    """
    if protocol.cameras is not None:
        return cross_camera_pairs(embedded, protocol.cameras)
    return embedded.all_pairs() if protocol.pairs is None else match_pairs(protocol.pairs, embedded)[0]


def _check_both_kinds(embedded: EmbeddedSamples, pairs: PairsList | None) -> None:
    """Refuse data whose comparisons are all mated or all non-mated."""
    subjects = len(set(embedded.subjects))
    if pairs is None:
        if subjects == 1:
            raise InputError(
                f"expected images of two or more subjects in {embedded.data_set}, found"
                f" {len(embedded.names)} images of one, {embedded.subjects[0]}",
                hint="without other subjects no false match rate and no threshold can be measured",
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
    """Compute the 1:1 figures of one artefact.

    Raises:
        InputError: All comparisons are mated or all are non-mated: one subject, one image of each subject, or a
            pairs file whose images of one kind are all missing.
    """
    _check_both_kinds(embedded, protocol.pairs)
    fmrs, replicates, seed = protocol.target_fmrs, protocol.replicates, protocol.seed
    if protocol.cameras is not None:
        return verify_across_cameras(embedded, protocol.cameras, fmrs=fmrs, replicates=replicates)
    if protocol.pairs is None:
        return verify_all_pairs(embedded, fmrs=fmrs, replicates=replicates, seed=seed)
    return verify_pairs(embedded, protocol.pairs, fmrs=fmrs, replicates=replicates, seed=seed)


def identify(embedded: EmbeddedSamples, protocol: Protocol) -> IdentificationEvidence:
    """Compute the open-set 1:N figures of one artefact.

    Raises:
        InputError: The protocol has no open-set list, or no listed sample can be enrolled.
    """
    if protocol.open_set is None:
        raise InputError("1:N evaluation needs a list of enrolled subjects and probes; none was given")
    name, fpirs = protocol.open_set_name, protocol.fpirs
    return identification_of(embedded, protocol.open_set, name=name, fpirs=fpirs, rank=protocol.rank)


def _probability(
    comparisons: Comparisons, embedded: EmbeddedSamples, prior: float
) -> ProbabilityEvidence | None:
    try:
        return measure_probability(
            comparisons, data_set=embedded.data_set, data_digest=embedded.data_digest, prior=prior
        )
    except InputError:
        return None  # comparisons of one kind only, or no convergence


def _dict(evidence: Evidence | None) -> dict[str, Any] | None:
    return None if evidence is None else dict(evidence.to_json())
