"""The strike is released after its time, at every signal, after every error, and whatever the main thread does."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from edge_sdk.door.pins import MockOutput
from edge_sdk.door.strike import Strike
from edge_sdk.errors import InputError
from tests.patience import PATIENCE_S

#: The strike must be released within this time after a signal (decision 0029), seconds.
LIMIT_S = 0.1
# A program whose strike is open. It prints the time of each change of the pin; the first line says that it is ready.
_PROGRAM = """
import os, sys, threading, time
from edge_sdk.door.pins import MockOutput
from edge_sdk.door.strike import Strike
from edge_sdk.errors import InputError

class Pin(MockOutput):
    def _set(self, on):
        super()._set(on)
        os.write(1, f"{'on' if on else 'off'} {time.monotonic()}\\n".encode())

with Strike(Pin()) as strike:
    strike.open(60)
    BODY
"""
BODIES = {
    "waits": "threading.Event().wait()",
    "blocked in a native call": "import ctypes; ctypes.CDLL(None).sleep(2)",
    "computes": "import numpy as np; a = np.ones((300, 300))\n    while True: a = a @ a; a /= a.max()",
    "ignores exceptions": "while True:\n        try: time.sleep(0.5); break\n        except BaseException: pass",
}


def _start(body: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.replace("BODY", body)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("off ")
    assert process.stdout.readline().startswith("on ")
    return process


@pytest.mark.parametrize(
    ("state", "number"),
    [
        ("waits", signal.SIGINT),
        ("waits", signal.SIGHUP),
        ("waits", signal.SIGQUIT),
        *((state, signal.SIGTERM) for state in BODIES),
    ],
)
def test_a_signal_in_the_pulse_releases_the_strike_at_once(state: str, number: signal.Signals) -> None:
    times_s = []
    for _ in range(3):  # a busy machine may delay one attempt
        with _start(BODIES[state]) as process:
            time.sleep(0.1)  # the main thread reaches its body
            sent_s = time.monotonic()
            process.send_signal(number)
            assert process.stdout is not None
            change, released_s = process.stdout.readline().split()
            process.stdout.read()
        assert change == "off"
        assert process.returncode == (-signal.SIGINT if number is signal.SIGINT else 0)
        times_s.append(float(released_s) - sent_s)
        if times_s[-1] < LIMIT_S:
            break
    assert min(times_s) < LIMIT_S, times_s


@pytest.mark.parametrize("body", ["raise RuntimeError", "sys.exit(4)", "pass"])
def test_the_end_of_the_program_releases_the_strike(body: str) -> None:
    with _start(body) as process:
        assert process.stdout is not None
        assert process.stdout.read().startswith("off ")


def test_the_pulse_ends_by_itself() -> None:
    pin = MockOutput()
    with Strike(pin) as strike:
        strike.open(60)
        assert pin.is_on and 0 < strike.open_left_s <= 60
        strike.open(0.2)
        assert strike.open_left_s <= 0.2
        assert pin.wait_until(False, seconds=PATIENCE_S)
    (start_s, _), (end_s, _) = pin.changes[2:4]
    assert end_s - start_s >= 0.2
    assert strike.open_left_s == 0


def test_a_second_pulse_restarts_the_time() -> None:
    pin = MockOutput()
    with Strike(pin) as strike:
        strike.open(0.3)
        time.sleep(0.15)
        strike.open(0.3)
        assert pin.wait_until(False, seconds=PATIENCE_S)
    assert pin.changes[-2][0] - pin.changes[1][0] >= 0.4


def test_nothing_opens_the_strike_outside_the_block_and_after_the_end() -> None:
    pin = MockOutput()
    strike = Strike(pin)
    assert not strike.open(1)
    with strike:
        assert strike.open(60)
        strike.end()
        assert not strike.open(60)
        assert not pin.is_on
    assert not strike.open(1)
    assert [state for _, state in pin.changes if state] == [True]
    assert not pin.is_on


def test_a_pin_that_fails_to_turn_on_is_turned_off() -> None:
    class Fails(MockOutput):
        def on(self) -> None:
            super().on()
            raise OSError("broken pin")

    pin = Fails()
    with pytest.raises(OSError, match="broken pin"), Strike(pin) as strike:
        strike.open(60)
    assert not pin.is_on


def test_a_pin_that_cannot_be_released_ends_the_process() -> None:
    source = _PROGRAM.replace("BODY", "strike.open(0.1); threading.Event().wait()").replace(
        "super()._set(on)", "super()._set(on)\n        if strikes and not on: raise OSError('stuck')"
    )
    source = "strikes = []\n" + source.replace("strike.open(60)", "strikes.append(1)")
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 70 and "stuck" in done.stderr


def test_a_signal_at_the_end_of_the_block_does_not_cut_it_short() -> None:
    class Interrupted(Strike):
        def end(self) -> None:
            if threading.current_thread() is threading.main_thread():
                signal.raise_signal(signal.SIGTERM)
            super().end()

    pin = MockOutput()
    with Interrupted(pin) as strike:
        strike.open(60)
    assert not pin.is_on


def test_many_signals_release_the_strike() -> None:
    for _ in range(4):
        with _start("for number in range(10**6): pass") as process:
            assert process.stdout is not None
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) * 8:
                process.send_signal(number)
                time.sleep(0.0003)
            assert process.stdout.readline().startswith("off ")


def test_the_handlers_of_the_program_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with Strike(MockOutput()):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_a_strike_in_another_thread_sets_no_handlers() -> None:
    pin, before = MockOutput(), signal.getsignal(signal.SIGTERM)
    handlers = []

    def use() -> None:
        with Strike(pin) as strike:
            handlers.append(signal.getsignal(signal.SIGTERM))
            strike.open(60)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(PATIENCE_S)
    assert handlers == [before] and not pin.is_on and len(pin.changes) >= 3


@pytest.mark.parametrize("seconds", [0, -1, 60.1, float("inf"), float("nan")])
def test_a_pulse_without_an_end_is_refused(seconds: float) -> None:
    pin = MockOutput()
    with Strike(pin) as strike, pytest.raises(InputError, match="at most 60 s"):
        strike.open(seconds)
    assert not any(state for _, state in pin.changes)


def test_a_program_with_an_open_strike_cannot_be_suspended_from_the_terminal() -> None:
    before = signal.getsignal(signal.SIGTSTP)
    with Strike(MockOutput()):
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTSTP) == before
