"""Sections with the results of artefacts on labelled images: error rates, 1:N, probability, worst errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.probability_evidence import ProbabilityEvidence
from converters.evaluate.runner.evaluate import Evaluation
from converters.evaluate.runner.identification import IdentificationEvidence
from converters.evaluate.runner.probability_text import example_at_priors, no_example
from converters.number_format import scientific, signed
from converters.report import groups, plots, probability_plots
from converters.report.evidence_text import distinct_labels
from converters.report.images import Picture
from converters.report.rendering import PageSection, render
from converters.report.verification import curves, operating_points


def sections(
    evaluations: Sequence[Evaluation], thumbnails: Mapping[str, Picture] | None, *, with_curves: bool
) -> list[PageSection]:
    """Render the sections of evaluations in reading order.

    Args:
        evaluations: At least one.
        thumbnails: Images by name; None shows names only.
        with_curves: Include histograms and DET curves, which a page with a comparison already has.
    """
    labels = distinct_labels([evaluation.artefact for evaluation in evaluations])
    series = [(label, e.verification) for label, e in zip(labels, evaluations, strict=True)]
    measured = [(e.artefact, e.verification, e.notes) for e in evaluations]
    drawn = curves(series, prefix="evaluated") if with_curves else ""
    rendered = [operating_points("thresholds-table", measured, drawn)]
    across = [(label, e.cameras) for label, e in zip(labels, evaluations, strict=True) if e.cameras]
    if across:
        plot = plots.cross_camera_match(across, name="across-cameras-ranks")
        content = render("across_cameras.html", across=across, plot=plot)
        rendered.append(PageSection("across-cameras", "Across cameras", content))
    searched = [
        (label, e.identification) for label, e in zip(labels, evaluations, strict=True) if e.identification
    ]
    if searched:
        rendered.append(_identification(searched))
    probabilities = [
        (label, e.probability) for label, e in zip(labels, evaluations, strict=True) if e.probability
    ]
    if probabilities:
        rendered.append(_probability(probabilities))
    grouped = [(label, e.groups) for label, e in zip(labels, evaluations, strict=True) if e.groups]
    rendered += [
        groups.section(label, e, anchor=f"groups-{place}", of=f" of {label}" if len(grouped) > 1 else "")
        for place, (label, e) in enumerate(grouped)
    ]
    analyses = [
        (e.artefact.file, e.verification.images, e.errors) for e in evaluations if e.errors is not None
    ]
    if analyses:
        content = render("errors.html", analyses=analyses, pictures=thumbnails or {})
        rendered.append(PageSection("errors", "Worst errors", content))
    return rendered


def _identification(searched: Sequence[tuple[str, IdentificationEvidence]]) -> PageSection:
    drawn = [(label, e) for label, e in searched if not isinstance(e.ranks, Unsupported)]
    plot = plots.cumulative_match(drawn, name="ranks") if drawn else None
    content = render("identification.html", searched=searched, drawn=drawn, plot=plot)
    return PageSection("identification", "1:N", content)


def _probability(series: Sequence[tuple[str, ProbabilityEvidence]]) -> PageSection:
    fits = [fit for _, fit in series]
    content = render(
        "probability.html",
        reliability=probability_plots.reliability(series, name="reliability"),
        by_score=probability_plots.by_score(series, name="probability-by-score"),
        labels=[label for label, _ in series],
        fits=fits,
        example=example_at_priors(fits[0]),
        no_example=no_example(fits[0]),
        rows=[
            ("Slope", [f"{fit.platt.slope:.3f}" for fit in fits]),
            ("Intercept", [signed(fit.platt.intercept, 3) for fit in fits]),
            ("Prior", [f"{fit.platt.prior:g}" for fit in fits]),
            ("Cllr", [f"{fit.cllr:.4f} bits" for fit in fits]),
            ("Cllr on the fit itself", [f"{fit.in_sample.cllr:.4f} bits" for fit in fits]),
            ("Minimum Cllr (PAV)", [f"{fit.min_cllr:.4f} bits" for fit in fits]),
            ("Brier score", [scientific(fit.brier) for fit in fits]),
            ("Brier score on the fit itself", [scientific(fit.in_sample.brier) for fit in fits]),
            ("Log loss", [f"{scientific(fit.log_loss)} nats" for fit in fits]),
            ("Validation", [fit.validation for fit in fits]),
            ("Mated comparisons", [f"{fit.platt.mated_trials:,.0f}" for fit in fits]),
            ("Non-mated comparisons", [f"{fit.platt.non_mated_trials:,.0f}" for fit in fits]),
            ("Subjects", [f"{fit.subjects:,}" for fit in fits]),
        ],
    )
    return PageSection("probability", "Probability", content)
