"""The model card: what a deployable file says of itself, as frozen values and as JSON.

The card travels inside the .tflite (see ``model_file``). Reading is strict about what it knows and
leaves unknown fields alone, so that an older device opens a newer card of the same schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.golden import GoldenVectors
from edge_sdk.model.landmark_template import arcface
from edge_sdk.model.operating_point import OperatingPoint

SCHEMA = "edge-sdk/model-card/1"
CARD_NAME = "model-card.json"
MAX_CARD_BYTES = 1 << 20
MAX_SIDE_PX = 1024
MIN_SIDE_PX = 8
COLORS = {"rgb": 3, "bgr": 3, "gray": 1}
MAX_DIMENSION = 0xFFFF
_MAX_REAL = 3e38  # float32
_MAX_DEPTH = 16

_OF_ANOTHER_VERSION = "it was made by another version of edge-convert; convert it again or update edge-sdk"
_OF_ANOTHER_KIND = {
    SCHEMA: "this file is an embedder (edge-convert convert); here goes a detector (edge-convert auxiliary)",
    "edge-sdk/network-card/1": "this file is a face detector or a presentation attack detector (edge-convert"
    " auxiliary); here goes an embedder (edge-convert convert)",
}


@dataclass(frozen=True)
class InputContract:
    """What the network wants to see: ``real = (pixel - mean) / scale`` for pixels 0..255.

    Args:
        height: Input height in pixels.
        width: Input width in pixels.
        color: ``rgb``, ``bgr`` or ``gray`` (one channel, ITU-R BT.601 luma).
        mean: One value per channel, in the network's channel order.
        scale: One positive value per channel.
        alignment: The five landmarks (x, y) in input pixels that crops are aligned to (left eye,
            right eye, nose, mouth corners as seen in the image), or None where crops need no alignment.
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
            raise ModelCardError(f"input scale: expected values that float32 holds, found {self.scale!r}")
        if self.alignment is not None and (
            len(self.alignment) != 5 or not all(math.isfinite(v) for point in self.alignment for v in point)
        ):
            raise ModelCardError(f"input alignment: expected 5 points (x, y), found {self.alignment!r}")

    @property
    def channels(self) -> int:
        """How many channels the network takes: 3, or 1 for gray."""
        return COLORS[self.color]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def real_range(self) -> tuple[float, float]:
        """The least and the greatest real value any channel can take."""
        low = min((0.0 - m) / s for m, s in zip(self.mean, self.scale, strict=True))
        high = max((255.0 - m) / s for m, s in zip(self.mean, self.scale, strict=True))
        return low, high

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InputContract:
        """Read a contract from the card or from a user's file.

        Args:
            value: Either ``height`` and ``width`` or ``size`` as [height, width]; ``color``; either
                ``mean`` and ``scale`` (a number, or one per channel) or ``range`` as [low, high], the
                real values that pixels 0 and 255 become; optionally ``alignment`` as five points, or ``arcface``
                for that template at this size.

        Raises:
            ModelCardError: A field is missing, malformed or contradicts another.
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
                hint="the channel order is part of the model; ask who trained it",
            )
        channels = COLORS[color]
        mean, scale = _normalization(value, channels)
        points = value.get("alignment")
        alignment = None
        if points == "arcface":
            cls(height, width, color, mean, scale)  # a size that is none is said first
            alignment = arcface(height, width)
        elif points is not None:
            try:
                points = points["points"] if isinstance(points, Mapping) else points
                alignment = tuple((_number(x), _number(y)) for x, y in points)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise ModelCardError(
                    f"input alignment: expected 5 points [x, y], found {points!r}"
                ) from error
        return cls(height, width, color, mean, scale, alignment)

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON values."""
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
        """One line for a person, such as ``112x112 rgb, (pixel - 127.5) / 128``."""
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
                f"input size: expected one answer, found size {size!r} beside height {value.get('height')!r}"
                f" and width {value.get('width')!r}"
            )
    else:
        height, width = value.get("height"), value.get("width")
    if isinstance(height, bool) or isinstance(width, bool):
        raise ModelCardError("input size: expected [height, width] in pixels")
    return height, width  # InputContract checks them


def _normalization(value: Mapping[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if "range" in value and ("mean" in value or "scale" in value):
        raise ModelCardError("normalization: expected either mean and scale or range, found both")
    try:
        if "range" in value:
            low, high = (_number(v) for v in value["range"])
            if not high > low:
                raise ModelCardError(
                    f"input range: expected [low, high] with low < high, found {value['range']!r}"
                )
            scale = 255.0 / (high - low)
            return (0.0 - low * scale,) * channels, (scale,) * channels
        if "mean" not in value or "scale" not in value:
            found = next((f"only {name}" for name in ("mean", "scale") if name in value), "neither")
            raise ModelCardError(
                f"normalization: expected mean and scale, or range, found {found}",
                hint="for (pixel - 127.5) / 128 say --mean 127.5 --scale 128; where the graph itself"
                " normalizes say --range 0..255",
            )
        return _per_channel(value["mean"], channels), _per_channel(value["scale"], channels)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ModelCardError):
            raise
        raise ModelCardError(f"normalization: expected numbers: {error}") from error


def _per_channel(value: Any, channels: int) -> tuple[float, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_number(v) for v in value)
    return (_number(value),) * channels


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


@dataclass(frozen=True)
class ModelCard:
    """What a deployable file says of itself.

    Args:
        name: The model's name, such as ``mobilefacenet_y1``.
        version: The model's own version, as its maker counts.
        target: What the artefact is for, such as ``cpu``.
        precision: ``float32``, ``float16``, ``dynamic`` or ``int8``.
        dimension: Length D of the embedding.
        input: The input contract.
        network_sha256: SHA-256 of the FlatBuffer part of the file, hex: a damaged network is refused
            before an interpreter parses it.
        output_scale: Quantization scale of the output tensor, 0 where it is float.
        output_zero_point: Quantization zero point of the output tensor, 0 where it is float.
        operating_points: Thresholds with their evidence, for this very file.
        description: What the model is for, one sentence.
        licence: As its maker states it.
        limits: What the model must not be used for.
        recipe: How the artefact was made.
        calibration: Number of images and digest of the calibration set.
        source: Kind, file name and SHA-256 of what was converted.
        fidelity: Cosine to the float model: mean, min, number of images and which images.
        probability: From a score to the probability of one subject, for this very file: ``slope`` and
            ``intercept`` of 1 / (1 + exp(-(slope * score + intercept))), the trials it was fitted on, whose
            ratio is its prior odds, its reliability table and the data set.
        golden: What this very network answers to inputs that any device can draw; None where nobody asked it.
    """

    name: str
    version: str
    target: str
    precision: str
    dimension: int
    input: InputContract
    network_sha256: str
    output_scale: float = 0.0
    output_zero_point: int = 0
    operating_points: tuple[OperatingPoint, ...] = ()
    description: str = ""
    licence: str = ""
    limits: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    fidelity: Mapping[str, Any] = field(default_factory=dict)
    probability: Mapping[str, Any] = field(default_factory=dict)
    golden: GoldenVectors | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.dimension <= MAX_DIMENSION:
            raise ModelCardError(
                f"model card: expected an embedding of 2..{MAX_DIMENSION} values, found {self.dimension}"
            )
        if not (math.isfinite(self.output_scale) and self.output_scale >= 0):
            raise ModelCardError(
                f"model card: expected an output scale of 0 or more, found {self.output_scale}"
            )

    def to_json(self) -> dict[str, Any]:
        """The card as JSON values, with its schema named first."""
        out = {"schema": SCHEMA, **asdict(self)}
        out["input"] = self.input.to_json()
        out["operating_points"] = [point.to_json() for point in self.operating_points]
        out["golden"] = None if self.golden is None else self.golden.to_json()
        embedding = {
            "dimension": out.pop("dimension"),
            "normalization": "l2 on the host",
            "scale": out.pop("output_scale"),
            "zero_point": out.pop("output_zero_point"),
        }
        return {**out, "embedding": embedding}

    def to_bytes(self) -> bytes:
        """UTF-8 JSON; the same card gives the same bytes."""
        return card_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelCard:
        """Read a card.

        Raises:
            ModelCardError: Not JSON, another schema, or a field is missing or malformed.
        """
        value = read_card_json(data, SCHEMA)
        try:
            embedding = value["embedding"]
            return cls(
                name=_text(value, "name"),
                version=_text(value, "version"),
                target=_text(value, "target"),
                precision=_text(value, "precision"),
                dimension=_whole(embedding["dimension"]),
                input=InputContract.from_json(value["input"]),
                network_sha256=_text(value, "network_sha256"),
                output_scale=_number(embedding["scale"]),
                output_zero_point=_whole(embedding["zero_point"]),
                operating_points=tuple(
                    OperatingPoint.from_json(p) for p in value.get("operating_points", [])
                ),
                description=_text(value, "description", ""),
                licence=_text(value, "licence", ""),
                limits=_text(value, "limits", ""),
                recipe=_object(value, "recipe"),
                calibration=_object(value, "calibration"),
                source=_object(value, "source"),
                fidelity=_object(value, "fidelity"),
                probability=_object(value, "probability"),
                golden=None
                if value.get("golden") is None
                else GoldenVectors.from_json(_object(value, "golden")),
            )
        except KeyError as error:
            raise ModelCardError(f"model card: expected the field {error}, found none") from error
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, ModelCardError):
                raise
            raise ModelCardError(f"model card: malformed field: {error}") from error


def card_bytes(value: Mapping[str, Any]) -> bytes:
    """A card's JSON object as UTF-8; the same values give the same bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def read_card_json(data: bytes, schema: str) -> dict[str, Any]:
    """A card's JSON object, bounded in size and depth.

    Raises:
        ModelCardError: Too large, not JSON, or of another schema.
    """
    if len(data) > MAX_CARD_BYTES:
        raise ModelCardError(f"model card: expected at most {MAX_CARD_BYTES} bytes, found {len(data)}")
    try:
        value = json.loads(data)
        _check_depth(value)
        # What cannot be written again (a lone surrogate, NaN, a number beyond float64) is not JSON either.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ModelCardError(f"model card: expected JSON, found {error}") from error
    if not isinstance(value, dict) or value.get("schema") != schema:
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise ModelCardError(
            f"model card: expected schema {schema}, found {found!r}",
            hint=_OF_ANOTHER_KIND.get(str(found), _OF_ANOTHER_VERSION),
        )
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        nested = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list)))
        level = [child for children in nested for child in children]
    if level:
        raise ModelCardError(f"model card: expected at most {_MAX_DEPTH} levels, found more")


def _object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise ModelCardError(f"model card: expected an object in {key!r}, found {found!r}")
    return found


def _text(value: Mapping[str, Any], key: str, default: str | None = None) -> str:
    text = value[key] if default is None else value.get(key, default)
    if not isinstance(text, str):
        raise ModelCardError(f"model card: expected text in {key!r}, found {text!r}")
    return text
