"""Budgets: conditions on an int8 network that end a recipe search.

The images of a budget choose the recipe, so figures of the artefact must be measured on other images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from converters.evaluate.metrics.quantiles import student_quantile
from converters.graph.network import Network
from edge_sdk.types import FloatArray

#: Default of the mean cosine at which a search stops.
SEARCH_COSINE = 0.995
# A normal distribution is below the mean plus one standard deviation with this probability.
_CONFIDENCE = 0.8413


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network built by a search.

    Args:
        network: The int8 network.
        cosines: Cosine of the float and int8 embeddings of each selection image, shape (n,).
    """

    network: Network
    cosines: FloatArray


@dataclass(frozen=True)
class BudgetVerdict:
    """Result of checking a candidate against a budget.

    Args:
        met: True if the candidate keeps the budget.
        margin: Difference to the limit in the unit of the budget; negative if the budget is missed.
        measured: The measured figures as text.
        over: Excess over a time limit, as a share of the float network's time; 0 within the limit.
    """

    met: bool
    margin: float
    measured: str
    over: float = 0.0


class Budget(Protocol):
    """Condition on the int8 network; a search stops at the first candidate that keeps it."""

    @property
    def goal(self) -> str:
        """The condition as text, to continue "searched for ..."."""

    def check(self, candidate: Candidate) -> BudgetVerdict:
        """Measure a candidate and compare it with the limit."""

    def to_json(self) -> dict[str, Any]:
        """Return the goal and the images it is measured on as JSON values for the report."""


@dataclass(frozen=True)
class CosineBudget:
    """Lower limit for the mean cosine between float and int8 embeddings of the selection images.

    Args:
        least: Limit, 0..1; the lower limit of the mean must reach it.
        loss_factor: Factor by which the loss (1 - cosine) on the selection images is multiplied, because it is larger on
            the images that the device sees; 1 or more.
    """

    least: float = SEARCH_COSINE
    loss_factor: float = 1.0

    @property
    def goal(self) -> str:
        """The condition as text."""
        counted = (
            f", with the loss on drawn pictures times {self.loss_factor:g}" if self.loss_factor != 1 else ""
        )
        return f"a mean cosine of {self.least:g} to float{counted}"

    def check(self, candidate: Candidate) -> BudgetVerdict:
        """Compare the lower limit of the mean cosine, with a confidence of 84 %, with the limit.

        With many images this is the mean minus one standard error; with few images it is lower. One image has no limit.
        """
        mean, images = float(candidate.cosines.mean()), len(candidate.cosines)
        quantile = student_quantile(_CONFIDENCE, images - 1) if images > 1 else 0.0
        loss = self.loss_factor * (1 - mean + quantile * standard_error(candidate.cosines))
        lower = 1 - loss if images > 1 else 0.0
        return BudgetVerdict(
            lower >= self.least, lower - self.least, f"mean cosine {mean:.4f}, lower bound {lower:.4f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the budget as JSON values for the report."""
        return {"goal": self.goal, "kind": "cosine", "least": self.least}


def standard_error(values: FloatArray) -> float:
    """Return the standard error of the mean; 0 for a single value."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
