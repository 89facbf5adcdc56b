"""Format probability evidence as lines for a terminal."""

from __future__ import annotations

import numpy as np

from converters.evaluate.metrics.probability import prior_odds
from converters.evaluate.metrics.probability_evidence import ProbabilityEvidence
from converters.number_format import probability, wrapped

#: Probability whose score is shown at other priors.
EXAMPLE = 0.9
PRIORS = (0.5, 0.1, 0.01)


def probability_lines(evidence: ProbabilityEvidence) -> list[str]:
    """Format the conversion of a score to a probability, its prior, and its quality."""
    platt, sign = evidence.platt, "-" if evidence.platt.intercept < 0 else "+"
    lines = [
        f"probability of one subject at prior {platt.prior:g}:"
        f" 1 / (1 + exp(-({platt.slope:.4f} * score {sign} {abs(platt.intercept):.4f})))"
    ]
    example = example_at_priors(evidence)
    if example is None:
        lines += wrapped(no_example(evidence), indent="  ")
    else:
        score, chances = example
        at = ", ".join(f"{probability(chance)} at prior {prior:g}" for prior, chance in chances)
        lines += wrapped(
            f"the same score has another probability at another prior: {score:.4f} means {at}", indent="  "
        )
    lines += wrapped(
        f"Cllr {evidence.cllr:.4f} bits (minimum {evidence.min_cllr:.4f}), Brier score {evidence.brier:.2e},"
        f" {evidence.validation}",
        indent="  ",
    )
    if evidence.not_validated is not None:
        lines += wrapped(evidence.not_validated.reason, indent="  ")
    else:
        lines.append(
            f"  on the comparisons of the fit itself: Cllr {evidence.in_sample.cllr:.4f} bits,"
            f" Brier score {evidence.in_sample.brier:.2e}"
        )
    return lines


def example_at_priors(evidence: ProbabilityEvidence) -> tuple[float, tuple[tuple[float, float], ...]] | None:
    """Return the score with probability 0.9 at the prior of the fit, and (prior, its probability) at several priors.

    Returns:
        None if no score in -1..1 has this probability.
    """
    platt = evidence.platt
    if platt.slope <= 0:
        return None
    score = (prior_odds(EXAMPLE) - platt.intercept) / platt.slope
    if not -1.0 <= score <= 1.0:
        return None
    priors = sorted({platt.prior, *PRIORS}, reverse=True)
    at = np.array([score])
    return score, tuple((prior, float(platt.probability(at, prior=prior)[0])) for prior in priors)


def no_example(evidence: ProbabilityEvidence) -> str:
    """Explain why `example_at_priors` has no score."""
    if evidence.platt.slope <= 0:
        return "no example at other priors: a higher score gives no higher probability"
    return (
        f"no example at other priors: no score in -1..1 has probability {EXAMPLE:g} at prior"
        f" {evidence.platt.prior:g}"
    )
