"""Without an Edge TPU, the Coral example uses the CPU, or refuses a file that only the Edge TPU can run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_sdk.gallery import DecisionPolicy, Gallery, KeyFile
from edge_sdk.model.model_file import ModelFile
from edge_sdk.recognizer import Recognizer
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.images import read_image
from tests.conftest import build_model, evidence
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).parents[2] / "firmware_examples" / "coral" / "identify.py"


@pytest.fixture
def home(shared: Path, tmp_path: Path) -> Path:
    """A folder with a gallery of one person, and three pictures of this person in place of a camera."""
    folder = tmp_path / "home"
    (folder / "camera").mkdir(parents=True)
    model, detector = folder / "face.tflite", folder / "detector.tflite"
    points = (evidence(threshold=0.9, fmr=1e-2), evidence(threshold=0.95))
    model.write_bytes(build_model(golden=True, operating_points=points))
    detector.write_bytes((shared / "zoo" / "blazeface_short_range.tflite").read_bytes())
    picture = read_image(shared / "pad_samples" / "live_1.jpg")
    frames = [np.roll(picture, shift, axis=1) for shift in (0, 1, 2)]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / "camera" / f"{number}.png")
    embedder = Embedder.open(model)
    gallery = Gallery.create(
        folder / "home.gallery",
        key=KeyFile.create(folder / "home.key"),
        model_id=embedder.model_id,
        dimension=embedder.dimension,
    )
    with gallery.transaction() as t:
        t.set_policy(DecisionPolicy(embedder.card.operating_points, fpir=0.01))
    Recognizer(Detector.open(detector), embedder, gallery, threshold=0.9).enrol(frames, "alice")
    return folder


def identify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_without_the_driver_the_cpu_answers_with_a_warning(home: Path) -> None:
    done = identify(home, home / "camera")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the embedder runs on cpu; 4 of 4 answers exact", "accepted alice"]
    warning, hint = done.stderr.splitlines()
    assert warning.startswith("coral: warning: NOT on the Edge TPU: libedgetpu.so.1: cannot be loaded: ")
    assert hint == (
        "coral: hint: install Coral's libedgetpu1-std, plug in the accelerator, and add the user to the group plugdev"
    )


def test_a_compiled_network_without_the_driver_is_refused(home: Path, shared: Path) -> None:
    """The file is compiled for the Edge TPU, so the CPU cannot run it; its card comes from another model."""
    from converters.graph.attach_card import with_card
    from converters.graph.network import Network

    card = ModelFile.open(home / "face.tflite").card
    compiled = (shared / "zoo" / "mobilefacenet_112x96_compiled_edgetpu.tflite").read_bytes()
    (home / "face.tflite").write_bytes(with_card(Network(compiled), card))
    done = identify(home, home / "camera")
    assert (done.returncode, done.stdout) == (3, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("coral: error: libedgetpu.so.1: cannot be loaded: ")
    assert "; and the CPU does not run the file: " in error
    assert hint == "coral: hint: repair the delegate, or use the file that was not compiled for it"


def test_without_a_camera_nobody_is_recognized(home: Path) -> None:
    done = identify(home)
    assert done.returncode == 3
    assert "accepted" not in done.stdout
    assert "coral: error: camera /dev/video0: cannot be opened" in done.stderr
