"""Wrong decisions at a threshold, their measurable causes in the images, and the largest gain from removing a cause.

Causes are measured on the image files alone. A cause is not a proof: an image may be blurred, but rejected
because of its pose. So each cause has a ceiling: the true accept rate if the images that are worst by this cause are
refused. Work on a cause with a low ceiling gains little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.data.samples import SampleSet
from converters.evaluate.metrics.cosines import BoolArray, IntArray, Tile, listed_scores, tiles
from converters.evaluate.metrics.curves import threshold_at_fmr
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons, ListedPairs
from converters.number_format import fixed_percent
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, FloatArray, UInt8Array
from edge_sdk.vision.resize import fit


@dataclass(frozen=True)
class ImageMeasures(Evidence):
    """Measures of one image, on its grey values (ITU-R BT.601), 0..255.

    Attributes:
        height, width: Size of the file in pixels, before it is cropped and resized.
        sharpness: Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), higher is sharper.
        brightness: Mean grey value.
        contrast: Standard deviation of grey values.
        saturation: Share of under- or overexposed pixels (at most 5, or at least 250), 0..1.
    """

    height: int
    width: int
    sharpness: float
    brightness: float
    contrast: float
    saturation: float


@dataclass(frozen=True)
class WrongDecision(Evidence):
    """A comparison that the threshold decides wrongly.

    Attributes:
        first, second: Names of the two images, `subject/file`.
        mated: True for a false non-match, False for a false match.
        score: Cosine of the two embeddings.
        first_causes, second_causes: Unusual measures of each image, such as `blurred: sharpness 12, 5% of the images
            have 85 or less`; empty if no measure is unusual.
    """

    first: str
    second: str
    mated: bool
    score: float
    first_causes: tuple[str, ...]
    second_causes: tuple[str, ...]


@dataclass(frozen=True)
class CauseCeiling(Evidence):
    """Upper limit of the gain from removing one cause.

    Attributes:
        cause: Such as `blurred`.
        limit: Images with this value of the measure or a worse one are refused.
        refused: Number of refused images.
        refused_share: Share of refused images among all images.
        tar: True accept rate with all images.
        tar_without: True accept rate without the refused images, at a new threshold for the same FMR;
            None if the remaining images do not support it.
        errors_with_cause: Number of false non-matches with a refused image.
    """

    cause: str
    limit: float
    refused: int
    refused_share: float
    tar: float
    tar_without: float | None
    errors_with_cause: int

    @property
    def gains(self) -> bool:
        """True if the true accept rate rises without the refused images, or is not known."""
        return self.tar_without is None or self.tar_without > self.tar


@dataclass(frozen=True)
class ErrorAnalysis(Evidence):
    """The worst errors at one threshold.

    Attributes:
        target_fmr: FMR of the threshold: the first of 1e-3, 1e-2 and 1e-1 that the data support.
        threshold: A comparison is accepted if score >= threshold.
        false_matches, false_non_matches: Numbers of errors.
        worst_false_matches: Highest scores first.
        worst_false_non_matches: Lowest scores first.
        ceilings: One row per cause, greatest gain first.
    """

    target_fmr: float
    threshold: float
    false_matches: int
    false_non_matches: int
    worst_false_matches: tuple[WrongDecision, ...]
    worst_false_non_matches: tuple[WrongDecision, ...]
    ceilings: tuple[CauseCeiling, ...]


def errors_lines(analysis: ErrorAnalysis | Unsupported) -> list[str]:
    """Format the worst errors, and the largest possible gain for each cause, for a terminal."""
    if isinstance(analysis, Unsupported):
        return [f"errors not analysed: {analysis.reason}"]
    lines = [
        f"errors at FMR {analysis.target_fmr:g} (measured threshold {analysis.threshold:.4f}):"
        f" {analysis.false_matches} false matches, {analysis.false_non_matches} false non-matches"
    ]
    for title, rows in (
        ("worst false matches", analysis.worst_false_matches),
        ("worst false non-matches", analysis.worst_false_non_matches),
    ):
        lines += [f"{title}:"] if rows else []
        for row in rows:
            lines.append(f"  {row.score:.4f}  {row.first}  {row.second}")
            for name, causes in ((row.first, row.first_causes), (row.second, row.second_causes)):
                lines += [f"          {name}: {cause}" for cause in causes]
    gains = [ceiling for ceiling in analysis.ceilings if ceiling.gains]
    if gains:
        lines += [
            "upper limit of the gain from refusing the worst images of each cause;"
            " TAR of all mated comparisons,",
            "at the threshold that is measured at this FMR, before and after:",
        ]
    for ceiling in gains:
        after = "not stated" if ceiling.tar_without is None else fixed_percent(ceiling.tar_without)
        lines.append(
            f"  {ceiling.cause:<10} TAR {fixed_percent(ceiling.tar)} -> {after}, {ceiling.refused} images"
            f" ({ceiling.refused_share:.1%}) refused, in {ceiling.errors_with_cause} of the false non-matches"
        )
    without = [ceiling.cause for ceiling in analysis.ceilings if not ceiling.gains]
    if without:
        lines.append(f"no gain from refusing the worst images of: {', '.join(without)}")
    return lines


#: Largest share of the images that count as unusual by one measure and are refused for its cause.
WORST_SHARE = 0.05
FMRS = (1e-3, 1e-2, 1e-1)

# (cause, measure, True if low values are bad)
_CAUSES = (
    ("blurred", "sharpness", True),
    ("dark", "brightness", True),
    ("bright", "brightness", False),
    ("flat", "contrast", True),
    ("clipped", "saturation", False),
    ("small", "side_px", True),
)


def measure(image: UInt8Array, *, height: int, width: int) -> ImageMeasures:
    """Measure one image at the network's input size.

    Args:
        image: Shape (H, W, 3) RGB or (H, W, 1) grey, uint8, as decoded.
        height, width: The network's input size in pixels; the image is cropped and resized to it first.
    """
    crop = fit(image, height, width).astype(np.float32)
    grey = crop[..., 0] if crop.shape[2] == 1 else crop @ np.array([0.299, 0.587, 0.114], np.float32)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return ImageMeasures(
        height=image.shape[0],
        width=image.shape[1],
        sharpness=float(laplacian.var(dtype=np.float64)),
        brightness=float(grey.mean(dtype=np.float64)),
        contrast=float(grey.std(dtype=np.float64)),
        saturation=float(np.mean((grey <= 5) | (grey >= 250))),
    )


def measure_samples(
    samples: SampleSet,
    names: Sequence[str],
    contract: InputContract,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ImageMeasures]:
    """Measure the embedded images of a data set.

    Raises:
        AcquisitionError: An image can no longer be decoded.
    """
    by_name = {sample.name: sample for sample in samples.samples}
    measures = {}
    for done, name in enumerate(names, start=1):
        image = samples.image(by_name[name], color=contract.color)
        measures[name] = measure(image, height=contract.height, width=contract.width)
        if progress is not None:
            progress(done, len(names))
    return measures


def analyse_errors(
    names: Sequence[str],
    comparisons: Comparisons,
    measures: Mapping[str, ImageMeasures],
    *,
    worst: int,
    further: Mapping[str, Mapping[str, float]] | None = None,
) -> ErrorAnalysis | Unsupported:
    """Find the worst errors at the first of FMR 1e-3, 1e-2 and 1e-1 that the data support.

    Args:
        names: One image name for each row of the comparisons.
        comparisons: The comparisons.
        measures: Measures by image name; empty for arrays, which have none of the causes of images.
        worst: Number of errors of each kind to name, >= 1.
        further: Additional causes, {cause: {image: value}}, higher is worse; images without a value are never
            refused. For example, give the yaw in degrees as a cause if five landmarks are known.

    Returns:
        The analysis, or `Unsupported` if no threshold can be stated.

    Raises:
        InputError: `worst` is less than 1.
    """
    if worst < 1:
        raise InputError(f"expected 1 or more errors to name, found {worst}")
    scores = comparisons.scores()
    fmr, threshold = FMRS[-1], threshold_at_fmr(scores, FMRS[-1])
    for fmr in FMRS:
        threshold = threshold_at_fmr(scores, fmr)
        if not isinstance(threshold, Unsupported):
            break
    if isinstance(threshold, Unsupported):
        return threshold
    suspects = _suspects(names, measures, further or {})
    matches, misses = _errors(comparisons, threshold)
    tar = 1 - len(misses) / scores.mated_trials if scores.mated_trials else 0.0
    ceilings = [_ceiling(comparisons, suspect, fmr, tar, misses) for suspect in suspects]
    return ErrorAnalysis(
        target_fmr=fmr,
        threshold=threshold,
        false_matches=len(matches),
        false_non_matches=len(misses),
        worst_false_matches=_named(matches.highest(worst), names, suspects, mated=False),
        worst_false_non_matches=_named(misses.lowest(worst), names, suspects, mated=True),
        ceilings=tuple(
            sorted(
                ceilings,
                key=lambda row: (-(row.tar if row.tar_without is None else row.tar_without), row.cause),
            )
        ),
    )


@dataclass(frozen=True, eq=False)
class _Suspect:
    """A cause with its value on each image, the images that it refuses, and the limit."""

    cause: str
    measure: str
    values: Float64Array
    refused: BoolArray
    limit: float
    low_is_bad: bool

    def describe(self, row: int) -> str:
        side = "or less" if self.low_is_bad else "or more"
        return (
            f"{self.cause}: {self.measure} {self.values[row]:.3g}, {np.mean(self.refused):.0%} of the images"
            f" have {self.limit:.3g} {side}"
        )


def _suspects(
    names: Sequence[str], measures: Mapping[str, ImageMeasures], further: Mapping[str, Mapping[str, float]]
) -> list[_Suspect]:
    suspects = []
    for cause, name, low_is_bad in _CAUSES if measures else ():
        values = np.array([_value(measures[image], name) for image in names], np.float64)
        suspects.append(_suspect(cause, name, values, low_is_bad))
    for cause, by_name in further.items():
        values = np.array([by_name.get(image, -np.inf) for image in names], np.float64)
        suspects.append(_suspect(cause, "value", values, low_is_bad=False))
    return [suspect for suspect in suspects if suspect is not None]


def _value(measures: ImageMeasures, name: str) -> float:
    return float(min(measures.height, measures.width) if name == "side_px" else getattr(measures, name))


def _suspect(cause: str, name: str, values: Float64Array, low_is_bad: bool) -> _Suspect | None:
    """Select the worst twentieth of the images, fewer if values tie; None if no image stands out."""
    bad = -values if low_is_bad else values
    count = int(WORST_SHARE * bad.size)
    first_kept = np.sort(bad)[::-1][count]
    refused = bad > first_kept
    if not refused.any():
        return None
    limit = float(bad[refused].min())
    return _Suspect(cause, name, values, refused, -limit if low_is_bad else limit, low_is_bad)


@dataclass(frozen=True, eq=False)
class _Pairs:
    first: IntArray
    second: IntArray
    scores: FloatArray

    def __len__(self) -> int:
        return int(self.scores.size)

    def highest(self, count: int) -> _Pairs:
        return self._at(np.lexsort((self.second, self.first, -self.scores))[:count])

    def lowest(self, count: int) -> _Pairs:
        return self._at(np.lexsort((self.second, self.first, self.scores))[:count])

    def _at(self, rows: NDArray[np.intp]) -> _Pairs:
        return _Pairs(self.first[rows], self.second[rows], self.scores[rows])


def _errors(comparisons: Comparisons, threshold: float) -> tuple[_Pairs, _Pairs]:
    """Return (false matches, false non-matches) at a threshold."""
    codes = comparisons.codes
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    matches, misses = [empty], [empty]
    if isinstance(comparisons, AllPairs):
        for tile in tiles(comparisons.vectors, codes):
            high = tile.scores >= threshold
            if tile.mated is not None and tile.non_mated is not None:
                misses.append(_cells(tile, tile.mated & ~high))
                high &= tile.non_mated
            matches.append(_cells(tile, high))
    else:
        first, second = comparisons.first, comparisons.second
        scores = listed_scores(comparisons.vectors, first, second)
        mated, high = codes[first] == codes[second], scores >= threshold
        matches.append((first[high & ~mated], second[high & ~mated], scores[high & ~mated]))
        misses.append((first[mated & ~high], second[mated & ~high], scores[mated & ~high]))
    return _joined(matches), _joined(misses)


def _cells(tile: Tile, chosen: BoolArray) -> tuple[IntArray, IntArray, FloatArray]:
    rows, columns = np.nonzero(chosen)
    return tile.rows[rows], tile.columns[columns], tile.scores[rows, columns]


def _joined(parts: Sequence[tuple[IntArray, IntArray, FloatArray]]) -> _Pairs:
    first, second, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Pairs(np.minimum(first, second), np.maximum(first, second), scores)


def _ceiling(
    comparisons: Comparisons, suspect: _Suspect, fmr: float, tar: float, misses: _Pairs
) -> CauseCeiling:
    refused = suspect.refused
    touched = int(np.count_nonzero(refused[misses.first] | refused[misses.second]))
    return CauseCeiling(
        cause=suspect.cause,
        limit=suspect.limit,
        refused=int(refused.sum()),
        refused_share=float(refused.mean()),
        tar=tar,
        tar_without=_tar_of(_without(comparisons, refused), fmr),
        errors_with_cause=touched,
    )


def _without(comparisons: Comparisons, refused: BoolArray) -> Comparisons | None:
    kept = np.flatnonzero(~refused)
    if isinstance(comparisons, AllPairs):
        if kept.size < 2:
            return None
        return AllPairs(comparisons.vectors[kept], comparisons.codes[kept])
    both = ~refused[comparisons.first] & ~refused[comparisons.second]
    if not both.any():
        return None
    return ListedPairs(
        comparisons.vectors, comparisons.codes, comparisons.first[both], comparisons.second[both]
    )


def _tar_of(comparisons: Comparisons | None, fmr: float) -> float | None:
    if comparisons is None:
        return None
    scores = comparisons.scores()
    threshold = threshold_at_fmr(scores, fmr)
    if isinstance(threshold, Unsupported) or not scores.mated_trials:
        return None
    return 1 - int(scores.false_non_matches(np.array([threshold]))[0]) / scores.mated_trials


def _named(
    pairs: _Pairs, names: Sequence[str], suspects: Sequence[_Suspect], *, mated: bool
) -> tuple[WrongDecision, ...]:
    def causes(row: int) -> tuple[str, ...]:
        return tuple(suspect.describe(row) for suspect in suspects if suspect.refused[row])

    rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.scores.tolist(), strict=True)
    return tuple(
        WrongDecision(names[a], names[b], mated, score, causes(a), causes(b)) for a, b, score in rows
    )
