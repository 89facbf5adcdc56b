"""What an int8 network must keep for a search to stop: a cosine to float, or an error rate on labelled images,
and how long it may take.

Images that a budget looks at have chosen the recipe: a claim about the file is measured on others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.data.embedding import embed_crops
from converters.data.image_set import SetDigest
from converters.data.samples import open_samples
from converters.errors import CalibrationError
from converters.evaluate.metrics import AllPairs, Unsupported, threshold_at_fmr, trials_needed
from converters.evaluate.metrics.curves import check_rate
from converters.graph.latency import time_ratio
from converters.graph.network import Network
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.images import MIN_SIDE_PX
from edge_sdk.vision.resize import fit

#: The mean cosine that a search aims at where nobody says.
SEARCH_COSINE = 0.995
#: What labelled crops may hold in memory.
MAX_CROP_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network that a search has made.

    Args:
        network: The int8 network.
        cosines: Of each selection image's float and int8 embedding, shape (n,).
    """

    network: Network
    cosines: FloatArray


@dataclass(frozen=True)
class BudgetVerdict:
    """Whether a candidate keeps a budget.

    Args:
        met: Whether it does.
        margin: How much is to spare, in the budget's own unit; negative where it is missed.
        found: What was measured, in words.
        over: By how much a ceiling of time is exceeded, a share of the float network's time; 0 within it.
    """

    met: bool
    margin: float
    found: str
    over: float = 0.0


class Budget(Protocol):
    """What a user can spare; a search stops at the first candidate that keeps it."""

    @property
    def goal(self) -> str:
        """What is asked for, as in "searched for ..."."""

    def keeps(self, candidate: Candidate) -> BudgetVerdict:
        """Measure a candidate."""

    def to_json(self) -> dict[str, Any]:
        """What a report keeps: the goal, and what it is measured on."""


@dataclass(frozen=True)
class CosineBudget:
    """A least mean cosine to float on the selection images, with one standard error to spare.

    Args:
        least: Mean cosine, 0..1.
    """

    least: float = SEARCH_COSINE

    @property
    def goal(self) -> str:
        """The goal in words."""
        return f"a mean cosine of {self.least:g} to float"

    def keeps(self, candidate: Candidate) -> BudgetVerdict:
        """Whether the mean is kept on other images too, as far as one standard error can tell."""
        mean = float(candidate.cosines.mean())
        sure = mean - standard_error(candidate.cosines)
        return BudgetVerdict(
            sure >= self.least, sure - self.least, f"mean cosine {mean:.4f}, surely {sure:.4f}"
        )

    def to_json(self) -> dict[str, Any]:
        """What a report keeps."""
        return {"goal": self.goal, "kind": "cosine", "least": self.least}


@dataclass(frozen=True, eq=False)
class LabelledCrops:
    """Images of known subjects at the network's size.

    Args:
        data_set: Its name.
        sha256: Over names and file contents, hex.
        pixels: Shape (n, H, W, C), uint8.
        subjects: One for each image.
    """

    data_set: str
    sha256: str
    pixels: UInt8Array
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.subjects)


@dataclass(frozen=True, eq=False)
class ErrorRateBudget:
    """FNMR at one FMR may exceed the float network's by so much; all pairs, each network at its own threshold.

    Args:
        images: What is compared.
        contract: The network's input contract.
        fmr: Where FNMR is taken.
        max_loss: What may be lost, a share: 0.01 is one point.
        float_fnmr: The float network's FNMR at that FMR.
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
        """Measure the float network and make a budget of it.

        Args:
            network: The canonical float network.
            contract: Its input contract.
            images: What to compare.
            fmr: Where FNMR is taken.
            max_loss: What may be lost, a share.
            progress: Called with (done, total).

        Raises:
            CalibrationError: The images cannot support such a claim; see ``check_support``.
        """
        check_support(images.subjects, fmr=fmr, max_loss=max_loss)
        vectors = embed_crops(network, contract, images.pixels, progress=progress)
        return cls(images, contract, fmr, max_loss, fnmr_at(vectors, images.subjects, fmr))

    @property
    def goal(self) -> str:
        """The goal in words."""
        return (
            f"an FNMR at most {100 * self.max_loss:g} points above float's"
            f" {100 * self.float_fnmr:.2f} % at FMR {self.fmr:g}"
        )

    def keeps(self, candidate: Candidate) -> BudgetVerdict:
        """Embed every labelled image with the candidate and compare all pairs."""
        vectors = embed_crops(candidate.network, self.contract, self.images.pixels)
        found = fnmr_at(vectors, self.images.subjects, self.fmr)
        loss = found - self.float_fnmr
        # Both are ratios of whole numbers; the last bit of their difference is no loss.
        margin = round(self.max_loss - loss, 12)
        return BudgetVerdict(
            margin >= 0, margin, f"FNMR {100 * found:.2f} %, {100 * loss:+.2f} points to float"
        )

    def to_json(self) -> dict[str, Any]:
        """What a report keeps."""
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


@dataclass(frozen=True, eq=False)
class TimedBudget:
    """Another budget, to be kept by a network that takes no more than a share of the float network's time.

    Args:
        budget: The other budget.
        most: The share: 0.85 allows 85 % of the float network's time on this machine.
        ratio: Measures a network's share.
    """

    budget: Budget
    most: float
    ratio: Callable[[Network], float]

    @classmethod
    def of(
        cls, budget: Budget, most: float, network: Network, contract: InputContract, crop: UInt8Array
    ) -> TimedBudget:
        """A ceiling over a budget, in shares of a float network's time.

        Args:
            budget: What is to be kept within it.
            most: The share, above 0.
            network: The float network.
            contract: Its input contract.
            crop: What both are run on, shape (H, W, C), uint8.

        Raises:
            CalibrationError: Not above 0.
        """
        if not (math.isfinite(most) and most > 0):
            raise CalibrationError(f"expected a time ratio above 0, found {most:g}")
        return cls(budget, most, lambda candidate: time_ratio(candidate, network, contract, crop))

    @property
    def goal(self) -> str:
        """The goal in words."""
        return f"{self.budget.goal}, in at most {self.most:g} of its time"

    def keeps(self, candidate: Candidate) -> BudgetVerdict:
        """Whether the other budget is kept, and the ceiling; one that exceeds it is never the answer."""
        verdict = self.budget.keeps(candidate)
        ratio = self.ratio(candidate.network)
        over = max(0.0, ratio - self.most)
        return BudgetVerdict(
            verdict.met and not over, verdict.margin, f"{verdict.found}, {ratio:.2f} of the time", over
        )

    def to_json(self) -> dict[str, Any]:
        """What a report keeps."""
        return {**self.budget.to_json(), "goal": self.goal, "max_time_ratio": self.most}


def read_labelled(
    path: str | Path, contract: InputContract, *, progress: Callable[[int, int], None] | None = None
) -> LabelledCrops:
    """Read ``subject/image`` crops at the network's size.

    Args:
        path: Folder, .tar or .zip.
        contract: The size and colour wanted.
        progress: Called with (done, total).

    Raises:
        CalibrationError: No such images, or one that cannot be used.
    """
    digest = SetDigest()
    try:
        samples = open_samples(path)
        size = len(samples.samples) * math.prod(contract.shape)
        if size > MAX_CROP_BYTES:
            raise InputError(
                f"expected at most {MAX_CROP_BYTES >> 30} GiB of crops, found {len(samples.samples)} images that"
                f" take {size / (1 << 30):.1f} GiB",
                hint="give a part of them",
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
    """Refuse images that cannot support the claim: 3 / fmr non-mated and 3 / max_loss mated comparisons.

    The rule of three (ISO/IEC 19795-1) for both: so many comparisons without an error leave no more than that
    rate open.

    Args:
        subjects: One for each image; all pairs are compared.
        fmr: Above 0 and under 1.
        max_loss: Above 0 and under 1.

    Raises:
        CalibrationError: Too few comparisons of either kind; says how many it takes.
    """
    _, images = np.unique(np.asarray(subjects), return_counts=True)
    mated = int((images * (images - 1) // 2).sum())
    non_mated = len(subjects) * (len(subjects) - 1) // 2 - mated
    try:
        wanted = (
            (
                "non-mated",
                f"FMR {fmr:g}",
                trials_needed(fmr),
                non_mated,
                "add subjects, or ask for a higher FMR",
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
    for kind, claim, needed, found, hint in wanted:
        if found < needed:
            raise CalibrationError(
                f"labelled images: {claim} takes {needed} {kind} comparisons (rule of three), found {found}",
                hint=hint,
            )


def fnmr_at(vectors: FloatArray, subjects: Sequence[str], fmr: float) -> float:
    """FNMR over all pairs at the smallest threshold with that FMR.

    Args:
        vectors: Shape (n, D), float32, unit rows.
        subjects: One for each row.
        fmr: Above 0 and under 1.

    Raises:
        CalibrationError: Fewer than 3 / fmr non-mated comparisons.
    """
    scores = AllPairs(vectors, tuple(subjects)).scores()
    threshold = threshold_at_fmr(scores, fmr)
    if isinstance(threshold, Unsupported):
        raise CalibrationError(f"labelled images: {threshold.reason}")
    return int(scores.false_non_matches(np.array([threshold]))[0]) / scores.mated_trials


def standard_error(values: FloatArray) -> float:
    """Standard error of the mean."""
    return float(values.std() / len(values) ** 0.5)
