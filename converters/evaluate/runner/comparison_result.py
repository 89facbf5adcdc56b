"""Results of the comparison of artefacts of one model, their JSON form and their lines for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.evaluate.metrics.difference_evidence import (
    FidelityEvidence,
    MarginVerdict,
    PairedDifference,
    SmoothedDifference,
)
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from converters.evaluate.metrics.group_evidence import GroupChanges, GroupsEvidence
from converters.evaluate.metrics.verification_evidence import VerificationEvidence
from converters.evaluate.runner.difference_text import difference_lines, pooled_lines
from converters.evaluate.runner.group_text import changes_lines, groups_lines
from converters.evaluate.runner.identity import ArtefactIdentity
from converters.evaluate.runner.text import drift_lines, verification_lines
from converters.number_format import wrapped

SCHEMA = "edge-sdk/comparison/1"


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
            *(line for note in self.notes for line in wrapped(f"note: {note}")),
        ]
        if self.verification is not None:
            lines += ["", *verification_lines(self.verification)]
        if self.groups is not None:
            lines += ["", *groups_lines(self.groups)]
        for candidate in self.candidates:
            lines += ["", f"this: {_named(candidate.artefact)}", *_candidate_lines(candidate)]
        return "\n".join(lines)


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
