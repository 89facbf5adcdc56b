"""Run the door lock's program for one press and print what happened as JSON; usage: door.py INSTALLATION PICTURES."""

from __future__ import annotations

import json
import platform
import sys

from edge_sdk import DoorLock, Installation, camera_named
from edge_sdk.door import DoorEvent, DoorEventKind, MockButton, MockOutput, Strike

LOOK_S = 3600.0


def main(folder: str, pictures: str) -> dict[str, object]:
    """Press the button once."""
    pin, button, events = MockOutput(), MockButton(), list[DoorEvent]()

    def show(event: DoorEvent) -> None:
        if event.kind is DoorEventKind.WAITING:
            lock.stop() if events else button.press()
        events.append(event)

    with Strike(pin) as strike:
        recognizer = Installation.read(folder).open_recognizer()
        lock = DoorLock(
            recognizer, camera_named(pictures), button=button, strike=strike, look_s=LOOK_S, show=show
        )
        opened = lock.serve()
    return {
        "machine": platform.machine(),
        "events": [event.kind.value for event in events],
        "opened": opened,
        "energized": sum(on for _, on in pin.changes),
        "left_on": pin.is_on,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
