"""Which comparisons a threshold decides wrongly, what is measurable about their images, and what a fix could gain.

Causes are measured on the image files alone. A cause is not proof: an image may be blurred and be rejected
for its pose. So each cause comes with its ceiling: what the true accept rate becomes where the images worst
by that cause are refused. A cause whose ceiling is low is not worth an engineer's week.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.evaluation.evidence import Evidence


@dataclass(frozen=True)
class ImageMeasures(Evidence):
    """What is measured on one image, on its grey values (ITU-R BT.601), 0..255.

    Attributes:
        height, width: Of the file, in pixels, before it is cut and resized.
        sharpness: Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), higher is sharper.
        brightness: Mean grey value.
        contrast: Standard deviation of grey values.
        saturation: Share of pixels at 5 or less, or at 250 or more: under- or overexposed, 0..1.
    """

    height: int
    width: int
    sharpness: float
    brightness: float
    contrast: float
    saturation: float


@dataclass(frozen=True)
class WrongDecision(Evidence):
    """One comparison that the threshold decides wrongly.

    Attributes:
        first, second: Names of the two images, `subject/file`.
        mated: True for a false non-match, False for a false match.
        score: Its cosine.
        first_causes, second_causes: What is unusual about each image, such as `blurred: sharpness 12,
            90 % of the images have more than 85`; empty where nothing measured is.
    """

    first: str
    second: str
    mated: bool
    score: float
    first_causes: tuple[str, ...]
    second_causes: tuple[str, ...]


@dataclass(frozen=True)
class CauseCeiling(Evidence):
    """The most that getting rid of one cause could gain.

    Attributes:
        cause: Such as `blurred`.
        limit: Images beyond this value of the measure are refused.
        refused: How many images that takes away.
        refused_share: The same as a share of all images.
        tar: True accept rate with all images.
        tar_without: True accept rate without the refused ones, threshold derived anew at the same FMR;
            None where too little is left to state it.
        errors_with_cause: Wrong mated decisions with a refused image in them.
    """

    cause: str
    limit: float
    refused: int
    refused_share: float
    tar: float
    tar_without: float | None
    errors_with_cause: int


@dataclass(frozen=True)
class ErrorAnalysis(Evidence):
    """The worst errors at one threshold.

    Attributes:
        target_fmr: FMR of the threshold: 1e-3, or the lowest that the data support where 1e-3 is not.
        threshold: Accept when score >= threshold.
        false_matches, false_non_matches: How many there are.
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
