"""Operating points: a threshold and the evidence for what it does (ISO/IEC 19795-1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.errors import ModelCardError

# No data set has the evidence for less; far below it 3 / fmr is no longer a number.
_LEAST_FMR = 1e-15


@dataclass(frozen=True)
class OperatingPoint:
    """A cosine threshold with its measured rates.

    Args:
        threshold: Cosine similarity; a comparison matches at or above it.
        fmr: False match rate, measured, per comparison.
        fnmr: False non-match rate, measured.
        mated_trials: Comparisons of the same subject that were made.
        non_mated_trials: Comparisons of different subjects that were made.
        data_set: Name of the images that the rates were measured on.
        data_set_sha256: Digest of these images, hex.

        fnmr_interval: Bounds of the FNMR's confidence interval, where one was measured.

    Raises:
        ModelCardError: A rate is outside 0..1, the threshold outside -1..1, or the claim has fewer
            than 3 / fmr non-mated comparisons behind it (rule of three).
    """

    threshold: float
    fmr: float
    fnmr: float
    mated_trials: int
    non_mated_trials: int
    data_set: str = ""
    data_set_sha256: str = ""
    fnmr_interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and -1 <= self.threshold <= 1):
            raise ModelCardError(
                f"operating point: expected a cosine threshold in -1..1, found {self.threshold}"
            )
        if not _LEAST_FMR <= self.fmr <= 1 or not 0 <= self.fnmr <= 1:
            raise ModelCardError(
                f"operating point: expected FMR in (0, 1] and FNMR in 0..1, found {self.fmr}, {self.fnmr}"
            )
        if self.fnmr_interval is not None and not 0 <= self.fnmr_interval[0] <= self.fnmr_interval[1] <= 1:
            raise ModelCardError(
                f"operating point: expected an FNMR interval in 0..1, found {self.fnmr_interval}"
            )
        if self.mated_trials < 0:
            raise ModelCardError(
                f"operating point: expected a number of mated comparisons, found {self.mated_trials}"
            )
        # An FMR of 3 / n is what n comparisons support, also where 3 / (3 / n) is a rounding above n.
        if self.non_mated_trials < 3 / self.fmr * (1 - 1e-12):
            raise ModelCardError(
                f"operating point: a claim at FMR {self.fmr:g} needs {math.ceil(3 / self.fmr)} non-mated"
                f" comparisons (rule of three), found {self.non_mated_trials}"
            )

    def to_json(self) -> dict[str, Any]:
        """The operating point as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OperatingPoint:
        """Read an operating point from a card's JSON.

        Raises:
            ModelCardError: A field is missing or malformed, or the claim has too little evidence.
        """
        try:
            low_high = value.get("fnmr_interval")
            interval = None if low_high is None else tuple(float(bound) for bound in low_high)
            if interval is not None and len(interval) != 2:
                raise ModelCardError(f"operating point: expected an interval [low, high], found {low_high!r}")
            return cls(
                threshold=float(value["threshold"]),
                fmr=float(value["fmr"]),
                fnmr=float(value["fnmr"]),
                mated_trials=int(value["mated_trials"]),
                non_mated_trials=int(value["non_mated_trials"]),
                data_set=str(value.get("data_set", "")),
                data_set_sha256=str(value.get("data_set_sha256", "")),
                fnmr_interval=interval,
            )
        except KeyError as error:
            raise ModelCardError(f"operating point: expected {error}, found none") from error
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, ModelCardError):
                raise
            raise ModelCardError(f"operating point: malformed field: {error}") from error
