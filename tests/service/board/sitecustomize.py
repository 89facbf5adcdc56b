"""Stands for a Raspberry Pi's pins and pip in the programs of the nested system; imported by Python at every start.

The door-lock program gets gpiozero's mock pins: each change of the strike's pin is written with its time, and the button is
pressed while the file `press` exists. Like lgpio, the pins need a working directory in which a pipe can be made.
"""

import os
import sys
import threading
import time
from pathlib import Path

EXCHANGE = Path("/opt/exchange")
STRIKE_PIN, BUTTON_PIN = 17, 27


def _use_mock_pins() -> None:
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory, MockPin

    class Pin(MockPin):
        def _change_state(self, value: float) -> bool:
            changed: bool = super()._change_state(value)
            if changed and self._number == STRIKE_PIN:
                with (EXCHANGE / "pin").open("a") as log:
                    log.write(f"{time.monotonic()} {int(value)}\n")
            return changed

    os.mkfifo(".lgd-nfy0")
    factory = MockFactory(pin_class=Pin)
    Device.pin_factory = factory

    def press() -> None:
        while True:
            time.sleep(0.02)
            if (EXCHANGE / "press").exists():
                (EXCHANGE / "press").unlink()
                factory.pin(BUTTON_PIN).drive_low()
                factory.pin(BUTTON_PIN).drive_high()

    threading.Thread(target=press, daemon=True).start()


if sys.orig_argv[1:3] == ["-m", "pip"]:
    os._exit(0)
if sys.orig_argv[-1].endswith("/door_lock.py"):
    _use_mock_pins()
