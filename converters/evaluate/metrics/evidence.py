"""Base class of the results of an evaluation: frozen values with a JSON form.

The JSON is deterministic (sorted keys, no times, no paths) and has no NaN: a figure that cannot be stated is null
or an `Unsupported` value with the number of comparisons it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from edge_sdk.errors import InputError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True)
class Evidence:
    """Base class of all results: comparable, frozen, and convertible to JSON."""

    def to_json(self) -> dict[str, Json]:
        """Return the fields as JSON values; nested results become objects with their kind.

        Raises:
            InputError: A field contains NaN, infinity or a type without a JSON form.
        """
        values: dict[str, Json] = {"kind": type(self).__name__}
        for field in fields(self):
            values[field.name] = _plain(getattr(self, field.name), f"{type(self).__name__}.{field.name}")
        return values


@dataclass(frozen=True)
class Unsupported(Evidence):
    """A claim that the data cannot support; its truth value is False.

    Attributes:
        claim: The claim, such as `threshold at FMR 0.001`.
        needed: Number of comparisons (or subjects, see `reason`) that the claim needs.
        found: Number of comparisons (or subjects) in the data.
        reason: One line for the reader.
    """

    claim: str
    needed: int
    found: int
    reason: str

    def __bool__(self) -> bool:
        return False

    @classmethod
    def too_few(
        cls,
        claim: str,
        needed: int,
        present: int,
        *,
        figure: str,
        units: str = "subjects",
        at_least: bool = False,
    ) -> Unsupported:
        """Create a refusal with the reason `FIGURE needs [at least] NEEDED UNITS, found PRESENT`."""
        least = "at least " if at_least else ""
        return cls(claim, needed, present, f"{figure} needs {least}{needed:,} {units}, found {present:,}")


@dataclass(frozen=True)
class Interval(Evidence):
    """A confidence interval and its method.

    Attributes:
        low: Lower end.
        high: Upper end, >= low.
        confidence: For example 0.95.
        replicates: Number of usable bootstrap replicates; 0 if the method does not resample.
        method: One line, including the seed of a resampling method.
    """

    low: float
    high: float
    confidence: float
    replicates: int
    method: str

    def complement(self) -> Interval:
        """Return the interval of 1 minus the share."""
        return replace(self, low=1.0 - self.high, high=1.0 - self.low)


def _plain(value: Any, name: str) -> Json:
    if isinstance(value, Evidence):
        return value.to_json()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise InputError(
                f"expected a finite {name}, found {value}", hint="use None for a figure that cannot be stated"
            )
        return float(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item, name) for item in value]
    if is_dataclass(value):
        raise InputError(f"expected {name} to be a result of this module, found {type(value).__name__}")
    raise InputError(f"expected {name} to have a JSON form, found {type(value).__name__}")
