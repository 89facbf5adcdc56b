"""Input contract of a network that takes images: size, color order, normalization and alignment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.json_fields import number
from edge_sdk.model.landmark_template import arcface

MAX_SIDE_PX = 1024
MIN_SIDE_PX = 8
COLORS = {"rgb": 3, "bgr": 3, "gray": 1}
_MAX_REAL = 3e38  # float32


@dataclass(frozen=True)
class InputContract:
    """Size, color order and normalization of a network's input: ``real = (pixel - mean) / scale`` for pixels 0..255.

    Args:
        height: Input height in pixels.
        width: Input width in pixels.
        color: ``rgb``, ``bgr`` or ``gray`` (one channel, ITU-R BT.601 luma).
        mean: One value per channel, in the network's channel order.
        scale: One positive value per channel.
        alignment: Five landmarks (x, y) in input pixels to which crops are aligned: left eye, right eye, nose,
            left and right mouth corner as seen in the image. None if crops need no alignment.
    """

    height: int
    width: int
    color: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    alignment: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        for name, side in (("height", self.height), ("width", self.width)):
            if not isinstance(side, int) or not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
                raise ModelCardError(
                    f"input {name}: expected a whole number of pixels in "
                    f"{MIN_SIDE_PX}..{MAX_SIDE_PX}, found {side!r}"
                )
        if self.color not in COLORS:
            raise ModelCardError(f"input color: expected one of {', '.join(COLORS)}, found {self.color!r}")
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) != self.channels or not all(math.isfinite(v) for v in values):
                raise ModelCardError(
                    f"input {name}: expected {self.channels} finite numbers for {self.color}, found {values!r}"
                )
        if min(self.scale) <= 0:
            raise ModelCardError(f"input scale: expected positive numbers, found {self.scale!r}")
        if max(abs(value) for value in self.real_range) > _MAX_REAL:
            raise ModelCardError(
                f"input scale: expected values within the range of float32, found {self.scale!r}"
            )
        if self.alignment is not None and (
            len(self.alignment) != 5 or not all(math.isfinite(v) for point in self.alignment for v in point)
        ):
            raise ModelCardError(f"input alignment: expected 5 points (x, y), found {self.alignment!r}")

    @property
    def channels(self) -> int:
        """Number of channels of the input: 3, or 1 for gray."""
        return COLORS[self.color]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (height, width, channels) of one input image."""
        return self.height, self.width, self.channels

    @property
    def dtype(self) -> str:
        """Type of one input image."""
        return "uint8"

    @property
    def real_range(self) -> tuple[float, float]:
        """Smallest and largest real value of any channel."""
        low = min((0.0 - m) / s for m, s in zip(self.mean, self.scale, strict=True))
        high = max((255.0 - m) / s for m, s in zip(self.mean, self.scale, strict=True))
        return low, high

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InputContract:
        """Read a contract from a card or from a user's file.

        Args:
            value: Either ``height`` and ``width``, or ``size`` as [height, width]; ``color``; either
                ``mean`` and ``scale`` (one number, or one per channel), or ``range`` as [low, high], the real
                values of pixels 0 and 255. ``alignment`` is optional: five points, or ``arcface`` for ArcFace's
                template at this size.

        Raises:
            ModelCardError: A field is missing, malformed or contradicts another field.
        """
        if not isinstance(value, Mapping):
            raise ModelCardError(
                f"input: expected an object with size, color and normalization, found {value!r}"
            )
        height, width = _size(value)
        color = value.get("color")
        if not isinstance(color, str) or color not in COLORS:
            raise ModelCardError(
                f"input color: expected one of {', '.join(COLORS)}, found {color!r}",
                hint="the channel order is part of the model; ask the person who trained it",
            )
        channels = COLORS[color]
        mean, scale = _normalization(value, channels)
        points = value.get("alignment")
        alignment = None
        if points == "arcface":
            cls(height, width, color, mean, scale)  # report a wrong size before a wrong template
            alignment = arcface(height, width)
        elif points is not None:
            try:
                points = points["points"] if isinstance(points, Mapping) else points
                alignment = tuple((number(x), number(y)) for x, y in points)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise ModelCardError(
                    f"input alignment: expected 5 points [x, y], found {points!r}"
                ) from error
        return cls(height, width, color, mean, scale, alignment)

    def to_json(self) -> dict[str, Any]:
        """Convert the contract to JSON values."""
        out: dict[str, Any] = {
            "height": self.height,
            "width": self.width,
            "color": self.color,
            "mean": list(self.mean),
            "scale": list(self.scale),
        }
        if self.alignment is not None:
            out["alignment"] = {"points": [list(point) for point in self.alignment]}
        return out

    def describe(self) -> str:
        """Describe the contract in one line, such as ``112x112 rgb, (pixel - 127.5) / 128``."""
        size = f"{self.height}x{self.width} {self.color}"
        if set(self.mean) == {0.0} and set(self.scale) == {1.0}:
            return f"{size}, pixels 0..255 as they are"
        return f"{size}, (pixel - {_short(self.mean)}) / {_short(self.scale)}"


def _short(values: Sequence[float]) -> str:
    unique = sorted(set(values))
    return f"{unique[0]:g}" if len(unique) == 1 else "[" + ", ".join(f"{v:g}" for v in values) + "]"


def _size(value: Mapping[str, Any]) -> tuple[int, int]:
    if "size" in value:
        size = value["size"]
        if isinstance(size, str) or not isinstance(size, Sequence) or len(size) != 2:
            raise ModelCardError(f"input size: expected [height, width], found {size!r}")
        height, width = size
        if value.get("height", height) != height or value.get("width", width) != width:
            raise ModelCardError(
                f"input size: expected one size, found size {size!r} and also height {value.get('height')!r}"
                f" and width {value.get('width')!r}"
            )
    else:
        height, width = value.get("height"), value.get("width")
    if isinstance(height, bool) or isinstance(width, bool):
        raise ModelCardError("input size: expected [height, width] in pixels")
    return height, width  # types and ranges are checked by InputContract


def _normalization(value: Mapping[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if "range" in value and ("mean" in value or "scale" in value):
        raise ModelCardError("normalization: expected either mean and scale or range, found both")
    try:
        if "range" in value:
            low, high = (number(v) for v in value["range"])
            if not high > low:
                raise ModelCardError(
                    f"input range: expected [low, high] with low < high, found {value['range']!r}"
                )
            scale = 255.0 / (high - low)
            return (0.0 - low * scale,) * channels, (scale,) * channels
        if "mean" not in value or "scale" not in value:
            given = next((f"only {name}" for name in ("mean", "scale") if name in value), "neither")
            raise ModelCardError(
                f"normalization: expected mean and scale, or range, found {given}",
                hint="for (pixel - 127.5) / 128 use --mean 127.5 --scale 128; if the graph itself"
                " normalizes use --range 0..255",
            )
        return _per_channel(value["mean"], channels), _per_channel(value["scale"], channels)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ModelCardError):
            raise
        raise ModelCardError(f"normalization: expected numbers: {error}") from error


def _per_channel(value: Any, channels: int) -> tuple[float, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(number(v) for v in value)
    return (number(value),) * channels
