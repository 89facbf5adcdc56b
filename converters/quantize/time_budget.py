"""Budget of a recipe search with a limit on inference time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from converters.errors import CalibrationError, ConversionError
from converters.graph.latency import ATTEMPTS, TimeRatio, time_ratio
from converters.graph.network import Network
from converters.quantize.budget import Budget, BudgetVerdict, Candidate
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import SampleArray


@dataclass(frozen=True, eq=False)
class TimedBudget:
    """A budget combined with a limit on inference time.

    Args:
        budget: The budget to keep within the time limit.
        most: Time limit as a share of the float network's time on this machine: 0.85 is 85 %.
        ratio: Function that returns the time of a network as a share of the float network's time. It measures each
            network once, so the reported time is the one that was checked.
    """

    budget: Budget
    most: float
    ratio: Callable[[Network], float]

    @classmethod
    def of(
        cls, budget: Budget, most: float, network: Network, contract: AnyContract, crop: SampleArray
    ) -> TimedBudget:
        """Combine a budget with a time limit relative to a float network.

        Args:
            budget: The budget to keep within the time limit.
            most: Time limit as a share of the float network's time, above 0.
            network: The float network.
            contract: Its input contract.
            crop: Image to run both networks on, shape (H, W, C), uint8.

        Raises:
            CalibrationError: ``most`` is not above 0.
        """
        if not (math.isfinite(most) and most > 0):
            raise CalibrationError(f"expected a time ratio above 0, found {most:g}")

        def measured(candidate: Network) -> float:
            ratio = time_ratio(candidate, network, contract, crop, settled=lambda ratio: ratio.decides(most))
            return require_decision(ratio, most)

        return cls(budget, most, cache(measured))

    @property
    def goal(self) -> str:
        """The condition as text."""
        return f"{self.budget.goal}, in at most {self.most:g} of the float network's time"

    def check(self, candidate: Candidate) -> BudgetVerdict:
        """Check the budget and the time limit; the verdict is met only if both are kept."""
        verdict = self.budget.check(candidate)
        ratio = self.ratio(candidate.network)
        over = max(0.0, ratio - self.most)
        return BudgetVerdict(
            verdict.met and not over,
            verdict.margin,
            f"{verdict.measured}, {ratio:.2f} of the float network's time",
            over,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the budget as JSON values for the report."""
        return {**self.budget.to_json(), "goal": self.goal, "max_time_ratio": self.most}


def require_decision(ratio: TimeRatio, most: float) -> float:
    """Return the value of a ratio that decides a time limit.

    Raises:
        ConversionError: The ratio is unreliable, and the limit lies within its spread.
    """
    if ratio.decides(most):
        return ratio.value
    raise ConversionError(
        f"max_time_ratio: expected times that decide the limit of {most:g}; after {ATTEMPTS} measurements they are"
        f" {ratio.unreliable}",
        hint="end other programs and convert again, or leave --max-time-ratio out",
    )
