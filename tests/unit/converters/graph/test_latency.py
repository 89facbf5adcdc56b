"""Times on a simulated machine: other work, a clock frequency that changes, and limits that such times decide or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from converters.errors import ConversionError
from converters.graph.latency import ATTEMPTS, Machine, TimeRatio, Times, measure
from converters.quantize.time_budget import require_decision


@dataclass
class Simulation:
    """A machine whose clocks advance only by its calls.

    Args:
        slowdown: Factor of the processor time of each call, by the number of calls so far.
        waiting: Factor of the wall time of each call, by the number of calls so far.
    """

    slowdown: Callable[[int], float] = lambda _: 1.0
    waiting: Callable[[int], float] = lambda _: 1.0
    wall_s: float = 0.0
    processor_s: float = 0.0
    calls: int = 0
    pauses: list[float] = field(default_factory=list)

    def work(self, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.calls += 1
            spent = seconds * self.slowdown(self.calls)
            self.processor_s += spent
            self.wall_s += spent * self.waiting(self.calls)

        return run

    @property
    def machine(self) -> Machine:
        return Machine(
            lambda: self.wall_s, lambda: self.processor_s, self.work(2e-4), lambda s: self.pauses.append(s)
        )

    def measure(self, **options: object) -> Times[str]:
        calls = {"int8": self.work(3e-3), "float32": self.work(6e-3)}
        return measure(calls, machine=self.machine, **options)  # type: ignore[arg-type]


def test_a_quiet_machine_gives_a_reliable_ratio() -> None:
    times = Simulation().measure()
    ratio = times.ratio("int8", "float32")
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.5, 0.5, 0.5)) and not ratio.unreliable
    assert times.calls["int8"].wall_ms == pytest.approx(3)
    assert times.describe() == "processor time of one thread on this computer"


def test_other_processes_change_wall_times_and_not_the_ratio() -> None:
    """Imitate a scheduler that interrupts only the long calls: in wall time, int8 would take 0.1 of the float time."""
    machine = Simulation()
    machine.waiting = lambda _: 5.0 if machine.processor_s % 0.01 > 0.004 else 1.0
    times = machine.measure()
    assert times.ratio("int8", "float32").value == pytest.approx(0.5)
    assert not times.ratio("int8", "float32").unreliable
    assert "while other work took" in times.describe()


def test_a_machine_that_becomes_slower_is_noticed_by_the_reference_kernel() -> None:
    times = Simulation(slowdown=lambda calls: 1.0 if calls < 80 else 1.6).measure()
    ratio = times.ratio("int8", "float32")
    assert ratio.unreliable == "unreliable under this load: the time of a reference kernel moved by 60 %"


def test_a_ratio_that_moves_is_unreliable() -> None:
    """Imitate another process that uses the cache, which slows only calls with much data."""
    machine = Simulation()
    slow = machine.work(9e-3)
    fast = machine.work(6e-3)
    calls = {"int8": machine.work(3e-3), "float32": lambda: slow() if machine.calls > 90 else fast()}
    ratio = measure(calls, machine=machine.machine).ratio("int8", "float32")
    assert "the ratio moved between 0.33 and 0.50" in ratio.unreliable
    assert ratio.low == pytest.approx(1 / 3) and ratio.high == pytest.approx(0.5)


def test_a_measurement_is_repeated_until_it_is_settled_within_a_bound() -> None:
    machine = Simulation(slowdown=lambda calls: 1.0 if calls % 100 < 50 else 2.0)
    machine.measure(settled=lambda times: not times.ratio("int8", "float32").unreliable, attempts=3)
    assert machine.pauses == [3.0, 3.0]
    quiet = Simulation()
    quiet.measure(settled=lambda times: not times.ratio("int8", "float32").unreliable, attempts=3)
    assert not quiet.pauses


def test_a_short_call_is_repeated_so_that_the_clock_does_not_count() -> None:
    machine = Simulation()
    times = measure({"tiny": machine.work(1e-6)}, machine=machine.machine, runs=6)
    assert times.calls["tiny"].processor_ms == pytest.approx(1e-3)
    assert machine.calls > 6 * 250


def test_an_unreliable_ratio_decides_only_a_limit_outside_its_spread() -> None:
    noisy = TimeRatio(0.6, 0.4, 0.9, "unreliable under this load: the ratio moved between 0.40 and 0.90")
    assert require_decision(noisy, 0.95) == 0.6 and require_decision(noisy, 0.3) == 0.6
    with pytest.raises(
        ConversionError, match=f"after {ATTEMPTS} measurements they are unreliable under"
    ) as caught:
        require_decision(noisy, 0.85)
    assert "leave --max-time-ratio out" in (caught.value.hint or "")
    assert require_decision(TimeRatio(0.6, 0.58, 0.63), 0.6) == 0.6
