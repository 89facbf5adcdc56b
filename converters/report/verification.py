"""Figures and tables of 1:1 error rates on one data set, for one or several artefacts."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence, VerificationEvidence
from converters.evaluate.runner.identity import ArtefactIdentity
from converters.report import plots
from converters.report.det_plot import det, has_band
from converters.report.rendering import PageSection, render


def curves(series: plots.Series, *, prefix: str) -> Markup:
    """Draw the score histograms and the DET curves side by side.

    Args:
        series: (label, evidence) of each artefact.
        prefix: Prefix of the ids in both figures, unique on the page.
    """
    fmr = _common_fmr([evidence for _, evidence in series])
    return render(
        "curves.html",
        histograms=plots.histograms(series, name=f"{prefix}-scores", fmr=fmr),
        det=det(series, name=f"{prefix}-det"),
        banded=any(has_band(evidence) for _, evidence in series),
        labels=[label for label, _ in series],
        evidence=series[0][1],
        fmr=fmr,
    )


def operating_points(
    anchor: str,
    measured: Sequence[tuple[ArtefactIdentity, VerificationEvidence, Sequence[str]]],
    drawn: Markup | str = "",
) -> PageSection:
    """List thresholds and measured rates per target FMR for each artefact.

    Args:
        anchor: Id of the heading.
        measured: (artefact, its evidence, notes).
        drawn: Figures above the tables.
    """
    content = render("operating_points.html", anchor=anchor, measured=measured, curves=drawn)
    return PageSection(anchor, "Operating points", content)


def _common_fmr(evidence: Sequence[VerificationEvidence]) -> float | None:
    """Return the lowest FMR of at least 1e-3 for which every artefact has a threshold; None if there is none."""
    stated = [{p.target_fmr for p in e.points if isinstance(p, OperatingPointEvidence)} for e in evidence]
    common = set.intersection(*stated) if stated else set()
    return min((f for f in common if f >= 1e-3), default=None)
