"""Model card of an embedding network: its input contract, evidence and provenance, as frozen values and as JSON.

The card is stored inside the .tflite (see ``model_file``). Reading checks the known fields and ignores
unknown ones, so that an older device can open a newer card of the same schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.array_contract import AnyContract, read_contract
from edge_sdk.model.golden import GoldenVectors
from edge_sdk.model.input_contract import COLORS as COLORS
from edge_sdk.model.input_contract import MAX_SIDE_PX as MAX_SIDE_PX
from edge_sdk.model.input_contract import MIN_SIDE_PX as MIN_SIDE_PX
from edge_sdk.model.input_contract import InputContract as InputContract
from edge_sdk.model.input_tensor import InputTensor
from edge_sdk.model.json_fields import JsonFields, json_object, number, text, whole_number
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint

SCHEMA = "edge-sdk/model-card/1"
CARD_NAME = "model-card.json"
MAX_CARD_BYTES = 1 << 20
MAX_DIMENSION = 0xFFFF
_MAX_DEPTH = 16

_OTHER_SCHEMA_HINT = "it was made by another version of edge-convert; convert it again or update edge-sdk"
_OTHER_KIND_HINTS = {
    SCHEMA: "this file is an embedder (edge-convert convert); a detector is expected here (edge-convert auxiliary)",
    "edge-sdk/network-card/1": "this file is a face detector, a presentation attack detector (edge-convert auxiliary) or"
    " another network without an embedding (edge-convert convert --task none); an embedder is expected here",
}


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
        input_tensor: Type and quantization of the input tensor; None in a card of edge-sdk 0.2 and earlier.
    """

    name: str
    version: str
    target: str
    precision: str
    dimension: int
    input: AnyContract
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
    input_tensor: InputTensor | None = None

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
        del out["input_tensor"]
        if self.input_tensor is not None:
            out["input"]["tensor"] = self.input_tensor.to_json()
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
            input=card.read("input", read_contract),
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
            input_tensor=JsonFields(card.read("input", json_object), "model card, input").optional(
                "tensor", InputTensor.from_json
            ),
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
