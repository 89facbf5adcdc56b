"""Sections with error rates by group, and their change from the float file."""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.group_evidence import (
    CovariateEvidence,
    GroupChanges,
    GroupsEvidence,
    GroupTest,
    claim_figure,
)
from converters.evaluate.runner.group_text import (
    CHANGES_NOTE,
    change_verdicts,
    mean_over,
    p_value,
    small_groups,
    unclaimed,
)
from converters.number_format import fmr as fmr_text
from converters.number_format import percent, rate
from converters.report import group_plots
from converters.report.rendering import PageSection, render


def section(label: str, evidence: GroupsEvidence, *, anchor: str = "groups", of: str = "") -> PageSection:
    """Render the error rates of the groups of one file, all covariates at the same FMR.

    Args:
        label: Name of the file on the page.
        evidence: Error rates by group.
        anchor: Id of the heading and prefix of all ids, unique on the page.
        of: File in the name for the navigation, such as ` of int8`.
    """
    covariates = []
    shown = _shown_fmr(evidence.covariates)
    for number, covariate in enumerate(evidence.covariates):
        point = next((point for point in covariate.points if point.target_fmr == shown), None)
        if point is None:
            continue
        name = f"{anchor}-{number}"
        rates = group_plots.group_rates(covariate, point, name=f"{name}-rates")
        matrix = group_plots.fmr_matrix(covariate, point, name=f"{name}-matrix")
        verdicts = [(_verdict(fmr, test), test.value > test.others) for fmr, test in covariate.flagged()]
        claims = {claim_figure(own.target_fmr) for own in covariate.points if own is not point}
        small = small_groups([row for row in covariate.small if row.figure not in claims])
        worst = point.worst_group
        without = (
            [] if isinstance(worst, Unsupported) else unclaimed(worst, point.target_fmr, covariate.small)
        )
        covariates.append((covariate, point, rates, matrix, verdicts, [*small, *without]))
    content = render(
        "groups.html", anchor=anchor, label=label, evidence=evidence, covariates=covariates, shown=shown
    )
    return PageSection(anchor, f"Groups{of}", content)


def changes_section(label: str, rows: Sequence[GroupChanges], *, place: int = 0, of: str = "") -> PageSection:
    """Render the change of each group's error rates from the float file.

    Args:
        label: Name of the candidate on the page.
        rows: Changes by covariate and FMR.
        place: Number of the candidate on the page, from 0; it makes ids unique.
        of: Candidate in the name for the navigation, such as ` of int8`.
    """
    suffix = f"-{place + 1}" if place else ""
    drawn = [
        (row, group_plots.group_changes(row.changes, name=f"group-changes{suffix}-{number}"))
        for number, row in enumerate(rows)
    ]
    content = render(
        "group_changes.html",
        anchor=f"group-changes{suffix}",
        label=label,
        note=" ".join(CHANGES_NOTE),
        drawn=[(row, plot, change_verdicts(row.changes)) for row, plot in drawn],
    )
    return PageSection(f"group-changes{suffix}", f"Groups: change{of}", content)


def _shown_fmr(covariates: Sequence[CovariateEvidence]) -> float | None:
    """Choose one FMR for all covariates.

    Returns:
        The lowest FMR at which a group differs, otherwise the lowest with ten false matches in each group, otherwise the
        highest; None without rows.
    """
    points = [point for covariate in covariates for point in covariate.points]
    differing = [point.target_fmr for point in points if any(test.differs for test in point.tests)]
    least: dict[float, int] = {}
    for point in points:
        matches = min(row.false_matches for row in point.within)
        least[point.target_fmr] = min(matches, least.get(point.target_fmr, matches))
    counted = [fmr for fmr, matches in least.items() if matches >= 10]
    return min(differing or counted or [max(least)]) if least else None


def _verdict(fmr: float, test: GroupTest) -> str:
    shown = fmr_text if test.rate == "FMR" else percent
    direction = "higher" if test.value > test.others else "lower"
    return (
        f"{test.rate} of {test.group} is {direction} than that of the other groups at FMR {rate(fmr)}:"
        f" {shown(test.value)} against {shown(test.others)} ({mean_over(test)}; adjusted p {p_value(test.adjusted)})"
    )
