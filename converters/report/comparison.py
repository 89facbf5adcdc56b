"""Sections that compare candidates with the float file on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TypeAlias

from converters.evaluate.metrics.difference_evidence import (
    FidelityEvidence,
    PairedDifference,
    SmoothedDifference,
    ThresholdDrift,
)
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.margin import DEFAULT_MARGIN
from converters.evaluate.runner.comparison_result import CandidateComparison, ComparisonResult
from converters.number_format import rate
from converters.report import groups, plots
from converters.report.evidence_text import claimed_rate, distinct_labels, fmr_range
from converters.report.images import Picture
from converters.report.rendering import PageSection, render
from converters.report.verification import curves, operating_points

_ForestRow: TypeAlias = tuple[str, SmoothedDifference | Unsupported, PairedDifference | Unsupported | None]


def sections(
    comparison: ComparisonResult, thumbnails: Mapping[str, Picture] | None, *, tables: bool
) -> list[PageSection]:
    """Render the sections of a comparison in reading order.

    Args:
        comparison: Result of the comparison.
        thumbnails: Images by name; None shows names only.
        tables: Include the tables of operating points, which a page with evaluations already has.
    """
    rendered: list[PageSection] = []
    if comparison.verification is not None:
        rendered.append(_error_rates(comparison))
        if tables:
            measured = [
                (item.artefact, item.verification, ())
                for item in comparison.candidates
                if item.verification is not None
            ]
            baseline = (comparison.baseline, comparison.verification, ())
            rendered.append(operating_points("points", [baseline, *measured]))
    if comparison.groups is not None:
        rendered.append(groups.section(comparison.baseline.file, comparison.groups, of=" of float"))
    labels = distinct_labels([candidate.artefact for candidate in comparison.candidates])
    for place, (label, candidate) in enumerate(zip(labels, comparison.candidates, strict=True)):
        suffix = f"-{place + 1}" if place else ""
        of = f" of {label}" if len(labels) > 1 else ""
        if candidate.fidelity is not None:
            content = render(
                "thresholds.html",
                anchor=f"thresholds{suffix}",
                candidate=candidate,
                worst=_largest_drift(candidate.fidelity),
            )
            rendered.append(PageSection(f"thresholds{suffix}", f"Thresholds{of}", content))
        if candidate.group_changes:
            rendered.append(groups.changes_section(label, candidate.group_changes, place=place, of=of))
        content = render(
            "changed_images.html",
            anchor=f"images{suffix}",
            candidate=candidate,
            images=comparison.images,
            pictures=thumbnails or {},
            names_only=thumbnails is None,
        )
        rendered.append(PageSection(f"images{suffix}", f"Images{of}", content))
    return rendered


def _error_rates(comparison: ComparisonResult) -> PageSection:
    candidates = [c for c in comparison.candidates if c.verification is not None]
    labels = distinct_labels([comparison.baseline, *(c.artefact for c in candidates)])
    evidence = [comparison.verification, *(c.verification for c in candidates)]
    series = [(label, item) for label, item in zip(labels, evidence, strict=True) if item is not None]
    differences = [
        (
            candidate,
            _compared_names(candidate, comparison),
            plots.forest(_rows(candidate), margin=_margin(candidate), name=f"forest{place}"),
            {row.lowest_fmr: row for row in candidate.smoothed if isinstance(row, SmoothedDifference)},
            f"{100 * _margin(candidate):g}",
        )
        for place, candidate in enumerate(candidates)
        if candidate.differences
    ]
    content = render(
        "error_rates.html",
        curves=curves(series, prefix="compared"),
        differences=differences,
        data_set=comparison.data_set,
    )
    return PageSection("error-rates", "Error rates", content)


def _compared_names(candidate: CandidateComparison, comparison: ComparisonResult) -> tuple[str, str]:
    """Name the float file and the candidate by precision, or by kernels if both are the same file."""
    if candidate.artefact.same_file_as(comparison.baseline):
        return comparison.baseline.kernels, candidate.artefact.kernels
    return "float", candidate.artefact.precision


def _margin(candidate: CandidateComparison) -> float:
    return DEFAULT_MARGIN if candidate.verdict is None else candidate.verdict.margin


def _rows(candidate: CandidateComparison) -> list[_ForestRow]:
    """Return the rows of the figure: the range of FMR first, then each FMR with its counted difference."""
    rows: list[_ForestRow] = []
    if isinstance(candidate.pooled, SmoothedDifference):
        rows.append((fmr_range(candidate.pooled), candidate.pooled, None))
    smoothed = {row.lowest_fmr: row for row in candidate.smoothed if isinstance(row, SmoothedDifference)}
    for counted in candidate.differences:
        fmr = claimed_rate(counted) if isinstance(counted, Unsupported) else counted.target_fmr
        own = smoothed.get(fmr, Unsupported(f"difference at FMR {fmr:g}", 0, 0, "too few subjects"))
        rows.append((f"FMR {rate(fmr)}", own, counted))
    return rows


def _largest_drift(fidelity: FidelityEvidence) -> ThresholdDrift | None:
    """Return the row whose FMR at the float threshold differs from the target by the largest factor."""
    stated = [row for row in fidelity.drifts if isinstance(row, ThresholdDrift)]
    return max(
        stated,
        key=lambda row: abs(log(max(row.fmr_at_baseline_threshold, 1e-12) / row.target_fmr)),
        default=None,
    )
