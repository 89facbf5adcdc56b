"""Sections with error rates by group, and their change from the float file."""

from __future__ import annotations

from collections.abc import Sequence

from converters.evaluate.metrics.group_evidence import (
    CovariateEvidence,
    GroupChanges,
    GroupPoint,
    GroupsEvidence,
    GroupTest,
)
from converters.evaluate.runner.group_text import change_verdicts, mean_over, p_value
from converters.number_format import measured_rate, percent, rate
from converters.report import group_plots
from converters.report.rendering import PageSection, render


def section(label: str, evidence: GroupsEvidence, *, anchor: str = "groups") -> PageSection:
    """Render the error rates of the groups of one file, at one FMR.

    Args:
        label: Name of the file on the page.
        evidence: Error rates by group.
        anchor: Id of the heading and prefix of all ids, unique on the page.
    """
    covariates = []
    for number, covariate in enumerate(evidence.covariates):
        point = _shown(covariate)
        if point is None:
            continue
        name = f"{anchor}-{number}"
        rates = group_plots.group_rates(covariate, point, name=f"{name}-rates")
        matrix = group_plots.fmr_matrix(covariate, point, name=f"{name}-matrix")
        verdicts = [(_verdict(fmr, test), test.value > test.others) for fmr, test in covariate.flagged()]
        covariates.append((covariate, point, rates, matrix, verdicts))
    content = render("groups.html", anchor=anchor, label=label, evidence=evidence, covariates=covariates)
    return PageSection(anchor, "Groups", content)


def changes_section(label: str, rows: Sequence[GroupChanges], *, place: int = 0) -> PageSection:
    """Render the change of each group's error rates from the float file.

    Args:
        label: Name of the candidate on the page.
        rows: Changes by covariate and FMR.
        place: Number of the candidate on the page, from 0; it makes ids unique.
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
        drawn=[(row, plot, change_verdicts(row.changes)) for row, plot in drawn],
    )
    return PageSection(f"group-changes{suffix}", "Groups: change", content)


def _shown(covariate: CovariateEvidence) -> GroupPoint | None:
    """Return the lowest FMR at which a group differs, otherwise the lowest with ten false matches in each group."""
    if not covariate.points:
        return None
    differing = [point for point in covariate.points if any(test.differs for test in point.tests)]
    counted = [point for point in covariate.points if min(row.false_matches for row in point.within) >= 10]
    return min(differing or counted or covariate.points[:1], key=lambda point: point.target_fmr)


def _verdict(fmr: float, test: GroupTest) -> str:
    shown = measured_rate if test.rate == "FMR" else percent
    direction = "higher" if test.value > test.others else "lower"
    return (
        f"{test.rate} of {test.group} is {direction} than that of the other groups at FMR {rate(fmr)}:"
        f" {shown(test.value)} against {shown(test.others)} ({mean_over(test)}; adjusted p {p_value(test.adjusted)})"
    )
