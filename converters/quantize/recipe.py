"""Recipe: the steps from a float network to an artefact, as a named JSON file saved next to the artefact."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from typing import Any

from converters.errors import ConversionError
from edge_sdk.errors import ModelCardError
from edge_sdk.model.json_fields import JsonFields, number, text, texts, truth, whole_number

SCHEMA = "edge-sdk/recipe/1"
#: JSON keys of version 1 that differ from the names of the fields.
_KEYS = {
    "decomposed": "spelled",
    "distillation_steps": "recovery_steps",
    "distillation_seed": "recovery_seed",
    "distilled_sha256": "recovered_sha256",
}
_NEWER = {"scale_clips", "int16_operators", "int16"}
PRECISIONS = ("float32", "float16", "dynamic", "int8")
RANGES = ("", "min_max", "mse")
EQUALIZE = ("", "depthwise", "all")
QUANTIZERS = ("ai-edge-quantizer", "integer")
# A saved recipe also states what it was made from, and the statistics from which it can be replayed.
_PROVENANCE = ("calibration", "tools", "source", "contract", "statistics")
_OPERATOR = re.compile("[A-Z][A-Z0-9_]*")


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
        scale_clips: True to equalize groups that contain clips such as ReLU6 too; the network then computes the same function
            on the calibration images, and clips a channel at its largest calibrated value elsewhere.
        int16_operators: Kinds of operators that the target also runs with 16-bit activations and 8-bit weights.
        int16: Names of the output tensors of operators that run so; with the quantizer ``integer`` only.
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
    scale_clips: bool = False
    int16_operators: tuple[str, ...] = ()
    int16: tuple[str, ...] = ()
    leaky: tuple[str, ...] = ()
    distillation_steps: int = 0
    distillation_seed: int = 0
    distilled_sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values; newer fields only if they differ from the default, so that old files keep their bytes."""
        values = {name: value for name, value in asdict(self).items() if value or name not in _NEWER}
        return {"schema": SCHEMA, **{_KEYS.get(name, name): value for name, value in values.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read a recipe.

        Raises:
            ConversionError: the schema or the precision is unknown, or a field is malformed.
        """
        if value.get("schema") != SCHEMA or value.get("precision") not in PRECISIONS:
            raise ConversionError(
                f"recipe: expected schema {SCHEMA!r} and precision {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]},"
                f" found schema {value.get('schema')!r} and precision {value.get('precision')!r}",
                hint="a newer edge-convert may have saved it: update this one, or convert with --calibration",
            )
        unknown = sorted(set(map(str, value)) - _KNOWN_KEYS)
        if unknown:
            raise ConversionError(
                f"recipe: expected fields that this version knows, found {', '.join(map(repr, unknown))}",
                hint="use the recipe as a conversion saved it",
            )
        read = JsonFields(value, "recipe").read
        try:
            return cls(
                name=read("name", text),
                target=read("target", text),
                precision=read("precision", text),
                ranges=read("ranges", _one_of(RANGES), ""),
                float_operators=read("float_operators", _operators, ()),
                partitions=read("partitions", _count, 1),
                equalize=read("equalize", _one_of(EQUALIZE), ""),
                weight_share=read("weight_share", _share, 0.5),
                bias_correction=read("bias_correction", truth, False),
                keep_float=read("keep_float", texts, ()),
                quantizer=read("quantizer", _one_of(QUANTIZERS), QUANTIZERS[0]),
                bound_slopes=read("bound_slopes", truth, False),
                decomposed=read("spelled", _operators, ()),
                scale_clips=read("scale_clips", truth, False),
                int16_operators=read("int16_operators", _operators, ()),
                int16=read("int16", texts, ()),
                leaky=read("leaky", texts, ()),
                distillation_steps=read("recovery_steps", _count, 0),
                distillation_seed=read("recovery_seed", _count, 0),
                distilled_sha256=read("recovered_sha256", _digest, ""),
            )
        except ModelCardError as error:
            raise ConversionError(str(error), hint="use the recipe as a conversion saved it") from error


_KNOWN_KEYS = {"schema", *_PROVENANCE, *(_KEYS.get(field.name, field.name) for field in fields(Recipe))}


def shipped(name: str) -> Recipe:
    """Load a recipe of this package by its name."""
    text = resources.files("converters.quantize").joinpath("recipes", f"{name}.json").read_text()
    return Recipe.from_json(json.loads(text))


def _one_of(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(map(repr, allowed))}, found {value!r}")
        return text(value)

    return read


def _operators(value: Any) -> tuple[str, ...]:
    names = texts(value)
    wrong = [name for name in names if not _OPERATOR.fullmatch(name)]
    if wrong:
        raise ValueError(f"expected kinds of operators such as 'PRELU', found {wrong[0]!r}")
    return names


def _count(value: Any) -> int:
    count = whole_number(value)
    if not 0 <= count < 1 << 32:
        raise ValueError(f"expected 0..{(1 << 32) - 1}, found {count}")
    return count


def _share(value: Any) -> float:
    share = number(value)
    if not 0 <= share <= 1:
        raise ValueError(f"expected 0..1, found {share}")
    return share


def _digest(value: Any) -> str:
    if not re.fullmatch("([0-9a-f]{64})?", text(value)):
        raise ValueError(f"expected 64 hexadecimal digits, found {value!r}")
    return text(value)
