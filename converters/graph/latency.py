"""Measure times on a machine that other work may load; every printed time and every time budget uses this method.

The calls take turns, so that a load slows all of them. Processor time is measured beside wall time, because it does not count
the time in which other processes run. A reference kernel runs before, between and after: if its time or a ratio of
times moves, the measurement is unreliable, and no figure of it is printed or decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from converters.graph.network import Network
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder
from edge_sdk.types import SampleArray

RUNS, BATCHES = 60, 6
#: Largest spread of a ratio between batches that counts as reliable, and that of the reference kernel: 0.15 is 15 %.
TOLERANCE, KERNEL_TOLERANCE = 0.15, 0.25
#: Measurements before a limit on time is given up as undecidable, and the pause between them.
ATTEMPTS, PAUSE_S = 4, 3.0
_KERNEL_RUNS = 8
_SHORTEST_RUN_S, _MOST_REPEATS = 3e-4, 300
#: Share of the time used by other work from which wall times are called disturbed.
_DISTURBED = 0.1
_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Machine:
    """Clocks and reference kernel of a measurement; tests replace them."""

    wall_s: Callable[[], float] = time.perf_counter
    processor_s: Callable[[], float] = time.process_time
    kernel: Callable[[], object] = field(default_factory=lambda: _kernel())
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class CallTimes:
    """Times of one call.

    Args:
        wall_ms: Wall time of the fastest run.
        processor_ms: Processor time of the run with the least.
        batches_ms: Least processor time in each batch.
    """

    wall_ms: float
    processor_ms: float
    batches_ms: tuple[float, ...]


@dataclass(frozen=True)
class TimeRatio:
    """Processor time of a call as a share of that of another call.

    Args:
        value: Ratio of the least processor times.
        low: Lowest ratio of a batch.
        high: Highest ratio of a batch.
        unreliable: Why the ratio is unreliable; empty if it is reliable.
    """

    value: float
    low: float
    high: float
    unreliable: str = ""

    def decides(self, limit: float) -> bool:
        """Return True if the ratio is reliable, or if every batch is on the same side of the limit."""
        return not self.unreliable or not self.low <= limit <= self.high


@dataclass(frozen=True)
class Times(Generic[_Key]):
    """Result of one measurement. Compare only times of the same measurement.

    Args:
        calls: Times of each call.
        kernel_ms: Least processor time of the reference kernel before each batch, and after the last.
        other_work: Share of the wall time in which the processor did not run this process, 0..1.
    """

    calls: Mapping[_Key, CallTimes]
    kernel_ms: tuple[float, ...]
    other_work: float

    def ratio(self, call: _Key, reference: _Key) -> TimeRatio:
        """Divide the processor time of a call by that of another call."""
        ours, theirs = self.calls[call], self.calls[reference]
        batches = [a / b for a, b in zip(ours.batches_ms, theirs.batches_ms, strict=True)]
        low, high = min(batches), max(batches)
        value = ours.processor_ms / theirs.processor_ms
        return TimeRatio(value, min(low, value), max(high, value), self._problem(low, high))

    def describe(self) -> str:
        """Describe the conditions of the measurement in one phrase."""
        if self.other_work < _DISTURBED:
            return "processor time of one thread on this computer"
        return f"processor time of one thread on this computer, while other work took {100 * self.other_work:.0f} % of it"

    def _problem(self, low: float, high: float) -> str:
        kernel = max(self.kernel_ms) / min(self.kernel_ms) - 1
        if kernel > KERNEL_TOLERANCE:
            return f"unreliable under this load: the time of a reference kernel moved by {100 * kernel:.0f} %"
        if high / low - 1 > TOLERANCE:
            return f"unreliable under this load: the ratio moved between {low:.2f} and {high:.2f}"
        return ""


def measure(
    calls: Mapping[_Key, Callable[[], object]],
    *,
    runs: int = RUNS,
    machine: Machine | None = None,
    settled: Callable[[Times[_Key]], bool] = lambda _: True,
    attempts: int = 1,
) -> Times[_Key]:
    """Measure calls that take turns; repeat the measurement until it is settled.

    Other work on the machine makes single runs slower and never faster, so the least time is the most repeatable figure.

    Args:
        calls: Calls that run on this thread alone; each is first made twice, to choose how often one run repeats it.
        runs: Measured runs of each call, in ``BATCHES`` batches.
        machine: Clocks and reference kernel; None for this machine's.
        settled: Returns True if a measurement suffices; it is called after each.
        attempts: Largest number of measurements.

    Returns:
        The last measurement.
    """
    machine = machine or Machine()
    repeats = {key: _repeats(call, machine) for key, call in calls.items()}
    times = _measure_once(calls, repeats, runs, machine)
    for _ in range(attempts - 1):
        if settled(times):
            break
        machine.pause(PAUSE_S)
        times = _measure_once(calls, repeats, runs, machine)
    return times


def _repeats(call: Callable[[], object], machine: Machine) -> int:
    """Return how often to make a call in one measured run, so that the clock's own time does not count."""
    call()
    began = machine.processor_s()
    call()
    spent = machine.processor_s() - began
    return min(_MOST_REPEATS, max(1, round(_SHORTEST_RUN_S / spent))) if spent > 0 else _MOST_REPEATS


def _measure_once(
    calls: Mapping[_Key, Callable[[], object]], repeats: Mapping[_Key, int], runs: int, machine: Machine
) -> Times[_Key]:
    wall = dict.fromkeys(calls, float("inf"))
    batches: dict[_Key, list[float]] = {key: [] for key in calls}
    kernel_ms = []
    spent_wall = spent_processor = 0.0
    for _ in range(BATCHES):
        kernel_ms.append(_least_kernel_ms(machine))
        least = dict.fromkeys(calls, float("inf"))
        for _ in range(max(1, runs // BATCHES)):
            for key, call in calls.items():
                wall_s, processor_s = machine.wall_s(), machine.processor_s()
                for _ in range(repeats[key]):
                    call()
                processor_s, wall_s = machine.processor_s() - processor_s, machine.wall_s() - wall_s
                least[key] = min(least[key], 1e3 * processor_s / repeats[key])
                wall[key] = min(wall[key], 1e3 * wall_s / repeats[key])
                spent_wall, spent_processor = spent_wall + wall_s, spent_processor + processor_s
        for key, value in least.items():
            batches[key].append(value)
    kernel_ms.append(_least_kernel_ms(machine))
    times = {key: CallTimes(wall[key], min(values), tuple(values)) for key, values in batches.items()}
    return Times(times, tuple(kernel_ms), max(0.0, 1 - spent_processor / spent_wall))


def _least_kernel_ms(machine: Machine) -> float:
    least = float("inf")
    for _ in range(_KERNEL_RUNS):
        began = machine.processor_s()
        machine.kernel()
        least = min(least, machine.processor_s() - began)
    return 1e3 * least


def _kernel() -> Callable[[], object]:
    """Return work of about 0.2 ms that uses vector instructions and the caches, on one thread."""
    values = np.linspace(0, 1, 1 << 15, dtype=np.float32)
    results = np.empty_like(values)

    def run() -> None:
        for _ in range(16):
            np.multiply(values, 0.5, out=results)
            np.add(results, values, out=results)

    return run


def network_calls(
    networks: Sequence[Network], contract: AnyContract, crop: SampleArray
) -> dict[Network, Callable[[], Any]]:
    """Return for each network a call that runs it on one image and one thread.

    Args:
        networks: Networks with one input and one output and the same input contract.
        contract: The input contract.
        crop: Shape (H, W, C), uint8.
    """
    calls: dict[Network, Callable[[], Any]] = {}
    for network in networks:
        backend = LiteRtBackend(network.data)
        make_encoder(contract, backend.input)(crop, backend.input_view())
        calls[network] = backend.invoke
    return calls


def time_ratio(
    network: Network,
    reference: Network,
    contract: AnyContract,
    crop: SampleArray,
    *,
    settled: Callable[[TimeRatio], bool] = lambda ratio: not ratio.unreliable,
) -> TimeRatio:
    """Measure a network's time as a share of that of a reference; repeats the measurement until the ratio is settled."""
    times = measure(
        network_calls([network, reference], contract, crop),
        settled=lambda times: settled(times.ratio(network, reference)),
        attempts=ATTEMPTS,
    )
    return times.ratio(network, reference)
