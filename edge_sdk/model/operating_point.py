"""Operating points: a threshold and the evidence for what it does (ISO/IEC 19795-1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.errors import ModelCardError

# No data set has the evidence for less; far below it 3 / fmr is no longer a number.
_LEAST_FMR = 1e-15
# Captures taken one after the other are of one subject, save by mistake: a loose point finds the mistake.
_CAPTURES_FMR = 1e-2


@dataclass(frozen=True)
class OperatingPoint:
    """A cosine threshold with its measured rates.

    Args:
        threshold: Cosine similarity; a comparison matches at or above it.
        fmr: False match rate per comparison that the threshold is claimed for; what was measured is at
            most that.
        fnmr: False non-match rate, measured.
        mated_trials: Comparisons of the same subject that were made.
        non_mated_trials: Comparisons of different subjects that were made.
        data_set: Name of the images that the rates were measured on.
        data_set_sha256: Digest of these images, hex.
        fnmr_interval: Bounds of the FNMR's confidence interval, where one was measured.
        fmr_interval: The same of the FMR.
        fmr_measured: FMR at the threshold, at most ``fmr``.
        runtime: Package and version that ran the network, such as ``ai-edge-litert 2.3.0``; empty where it
            was not recorded.
        kernels: What computed in it: ``xnnpack``, ``reference``, or a delegate's library. Others give other
            scores, so the rates are theirs alone; empty where it was not recorded.

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
    fmr_interval: tuple[float, float] | None = None
    fmr_measured: float | None = None
    runtime: str = ""
    kernels: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and -1 <= self.threshold <= 1):
            raise ModelCardError(
                f"operating point: expected a cosine threshold in -1..1, found {self.threshold}"
            )
        if not _LEAST_FMR <= self.fmr <= 1 or not 0 <= self.fnmr <= 1:
            raise ModelCardError(
                f"operating point: expected FMR in (0, 1] and FNMR in 0..1, found {self.fmr}, {self.fnmr}"
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
        for name, interval in (("FNMR", self.fnmr_interval), ("FMR", self.fmr_interval)):
            if interval is not None and not 0 <= interval[0] <= interval[1] <= 1:
                raise ModelCardError(
                    f"operating point: expected an {name} interval in 0..1, found {interval}"
                )
        if self.fmr_measured is not None and not 0 <= self.fmr_measured <= self.fmr:
            raise ModelCardError(
                f"operating point: expected a measured FMR of at most {self.fmr:g}, found {self.fmr_measured}"
            )

    def fpir(self, references: int) -> float:
        """False positive identification rate of a search over N references: 1 - (1 - FMR)^N.

        Holds for independent comparisons (ISO/IEC 19795-1).

        Args:
            references: N, templates searched, 0 or more.

        Raises:
            ModelCardError: N is negative.
        """
        return _fpir(self.fmr, references)

    def fpir_interval(self, references: int) -> tuple[float, float] | None:
        """The FPIR of a search over N references at both ends of the FMR's interval; None where none was measured.

        A threshold for FMR f that stands on a few false matches keeps f on other people but roughly: the upper end
        says how roughly.

        Args:
            references: N, templates searched, 0 or more.

        Raises:
            ModelCardError: N is negative.
        """
        if self.fmr_interval is None:
            return None
        low, high = self.fmr_interval
        return _fpir(low, references), _fpir(high, references)

    @classmethod
    def for_identification(
        cls, points: Sequence[OperatingPoint], *, fpir: float, references: int
    ) -> OperatingPoint:
        """The point to search N references with: the one of the greatest FMR that keeps the FPIR.

        A search is N comparisons, so each may have FMR <= 1 - (1 - FPIR)^(1/N).

        Args:
            points: Of one model card.
            fpir: How often a stranger may be taken for somebody, above 0 and under 1.
            references: N, templates searched, 1 or more.

        Raises:
            ModelCardError: A value outside its range, or no point is strict enough; says what evidence it takes.
        """
        if not 0 < fpir < 1 or references < 1:
            raise ModelCardError(
                f"expected FPIR above 0 and under 1 and 1 or more references, found {fpir} and {references}"
            )
        wanted = -math.expm1(math.log1p(-fpir) / references)
        fitting = [point for point in points if point.fmr <= wanted]
        if wanted < _LEAST_FMR:
            raise ModelCardError(
                f"an FPIR of {fpir:g} over {references} references takes an FMR of {wanted:.3g},"
                " which no operating point claims",
                hint="ask for a greater FPIR",
            )
        if not fitting:
            known = ", ".join(f"{point.fmr:g}" for point in sorted(points, key=lambda p: p.fmr)) or "none"
            raise ModelCardError(
                f"an FPIR of {fpir:g} over {references} references takes an operating point at FMR {wanted:.3g} or less,"
                f" found {known}",
                hint=f"edge-convert evaluate --write-card --fmr {_round_down(wanted):g} measures one, with"
                f" {math.ceil(3 / _round_down(wanted))} non-mated comparisons or more",
            )
        return max(fitting, key=lambda point: (point.fmr, -point.threshold))

    @classmethod
    def for_captures(cls, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
        """The point that captures of one subject must reach with one another: the greatest FMR up to 1e-2.

        Args:
            points: Of one model card.

        Returns:
            None where no point is that strict.
        """
        fitting = [point for point in points if point.fmr <= _CAPTURES_FMR]
        return max(fitting, key=lambda point: point.fmr, default=None)

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
            measured = value.get("fmr_measured")
            return cls(
                threshold=float(value["threshold"]),
                fmr=float(value["fmr"]),
                fnmr=float(value["fnmr"]),
                mated_trials=int(value["mated_trials"]),
                non_mated_trials=int(value["non_mated_trials"]),
                data_set=str(value.get("data_set", "")),
                data_set_sha256=str(value.get("data_set_sha256", "")),
                fnmr_interval=_interval(value.get("fnmr_interval")),
                fmr_interval=_interval(value.get("fmr_interval")),
                fmr_measured=None if measured is None else float(measured),
                runtime=str(value.get("runtime", "")),
                kernels=str(value.get("kernels", "")),
            )
        except KeyError as error:
            raise ModelCardError(f"operating point: expected {error}, found none") from error
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, ModelCardError):
                raise
            raise ModelCardError(f"operating point: malformed field: {error}") from error


def _fpir(fmr: float, references: int) -> float:
    if references < 0:
        raise ModelCardError(f"expected 0 or more references, found {references}")
    if fmr == 1:
        return 1.0 if references else 0.0
    return -math.expm1(references * math.log1p(-fmr))


def _interval(low_high: Any) -> tuple[float, float] | None:
    if low_high is None:
        return None
    bounds = [float(bound) for bound in low_high]
    if len(bounds) != 2:
        raise ModelCardError(f"operating point: expected an interval [low, high], found {low_high!r}")
    return bounds[0], bounds[1]


def _round_down(rate: float) -> float:
    """The rate with two digits, never above it, so that it can be typed."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    digits = math.floor(rate / step)
    rounded = float(f"{digits * step:.2g}")
    return rounded if rounded <= rate else float(f"{(digits - 1) * step:.2g}")
