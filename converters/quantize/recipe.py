"""Recipe: the steps from a float network to an artefact, as a named JSON file saved next to the artefact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from converters.errors import ConversionError

SCHEMA = "edge-sdk/recipe/1"
#: JSON keys of version 1 that differ from the names of the fields.
_KEYS = {
    "decomposed": "spelled",
    "distillation_steps": "recovery_steps",
    "distillation_seed": "recovery_seed",
    "distilled_sha256": "recovered_sha256",
}
PRECISIONS = ("float32", "float16", "dynamic", "int8")
EQUALIZE = ("", "depthwise", "all")
QUANTIZERS = ("ai-edge-quantizer", "integer")


@dataclass(frozen=True)
class Recipe:
    """Steps to build one artefact, and the exceptions that its gates allow.

    Args:
        name: Recipe name, such as ``cpu_int8``; part of the artefact's file name.
        target: Name of the target.
        precision: ``float32``, ``float16``, ``dynamic`` (int8 weights, float activations) or ``int8``.
        ranges: Method for activation ranges, ``min_max`` or ``mse``; empty if activations stay float.
        float_operators: Kinds of operators that compute in float in an int8 network, because the runtime has no integer
            kernel for them. Any other float tensor fails a gate.
        partitions: Largest number of XNNPACK partitions; 0 for no limit, if no CPU runs the artefact.
        equalize: Groups of tensors to equalize: empty for none, ``depthwise`` for those read only by depthwise
            convolutions, or ``all``.
        weight_share: Share of the differences between the ranges of channels that equalization moves into the weights of
            consumers that mix channels, 0..1.
        bias_correction: True to subtract each convolution's mean error from its bias.
        keep_float: Names of the output tensors of operators left in float.
        quantizer: ``ai-edge-quantizer``, which leaves operators without an integer form in float, or ``integer``, which
            leaves nothing in float and rejects networks with such operators.
        bound_slopes: True to negate PReLU channels with a slope outside -1..1, so that the slope is inside.
        decomposed: Kinds of operators to decompose before quantization, such as ``PRELU``, because the target runs the
            resulting operators faster; the network computes the same function.
        leaky: Names of the output tensors of PReLUs to replace by LeakyReLUs. This changes the function, so it requires
            distillation.
        distillation_steps: Number of distillation steps, 0 for no distillation.
        distillation_seed: Seed of the distillation.
        distilled_sha256: SHA-256 of the distilled int8 network, hex, to check a replay.
    """

    name: str
    target: str
    precision: str
    ranges: str = ""
    float_operators: tuple[str, ...] = ()
    partitions: int = 1
    equalize: str = ""
    weight_share: float = 0.5
    bias_correction: bool = False
    keep_float: tuple[str, ...] = ()
    quantizer: str = "ai-edge-quantizer"
    bound_slopes: bool = False
    decomposed: tuple[str, ...] = ()
    leaky: tuple[str, ...] = ()
    distillation_steps: int = 0
    distillation_seed: int = 0
    distilled_sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return {"schema": SCHEMA, **{_KEYS.get(name, name): value for name, value in asdict(self).items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read a recipe.

        Raises:
            ConversionError: the schema or the precision is unknown, or a field is malformed.
        """
        if value.get("schema") != SCHEMA or value.get("precision") not in PRECISIONS:
            raise ConversionError(
                f"recipe: expected schema {SCHEMA!r} and precision {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]},"
                f" found schema {value.get('schema')!r} and precision {value.get('precision')!r}"
            )
        try:
            return cls(
                name=str(value["name"]),
                target=str(value["target"]),
                precision=str(value["precision"]),
                ranges=str(value.get("ranges", "")),
                float_operators=tuple(str(op) for op in value.get("float_operators", ())),
                partitions=int(value.get("partitions", 1)),
                equalize=_one_of(str(value.get("equalize", "")), EQUALIZE),
                weight_share=float(value.get("weight_share", 0.5)),
                bias_correction=bool(value.get("bias_correction", False)),
                keep_float=tuple(str(name) for name in value.get("keep_float", ())),
                quantizer=_one_of(str(value.get("quantizer", QUANTIZERS[0])), QUANTIZERS),
                bound_slopes=bool(value.get("bound_slopes", False)),
                decomposed=tuple(str(op) for op in value.get("spelled", ())),
                leaky=tuple(str(name) for name in value.get("leaky", ())),
                distillation_steps=max(0, int(value.get("recovery_steps", 0))),
                distillation_seed=max(0, int(value.get("recovery_seed", 0))),
                distilled_sha256=str(value.get("recovered_sha256", "")),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConversionError(f"recipe: malformed field: {error}") from error


def shipped(name: str) -> Recipe:
    """Load a recipe of this package by its name."""
    text = resources.files("converters.quantize").joinpath("recipes", f"{name}.json").read_text()
    return Recipe.from_json(json.loads(text))


def read(path: str | Path) -> Recipe:
    """Read a recipe file, such as the one saved next to an artefact.

    Raises:
        ConversionError: the file is missing, is not JSON, or is malformed.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected a recipe in JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: expected a recipe, found {type(value).__name__}")
    return Recipe.from_json(value)


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"expected one of {', '.join(map(repr, allowed))}, found {value!r}")
    return value
