"""Plan an evaluation: with or without images of a pilot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.margin import DEFAULT_MARGIN
from converters.evaluate.metrics.planning import (
    LEAST_FNMR,
    TYPICAL,
    ClaimPlan,
    Plan,
    make_plan,
    measure_dependence,
    measure_fnmr,
)
from converters.number_format import fixed_percent, percent_range, subject_number, two_digits, wrapped
from edge_sdk.errors import InputError

SCHEMA = "edge-sdk/evaluation-plan/1"

_DEFAULT_IMAGES = 4
_DEFAULT_FNMR = 0.05


@dataclass(frozen=True)
class PlanResult:
    """A plan and its notes.

    Args:
        plan: The plan.
        notes: Assumptions, one line each.
    """

    plan: Plan
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {"schema": SCHEMA, **self.plan.to_json(), "notes": list(self.notes)}

    def to_text(self) -> str:
        """Format the plan for a terminal."""
        lines = [f"subjects to collect, with {self.plan.images_per_subject} images of each", ""]
        lines.append(
            f"{'FMR':>8}  {'least':>7}  {'needed':<19}  {'comfortable':<19}  {'FNMR':>9}  TAR, 95 % interval"
        )
        lines += [_line(row) for row in self.plan.claims]
        low, high = (two_digits(number) for number in self.plan.difference.subjects)
        source = (
            " (not from the pilot: edge-convert compare measures the difference of two files on it)"
            if self.plan.pilot
            else ""
        )
        lines += [
            "",
            *wrapped(
                f"to find that a file is no worse than another by {100 * self.plan.difference.margin:g} points of TAR:"
                f" {_range((low, high))} subjects with two or more images of each{source}"
            ),
            "",
            *(line for note in self.notes for line in wrapped(note)),
        ]
        return "\n".join(lines)


def plan(
    fmrs: Sequence[float],
    *,
    pilot: EmbeddedSamples | None = None,
    images_per_subject: int | None = None,
    margin: float = DEFAULT_MARGIN,
    fnmr: float | None = None,
) -> PlanResult:
    """Compute the number of subjects for claims of FMR and for a difference.

    Args:
        fmrs: FMRs to claim, each at least 1e-9 and under 1.
        pilot: Embedded images of a pilot (default: a range of populations is assumed).
        images_per_subject: 1..1000 (default: 4, or the mean of the pilot).
        margin: Largest acceptable loss of TAR, a share.
        fnmr: Expected FNMR, above 0 and under 1 (default: 0.05, or those of the pilot at each FMR).

    Raises:
        InputError: A value is outside its range, or the pilot has too few subjects.
    """
    dependence, name, basis = (
        TYPICAL,
        "",
        "people who are nearly equal, and people as unequal as those of LFW",
    )
    fnmrs: dict[float, tuple[float, float]] = {}
    if pilot is not None:
        comparisons = pilot.all_pairs()
        measured = measure_dependence(comparisons)
        if isinstance(measured, Unsupported):
            raise InputError(
                measured.reason,
                hint="for example, 16 subjects with 3 images each suffice; or plan without a pilot",
            )
        own, measured_fnmr = measured
        subjects = len(set(pilot.subjects))
        dependence, name = (own, own), pilot.data_set
        if images_per_subject is None:
            images_per_subject = max(1, round(len(pilot.names) / subjects))
        if fnmr is None:
            fnmr, fnmrs = max(measured_fnmr, LEAST_FNMR), measure_fnmr(comparisons, fmrs)
        basis = f"people as unequal as the {subjects} of {name}, measured at FMR {own.at_fmr:.2g}"
    images = _DEFAULT_IMAGES if images_per_subject is None else images_per_subject
    expected = _DEFAULT_FNMR if fnmr is None else fnmr
    made = make_plan(
        fmrs,
        images_per_subject=images,
        margin=margin,
        fnmr=expected,
        measured=fnmrs,
        dependence=dependence,
        pilot=name,
    )
    rates = f"FNMR {100 * expected:.3g} % at each FMR"
    if fnmrs:
        rates = "FNMR of the pilot at each FMR"
        least = min(at for _, at in fnmrs.values())
        if any(row.fnmr_at is not None and row.fnmr_at > row.fmr for row in made.claims):
            rates += f"; marked > is the FNMR at FMR {least:g}, the lowest that the pilot supports: expect a lower TAR"

    return PlanResult(
        made,
        (
            "least: no false match and independent comparisons; needed: nine of ten data sets support the claim;"
            " comfortable: ten false matches are allowed",
            f"assumed: {basis}; {rates}; the same number of images of each subject; the camera,"
            " place and kind of people of the door",
        ),
    )


def _line(row: ClaimPlan) -> str:
    tar = "needs two images of each" if row.tar_interval is None else percent_range(*row.tar_interval)
    fnmr = fixed_percent(row.fnmr)
    if row.fnmr_at is not None and row.fnmr_at > row.fmr:
        fnmr = f"> {fnmr}"
    return f"{row.fmr:>8g}  {row.least:>7,}  {_range(row.subjects):<19}  {_range(row.comfortable):<19}  {fnmr:>9}  {tar}"


def _range(numbers: tuple[int, int]) -> str:
    low, high = (subject_number(number) for number in numbers)
    return low if low == high else f"{low} to {high}"
