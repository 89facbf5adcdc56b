"""Files of one model on the same images: how far apart embeddings are, and which decisions change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.data.image_set import ImageSet
from converters.data.samples import SampleSet, open_samples, open_unlabelled
from converters.evaluate.metrics.curves import threshold_at_fmr
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples, in_common
from converters.evaluate.metrics.evidence import (
    Evidence,
    FidelityEvidence,
    PairedDifference,
    Unsupported,
    VerificationEvidence,
)
from converters.evaluate.metrics.fidelity import compare_artefacts, embedding_cosines, flipped_pairs
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import Protocol, comparisons_of, notes_of, verify
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.identity import ArtefactIdentity, identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.text import difference_lines, drift_lines, verification_lines
from converters.evaluate.runner.workers import Workers
from converters.progress import Stages, stage
from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.card import CARD_NAME, InputContract, ModelCard
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split

SCHEMA = "edge-sdk/comparison/1"
#: FMRs at which decisions are compared by name: the first that the data support.
FLIP_FMRS = (1e-3, 1e-2, 1e-1)
WORST_IMAGES = 5
FLIPS = 20

_ONE_MODEL = "compare files that were made from one model"


@dataclass(frozen=True)
class NamedFlip(Evidence):
    """One comparison that the two artefacts decide differently, each at its own threshold.

    Attributes:
        first, second: Names of the two images, `subject/file`.
        mated: Whether they are of one subject.
        baseline_score, candidate_score: The two cosines.
        lost: Whether the baseline was right and the candidate is wrong.
    """

    first: str
    second: str
    mated: bool
    baseline_score: float
    candidate_score: float
    lost: bool


@dataclass(frozen=True)
class CandidateComparison(Evidence):
    """One candidate against the baseline, on the images that all artefacts embedded.

    Attributes:
        artefact: Which file.
        cosine_mean, cosine_min: Of an image's two embeddings.
        worst: (image, cosine) of the least alike, worst first.
        verification: Its error rates; None where the images have no subjects.
        fidelity: Shift of non-mated scores, drift of thresholds, numbers of flipped decisions; None
            where the images have no subjects.
        differences: TAR of the candidate minus TAR of the baseline, one row per FMR, with the interval of
            the difference; empty where the images have no subjects.
        flips: Flipped decisions by name at `flips_fmr`, greatest change of score first.
        flips_fmr: The FMR of the flips; None where none were asked for or no threshold can be stated.
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


@dataclass(frozen=True)
class ComparisonResult:
    """Files of one model on the same images.

    Args:
        baseline: The float file.
        verification: The baseline's error rates; None where the images have no subjects.
        candidates: The others, one or more, in the order given.
        data_set: Name of the images.
        images: How many images all of them embedded.
        images_sha256: Digest of the data set.
        notes: What a reader should know, one line each.
    """

    baseline: ArtefactIdentity
    verification: VerificationEvidence | None
    candidates: tuple[CandidateComparison, ...]
    data_set: str
    images: int
    images_sha256: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The whole evidence as JSON values; `cosine_mean`, `cosine_min` and `worst` are the first candidate's."""
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
            "baseline": self.baseline.to_dict(),
            "verification": None if self.verification is None else self.verification.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "notes": list(self.notes),
        }

    def names_shown(self) -> tuple[str, ...]:
        """Images that are named: the worst by cosine, and those of flipped decisions."""
        names: list[str] = []
        for candidate in self.candidates:
            names += [name for name, _ in candidate.worst]
            names += [name for flip in candidate.flips for name in (flip.first, flip.second)]
        return tuple(dict.fromkeys(names))

    def to_text(self) -> str:
        """The same for a terminal."""
        lines = [
            f"float: {_named(self.baseline)}",
            f"{self.data_set}: {self.images} images that all files embedded",
            *(f"note: {note}" for note in self.notes),
        ]
        if self.verification is not None:
            lines += ["", *verification_lines(self.verification)]
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
    workers: Workers | None = None,
    cache: Path | None = None,
    stages: Stages = stage,
) -> ComparisonResult:
    """Embed the same images with all files and compare embeddings, error rates and decisions.

    Args:
        baseline: The float file.
        candidates: Others of the same model, one or more.
        samples: The images; without labels, embeddings alone are compared.
        protocol: What is compared and at which FMRs; all pairs by default.
        flips: How many flipped decisions to name.
        workers: Where embeddings are made; in this process by default.
        cache: Folder of embeddings made before; None keeps none.
        stages: Shows progress.

    Raises:
        ModelContractError: The files want other inputs or give other lengths, so they are not of one model.
        InputError: No candidate; no image that all of them embedded; comparisons of one kind alone.
    """
    if not candidates:
        raise InputError("expected one or more files to compare with the first, found none")
    asked = protocol or Protocol()
    artefacts = (baseline, *candidates)
    _check_one_model(artefacts)
    embedded = []
    for artefact in artefacts:
        with stages(f"embed with {artefact.path.name}") as progress:
            embedded.append(embed_with(artefact, samples, workers=workers, cache=cache, progress=progress))
    kept = _in_common(embedded)
    with stages("compare"):
        first = verify(kept[0], asked) if samples.labelled else None
        results = tuple(
            _compare_one(artefact, kept[0], own, asked, flips)
            if samples.labelled
            else _cosines_only(artefact, kept[0], own)
            for artefact, own in zip(candidates, kept[1:], strict=True)
        )
    notes = list(notes_of(samples))
    if not samples.labelled:
        notes.append("no subject folders, so no error rates: embeddings alone are compared")
    lost = len(samples.samples) - len(kept[0].names)
    if lost:
        name, reason = next(failure for own in embedded for failure in own.failures)
        notes.append(f"{lost} images were not embedded by all files, the first {name}: {reason}")
    return ComparisonResult(
        baseline=identity_of(baseline),
        verification=first,
        candidates=results,
        data_set=samples.data_set,
        images=len(kept[0].names),
        images_sha256=kept[0].data_digest,
        notes=tuple(notes),
    )


def open_artefacts(
    paths: Sequence[str | Path],
    *,
    contract: InputContract | None = None,
    execution: Execution | None = None,
) -> list[OpenedArtefact]:
    """Open files of one model; one without a card takes the contract of the others.

    Args:
        paths: Two or more .tflite.
        contract: What the network wants to see, where no file says it.
        execution: What runs all but the first, which LiteRT runs with XNNPACK, as it does on a CPU; so a file
            can be held against itself in other kernels. Those nearest to each card's target where None.

    Raises:
        BackendUnavailableError: The delegate cannot be loaded.
        ModelError: One is missing, damaged or refused by the interpreter.
        ModelContractError: No file and no caller says the contract, or they disagree.
    """
    own = [_contract_of(path) for path in paths]
    # Cards that differ are two models, which is said of both; no card is held against another one's here.
    others = next((found for found in own if found is not None), None)
    return [
        open_artefact(
            path,
            contract=contract or (others if found is None else None),
            execution=Execution() if position == 0 else execution,
        )
        for position, (path, found) in enumerate(zip(paths, own, strict=True))
    ]


def open_images(path: str | Path, *, name: str | None = None) -> SampleSet:
    """Labelled images where any lie in subject folders, otherwise all images without labels.

    Raises:
        InputError: Nothing readable there, or no image.
    """
    if any("/" in image for image in ImageSet.open(path).names):
        return open_samples(path, name=name)
    return open_unlabelled(path, name=name)


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
    """Each set cut to the images that all artefacts embedded, in one order."""
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
    asked: Protocol,
    flips: int,
) -> CandidateComparison:
    before, after = (comparisons_of(own, asked.pairs) for own in (baseline, candidate))
    fmrs = asked.asked_fmrs()
    fmr, named = _flips(baseline.names, before, after, flips)
    return replace(
        _cosines_only(artefact, baseline, candidate),
        verification=verify(candidate, asked),
        fidelity=compare_artefacts(before, after, names=baseline.names, fmrs=fmrs, worst=WORST_IMAGES),
        differences=paired_differences(
            before, after, fmrs=fmrs, replicates=max(asked.replicates, 1), seed=asked.seed
        ),
        flips=named,
        flips_fmr=fmr,
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


def _candidate_lines(found: CandidateComparison) -> list[str]:
    lines = [f"cosine to float: mean {found.cosine_mean:.4f}, least {found.cosine_min:.4f}", "worst images:"]
    lines += [f"  {value:.4f}  {name}" for name, value in found.worst]
    if found.verification is None or found.fidelity is None:
        return lines
    lines += ["", *verification_lines(found.verification), "", *difference_lines(found.differences)]
    shift, tail = found.fidelity.non_mated_mean_shift, found.fidelity.tail_shift
    lines += [
        "",
        "shift of non-mated scores: "
        + ("none stated" if isinstance(shift, Unsupported) else f"{shift:+.4f}"),
    ]
    lines += [
        "shift of their 99.9th percentile: "
        + (f"not stated: {tail.reason}" if isinstance(tail, Unsupported) else f"{tail:+.4f}")
    ]
    lines += ["", *drift_lines(found.fidelity.drifts)]
    if found.flips_fmr is not None:
        shown = f"the {len(found.flips)} with the greatest change" if found.flips else "none"
        lines += ["", f"flipped decisions at FMR {found.flips_fmr:g}, each at its own threshold: {shown}"]
        for flip in found.flips:
            kind = "mated" if flip.mated else "non-mated"
            lines.append(
                f"  {flip.baseline_score:.4f} -> {flip.candidate_score:.4f}  {kind}, now"
                f" {'wrong' if flip.lost else 'right'}  {flip.first}  {flip.second}"
            )
    return lines
