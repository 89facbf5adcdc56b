"""Type and quantization of a network's input tensor, as a model card states them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.json_fields import JsonFields, number, text, whole_number

DTYPES = ("float32", "int8", "uint8", "int16")


@dataclass(frozen=True)
class InputTensor:
    """Type and quantization of an input tensor, so that a client needs no interpreter to encode pixels.

    The code of a real value is ``ceil(real / scale + zero_point - 0.5)``, limited to the type.

    Args:
        dtype: ``float32``, ``int8``, ``uint8`` or ``int16``.
        scale: Quantization scale, above 0; 0 if the tensor is float32.
        zero_point: Code of the real value 0; 0 if the tensor is float32.

    Raises:
        ModelCardError: Another type, or a scale that does not fit the type.
    """

    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ModelCardError(
                f"input tensor dtype: expected one of {', '.join(DTYPES)}, found {self.dtype!r}"
            )
        if not math.isfinite(self.scale) or (self.scale > 0) == (self.dtype == "float32") or self.scale < 0:
            raise ModelCardError(
                f"input tensor scale: expected 0 for float32 and more for integers, found {self.scale!r} for {self.dtype}"
            )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InputTensor:
        """Read the values of a card; raises ModelCardError if one is missing or malformed."""
        fields = JsonFields(value, "model card, input tensor")
        return cls(
            fields.read("dtype", text), fields.read("scale", number), fields.read("zero_point", whole_number)
        )

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self)
