"""Door lock that opens for enrolled people after the press of a button. README.md describes wiring and service."""

import sys

from gpiozero import Button, DigitalOutputDevice

from edge_sdk import DoorLock, EdgeSdkError, Installation, Strike, camera_named

STRIKE_PIN, BUTTON_PIN, OPEN_S, LOOK_S = 17, 27, 4, 10
BOUNCE_S = 0.05  # contacts bounce when the button is released, which is no second press


def serve(strike: Strike) -> None:
    """Open the door for enrolled people. Every error ends the program, which releases the strike."""
    installation = Installation.read()
    lock = DoorLock(
        installation.open_recognizer(),
        camera_named(installation.camera or "pi", rotate=installation.rotate),
        button=Button(BUTTON_PIN, bounce_time=BOUNCE_S),
        strike=strike,
        open_s=OPEN_S,
        look_s=LOOK_S,
    )
    lock.serve()


if __name__ == "__main__":
    # The strike is released before anything else is done, after every signal, and at every end of this block.
    with Strike(DigitalOutputDevice(STRIKE_PIN)) as strike:
        try:
            serve(strike)
        except EdgeSdkError as error:
            print(f"error: {error}", f"hint: {error.hint}" if error.hint else "", sep="\n", file=sys.stderr)
            sys.exit(3)
