"""Model card of an embedding network: its input contract, evidence and provenance, as frozen values and as JSON.

The card is stored inside the .tflite (see ``model_file``). Reading checks the known fields and ignores
unknown ones, so that an older device can open a newer card of the same schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.golden import GoldenVectors
from edge_sdk.model.json_fields import JsonFields, json_object, number, text, whole_number
from edge_sdk.model.landmark_template import arcface
from edge_sdk.model.non_mated_scores import NonMatedScores
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

_OTHER_SCHEMA_HINT = "it was made by another version of edge-convert; convert it again or update edge-sdk"
_OTHER_KIND_HINTS = {
    SCHEMA: "this file is an embedder (edge-convert convert); a detector is expected here (edge-convert auxiliary)",
    "edge-sdk/network-card/1": "this file is a face detector or a presentation attack detector (edge-convert"
    " auxiliary); an embedder is expected here (edge-convert convert)",
}


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


@dataclass(frozen=True)
class ModelCard:
    """Description of a deployable embedder file.

    Args:
        name: The model's name, such as ``mobilefacenet_y1``.
        version: The model's own version, in its author's numbering.
        target: Target that the artefact was built for, such as ``cpu``.
        precision: ``float32``, ``float16``, ``dynamic`` or ``int8``.
        dimension: Length D of the embedding.
        input: The input contract.
        network_sha256: SHA-256 of the FlatBuffer part of the file, hex. A damaged network is rejected
            before an interpreter parses it.
        output_scale: Quantization scale of the output tensor, 0 for a float tensor.
        output_zero_point: Quantization zero point of the output tensor, 0 for a float tensor.
        operating_points: Thresholds with their evidence, measured with exactly this file.
        description: Purpose of the model, one sentence.
        licence: Licence of the model, as its author states it.
        limits: Uses for which the model is not suitable.
        recipe: Recipe by which the artefact was built.
        calibration: Number of images and digest of the calibration set.
        source: Kind, file name and SHA-256 of the converted model.
        fidelity: Cosine to the float model: mean, min, number and list of images.
        probability: Logistic calibration of this file's scores: ``slope`` and ``intercept`` of
            1 / (1 + exp(-(slope * score + intercept))), the ``prior`` and ``method`` of the fit, its numbers of mated
            and non-mated trials, the reliability table and the data set. Cards of 0.2 have no ``prior``: it is the
            share of mated trials.
        non_mated_scores: Distribution of this file's scores of different subjects; None if it was not measured.
        golden: Outputs of this network for inputs that any device can generate; None if they were not computed.

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
    non_mated_scores: NonMatedScores | None = None

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
        """Convert the card to JSON values; the schema is the first key."""
        out = {"schema": SCHEMA, **asdict(self)}
        out["input"] = self.input.to_json()
        out["operating_points"] = [point.to_json() for point in self.operating_points]
        out["golden"] = None if self.golden is None else self.golden.to_json()
        # Absent if it was not measured, as in cards of earlier versions, so that their bytes do not change.
        del out["non_mated_scores"]
        if self.non_mated_scores is not None:
            out["non_mated_scores"] = self.non_mated_scores.to_json()
        embedding = {
            "dimension": out.pop("dimension"),
            "normalization": "l2 on the host",
            "scale": out.pop("output_scale"),
            "zero_point": out.pop("output_zero_point"),
        }
        return {**out, "embedding": embedding}

    def to_bytes(self) -> bytes:
        """Encode the card as UTF-8 JSON; equal cards give equal bytes."""
        return card_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelCard:
        """Read a card.

        Raises:
            ModelCardError: The data is not JSON, has another schema, or lacks a field or has a malformed one.
        """
        card = JsonFields(read_card_json(data, SCHEMA), "model card")
        embedding = JsonFields(card.read("embedding", json_object), "model card, embedding")
        return cls(
            name=card.read("name", text),
            version=card.read("version", text),
            target=card.read("target", text),
            precision=card.read("precision", text),
            dimension=embedding.read("dimension", whole_number),
            input=card.read("input", InputContract.from_json),
            network_sha256=card.read("network_sha256", text),
            output_scale=embedding.read("scale", number),
            output_zero_point=embedding.read("zero_point", whole_number),
            operating_points=card.read(
                "operating_points", lambda value: tuple(map(OperatingPoint.from_json, value)), ()
            ),
            description=card.read("description", text, ""),
            licence=card.read("licence", text, ""),
            limits=card.read("limits", text, ""),
            recipe=card.read("recipe", json_object, {}),
            calibration=card.read("calibration", json_object, {}),
            source=card.read("source", json_object, {}),
            fidelity=card.read("fidelity", json_object, {}),
            probability=card.read("probability", json_object, {}),
            golden=card.optional("golden", GoldenVectors.from_json),
            non_mated_scores=card.optional("non_mated_scores", NonMatedScores.from_json),
        )


def card_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode a card's JSON object as UTF-8; equal values give equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def read_card_json(data: bytes, schema: str) -> dict[str, Any]:
    """Parse a card's JSON object; its size and depth are limited.

    Raises:
        ModelCardError: The data is too large, too deeply nested, not JSON, or has another schema.
    """
    if len(data) > MAX_CARD_BYTES:
        raise ModelCardError(f"model card: expected at most {MAX_CARD_BYTES} bytes, found {len(data)}")
    try:
        value = json.loads(data)
        _check_depth(value)
        # Reject values that cannot be encoded again as UTF-8 JSON: a lone surrogate, NaN, a number beyond float64.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ModelCardError(f"model card: expected JSON, but it cannot be parsed: {error}") from error
    if not isinstance(value, dict) or value.get("schema") != schema:
        other = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise ModelCardError(
            f"model card: expected schema {schema}, found {other!r}",
            hint=_OTHER_KIND_HINTS.get(str(other), _OTHER_SCHEMA_HINT),
        )
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        nested = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list)))
        level = [child for children in nested for child in children]
    if level:
        raise ModelCardError(f"model card: expected at most {_MAX_DEPTH} levels of nesting, found more")
