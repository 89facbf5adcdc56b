"""Times of the artefacts of a conversion, relative to the float network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.graph.latency import Times, measure, network_calls
from converters.graph.network import Network
from converters.pipeline.build import BuiltNetwork
from converters.progress import stage
from converters.quantize.budget import Budget
from converters.quantize.time_budget import TimedBudget
from converters.sources.float_model import FloatModel
from edge_sdk.types import UInt8Array

#: Measurements if the first one is unreliable.
_ATTEMPTS = 2


@dataclass(frozen=True)
class InferenceTimes:
    """Times of one inference.

    Args:
        wall_ms: Wall time of the fastest inference.
        processor_ms: Least processor time.
        ratio: Processor time as a share of the float network's; None if it is unreliable.
    """

    wall_ms: float
    processor_ms: float
    ratio: float | None


@dataclass(frozen=True)
class ArtefactTimes:
    """Times of all networks of a conversion.

    Args:
        networks: Times of each network.
        conditions: How they were measured, and why some are unreliable.
    """

    networks: Mapping[Network, InferenceTimes]
    conditions: str


def measure_times(
    built: Sequence[BuiltNetwork], model: FloatModel, crop: UInt8Array, budget: Budget | None
) -> ArtefactTimes:
    """Measure every network; a ratio by which a search decided is reported as it was measured there."""
    networks = list(dict.fromkeys([model.network, *(network.network for network in built)]))

    def problems(times: Times[Network]) -> list[str]:
        ratios = [times.ratio(network, model.network) for network in networks]
        return [ratio.unreliable for ratio in ratios if ratio.unreliable]

    with stage("measure times"):
        calls = network_calls(networks, model.contract, crop)
        times = measure(calls, settled=lambda times: not problems(times), attempts=_ATTEMPTS)
    decided = {}
    if isinstance(budget, TimedBudget):
        timed = [n for n in built if n.search is not None and n.recipe.partitions]
        decided = {network.network: budget.ratio(network.network) for network in timed}
    measured = {}
    for network, call in times.calls.items():
        ratio = times.ratio(network, model.network)
        reported = decided.get(network, None if ratio.unreliable else ratio.value)
        measured[network] = InferenceTimes(call.wall_ms, call.processor_ms, reported)
    unreliable = problems(times)
    conditions = f"{times.describe()}; ?: {unreliable[0]}" if unreliable else times.describe()
    return ArtefactTimes(measured, conditions)
