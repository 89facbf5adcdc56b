"""Recorded statistics: the numbers from calibration images that an int8 conversion needs, so that it can be replayed without them.

They are the ranges of activations, the scales of equalization and the corrections of biases. They contain no weight and no
image. With the same float network and recipe, they give the same int8 network.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.graph.graph import Graph
from converters.graph.rewrites.equalize import LARGEST_SCALE
from converters.quantize.statistics import TensorRange
from edge_sdk.errors import ModelCardError
from edge_sdk.model.array_contract import AnyContract, read_contract
from edge_sdk.model.golden import generator_of
from edge_sdk.model.json_fields import JsonFields, json_object, number, text, whole_number
from edge_sdk.types import Float64Array, FloatArray

#: Most tensors that recorded statistics may name, and most channels of one of them.
MAX_TENSORS, MAX_CHANNELS = 20_000, 1 << 20
#: Magnitude above which an edited range would overflow, and span below which its scale would underflow float32.
_LARGEST_END, _SMALLEST_SPAN = 1e30, 1e-36
_NAME = "statistics"
_HINT = "use the recipe as a conversion saved it, or convert with --calibration"
_DTYPES = {"int8": "<i1", "uint8": "<u1", "float32": "<f4"}
_MAX_INPUTS = 64


@dataclass(frozen=True, eq=False)
class RecordedStatistics:
    """Statistics of calibration images from which an int8 network is built.

    Args:
        ranges: Range of every activation of the float reference by tensor name, including the input.
        scales: Divisors of the channels of each equalized group, shape (C,), all above 0, by the name of the group's first
            tensor; empty without equalization.
        bias_corrections: Steps added to each corrected bias, shape (C,), by the name of the operator's output; empty without
            bias correction.
    """

    ranges: Mapping[str, TensorRange]
    scales: Mapping[str, Float64Array]
    bias_corrections: Mapping[str, NDArray[np.int32]]

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON values; arrays as little-endian bytes in base64."""
        return {
            "ranges": {name: [ends.low, ends.high] for name, ends in self.ranges.items()},
            "scales": {name: _coded(scale, "<f8") for name, scale in self.scales.items()},
            "bias_corrections": {name: _coded(steps, "<i4") for name, steps in self.bias_corrections.items()},
        }

    @classmethod
    def from_json(cls, value: Any) -> RecordedStatistics:
        """Read the statistics; raises ModelCardError if a field is missing or malformed."""
        fields = JsonFields(value, _NAME)
        return cls(
            fields.read("ranges", _named(_range)),
            fields.read("scales", _named(_scale)),
            fields.read("bias_corrections", _named(lambda coded: _array(coded, "<i4"))),
        )


@dataclass(frozen=True, eq=False)
class RecordedOutput:
    """One output of the int8 and of the float network for generated inputs.

    Args:
        codes: Raw values of the int8 network, shape (n, D), in the output's dtype.
        scale: Scale of the codes; 0 if they are real values.
        zero_point: Zero point of the codes.
        reference: Values of the float network, shape (n, D).
    """

    codes: NDArray[Any]
    scale: float
    zero_point: int
    reference: FloatArray

    @property
    def real(self) -> Float64Array:
        """The int8 network's values as real numbers, shape (n, D)."""
        values = self.codes.astype(np.float64)
        return (values - self.zero_point) * self.scale if self.scale else values

    def to_json(self) -> dict[str, Any]:
        """Return the outputs as JSON values; arrays as little-endian bytes in base64."""
        dtype = self.codes.dtype.name
        return {
            "dtype": dtype,
            "inputs": len(self.codes),
            "scale": self.scale,
            "zero_point": self.zero_point,
            "codes": _coded(self.codes, _DTYPES[dtype]),
            "float32": _coded(self.reference, "<f4"),
        }

    @classmethod
    def from_json(cls, value: Any) -> RecordedOutput:
        """Read the outputs; raises ModelCardError if a field is missing or malformed."""
        fields = JsonFields(value, f"{_NAME}: outputs")
        dtype = fields.read("dtype", _known_dtype)
        count = fields.read("inputs", _input_count)

        def rows(kind: str) -> Callable[[Any], NDArray[Any]]:
            return lambda coded: _rows(_array(coded, kind), count)

        output = cls(
            codes=fields.read("codes", rows(_DTYPES[dtype])),
            scale=fields.read("scale", _output_scale),
            zero_point=fields.read("zero_point", _zero_point),
            reference=fields.read("float32", rows("<f4")),
        )
        if output.codes.shape != output.reference.shape:
            raise ModelCardError(
                f"{_NAME}: outputs: expected as many values of the int8 network as of the float network,"
                f" found {output.codes.size} and {output.reference.size}"
            )
        return output


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything from one conversion that a replay needs: statistics, and figures to compare the replayed network with.

    Args:
        contract: Input contract of the network.
        statistics: The statistics of the calibration images.
        float_sha256: SHA-256 of the canonical float network, hex.
        int8_sha256: SHA-256 of the int8 network without its card, hex.
        calibration: Number of images used and available, the digest of the used images, and the generator of drawn
            pictures.
        fidelity: Fidelity of the int8 network as its card states it, measured on held-out images.
        outputs: Outputs for generated inputs by the output's name.
    """

    contract: AnyContract
    statistics: RecordedStatistics
    float_sha256: str
    int8_sha256: str
    calibration: Mapping[str, Any]
    fidelity: Mapping[str, Any]
    outputs: Mapping[str, RecordedOutput]

    def to_json(self) -> dict[str, Any]:
        """Return the fields ``contract``, ``calibration`` and ``statistics`` of a recipe file."""
        return {
            "contract": self.contract.to_json(),
            "calibration": dict(self.calibration),
            "statistics": {
                "float_sha256": self.float_sha256,
                "int8_sha256": self.int8_sha256,
                "fidelity": dict(self.fidelity),
                **self.statistics.to_json(),
                "generator": generator_of(self.contract),
                "outputs": {name: output.to_json() for name, output in self.outputs.items()},
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recording:
        """Read the recording in a recipe file.

        Raises:
            ConversionError: A field is missing, malformed or out of range.
        """
        try:
            fields = JsonFields(value.get("statistics"), _NAME)
            recording = cls(
                contract=read_contract(JsonFields(value, "recipe").read("contract", json_object)),
                statistics=RecordedStatistics.from_json(value["statistics"]),
                float_sha256=fields.read("float_sha256", _sha256),
                int8_sha256=fields.read("int8_sha256", _sha256),
                calibration=JsonFields(value, "recipe").read("calibration", _calibration),
                fidelity=fields.read("fidelity", _fidelity),
                outputs=fields.read("outputs", _named(RecordedOutput.from_json)),
            )
            generator = fields.read("generator", text)
        except ModelCardError as error:
            raise ConversionError(str(error), hint=_HINT) from error
        expected = generator_of(recording.contract)
        if generator != expected or not recording.outputs:
            raise ConversionError(
                f"{_NAME}: expected outputs for inputs of {expected!r}, found {len(recording.outputs)} outputs for"
                f" {generator!r}",
                hint=_HINT,
            )
        return recording


def require_computed(graph: Graph, field: str, names: Collection[str]) -> None:
    """Check that a field of a recipe names outputs of operators of this network.

    Raises:
        ConversionError: No operator has an output of this name.
    """
    unknown = sorted(set(names) - {graph.name(i) for i in graph.computed()})
    if unknown:
        raise ConversionError(
            f"recipe: ``{field}`` names the output {unknown[0]!r}, but no operator of this network has it"
            + (f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            hint="replay a recipe on the network it was found for, or search with --recipe auto",
        )


def require_names(what: str, expected: Mapping[str, int], recorded: Mapping[str, int]) -> None:
    """Check that statistics were recorded for this network.

    Args:
        what: Name of the field in the recipe.
        expected: Number of channels by tensor name, as the network has them.
        recorded: The same for the recorded statistics.

    Raises:
        ConversionError: A tensor is missing or unknown, or has another number of channels.
    """
    different = sorted(expected.items() ^ recorded.items())
    if not different:
        return
    name = different[0][0]
    if name not in expected:
        difference = f"names the tensor {name!r}, which this network does not have"
    else:
        values = "no value" if name not in recorded else f"{recorded[name]} values"
        difference = f"expected {expected[name]} values for the tensor {name!r}, found {values}"
    raise ConversionError(
        f"recipe: {what}: {difference}; the statistics are those of another network",
        hint="replay a recipe on the file that it was recorded from, with the tools that it names, or convert with"
        " --calibration",
    )


def _coded(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode()


def _array(value: Any, dtype: str) -> NDArray[Any]:
    data = base64.b64decode(text(value), validate=True)
    size = np.dtype(dtype).itemsize
    if not data or len(data) % size or len(data) // size > MAX_CHANNELS:
        raise ValueError(f"expected 1..{MAX_CHANNELS} values of {size} bytes, found {len(data)} bytes")
    array = np.frombuffer(data, dtype).astype(np.dtype(dtype).newbyteorder("="))
    if not np.isfinite(array).all():
        raise ValueError("expected finite numbers")
    return array


def _rows(values: NDArray[Any], count: int) -> NDArray[Any]:
    if values.size % count:
        raise ValueError(f"expected values for {count} inputs, found {values.size}")
    return values.reshape(count, -1)


def _named(convert: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return a reader of an object whose values ``convert`` reads; a wrong value is reported with its name."""

    def read(value: Any) -> dict[str, Any]:
        items = json_object(value)
        if len(items) > MAX_TENSORS:
            raise ValueError(f"expected at most {MAX_TENSORS} tensors, found {len(items)}")
        values = {}
        for name, item in items.items():
            try:
                values[name] = convert(item)
            except (TypeError, ValueError, OverflowError) as error:
                raise ModelCardError(f"{_NAME}: {name!r}: {error}") from error
        return values

    return read


def _range(value: Any) -> TensorRange:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("expected the two ends of a range")
    low, high = number(value[0]), number(value[1])
    span = high - low
    if not (abs(low) <= _LARGEST_END and abs(high) <= _LARGEST_END and (span == 0 or span > _SMALLEST_SPAN)):
        raise ValueError(f"expected the finite ends of a range in ascending order, found {low} and {high}")
    return TensorRange(low, high)


def _scale(value: Any) -> Float64Array:
    scale: Float64Array = _array(value, "<f8")
    if not ((scale >= 1 / LARGEST_SCALE) & (scale <= LARGEST_SCALE)).all():
        raise ValueError(
            f"expected scales of 1/{LARGEST_SCALE:g} to {LARGEST_SCALE:g}, as equalization makes them,"
            f" found {scale.min():g} to {scale.max():g}"
        )
    return scale


def _known_dtype(value: Any) -> str:
    if value not in _DTYPES:
        raise ValueError(f"expected one of {', '.join(_DTYPES)}, found {value!r}")
    return text(value)


def _input_count(value: Any) -> int:
    count = whole_number(value)
    if not 1 <= count <= _MAX_INPUTS:
        raise ValueError(f"expected 1..{_MAX_INPUTS} inputs, found {count}")
    return count


def _output_scale(value: Any) -> float:
    scale = number(value)
    if not 0 <= scale < _LARGEST_END:
        raise ValueError(f"expected a scale of 0 or more, found {scale}")
    return scale


def _zero_point(value: Any) -> int:
    zero_point = whole_number(value)
    if not -128 <= zero_point <= 255:
        raise ValueError(f"expected -128..255, found {zero_point}")
    return zero_point


def _sha256(value: Any) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text(value)):
        raise ValueError(f"expected 64 hexadecimal digits, found {value!r}")
    return text(value)


def _calibration(value: Any) -> dict[str, Any]:
    fields = JsonFields(value, "recipe: calibration")
    return {
        "images": fields.read("images", _image_count),
        "available": fields.read("available", _image_count),
        "sha256": fields.read("sha256", _sha256),
        **({"drawn": fields.read("drawn", text)} if "drawn" in json_object(value) else {}),
    }


def _image_count(value: Any) -> int:
    count = whole_number(value)
    if not 1 <= count < 1 << 32:
        raise ValueError(f"expected 1 or more, found {count}")
    return count


def _fidelity(value: Any) -> dict[str, Any]:
    """Check the figures of a fidelity as a card states it; the names of the figures depend on the kind of network."""
    fields = JsonFields(value, f"{_NAME}: fidelity")
    fields.read("images", _image_count)
    for name, item in json_object(value).items():
        if name in ("cosine_mean", "cosine_min") and not -1 <= number(item) <= 1:
            raise ValueError(f"expected a cosine of -1..1, found {name!r}: {item!r}")
        plain = isinstance(item, str | bool) or (isinstance(item, int | float) and math.isfinite(item))
        if not plain and not (
            isinstance(item, dict) and all(math.isfinite(number(v)) for v in item.values())
        ):
            raise ValueError(f"expected finite figures, found {name!r}: {item!r}")
    return json_object(value)
