"""Two files of one model on the same images: how far apart their embeddings are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.embedding import embed_crops
from converters.errors import SourceError
from converters.evaluate import ArtefactIdentity
from converters.evaluation.evidence import (
    Evidence,
    FidelityEvidence,
    PairedDifference,
    Unsupported,
    VerificationEvidence,
)
from converters.image_set import ImageSet
from converters.progress import stage
from edge_sdk.decision.matching import cosine
from edge_sdk.errors import ModelContractError
from edge_sdk.inference.card import CARD_NAME, InputContract, ModelCard
from edge_sdk.inference.model_file import check_identifier, read_model_bytes, split

SCHEMA = "edge-sdk/comparison/1"
_WORST = 5


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
        flips_fmr: The FMR of the flips; None where no threshold can be stated.
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


@dataclass(frozen=True)
class Comparison:
    """How far the embeddings of two files are apart.

    Args:
        first: The one file.
        second: The other.
        images: How many images both embedded.
        images_sha256: Digest of these images.
        cosine_mean: Mean cosine of the two embeddings of an image.
        cosine_min: The least.
        worst: The images with the least cosine, worst first.
    """

    first: str
    second: str
    images: int
    images_sha256: str
    cosine_mean: float
    cosine_min: float
    worst: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        out = asdict(self)
        out["worst"] = [{"image": name, "cosine": value} for name, value in self.worst]
        return out

    def to_text(self) -> str:
        """The same for a terminal."""
        lines = [
            f"{self.first} against {self.second} on {self.images} images",
            f"cosine mean {self.cosine_mean:.4f}, least {self.cosine_min:.4f}",
            "worst images:",
            *(f"  {value:.4f}  {name}" for name, value in self.worst),
        ]
        return "\n".join(lines)


def compare(
    first: str | Path, second: str | Path, images: str | Path, *, contract: InputContract | None = None
) -> Comparison:
    """Embed the same images with two files and compare image by image.

    Args:
        first: A .tflite.
        second: Another of the same model.
        images: Folder or archive of crops.
        contract: The input contract, where the files carry no card.

    Raises:
        ModelError: A file is missing, damaged or refused by the interpreter.
        ModelContractError: The files disagree, or neither says its contract.
        InputError: No images, or one that cannot be used.
    """
    networks, contracts = zip(*(_read(path) for path in (first, second)), strict=True)
    said = [c for c in (contract, *contracts) if c is not None]
    if not said:
        raise ModelContractError(
            "expected an input contract, found no card in either file",
            hint="say it with --size, --color and --mean and --scale or --range",
        )
    if any(c.to_json() != said[0].to_json() for c in said):
        raise ModelContractError(
            f"expected one input contract, found {' and '.join(dict.fromkeys(c.describe() for c in said))}"
        )
    with stage("read images") as progress:
        crops = ImageSet.open(images).crops(said[0], progress=progress)
    embeddings = []
    for path, network in zip((first, second), networks, strict=True):
        with stage(f"embed with {Path(path).name}") as progress:
            embeddings.append(embed_crops(network, said[0], crops.pixels, progress=progress))
    if embeddings[0].shape != embeddings[1].shape:
        sizes = " and ".join(str(e.shape[1]) for e in embeddings)
        raise ModelContractError(f"expected embeddings of one length, found {sizes} values")
    cosines = cosine(embeddings[0], embeddings[1])
    order = cosines.argsort(kind="stable")[:_WORST]
    return Comparison(
        first=str(first),
        second=str(second),
        images=len(crops),
        images_sha256=crops.sha256,
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        worst=tuple((crops.names[i], float(cosines[i])) for i in order),
    )


def _read(path: str | Path) -> tuple[bytes, InputContract | None]:
    data = read_model_bytes(path)
    check_identifier(data, path)
    network, files = split(data)
    if CARD_NAME not in files:
        return network, None
    card = ModelCard.from_bytes(files[CARD_NAME])
    if not network:
        raise SourceError(f"{path}: expected a network before its card, found none")
    return network, card.input
