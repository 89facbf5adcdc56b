"""Checks of numbers that callers give. Pure."""

from __future__ import annotations

import numbers

from edge_sdk.errors import InputError


def is_real(value: object) -> bool:
    """Tell if a value is a real number of Python or numpy; a bool, an array and a string are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_cosine(value: float) -> bool:
    """Tell if a number is finite and in -1..1."""
    # NaN is not in any range; a comparison, unlike a conversion to float, accepts an integer of any size.
    return -1 <= value <= 1


def checked_threshold(value: object) -> float:
    """Return a caller's threshold as a float.

    Raises:
        InputError: the value is not a real number in -1..1.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not is_cosine(float_or_nan(value)):
        raise InputError(f"expected a threshold that is a cosine in -1..1, found {shown(value)}")
    return float(value)


def float_or_nan(value: numbers.Real) -> float:
    """Convert a number to float; NaN if it is too large for a float."""
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def shown(value: object) -> str:
    """Return a number as text for an error, or the type of anything else."""
    if isinstance(value, bool):
        return f"{value}"
    if not isinstance(value, numbers.Real):
        return type(value).__name__
    try:
        float(value)
    except OverflowError:
        return "a number beyond the range of float"
    return f"{value}"
