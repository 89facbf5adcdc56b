"""Widths of the random changes, and the sets by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

# Fields that a strength does not multiply.
_FIXED = ("flip", "fill", "jpeg_quality", "jpeg", "blurred", "strokes", "occluded", "noisy")
# Lowest and highest values for which a change is defined.
_LIMITS = {
    "gamma": (0.0, 0.9),
    "stroke_change": (0.0, 1.0),
    "gradient": (0.0, 0.45),
    "perspective": (0.0, 0.4),
    "erased_area": (0.02, 0.6),
    "bar_width": (0.04, 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Widths of the random changes of an image; 0 switches a change off.

    Args:
        flip: True mirrors half of the images left to right.
        rotation: Largest angle in radians, both ways.
        scale: Largest natural logarithm of the size, both ways.
        aspect: Largest natural logarithm of the ratio of width to height, both ways.
        shear: Largest shear, both ways.
        shift: Largest shift as a share of the side, both ways.
        perspective: Largest change of size at an edge as a share, both ways.
        fill: ``nearest`` repeats the border, ``reflect`` mirrors the image.
        strokes: Share of the images with thicker or thinner dark strokes.
        stroke_change: Largest share of a pixel by which strokes change on each side, 0..1.
        exposure: Largest natural logarithm of the exposure, both ways.
        temperature: Largest natural logarithm of the gain of red; that of blue is the opposite.
        saturation: Largest natural logarithm of the factor of colour differences, both ways.
        contrast: Largest natural logarithm of the contrast, both ways.
        gamma: Largest bend of the tone curve, 0..1.
        gradient: Largest difference of light between the middle and an edge as a share.
        occluded: Share of the images with a covered part: an erased rectangle or a bar.
        erased_area: Largest area of the rectangle as a share, at least 0.02.
        bar_width: Largest width of the bar as a share of the side, at least 0.04.
        blurred: Share of the images that are blurred.
        defocus: Largest standard deviation of defocus in pixels, for a side of 96 px.
        motion: Largest standard deviation of motion blur in pixels, for a side of 96 px.
        noisy: Share of the images with sensor noise.
        read_noise: Largest standard deviation of the noise that does not depend on light, grey levels.
        shot_noise: Largest standard deviation of the noise at a pixel value of 1; it grows with the root of the value.
        jpeg: Share of the images that are compressed.
        jpeg_quality: Lowest quality, 1..95.
    """

    flip: bool = False
    rotation: float = 0.0
    scale: float = 0.0
    aspect: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    perspective: float = 0.0
    fill: str = "nearest"
    strokes: float = 0.0
    stroke_change: float = 0.0
    exposure: float = 0.0
    temperature: float = 0.0
    saturation: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    gradient: float = 0.0
    occluded: float = 0.0
    erased_area: float = 0.02
    bar_width: float = 0.04
    blurred: float = 0.0
    defocus: float = 0.0
    motion: float = 0.0
    noisy: float = 0.0
    read_noise: float = 0.0
    shot_noise: float = 0.0
    jpeg: float = 0.0
    jpeg_quality: int = 40

    def times(self, strength: float) -> Ranges:
        """Multiply the widths by a strength, up to the limits of each change; shares of images stay."""
        values = {}
        for field in fields(self):
            if field.name not in _FIXED:
                low, high = _LIMITS.get(field.name, (0.0, math.inf))
                values[field.name] = min(max(getattr(self, field.name) * strength, low), high)
        return replace(self, **values)


#: The sets by name.
SETS = {
    "none": Ranges(),
    "products": Ranges(
        rotation=0.26,
        scale=0.18,
        aspect=0.06,
        shear=0.06,
        shift=0.06,
        perspective=0.12,
        fill="reflect",
        exposure=0.35,
        temperature=0.14,
        saturation=0.15,
        contrast=0.2,
        gamma=0.3,
        gradient=0.3,
        occluded=0.3,
        erased_area=0.15,
        bar_width=0.2,
        blurred=0.4,
        defocus=0.9,
        motion=1.3,
        noisy=0.5,
        read_noise=5.0,
        shot_noise=0.4,
        jpeg=0.4,
        jpeg_quality=35,
    ),
    "faces": Ranges(
        flip=True,
        rotation=0.12,
        scale=0.08,
        aspect=0.05,
        shear=0.03,
        shift=0.035,
        exposure=0.35,
        temperature=0.12,
        saturation=0.3,
        contrast=0.25,
        gamma=0.35,
        gradient=0.35,
        occluded=0.25,
        erased_area=0.12,
        bar_width=0.1,
        blurred=0.4,
        defocus=1.2,
        motion=1.4,
        noisy=0.5,
        read_noise=5.0,
        shot_noise=0.4,
        jpeg=0.4,
        jpeg_quality=35,
    ),
    "drawings": Ranges(
        rotation=0.2,
        scale=0.2,
        aspect=0.15,
        shear=0.2,
        shift=0.08,
        strokes=0.4,
        stroke_change=1.0,
        exposure=0.05,
        contrast=0.1,
        noisy=0.5,
        read_noise=3.0,
    ),
}
