"""A recipe: how a float network becomes an artefact. A named JSON file, saved beside what it made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from converters.errors import ConversionError

SCHEMA = "edge-sdk/recipe/1"
PRECISIONS = ("float32", "float16", "dynamic", "int8")
EQUALIZE = ("", "depthwise", "all")
QUANTIZERS = ("ai-edge-quantizer", "integer")


@dataclass(frozen=True)
class Recipe:
    """How one artefact is made and what its gates allow.

    Args:
        name: Such as ``cpu_int8``; it names the artefact's file.
        target: What the artefact is for.
        precision: ``float32``, ``float16``, ``dynamic`` (int8 weights under float activations) or ``int8``.
        ranges: How activation ranges are found, ``min_max`` or ``mse``; empty where nothing is quantized.
        float_operators: Operators that compute in float in an integer network, because what runs them has
            no integer kernel for them; every other float tensor is a failed gate.
        partitions: How many XNNPACK partitions a CPU may run the network in; any number where 0, for what no CPU
            runs.
        equalize: Which groups of tensors are equalized: none where empty, ``depthwise`` those that only
            depthwise convolutions read, ``all``.
        weight_share: How much of the spread of the others moves into their consumers' weights, 0..1.
        bias_correction: Whether each convolution's mean error is folded into its bias.
        keep_float: Operators left in float, by the name of their output tensor.
        quantizer: What makes an int8 network: ``ai-edge-quantizer``, which leaves in float what has no integer
            form, or ``integer``, which leaves nothing and refuses such a network.
        bound_slopes: Whether PReLU channels with a slope beyond -1..1 are mirrored, so that none is.
        spelled: Operators put into the words of others before they are quantized, such as ``PRELU``: the same
            float function, where the target runs those others faster.
        leaky: PReLUs that LeakyReLUs stand in for, by the name of their output tensor: another function, so it
            takes recovery.
        recovery_steps: How many steps the network was trained to answer as the float network does; 0 for none.
        recovery_seed: Of that training.
        recovered_sha256: Of the int8 network that came out, so that a replay knows whether it is the same.
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
    spelled: tuple[str, ...] = ()
    leaky: tuple[str, ...] = ()
    recovery_steps: int = 0
    recovery_seed: int = 0
    recovered_sha256: str = ""

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
                equalize=_one_of(str(value.get("equalize", "")), EQUALIZE),
                weight_share=float(value.get("weight_share", 0.5)),
                bias_correction=bool(value.get("bias_correction", False)),
                keep_float=tuple(str(name) for name in value.get("keep_float", ())),
                quantizer=_one_of(str(value.get("quantizer", QUANTIZERS[0])), QUANTIZERS),
                bound_slopes=bool(value.get("bound_slopes", False)),
                spelled=tuple(str(op) for op in value.get("spelled", ())),
                leaky=tuple(str(name) for name in value.get("leaky", ())),
                recovery_steps=max(0, int(value.get("recovery_steps", 0))),
                recovery_seed=max(0, int(value.get("recovery_seed", 0))),
                recovered_sha256=str(value.get("recovered_sha256", "")),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConversionError(f"recipe: malformed field: {error}") from error


def shipped(name: str) -> Recipe:
    """A recipe that comes with the package, by its name."""
    text = resources.files("converters.quantize").joinpath("recipes", f"{name}.json").read_text()
    return Recipe.from_json(json.loads(text))


def read(path: str | Path) -> Recipe:
    """A recipe from a file, such as the one saved beside an artefact.

    Raises:
        ConversionError: Missing, not JSON, or malformed.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected a recipe in JSON, found {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: expected a recipe, found {type(value).__name__}")
    return Recipe.from_json(value)


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"expected one of {', '.join(map(repr, allowed))}, found {value!r}")
    return value
