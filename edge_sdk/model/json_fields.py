"""Checked reading of the fields of a JSON object, for cards and the evidence in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeVar

from edge_sdk.errors import ModelCardError

Value = TypeVar("Value")


class JsonFields:
    """Fields of one JSON object.

    Args:
        value: The object, as `json.loads` returns it.
        name: Name of the object in error messages, such as ``model card``.

    Raises:
        ModelCardError: `value` is not an object.
    """

    def __init__(self, value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            raise ModelCardError(f"{name}: malformed field: expected an object, found {value!r}")
        self._value = value
        self._name = name

    def read(self, key: str, convert: Callable[[Any], Value], default: Value | None = None) -> Value:
        """Convert one field.

        Args:
            key: Name of the field.
            convert: Function that checks and converts the JSON value; raises TypeError or ValueError for a wrong one.
            default: Result for a missing field; None means that the field is required.

        Raises:
            ModelCardError: The field is missing or malformed.
        """
        if key not in self._value:
            if default is None:
                raise ModelCardError(f"{self._name}: expected the field {key!r}, found none")
            return default
        try:
            return convert(self._value[key])
        except ModelCardError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelCardError(f"{self._name}: malformed field {key!r}: {error}") from error

    def optional(self, key: str, convert: Callable[[Any], Value]) -> Value | None:
        """Convert one field as `read` does; None if it is missing or null."""
        return None if self._value.get(key) is None else self.read(key, convert)


def text(value: Any) -> str:
    """Return a string; raises TypeError for any other value."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def number(value: Any) -> float:
    """Return a number as float; raises TypeError for any other value, including true and false."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def whole_number(value: Any) -> int:
    """Return an integer; raises TypeError for any other value, including true, false and 1.0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def truth(value: Any) -> bool:
    """Return true or false; raises TypeError for any other value."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of strings; raises TypeError for any other value."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is not a list")
    return tuple(text(item) for item in value)


def json_object(value: Any) -> dict[str, Any]:
    """Return a JSON object; raises TypeError for any other value."""
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value


def numbers(value: Any) -> dict[str, float]:
    """Return a JSON object of numbers; raises TypeError for any other value."""
    return {name: number(item) for name, item in json_object(value).items()}
