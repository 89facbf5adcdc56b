"""Budget of a recipe search on error rates of labelled images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.embedding import embed_crops
from converters.data.image_set import SetDigest
from converters.data.samples import open_samples
from converters.errors import CalibrationError
from converters.evaluate.metrics import (
    AllPairs,
    SmoothedDifference,
    Unsupported,
    pooled_difference,
    smoothed_differences,
    threshold_at_fmr,
    trials_needed,
)
from converters.evaluate.metrics.curves import check_rate
from converters.evaluate.metrics.subject_scores import MIN_SUBJECTS
from converters.evaluate.metrics.subject_shares import subject_share
from converters.graph.network import Network
from converters.quantize.budget import BudgetVerdict, Candidate
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.operating_point import subjects_needed
from edge_sdk.types import FloatArray, SampleArray

#: Largest size of all labelled crops together, in bytes.
MAX_CROP_BYTES = 2 << 30
#: Number of networks whose embeddings of the labelled images are kept.
_KEPT_NETWORKS = 4


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
    pixels: SampleArray
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.subjects)


@dataclass(frozen=True, eq=False)
class ErrorRateBudget:
    """Limit for the increase of FNMR from the float to the int8 network, both at the same FMR.

    All pairs of images are compared, and each network has its own threshold. The increase is the kernel-smoothed one
    (`smoothed_differences`), because a counted FNMR changes by single comparisons that cross the threshold: recipes would be
    ranked by chance. A candidate keeps the budget if the increase plus its standard error is at most the limit.

    Args:
        images: Images to compare.
        contract: The network's input contract.
        fmr: FMR at which FNMR is measured.
        max_loss: Largest increase of FNMR, a share: 0.01 is one percentage point.
        reference: Comparisons of the float network's embeddings.
        float_fnmr: Counted FNMR of the float network at that FMR, mean over subjects.
    """

    images: LabelledCrops
    contract: AnyContract
    fmr: float
    max_loss: float
    reference: AllPairs
    float_fnmr: float
    _kept: dict[str, FloatArray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        network: Network,
        contract: AnyContract,
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
            CalibrationError: there are too few subjects; see ``check_support``.
        """
        check_support(images.subjects, fmr=fmr, max_loss=max_loss)
        vectors = embed_crops(network, contract, images.pixels, progress=progress)
        fnmr = measure_fnmr(vectors, images.subjects, fmr)
        return cls(images, contract, fmr, max_loss, AllPairs(vectors, images.subjects), fnmr)

    @property
    def goal(self) -> str:
        """The condition as text."""
        return (
            f"an FNMR at most {100 * self.max_loss:g} points above float's"
            f" {100 * self.float_fnmr:.2f} % at FMR {self.fmr:g}"
        )

    def check(self, candidate: Candidate) -> BudgetVerdict:
        """Embed every labelled image with the candidate, compare all pairs, and judge the smoothed increase of FNMR."""
        vectors = self._vectors(candidate.network)
        compared = AllPairs(vectors, self.images.subjects)
        (row,) = smoothed_differences(self.reference, compared, fmrs=[self.fmr])
        if isinstance(row, Unsupported):
            raise CalibrationError(f"labelled images: {row.reason}", hint="add subjects")
        fnmr = measure_fnmr(vectors, self.images.subjects, self.fmr)
        loss = 0.0 - row.difference
        # Ignore the rounding error of a loss at the limit.
        margin = round(self.max_loss - loss - row.standard_error, 12)
        return BudgetVerdict(
            margin >= 0,
            margin,
            f"smoothed FNMR {100 * loss:+.2f} points relative to float, standard error"
            f" {100 * row.standard_error:.2f}; counted FNMR {100 * fnmr:.2f} %,"
            f" {100 * (fnmr - self.float_fnmr):+.2f} points",
        )

    def difference(self, network: Network) -> SmoothedDifference | Unsupported:
        """Compare the TAR of a network with that of the float network on the labelled images, pooled over FMR 1e-4..1e-2."""
        vectors = self._vectors(network)
        return pooled_difference(self.reference, AllPairs(vectors, self.images.subjects))

    def _vectors(self, network: Network) -> FloatArray:
        """Embed the labelled images; those of the last networks are kept, because an artefact is judged and then reported."""
        if network.digest not in self._kept:
            while len(self._kept) >= _KEPT_NETWORKS:
                del self._kept[next(iter(self._kept))]
            self._kept[network.digest] = embed_crops(network, self.contract, self.images.pixels)
        return self._kept[network.digest]

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
            "subjects": len(set(self.images.subjects)),
            "sha256": self.images.sha256,
        }


def read_labelled(
    path: str | Path, contract: AnyContract, *, progress: Callable[[int, int], None] | None = None
) -> LabelledCrops:
    """Read ``subject/image`` crops at the network's size, or ``subject/array.npy``.

    Args:
        path: Folder, .tar or .zip.
        contract: Input contract.
        progress: Called with (done, total).

    Raises:
        CalibrationError: there are no images in folders named by subject, there are too many, or one cannot be used.
    """
    digest = SetDigest()
    try:
        samples = open_samples(path, arrays=isinstance(contract, ArrayContract))
        size = len(samples.samples) * math.prod(contract.shape)
        if size > MAX_CROP_BYTES:
            raise InputError(
                f"expected at most {MAX_CROP_BYTES >> 30} GiB of crops, found {len(samples.samples)} images that"
                f" take {size / (1 << 30):.1f} GiB",
                hint="use fewer images",
            )
        pixels = np.empty((len(samples.samples), *contract.shape), contract.dtype)
        for position, sample in enumerate(samples.samples):
            digest.add(sample.name, samples.read(sample))
            pixels[position] = samples.at_size(sample, contract)
            if progress is not None:
                progress(position + 1, len(pixels))
    except (InputError, AcquisitionError) as error:
        raise CalibrationError(f"labelled images: {error}", hint=error.hint) from error
    subjects = tuple(sample.subject for sample in samples.samples)
    return LabelledCrops(samples.data_set, digest.hexdigest(), pixels, subjects)


def check_support(subjects: Sequence[str], *, fmr: float, max_loss: float) -> None:
    """Reject labelled images of too few subjects for the FMR or for the FNMR loss.

    By the rule of three (ISO/IEC 19795-1), n independent trials without an error show an error rate of at most 3 / n. The
    independent trials are subjects: an FMR needs 3 / fmr pairs of subjects, and a loss needs 3 / max_loss subjects with two
    or more images.

    Args:
        subjects: Subject of each image; all pairs are compared.
        fmr: Above 0 and below 1.
        max_loss: Above 0 and below 1.

    Raises:
        CalibrationError: there are too few subjects; the message states the required number.
    """
    _, images = np.unique(np.asarray(subjects), return_counts=True)
    try:
        requirements = (
            (
                f"FMR {fmr:g} needs at least {{}} subjects",
                max(subjects_needed(check_rate(fmr)), MIN_SUBJECTS),
                images.size,
                "add subjects, or use a higher FMR",
            ),
            (
                f"an FNMR loss of {max_loss:g} needs at least {{}} subjects with two or more images each",
                max(trials_needed(check_rate(max_loss, "the FNMR loss")), MIN_SUBJECTS),
                int((images >= 2).sum()),
                "add subjects, or allow a greater loss",
            ),
        )
    except InputError as error:
        raise CalibrationError(str(error), hint=error.hint) from error
    for claim, needed, available, hint in requirements:
        if available < needed:
            raise CalibrationError(f"labelled images: {claim.format(needed)}, found {available}", hint=hint)


def measure_fnmr(vectors: FloatArray, subjects: Sequence[str], fmr: float) -> float:
    """Count FNMR over all pairs, mean over subjects, at the lowest threshold with at most this measured FMR.

    Args:
        vectors: Shape (n, D), float32, unit rows.
        subjects: Subject of each row.
        fmr: Above 0 and below 1.

    Raises:
        CalibrationError: fewer than 3 / fmr non-mated comparisons.
    """
    pairs = AllPairs(vectors, tuple(subjects))
    threshold = threshold_at_fmr(pairs.scores(), fmr)
    if isinstance(threshold, Unsupported):
        raise CalibrationError(f"labelled images: {threshold.reason}")
    tagged = pairs.with_subjects(2.0)
    return subject_share(tagged.mated_subject, tagged.mated < threshold).mean
