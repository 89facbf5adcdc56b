"""A recipe: how a float network becomes an artefact. A named JSON file, saved beside what it made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from converters.errors import ConversionError

SCHEMA = "edge-sdk/recipe/1"
PRECISIONS = ("float32", "float16", "int8")


@dataclass(frozen=True)
class Recipe:
    """How one artefact is made and what its gates allow.

    Args:
        name: Such as ``cpu_int8``; it names the artefact's file.
        target: What the artefact is for.
        precision: ``float32``, ``float16`` or ``int8``.
        ranges: How activation ranges are found, ``min_max``; empty where nothing is quantized.
        float_operators: Operators that may compute in float in an integer network; every other float
            tensor is a failed gate.
        partitions: How many XNNPACK partitions a CPU may run the network in.
    """

    name: str
    target: str
    precision: str
    ranges: str = ""
    float_operators: tuple[str, ...] = ()
    partitions: int = 1

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read a recipe.

        Raises:
            ConversionError: Another schema, or a malformed field.
        """
        if value.get("schema") != SCHEMA or value.get("precision") not in PRECISIONS:
            raise ConversionError(
                f"recipe: expected schema {SCHEMA} and a precision of {', '.join(PRECISIONS)}, found"
                f" {value.get('schema')!r} and {value.get('precision')!r}"
            )
        try:
            return cls(
                name=str(value["name"]),
                target=str(value["target"]),
                precision=str(value["precision"]),
                ranges=str(value.get("ranges", "")),
                float_operators=tuple(str(op) for op in value.get("float_operators", ())),
                partitions=int(value.get("partitions", 1)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConversionError(f"recipe: malformed field: {error}") from error


def shipped(name: str) -> Recipe:
    """A recipe that comes with the package, by its name."""
    text = resources.files("converters").joinpath("recipes", f"{name}.json").read_text()
    return Recipe.from_json(json.loads(text))
