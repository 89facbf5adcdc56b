"""Budget of a recipe search on error rates of labelled images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.embedding import embed_crops
from converters.data.image_set import SetDigest
from converters.data.samples import open_samples
from converters.errors import CalibrationError
from converters.evaluate.metrics import AllPairs, Unsupported, threshold_at_fmr, trials_needed
from converters.evaluate.metrics.curves import check_rate
from converters.graph.network import Network
from converters.quantize.budget import BudgetVerdict, Candidate
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.images import MIN_SIDE_PX
from edge_sdk.vision.resize import fit

#: Largest size of all labelled crops together, in bytes.
MAX_CROP_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class LabelledCrops:
    """Images of known subjects at the network's size.

    Args:
        data_set: Name of the data set.
        sha256: SHA-256 of names and file contents, hex.
        pixels: Shape (n, H, W, C), uint8.
        subjects: Subject of each image.
    """

    data_set: str
    sha256: str
    pixels: UInt8Array
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.subjects)


@dataclass(frozen=True, eq=False)
class ErrorRateBudget:
    """Limit for the increase of FNMR from the float to the int8 network, both at the same FMR.

    All pairs of images are compared, and each network has its own threshold.

    Args:
        images: Images to compare.
        contract: The network's input contract.
        fmr: FMR at which FNMR is measured.
        max_loss: Largest increase of FNMR, a share: 0.01 is one percentage point.
        float_fnmr: FNMR of the float network at that FMR.
    """

    images: LabelledCrops
    contract: InputContract
    fmr: float
    max_loss: float
    float_fnmr: float

    @classmethod
    def of(
        cls,
        network: Network,
        contract: InputContract,
        images: LabelledCrops,
        *,
        fmr: float,
        max_loss: float,
        progress: Callable[[int, int], None] | None = None,
    ) -> ErrorRateBudget:
        """Measure the float network and create the budget.

        Args:
            network: The canonical float network.
            contract: Its input contract.
            images: Images to compare.
            fmr: FMR at which FNMR is measured.
            max_loss: Largest increase of FNMR, a share.
            progress: Called with (done, total).

        Raises:
            CalibrationError: there are too few images; see ``check_support``.
        """
        check_support(images.subjects, fmr=fmr, max_loss=max_loss)
        vectors = embed_crops(network, contract, images.pixels, progress=progress)
        return cls(images, contract, fmr, max_loss, measure_fnmr(vectors, images.subjects, fmr))

    @property
    def goal(self) -> str:
        """The condition as text."""
        return (
            f"an FNMR at most {100 * self.max_loss:g} points above float's"
            f" {100 * self.float_fnmr:.2f} % at FMR {self.fmr:g}"
        )

    def check(self, candidate: Candidate) -> BudgetVerdict:
        """Embed every labelled image with the candidate and compare all pairs."""
        vectors = embed_crops(candidate.network, self.contract, self.images.pixels)
        fnmr = measure_fnmr(vectors, self.images.subjects, self.fmr)
        loss = fnmr - self.float_fnmr
        # Both are ratios of integers; ignore the rounding error of their difference.
        margin = round(self.max_loss - loss, 12)
        return BudgetVerdict(
            margin >= 0, margin, f"FNMR {100 * fnmr:.2f} %, {100 * loss:+.2f} points relative to float"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the budget as JSON values for the report."""
        return {
            "goal": self.goal,
            "kind": "error rate",
            "fmr": self.fmr,
            "max_fnmr_loss": self.max_loss,
            "float_fnmr": self.float_fnmr,
            "data_set": self.images.data_set,
            "images": len(self.images),
            "sha256": self.images.sha256,
        }


def read_labelled(
    path: str | Path, contract: InputContract, *, progress: Callable[[int, int], None] | None = None
) -> LabelledCrops:
    """Read ``subject/image`` crops at the network's size.

    Args:
        path: Folder, .tar or .zip.
        contract: Input contract, for size and colour order.
        progress: Called with (done, total).

    Raises:
        CalibrationError: there are no images in folders named by subject, there are too many, or one cannot be used.
    """
    digest = SetDigest()
    try:
        samples = open_samples(path)
        size = len(samples.samples) * math.prod(contract.shape)
        if size > MAX_CROP_BYTES:
            raise InputError(
                f"expected at most {MAX_CROP_BYTES >> 30} GiB of crops, found {len(samples.samples)} images that"
                f" take {size / (1 << 30):.1f} GiB",
                hint="use fewer images",
            )
        pixels = np.empty((len(samples.samples), *contract.shape), np.uint8)
        for position, sample in enumerate(samples.samples):
            digest.add(sample.name, samples.read(sample))
            image = samples.image(sample, color=contract.color)
            if min(image.shape[:2]) < MIN_SIDE_PX:
                raise InputError(
                    f"{sample.name}: expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px,"
                    f" found {image.shape[0]}x{image.shape[1]}"
                )
            pixels[position] = fit(image, contract.height, contract.width)
            if progress is not None:
                progress(position + 1, len(pixels))
    except (InputError, AcquisitionError) as error:
        raise CalibrationError(f"labelled images: {error}", hint=error.hint) from error
    subjects = tuple(sample.subject for sample in samples.samples)
    return LabelledCrops(samples.data_set, digest.hexdigest(), pixels, subjects)


def check_support(subjects: Sequence[str], *, fmr: float, max_loss: float) -> None:
    """Reject labelled images that give fewer than 3 / fmr non-mated or 3 / max_loss mated comparisons.

    By the rule of three (ISO/IEC 19795-1), n comparisons without an error show an error rate of at most 3 / n.

    Args:
        subjects: Subject of each image; all pairs are compared.
        fmr: Above 0 and below 1.
        max_loss: Above 0 and below 1.

    Raises:
        CalibrationError: too few comparisons of either kind; the message states the required number.
    """
    _, images = np.unique(np.asarray(subjects), return_counts=True)
    mated = int((images * (images - 1) // 2).sum())
    non_mated = len(subjects) * (len(subjects) - 1) // 2 - mated
    try:
        requirements = (
            (
                "non-mated",
                f"FMR {fmr:g}",
                trials_needed(fmr),
                non_mated,
                "add subjects, or use a higher FMR",
            ),
            (
                "mated",
                f"an FNMR loss of {max_loss:g}",
                trials_needed(check_rate(max_loss, "the FNMR loss")),
                mated,
                "add images of the subjects, or allow a greater loss",
            ),
        )
    except InputError as error:
        raise CalibrationError(str(error), hint=error.hint) from error
    for kind, claim, needed, available, hint in requirements:
        if available < needed:
            raise CalibrationError(
                f"labelled images: {claim} needs {needed} {kind} comparisons (rule of three), found {available}",
                hint=hint,
            )


def measure_fnmr(vectors: FloatArray, subjects: Sequence[str], fmr: float) -> float:
    """Measure FNMR over all pairs at the lowest threshold with at most this FMR.

    Args:
        vectors: Shape (n, D), float32, unit rows.
        subjects: Subject of each row.
        fmr: Above 0 and below 1.

    Raises:
        CalibrationError: fewer than 3 / fmr non-mated comparisons.
    """
    scores = AllPairs(vectors, tuple(subjects)).scores()
    threshold = threshold_at_fmr(scores, fmr)
    if isinstance(threshold, Unsupported):
        raise CalibrationError(f"labelled images: {threshold.reason}")
    return int(scores.false_non_matches(np.array([threshold]))[0]) / scores.mated_trials
