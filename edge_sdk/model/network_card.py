"""The card of a network that gives no embedding: a face detector, a presentation attack detector.

It travels where a model card does, under the same file name, with a schema of its own: neither can be taken
for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import InputContract, card_bytes, read_card_json

SCHEMA = "edge-sdk/network-card/1"
FACE_DETECTOR = "face detector"
PRESENTATION_ATTACK_DETECTOR = "presentation attack detector"
TASKS = (FACE_DETECTOR, PRESENTATION_ATTACK_DETECTOR)
MAX_OUTPUTS = 64


@dataclass(frozen=True)
class NetworkCard:
    """What a file with an auxiliary network says of itself.

    Args:
        name: The network's name, such as ``yunet``.
        task: One of ``TASKS``.
        method: How its outputs are read, such as ``yunet`` or ``minifasnet``.
        precision: ``float32`` or ``int8``.
        input: The input contract.
        outputs: Names of the output tensors, in the network's order.
        network_sha256: SHA-256 of the FlatBuffer part of the file, hex.
        parameters: What the method needs to know of this network, such as ``crop_scale``.
        version: As its maker counts.
        licence: As its maker states it.
        source: Kind, file name and SHA-256 of what was converted.
        recipe: How the file was made.
        calibration: Number of images and digest of the calibration set.
        fidelity: How far its outputs are from the float network's.
    """

    name: str
    task: str
    method: str
    precision: str
    input: InputContract
    outputs: tuple[str, ...]
    network_sha256: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    version: str = "1"
    licence: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    fidelity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ModelCardError(f"network card: expected a task of {', '.join(TASKS)}, found {self.task!r}")
        if not 1 <= len(self.outputs) <= MAX_OUTPUTS or len(set(self.outputs)) != len(self.outputs):
            raise ModelCardError(
                f"network card: expected 1 to {MAX_OUTPUTS} outputs with names of their own, found {self.outputs!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """The card as JSON values, with its schema named first."""
        return {
            "schema": SCHEMA,
            **asdict(self),
            "input": self.input.to_json(),
            "outputs": list(self.outputs),
        }

    def to_bytes(self) -> bytes:
        """UTF-8 JSON; the same card gives the same bytes."""
        return card_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> NetworkCard:
        """Read a card.

        Raises:
            ModelCardError: Not JSON, another schema, or a field is missing or malformed.
        """
        value = read_card_json(data, SCHEMA)
        try:
            return cls(
                name=_text(value["name"]),
                task=_text(value["task"]),
                method=_text(value["method"]),
                precision=_text(value["precision"]),
                network_sha256=_text(value["network_sha256"]),
                version=_text(value.get("version", "")),
                licence=_text(value.get("licence", "")),
                source=_object(value.get("source", {})),
                recipe=_object(value.get("recipe", {})),
                calibration=_object(value.get("calibration", {})),
                fidelity=_object(value.get("fidelity", {})),
                input=InputContract.from_json(value["input"]),
                outputs=tuple(_text(name) for name in value["outputs"]),
                parameters={k: _number(v) for k, v in _object(value.get("parameters", {})).items()},
            )
        except KeyError as error:
            raise ModelCardError(f"network card: expected the field {error}, found none") from error
        except (TypeError, ValueError) as error:
            if isinstance(error, ModelCardError):
                raise
            raise ModelCardError(f"network card: malformed field: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value
