"""Card of a network without an embedding: a face detector, a presentation attack detector, or a network of another task.

It is stored in the same place and under the same file name as a model card. Its schema differs, so that the
two kinds cannot be confused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import InputContract, card_bytes, read_card_json
from edge_sdk.model.golden import GoldenVectors
from edge_sdk.model.json_fields import JsonFields, json_object, numbers, text

SCHEMA = "edge-sdk/network-card/1"
FACE_DETECTOR = "face detector"
PRESENTATION_ATTACK_DETECTOR = "presentation attack detector"
#: Task of a network that the SDK runs without decoding its outputs, such as a pose network.
OTHER_TASK = "none"
TASKS = (FACE_DETECTOR, PRESENTATION_ATTACK_DETECTOR, OTHER_TASK)
MAX_OUTPUTS = 64
MAX_GOLDEN_VALUES = 256


@dataclass(frozen=True)
class NetworkCard:
    """Description of the file of a network without an embedding.

    Args:
        name: The network's name, such as ``yunet``.
        task: One of ``TASKS``.
        method: Decoding method of its outputs, such as ``yunet`` or ``minifasnet``; empty for a network of another task.
        precision: ``float32``, ``float16``, ``dynamic`` or ``int8``.
        input: The input contract.
        outputs: Names of the output tensors, in the network's order.
        network_sha256: SHA-256 of the FlatBuffer part of the file, hex.
        parameters: Numbers that the method needs, such as ``crop_scale``.
        version: The network's own version, in its author's numbering.
        licence: Licence of the network, as its author states it.
        source: Kind, file name and SHA-256 of the converted model.
        recipe: Recipe by which the file was built.
        calibration: Number of images and digest of the calibration set.
        fidelity: Differences between its outputs and those of the float network.
        golden: Golden vectors of each output by name; empty for the networks of a kit. An output of more than
            ``MAX_GOLDEN_VALUES`` values is reduced to every n-th value.
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
    golden: Mapping[str, GoldenVectors] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ModelCardError(
                f"network card: expected one of the tasks {', '.join(TASKS)}, found {self.task!r}"
            )
        if not 1 <= len(self.outputs) <= MAX_OUTPUTS or len(set(self.outputs)) != len(self.outputs):
            raise ModelCardError(
                f"network card: expected 1 to {MAX_OUTPUTS} outputs with different names, found {self.outputs!r}"
            )
        if self.golden and set(self.golden) != set(self.outputs):
            raise ModelCardError(
                f"network card: expected golden vectors of {sorted(self.outputs)}, found {sorted(self.golden)}"
            )

    def to_json(self) -> dict[str, Any]:
        """Convert the card to JSON values; the schema is the first key."""
        card = {
            "schema": SCHEMA,
            **asdict(replace(self, golden={})),
            "input": self.input.to_json(),
            "outputs": list(self.outputs),
            "golden": {name: vectors.to_json() for name, vectors in self.golden.items()},
        }
        if not self.golden:
            del card["golden"]  # keeps the bytes of cards that were written before the field existed
        return card

    def to_bytes(self) -> bytes:
        """Encode the card as UTF-8 JSON; equal cards give equal bytes."""
        return card_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> NetworkCard:
        """Read a card.

        Raises:
            ModelCardError: The data is not JSON, has another schema, or lacks a field or has a malformed one.
        """
        card = JsonFields(read_card_json(data, SCHEMA), "network card")
        return cls(
            name=card.read("name", text),
            task=card.read("task", text),
            method=card.read("method", text),
            precision=card.read("precision", text),
            network_sha256=card.read("network_sha256", text),
            version=card.read("version", text, ""),
            licence=card.read("licence", text, ""),
            source=card.read("source", json_object, {}),
            recipe=card.read("recipe", json_object, {}),
            calibration=card.read("calibration", json_object, {}),
            fidelity=card.read("fidelity", json_object, {}),
            input=card.read("input", InputContract.from_json),
            outputs=card.read("outputs", lambda value: tuple(map(text, value))),
            parameters=card.read("parameters", numbers, {}),
            golden=card.read("golden", _golden, {}),
        )


def _golden(value: Any) -> dict[str, GoldenVectors]:
    return {text(name): GoldenVectors.from_json(vectors) for name, vectors in json_object(value).items()}
