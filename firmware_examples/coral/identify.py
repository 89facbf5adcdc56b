"""Recognition with the embedder on Coral's Edge TPU. README.md describes the compiled file, driver and permissions."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from edge_sdk import KeyFile, Recognizer, console
from edge_sdk.cameras import Camera, FolderCamera, V4l2Camera
from edge_sdk.runtime.backend_choice import BackendWarning

LOOK_S = 30


def main(home: Path, camera: Camera, edge_tpu: str = "libedgetpu.so.1") -> int:
    """Make one attempt and print its answer; return 0 if a person was recognized, otherwise 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BackendWarning)  # printed below
        recognizer = Recognizer.open(
            home / "face.tflite",
            detector=home / "detector.tflite",
            gallery=home / "home.gallery",
            key=KeyFile(home / "home.key"),
            delegate=edge_tpu,
        )
    status = recognizer.embedder.backend
    print(f"the embedder runs on {status.device}; {status.checked}", flush=True)
    if status.fallback:
        console.say("coral", f"warning: NOT on the Edge TPU: {status.fallback}")
        console.say("coral", f"hint: {status.advice or 'run edge-sdk doctor --delegate for details'}")
    if status.evidence:
        console.say("coral", f"warning: {status.evidence}")
    recognized = False
    with camera as opened:
        for answer in recognizer.watch(opened, seconds=LOOK_S, attempts=1):
            print(answer.decision.value, answer.subject or answer.reason, flush=True)
            recognized |= answer.accepted
    return 0 if recognized else console.CLEAN_NEGATIVE


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        print("usage: identify.py HOME [FOLDER OF IMAGES; default: a USB camera]", file=sys.stderr)
        sys.exit(2)
    source = FolderCamera(sys.argv[2]) if len(sys.argv) == 3 else V4l2Camera()
    sys.exit(console.run("coral", lambda: main(Path(sys.argv[1]), source)))
