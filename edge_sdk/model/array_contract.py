"""Input contract of a network that takes arrays, such as spectrograms or sensor windows; and contracts of any kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, ModelCardError, ModelContractError
from edge_sdk.model.input_contract import InputContract
from edge_sdk.model.json_fields import number

KIND = "array"
#: Types in which samples are stored and given to the network.
DTYPES = ("float32", "int16", "int8", "uint8")
MAX_AXES = 4
MAX_VALUES = 1 << 22
_MAX_REAL = 1e30
# Values beyond the range by up to this share of it are rounding errors of the program that computed them.
_OVERSHOOT = 2.0**-16


@dataclass(frozen=True)
class ArrayContract:
    """Shape, type and range of a network's input; the network receives each value as it is, as a float.

    Args:
        shape: Shape of one sample, without the batch: 1 to 4 axes.
        dtype: Type of the samples: ``float32``, ``int16``, ``int8`` or ``uint8``.
        low: Smallest value that a sample may have.
        high: Largest value that a sample may have.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in self.shape)
        if not 1 <= len(self.shape) <= MAX_AXES or not whole or math.prod(self.shape) > MAX_VALUES:
            raise ModelCardError(
                f"input shape: expected 1 to {MAX_AXES} positive whole numbers and at most {MAX_VALUES} values,"
                f" found {list(self.shape)!r}"
            )
        if self.dtype not in DTYPES:
            raise ModelCardError(f"input dtype: expected one of {', '.join(DTYPES)}, found {self.dtype!r}")
        limit = _MAX_REAL
        if self.dtype != "float32":
            limits = np.iinfo(self.dtype)
            if self.low < limits.min or self.high > limits.max:
                raise ModelCardError(
                    f"input range: expected values of {self.dtype}, {limits.min}..{limits.max},"
                    f" found {self.low:g}..{self.high:g}"
                )
        if not -limit <= self.low < self.high <= limit:
            raise ModelCardError(
                f"input range: expected finite low < high, at most {limit:g} in magnitude,"
                f" found {self.low!r}..{self.high!r}"
            )

    @property
    def real_range(self) -> tuple[float, float]:
        """Smallest and largest value of the network's input."""
        return self.low, self.high

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ArrayContract:
        """Read a contract from a card or from a user's file.

        Args:
            value: ``kind`` (``array``), ``shape``, ``range`` as [low, high], and ``dtype`` (default: float32).

        Raises:
            ModelCardError: A field is missing or malformed, or belongs to a contract of images.
        """
        foreign = sorted({"size", "height", "width", "color", "mean", "scale", "alignment"} & set(value))
        if foreign:
            raise ModelCardError(
                f"input: expected shape, dtype and range for arrays, found {', '.join(foreign)}",
                hint="these fields describe images; leave out kind for a network that takes images",
            )
        shape, ends = value.get("shape"), value.get("range")
        if not isinstance(shape, list | tuple):
            raise ModelCardError(f"input shape: expected a list such as [160, 40], found {shape!r}")
        try:
            if not isinstance(ends, list | tuple):
                raise TypeError(f"{ends!r} is not a list")
            low, high = (number(end) for end in ends)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelCardError(f"input range: expected [low, high], found {ends!r}") from error
        return cls(tuple(shape), value.get("dtype", "float32"), low, high)

    def to_json(self) -> dict[str, Any]:
        """Convert the contract to JSON values."""
        return {
            "kind": KIND,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "range": [self.low, self.high],
        }

    def describe(self) -> str:
        """Describe the contract in one line, such as ``array (160, 40) float32, -10..5``."""
        return f"array {shape_text(self.shape)} {self.dtype}, {self.low:g}..{self.high:g}"

    def sample(self, values: NDArray[Any], *, name: str = "array") -> NDArray[Any]:
        """Check a sample and convert it to the contract's type.

        Integers of any width are accepted, and floats of any width for a float contract. A value beyond the range by
        up to 2**-16 of the range is set to the end of the range.

        Args:
            values: The sample.
            name: Name of the sample in error messages.

        Returns:
            The contract's shape and dtype; every value is finite and in the range.

        Raises:
            InputError: Another shape, a type that cannot be converted, or a value that is not finite or not in the
                range.
        """
        self.check_form(values.shape, values.dtype, name=name)
        smallest, largest = float(values.min()), float(values.max())
        margin = (self.high - self.low) * _OVERSHOOT
        # The comparison is false for NaN.
        if not (self.low - margin <= smallest and largest <= self.high + margin):
            raise InputError(
                f"{name}: expected values in {self.low:g}..{self.high:g}, found {smallest:g}..{largest:g}",
                hint="compute the sample as for calibration, or widen the range of the contract and convert again",
            )
        if smallest < self.low or largest > self.high:
            values = values.clip(self.low, self.high)
        return values.astype(self.dtype, copy=False)

    def check_form(self, shape: tuple[int, ...], dtype: np.dtype[Any], *, name: str) -> None:
        """Check shape and type of a sample; raises InputError."""
        if shape != self.shape:
            raise InputError(
                f"{name}: expected shape {shape_text(self.shape)}, found {shape_text(shape)}",
                hint="give one sample without a batch axis, in the axis order of the contract",
            )
        if dtype.kind not in ("iuf" if self.dtype == "float32" else "iu"):
            raise InputError(f"{name}: expected {self.dtype} values, found {dtype}")


#: Input contract of an embedding network: of images, or of arrays.
AnyContract: TypeAlias = InputContract | ArrayContract


def read_contract(value: Mapping[str, Any]) -> AnyContract:
    """Read a contract of any kind: of arrays if ``kind`` is ``array``, of images if there is no ``kind``.

    Raises:
        ModelCardError: An unknown kind; or a field is missing, malformed or contradicts another field.
    """
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind is None:
        return InputContract.from_json(value)
    if kind != KIND:
        raise ModelCardError(
            f"input kind: expected {KIND!r}, or no kind for images, found {kind!r}",
            hint="a newer version of edge-convert may have made the file; update edge-sdk",
        )
    return ArrayContract.from_json(value)


def image_contract(contract: AnyContract) -> InputContract:
    """Return the contract of an embedder of images.

    Raises:
        ModelContractError: It is a contract of arrays.
    """
    if isinstance(contract, ArrayContract):
        raise ModelContractError(
            f"expected an embedder of images, found an embedder of arrays of shape {shape_text(contract.shape)}",
            hint="use Embedder.embed_array, or .npy files on the command line",
        )
    return contract


def array_contract(contract: AnyContract) -> ArrayContract:
    """Return the contract of an embedder of arrays.

    Raises:
        ModelContractError: It is a contract of images.
    """
    if isinstance(contract, InputContract):
        raise ModelContractError(
            f"expected an embedder of arrays, found an embedder of images, {contract.height}x{contract.width}"
            f" {contract.color}",
            hint="use Embedder.embed, or image files on the command line",
        )
    return contract


def shape_text(shape: tuple[int, ...]) -> str:
    """Format a shape as Python does, such as ``(160, 40)``."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
