"""Cost of a network as a function of its channels, and budgets for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_train.errors import PlanError

if TYPE_CHECKING:
    from edge_train.backbones.channels import LayerWork

#: Kinds of ``LayerWork``.
KINDS = ("convolution", "pointwise", "depthwise")


@dataclass(frozen=True, kw_only=True)
class LayerRates:
    """Linear model of the cost of a layer.

    Args:
        multiplication: Cost of a multiplication, for each kind of layer.
        weight: Cost of a weight.
        value: Cost of an output value.
        layer: Cost of a layer, whatever its size.
        unit: Unit of the cost, for reports.
    """

    multiplication: Mapping[str, float]
    weight: float = 0.0
    value: float = 0.0
    layer: float = 0.0
    unit: str = ""

    def pairs(self, work: LayerWork) -> float:
        """Return the cost per pair of an input and an output channel; for a depthwise layer, per channel."""
        return work.taps * (work.positions * self.multiplication.get(work.kind, 0.0) + self.weight)

    def cost(self, work: Sequence[LayerWork], channels: Mapping[str, Any]) -> Any:
        """Return the cost of a network.

        Args:
            work: The layers with weights (``edge_train.backbones.channels.structure``).
            channels: Number of channels of each group.
        """
        return sum(self._layer_cost(item, channels) for item in work)

    def of_terms(self, terms: Mapping[str, float]) -> float:
        """Return the cost of the work of a network (``work_of``), without a cost of weights."""
        multiplications = sum(self.multiplication.get(kind, 0.0) * terms[kind] for kind in KINDS)
        return multiplications + self.value * terms["value"] + self.layer * terms["layer"]

    def _layer_cost(self, work: LayerWork, channels: Mapping[str, Any]) -> Any:
        inputs, outputs = ends(work, channels)
        pairs = outputs if work.kind == "depthwise" else inputs * outputs
        return self.pairs(work) * pairs + self.value * work.positions * outputs + self.layer


#: Multiplications of an inference.
MACS = LayerRates(multiplication=dict.fromkeys(KINDS, 1.0), unit="multiplications")
#: Bytes of the weights in int8.
SIZE = LayerRates(multiplication={}, weight=1.0, unit="bytes of int8 weights")


@dataclass(frozen=True)
class Budget:
    """Limit on the cost of a network.

    Args:
        limit: Largest cost, above 0, in the unit of the rates.
        rates: Cost of a layer: ``MACS``, ``SIZE``, or the result of ``fit_rates`` for the time on a target.
    """

    limit: float
    rates: LayerRates = MACS

    def __post_init__(self) -> None:
        if not 0 < self.limit < math.inf:
            raise PlanError(f"budget: expected a limit above 0, found {self.limit!r}")

    @classmethod
    def parse(cls, text: str, *, time: LayerRates | None = None) -> Budget:
        """Read a budget such as ``macs=20e6``, ``size=200e3`` or ``time=1.5``.

        Args:
            text: Name and limit: multiplications, bytes of int8 weights, or the unit of ``time``.
            time: Rates of a target for ``time``; None if times were not measured.

        Raises:
            PlanError: Another name, a limit that is no number above 0, or a time without rates.
        """
        rates = {"macs": MACS, "size": SIZE, "time": time}
        name, equals, value = text.partition("=")
        if not equals or name not in rates:
            raise PlanError(f"budget: expected macs=NUMBER, size=BYTES or time=MILLISECONDS, found {text!r}")
        chosen = rates[name]
        if chosen is None:
            raise PlanError(
                "budget: expected measured rates for a budget of time, found none",
                hint="fit_rates computes them from times of a few networks on the target",
            )
        try:
            return cls(float(value), chosen)
        except ValueError as error:
            raise PlanError(f"budget {name}: expected a number above 0, found {value!r}") from error


def ends(work: LayerWork, channels: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the numbers of input and output channels of a layer."""
    return (
        work.fixed_inputs if work.inputs is None else channels[work.inputs],
        work.fixed_outputs if work.outputs is None else channels[work.outputs],
    )


def work_of(work: Sequence[LayerWork], channels: Mapping[str, int]) -> dict[str, float]:
    """Return multiplications by kind of layer, output values and layers: what a linear model of time is fitted to."""
    terms: dict[str, float] = dict.fromkeys((*KINDS, "value", "layer"), 0.0)
    for item in work:
        inputs, outputs = ends(item, channels)
        terms[item.kind] += item.positions * item.taps * outputs * (1 if item.kind == "depthwise" else inputs)
        terms["value"] += item.positions * outputs
        terms["layer"] += 1
    return terms


def scaled_to(
    budget: Budget,
    work: Sequence[LayerWork],
    shape: Mapping[str, float],
    *,
    multiple: int,
) -> dict[str, int]:
    """Multiply numbers of channels by the largest common factor whose result keeps a budget.

    Args:
        budget: The budget.
        work: The layers with weights.
        shape: Relative numbers of channels of each group.
        multiple: The results are multiples of this, at least this.

    Raises:
        PlanError: The budget is too small for ``multiple`` channels in each group.
    """

    def at(factor: float) -> dict[str, int]:
        return {name: rounded_to(factor * count, multiple) for name, count in shape.items()}

    def cost(factor: float) -> float:
        return float(budget.rates.cost(work, at(factor)))

    least = cost(0.0)
    if least > budget.limit:
        raise PlanError(
            f"budget: expected at least {least:,.4g} {budget.rates.unit}, the cost of {multiple} channels in each layer,"
            f" found {budget.limit:,.4g}"
        )
    high = 1.0
    while cost(high) <= budget.limit and high < 1e6:
        high *= 2
    return at(bisected(lambda factor: cost(factor) <= budget.limit, 0.0, high))


def rounded_to(value: float, multiple: int) -> int:
    """Round to the nearest multiple, at least one multiple."""
    return max(multiple, multiple * math.floor(value / multiple + 0.5))


def bisected(keeps: Callable[[float], bool], low: float, high: float, *, rounds: int = 60) -> float:
    """Return the largest value between ``low``, which keeps a condition, and ``high`` that keeps it."""
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low
