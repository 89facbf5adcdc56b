"""Door lock that opens for enrolled people after the press of a button. README.md describes wiring and service."""

import os
from pathlib import Path

from gpiozero import Button, DigitalOutputDevice

from edge_sdk.cameras import Camera, camera_named
from edge_sdk.gallery import FileAnchor, KeyFile
from edge_sdk.recognizer import Recognizer

HOME = Path("/var/lib/door-lock")
CAMERA = camera_named(os.environ.get("DOOR_CAMERA", "pi"), rotate=int(os.environ.get("DOOR_ROTATE", "0")))
STRIKE_PIN, BUTTON_PIN, OPEN_S, LOOK_S = 17, 27, 4, 10


def serve(recognizer: Recognizer, camera: Camera, button: Button, strike: DigitalOutputDevice) -> None:
    """Recognize the person after each press of the button. Every error ends the program, which releases the strike."""
    while True:
        button.wait_for_press()
        for answer in recognizer.watch(camera, seconds=LOOK_S):
            print(answer.decision.value, answer.subject or answer.reason, flush=True)
            if answer.accepted:
                # The pulse runs in a separate thread, so that an error here cannot keep the door open.
                strike.blink(on_time=OPEN_S, off_time=0, n=1)
                break


if __name__ == "__main__":
    opened = Recognizer.open(
        HOME / "face.tflite",
        detector=HOME / "detector.tflite",
        gallery=HOME / "home.gallery",
        key=KeyFile(HOME / "home.key"),  # level 0: README.md, "The key"
        anchor=FileAnchor(HOME / "anchor" / "home.anchor"),
        pad=[HOME / "pad_2.7.tflite", HOME / "pad_4.0.tflite"],
    )
    with DigitalOutputDevice(STRIKE_PIN) as strike, Button(BUTTON_PIN) as button, CAMERA as camera:
        serve(opened, camera, button, strike)
