"""Check that the float network gives different images different embeddings, before the long work.

A collapsed network (the same embedding for every image, up to a tiny rest) converts without an error, and its int8 files
have a cosine of nearly 1 to it. But scores of different images then differ by less than rounding changes them. Rounding the
embedding alone to 8 bits is the least that every int8 file loses, so this noise is compared with the spread of the scores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from converters.errors import ConversionError, GateError
from edge_sdk.types import FloatArray, UInt8Array

#: Name of this check for ``allow``.
RULE = "collapse"
#: Number of images to embed.
MOST_IMAGES = 64
#: Share of the spread or of the distance from which on rounding hides the differences between images.
USELESS = 0.5
# The score of two equal unit vectors of float32 is 1 up to this rounding error.
_FLOAT_ROUNDING = 2.0**-23
_LEAST_IMAGES = 3
# Distance of the quartiles of a normal distribution in standard deviations.
_QUARTILES = 1.349


@dataclass(frozen=True)
class CollapseCheck:
    """Result of the check. The field names are keys of the JSON report.

    Args:
        images: Number of different images.
        mean: Mean score of different images.
        spread: Spread of these scores: the distance of their quartiles, as the standard deviation of a normal distribution.
        rounding: Noise of the scores if only the embedding is rounded to 8 bits.
        distance: Distance of the embeddings of two different images, of the median pair.
        moved: Distance by which the rounding moves two embeddings.
        allowed: True if the network is collapsed and the user allowed it.
    """

    images: int
    mean: float
    spread: float
    rounding: float
    distance: float
    moved: float
    allowed: bool = False

    @property
    def collapsed(self) -> bool:
        """True if rounding alone hides the differences between images or between their scores."""
        hidden = self.rounding >= USELESS * self.spread or self.moved >= USELESS * self.distance
        return self.images >= _LEAST_IMAGES and hidden

    @classmethod
    def from_json(cls, value: Any) -> CollapseCheck:
        """Read the check that a recipe contains.

        Raises:
            ConversionError: It is malformed.
        """
        try:
            figures: dict[str, Any] = {name: float(number) for name, number in value.items()}
            return replace(cls(**figures), images=int(figures["images"]), allowed=False)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ConversionError("source.collapse: expected the figures of a collapsed network") from error

    def to_json(self) -> Mapping[str, Any]:
        """Return the check as JSON values."""
        return asdict(self)

    def reason(self) -> str:
        """Return what was measured."""
        return (
            f"the float network gives {self.images} different images nearly the same embedding: their scores have a mean"
            f" of {self.mean:.6f} and a spread of {self.spread:.1g}, and rounding the embedding to 8 bits changes scores by"
            f" {self.rounding:.1g}"
        )


def check_collapse(embeddings: FloatArray) -> CollapseCheck:
    """Compare the spread of the scores of different images with the noise of an embedding rounded to 8 bits.

    The quartiles ignore a few images that differ from all others.

    Args:
        embeddings: Shape (n, D), unit rows: embeddings of different images by the float network.
    """
    count = len(embeddings)
    if count < _LEAST_IMAGES:
        return CollapseCheck(count, 0.0, 0.0, 0.0, 0.0, 0.0)
    values = embeddings.astype(np.float64)
    scores = (values @ values.T)[np.triu_indices(count, 1)]
    low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
    # Rounding errors of a step of the output are uniform and taken as independent. The first term is their component along
    # the difference of two embeddings, the second one the length that they add to it.
    step = (max(float(values.max()), 0.0) - min(float(values.min()), 0.0)) / 255
    variance = step**2 / 12
    apart = max(1.0 - float(middle) ** 2, 0.0)
    rounding = sqrt(2 * variance * apart + 2 * values.shape[1] * variance**2 + _FLOAT_ROUNDING**2)
    return CollapseCheck(
        images=count,
        mean=float(scores.mean()),
        spread=float(high - low) / _QUARTILES,
        rounding=rounding,
        distance=sqrt(max(2.0 - 2.0 * float(middle), 0.0)),
        moved=sqrt(2 * values.shape[1] * variance),
    )


def raise_if_collapsed(check: CollapseCheck, allow: Collection[str]) -> CollapseCheck:
    """Raise an error for a collapsed network, or mark it as allowed.

    Raises:
        GateError: The network is collapsed, and ``allow`` does not contain ``collapse``.
    """
    if not check.collapsed:
        return check
    if RULE in allow:
        return replace(check, allowed=True)
    raise GateError(
        f"{check.reason()}; no threshold would separate anybody; nothing was written",
        hint="check the training, the chosen output and the input contract of the network, and that the images show"
        f" different subjects; --allow {RULE} converts it nevertheless",
    )


def different_images(pixels: UInt8Array) -> UInt8Array:
    """Choose up to 64 images evenly, without copies.

    Args:
        pixels: Shape (n, ...), uint8.
    """
    chosen = pixels[np.unique(np.linspace(0, len(pixels) - 1, min(len(pixels), MOST_IMAGES)).astype(int))]
    first = {image.tobytes(): position for position, image in reversed(list(enumerate(chosen)))}
    return np.ascontiguousarray(chosen[sorted(first.values())])
