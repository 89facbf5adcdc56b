"""Compare artefacts of one model on the same images: embeddings, error rates and decisions that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.data.samples import SampleSet
from converters.evaluate.metrics.curves import check_rate, threshold_at_fmr
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples, in_common
from converters.evaluate.metrics.evidence import (
    Evidence,
    FidelityEvidence,
    MarginVerdict,
    PairedDifference,
    SmoothedDifference,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.metrics.fidelity import compare_artefacts, embedding_cosines, flipped_pairs
from converters.evaluate.metrics.group_evidence import GroupChanges, GroupsEvidence
from converters.evaluate.metrics.margin import DEFAULT_MARGIN, judge
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.smoothed import pooled_difference, smoothed_differences
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.runner.difference_text import difference_lines, pooled_lines
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import Protocol, comparisons_of, notes_of, verify
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.group_rates import changes_of, check_groups, groups_of
from converters.evaluate.runner.group_text import changes_lines, groups_lines
from converters.evaluate.runner.identity import ArtefactIdentity, identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.text import drift_lines, verification_lines
from converters.evaluate.runner.workers import Workers
from converters.progress import Stages, stage
from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.card import CARD_NAME, InputContract, ModelCard
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split

SCHEMA = "edge-sdk/comparison/1"
#: Candidate FMRs for the list of flipped decisions; the first that the data support is used.
FLIP_FMRS = (1e-3, 1e-2, 1e-1)
WORST_IMAGES = 5
FLIPS = 20

_ONE_MODEL = "compare files that were converted from one model"


@dataclass(frozen=True)
class NamedFlip(Evidence):
    """A comparison that the two artefacts decide differently, each at its own threshold.

    Attributes:
        first, second: Names of the two images, `subject/file`.
        mated: True if the images are of one subject.
        baseline_score, candidate_score: Cosines of the two artefacts.
        lost: True if the baseline is right and the candidate is wrong.
    """

    first: str
    second: str
    mated: bool
    baseline_score: float
    candidate_score: float
    lost: bool


@dataclass(frozen=True)
class CandidateComparison(Evidence):
    """Comparison of one candidate with the baseline, on the images that all artefacts embedded.

    Attributes:
        artefact: The candidate.
        cosine_mean, cosine_min: Mean and minimum over the images of the cosine between their two embeddings.
        worst: (image, cosine) of the lowest cosines, lowest first.
        verification: Error rates; None if the images have no subjects.
        fidelity: Shift of non-mated scores, drift of thresholds, numbers of flipped decisions; None
            if the images have no subjects.
        differences: Counted TAR of the candidate minus that of the baseline, one row per FMR, with the interval of
            the difference; empty if the images have no subjects.
        group_changes: Changes of the error rates of each group; empty if not requested.
        flips: Flipped decisions at `flips_fmr`, greatest change of score first.
        flips_fmr: FMR of the flips; None if no flips were requested or no threshold can be stated.
        pooled: Smoothed difference of TAR over a range of FMR, the main result; None if the images have no subjects.
        verdict: Verdict on `pooled` against the margin; None if there is no difference.
        smoothed: Smoothed differences, one row per FMR; empty if the images have no subjects.
    """

    artefact: ArtefactIdentity
    cosine_mean: float
    cosine_min: float
    worst: tuple[tuple[str, float], ...]
    verification: VerificationEvidence | None
    fidelity: FidelityEvidence | None
    differences: tuple[PairedDifference | Unsupported, ...]
    flips: tuple[NamedFlip, ...]
    flips_fmr: float | None
    group_changes: tuple[GroupChanges, ...] = ()
    pooled: SmoothedDifference | Unsupported | None = None
    verdict: MarginVerdict | None = None
    smoothed: tuple[SmoothedDifference | Unsupported, ...] = ()


@dataclass(frozen=True)
class ComparisonResult:
    """Results of artefacts of one model on the same images.

    Args:
        baseline: The float file.
        verification: Error rates of the baseline; None if the images have no subjects.
        candidates: The other artefacts, one or more, in the given order.
        data_set: Name of the data set.
        images: Number of images that all artefacts embedded.
        images_sha256: Digest of the data set.
        notes: Remarks for the reader, one line each.
        groups: Error rates of the baseline by group; None if not requested.
    """

    baseline: ArtefactIdentity
    verification: VerificationEvidence | None
    candidates: tuple[CandidateComparison, ...]
    data_set: str
    images: int
    images_sha256: str
    notes: tuple[str, ...] = ()
    groups: GroupsEvidence | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as JSON values; `cosine_mean`, `cosine_min` and `worst` are of the first candidate."""
        first = self.candidates[0]
        return {
            "schema": SCHEMA,
            "first": self.baseline.file,
            "second": first.artefact.file,
            "images": self.images,
            "images_sha256": self.images_sha256,
            "data_set": self.data_set,
            "cosine_mean": first.cosine_mean,
            "cosine_min": first.cosine_min,
            "worst": [{"image": name, "cosine": value} for name, value in first.worst],
            "baseline": self.baseline.to_json(),
            "verification": None if self.verification is None else self.verification.to_json(),
            "groups": None if self.groups is None else self.groups.to_json(),
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "notes": list(self.notes),
        }

    def names_shown(self) -> tuple[str, ...]:
        """Return the names of the images with the lowest cosines and of those in flipped decisions."""
        names: list[str] = []
        for candidate in self.candidates:
            names += [name for name, _ in candidate.worst]
            names += [name for flip in candidate.flips for name in (flip.first, flip.second)]
        return tuple(dict.fromkeys(names))

    def to_text(self) -> str:
        """Format the evidence for a terminal."""
        lines = [
            f"float: {_named(self.baseline)}",
            f"{self.data_set}: {self.images} images that all files embedded",
            *(f"note: {note}" for note in self.notes),
        ]
        if self.verification is not None:
            lines += ["", *verification_lines(self.verification)]
        if self.groups is not None:
            lines += ["", *groups_lines(self.groups)]
        for candidate in self.candidates:
            lines += ["", f"this: {_named(candidate.artefact)}", *_candidate_lines(candidate)]
        return "\n".join(lines)


def compare(
    baseline: OpenedArtefact,
    candidates: Sequence[OpenedArtefact],
    samples: SampleSet,
    protocol: Protocol | None = None,
    *,
    flips: int = FLIPS,
    margin: float = DEFAULT_MARGIN,
    workers: Workers | None = None,
    cache: Path | None = None,
    stages: Stages = stage,
) -> ComparisonResult:
    """Embed the same images with all artefacts and compare embeddings, error rates and decisions.

    Args:
        baseline: The float file.
        candidates: Other artefacts of the same model, one or more.
        samples: The images; without subjects, only embeddings are compared.
        protocol: Comparisons and FMRs (default: all pairs); without 1:N and error analysis.
        flips: Maximum number of flipped decisions to name, >= 0.
        margin: Largest acceptable loss of TAR, a share above 0 and under 1, for the verdict.
        workers: Workers that compute the embeddings (default: this process).
        cache: Folder of cached embeddings (default: no cache).
        stages: Shows progress.

    Raises:
        ConversionError: An artefact runs through a delegate, and the workers are other processes.
        ModelContractError: The input contracts or the embedding lengths differ, so the artefacts are not of one
            model.
        InputError: There is no candidate, or no image that all artefacts embedded; all comparisons are mated or all
            are non-mated; the covariates do not fit the images; or the protocol includes 1:N or error analysis.
    """
    if not candidates:
        raise InputError("expected one or more files to compare with the first, found none")
    if flips < 0:
        raise InputError(f"expected flips of 0 or more, found {flips}")
    check_rate(margin, "a margin")
    protocol = protocol or Protocol()
    if protocol.open_set is not None or protocol.errors:
        raise InputError(
            "a comparison has no 1:N identification and no error analysis; evaluate each file instead"
        )
    artefacts = (baseline, *candidates)
    _check_one_model(artefacts)
    if protocol.groups is not None:
        check_groups(protocol.groups, samples)
    embedded = []
    for artefact in artefacts:
        with stages(f"embed with {artefact.path.name}") as progress:
            embedded.append(embed_with(artefact, samples, workers=workers, cache=cache, progress=progress))
    kept = _in_common(embedded)
    with stages("compare"):
        first = verify(kept[0], protocol) if samples.labelled else None
        results = tuple(
            _compare_one(artefact, kept[0], own, protocol, flips, margin)
            if samples.labelled
            else _cosines_only(artefact, kept[0], own)
            for artefact, own in zip(candidates, kept[1:], strict=True)
        )
    groups = None
    if protocol.groups is not None and first is not None:
        with stages("compare groups"):
            comparisons = comparisons_of(kept[0], protocol.pairs)
            groups = groups_of(protocol.groups, samples, kept[0], comparisons, first, seed=protocol.seed)
    notes = list(notes_of(samples, baseline.card))
    if not samples.labelled:
        notes.append("no subject folders, so no error rates: embeddings alone are compared")
    lost = len(samples.samples) - len(kept[0].names)
    if lost:
        name, reason = next(failure for own in embedded for failure in own.failures)
        notes.append(f"{lost} images could not be embedded by every file, the first {name}: {reason}")
    return ComparisonResult(
        baseline=identity_of(baseline),
        verification=first,
        candidates=results,
        data_set=samples.data_set,
        images=len(kept[0].names),
        images_sha256=kept[0].data_digest,
        notes=tuple(notes),
        groups=groups,
    )


def open_artefacts(
    paths: Sequence[str | Path],
    *,
    contract: InputContract | None = None,
    execution: Execution | None = None,
) -> list[OpenedArtefact]:
    """Open files of one model; a file without a card takes the contract of the first file with a card.

    Args:
        paths: Two or more .tflite files.
        contract: Input contract, if no file carries a card.
        execution: Kernels or delegate of every file except the first, which always runs with XNNPACK. Give a file twice
            to compare two kernels. Default: the kernels nearest to the target of each card.

    Raises:
        BackendUnavailableError: The delegate cannot be loaded.
        ModelError: A file is missing, damaged or refused by the interpreter.
        ModelContractError: No contract is known, or the contracts disagree.
    """
    own = [_contract_of(path) for path in paths]
    # If cards differ, the files are of different models; `compare` reports this, so cards are not checked here.
    first = next((card_contract for card_contract in own if card_contract is not None), None)
    return [
        open_artefact(
            path,
            contract=contract or (first if card_contract is None else None),
            execution=Execution() if position == 0 else execution,
        )
        for position, (path, card_contract) in enumerate(zip(paths, own, strict=True))
    ]


def _contract_of(path: str | Path) -> InputContract | None:
    data = read_model_bytes(path)
    check_identifier(data, path)
    card = split(data)[1].get(CARD_NAME)
    return None if card is None else ModelCard.from_bytes(card).input


def _check_one_model(artefacts: Sequence[OpenedArtefact]) -> None:
    contracts = list(dict.fromkeys(artefact.card.input.describe() for artefact in artefacts))
    if len(contracts) > 1:
        raise ModelContractError(
            f"expected one input contract, found {' and '.join(contracts)}", hint=_ONE_MODEL
        )
    sizes = list(dict.fromkeys(str(artefact.card.dimension) for artefact in artefacts))
    if len(sizes) > 1:
        raise ModelContractError(
            f"expected embeddings of one length, found {' and '.join(sizes)} values", hint=_ONE_MODEL
        )


def _in_common(embedded: Sequence[EmbeddedSamples]) -> list[EmbeddedSamples]:
    """Reduce each set to the images that all artefacts embedded, in the same order."""
    smallest = embedded[0]
    for other in embedded[1:]:
        smallest, _ = in_common(smallest, other)
    return [in_common(smallest, own)[1] for own in embedded]


def _cosines_only(
    artefact: OpenedArtefact, baseline: EmbeddedSamples, candidate: EmbeddedSamples
) -> CandidateComparison:
    cosines = embedding_cosines(baseline.vectors, candidate.vectors)
    order = cosines.argsort(kind="stable")[:WORST_IMAGES]
    return CandidateComparison(
        artefact=identity_of(artefact),
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        worst=tuple((candidate.names[row], float(cosines[row])) for row in order),
        verification=None,
        fidelity=None,
        differences=(),
        flips=(),
        flips_fmr=None,
    )


def _compare_one(
    artefact: OpenedArtefact,
    baseline: EmbeddedSamples,
    candidate: EmbeddedSamples,
    protocol: Protocol,
    flips: int,
    margin: float,
) -> CandidateComparison:
    before, after = (comparisons_of(own, protocol.pairs) for own in (baseline, candidate))
    fmrs = protocol.target_fmrs
    fmr, named = _flips(baseline.names, before, after, flips)
    scores = before.scores(), after.scores()
    pooled = pooled_difference(before, after, scores=scores, seed=protocol.seed)
    return replace(
        _cosines_only(artefact, baseline, candidate),
        verification=verify(candidate, protocol),
        fidelity=compare_artefacts(before, after, names=baseline.names, fmrs=fmrs, worst=WORST_IMAGES),
        differences=paired_differences(
            before, after, fmrs=fmrs, replicates=max(protocol.replicates, 1), seed=protocol.seed
        ),
        flips=named,
        flips_fmr=fmr,
        group_changes=()
        if protocol.groups is None
        else changes_of(protocol.groups, baseline, before, after, fmrs, seed=protocol.seed),
        pooled=pooled,
        verdict=None if isinstance(pooled, Unsupported) else judge(pooled, margin=margin),
        smoothed=smoothed_differences(before, after, fmrs=fmrs, scores=scores, seed=protocol.seed),
    )


def _flips(
    names: Sequence[str], before: Comparisons, after: Comparisons, limit: int
) -> tuple[float | None, tuple[NamedFlip, ...]]:
    own, other = before.scores(), after.scores()
    for fmr in FLIP_FMRS if limit else ():
        thresholds = threshold_at_fmr(own, fmr), threshold_at_fmr(other, fmr)
        if isinstance(thresholds[0], Unsupported) or isinstance(thresholds[1], Unsupported):
            continue
        rows = flipped_pairs(
            before, after, baseline_threshold=thresholds[0], candidate_threshold=thresholds[1], limit=limit
        )
        return fmr, tuple(
            NamedFlip(
                names[row.first],
                names[row.second],
                row.mated,
                row.baseline_score,
                row.candidate_score,
                lost=(row.baseline_score >= thresholds[0]) == row.mated,
            )
            for row in rows
        )
    return None, ()


def _named(artefact: ArtefactIdentity) -> str:
    notes = "".join(f"; {note}" for note in artefact.notes)
    return f"{artefact.file}, {artefact.precision}, {artefact.measured_with()}{notes}"


def _candidate_lines(candidate: CandidateComparison) -> list[str]:
    lines = [
        f"cosine to float: mean {candidate.cosine_mean:.4f}, least {candidate.cosine_min:.4f}",
        "worst images:",
    ]
    lines += [f"  {value:.4f}  {name}" for name, value in candidate.worst]
    if candidate.verification is None or candidate.fidelity is None:
        return lines
    lines += ["", *verification_lines(candidate.verification)]
    if candidate.pooled is not None:
        lines += ["", *pooled_lines(candidate.pooled, candidate.verdict)]
    lines += ["", *difference_lines(candidate.differences, candidate.smoothed)]
    if candidate.group_changes:
        lines += ["", *changes_lines(candidate.group_changes)]
    shift, tail = candidate.fidelity.non_mated_mean_shift, candidate.fidelity.tail_shift
    lines += [
        "",
        "shift of non-mated scores: "
        + ("none stated" if isinstance(shift, Unsupported) else f"{shift:+.4f}"),
    ]
    lines += [
        "shift of their 99.9th percentile: "
        + (f"not stated: {tail.reason}" if isinstance(tail, Unsupported) else f"{tail:+.4f}")
    ]
    lines += ["", *drift_lines(candidate.fidelity.drifts)]
    if candidate.flips_fmr is not None:
        shown = f"the {len(candidate.flips)} with the greatest change" if candidate.flips else "none"
        lines += ["", f"flipped decisions at FMR {candidate.flips_fmr:g}, each at its own threshold: {shown}"]
        for flip in candidate.flips:
            kind = "mated" if flip.mated else "non-mated"
            lines.append(
                f"  {flip.baseline_score:.4f} -> {flip.candidate_score:.4f}  {kind}, now"
                f" {'wrong' if flip.lost else 'right'}  {flip.first}  {flip.second}"
            )
    return lines
