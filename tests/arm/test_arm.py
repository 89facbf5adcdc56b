"""The device path gives the same results on emulated ARM machines as on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.door.setup import SetupOptions, set_up
from edge_sdk.kit import KitFile
from edge_sdk.vision.images import read_image
from tests.arm.emulation import REPOSITORY, Emulation
from tests.conftest import lacking
from tests.door_kit import ENROLLED, write_face_kit, write_photographs
from tools.instructions import DRAWN, CountingError, count, tolerance

pytestmark = pytest.mark.arm
SCRIPT = Path(__file__).with_name("device.py")


def here(*arguments: str | Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def there(machine: Emulation, *arguments: str | Path) -> dict[str, Any]:
    done = machine.run(SCRIPT, *arguments)
    assert done.returncode == 0, done.stderr
    result = dict(json.loads(done.stdout.splitlines()[-1]))
    assert result["machine"] == machine.machine.name
    return result


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Create a folder for this machine and a folder for the emulated one."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return tmp_path / "here", tmp_path / "there"


def test_int8_on_aarch64_is_this_machines_bit_for_bit(
    aarch64: Emulation, reference_models: Path, probes: Path, folders: tuple[Path, Path]
) -> None:
    model = reference_models / "products.cpu_int8.tflite"
    ours, theirs = here(folders[0], model, probes), there(aarch64, folders[1], model, probes)
    assert theirs["runtime"] == ours["runtime"], "both machines need the same version of the runtime"
    assert theirs["golden"] == "4 of 4 answers exact"
    assert theirs["raw_sha256"] == ours["raw_sha256"]
    np.testing.assert_array_equal(
        np.array(theirs["embeddings"], np.float32), np.array(ours["embeddings"], np.float32)
    )
    assert theirs["decisions"] == ours["decisions"]
    assert {"accepted"} < {"accepted", *(decision for decision, _ in ours["decisions"])}, (
        "the images must include subjects that are not enrolled"
    )


def test_float_on_aarch64_is_this_machines_but_for_rounding(
    aarch64: Emulation, reference_models: Path, probes: Path, folders: tuple[Path, Path]
) -> None:
    model = reference_models / "products.float32.tflite"
    ours, theirs = here(folders[0], model, probes), there(aarch64, folders[1], model, probes)
    assert theirs["right"]
    np.testing.assert_allclose(theirs["embeddings"], ours["embeddings"], atol=1e-5)


def test_a_gallery_goes_from_one_machine_to_the_other(
    aarch64: Emulation, golden_model_path: Path, probes: Path, folders: tuple[Path, Path]
) -> None:
    ours, theirs = (
        here(folders[0], golden_model_path, probes),
        there(aarch64, folders[1], golden_model_path, probes),
    )
    assert theirs["raw_sha256"] == ours["raw_sha256"]
    made_here = [str(folders[0] / name) for name in ("device.gallery", "device.key")]
    made_there = [str(folders[1] / name) for name in ("device.gallery", "device.key")]
    opened_there = there(aarch64, folders[1], golden_model_path, probes, *made_here)
    opened_here = here(folders[0], golden_model_path, probes, *made_there)
    assert opened_there["decisions"] == opened_here["decisions"] == ours["decisions"]
    assert opened_there["subjects"] == ["subject 0", "subject 2", "subject 4", "subject 6"]


def test_the_command_line_recognizes_on_aarch64(
    aarch64: Emulation, reference_models: Path, products: list[Any], tmp_path: Path
) -> None:
    files = ["--model", reference_models / "products.cpu_int8.tflite", "--gallery", tmp_path / "home.gallery"]
    files += ["--key", tmp_path / "home.key"]
    enrolled = aarch64.run("-m", "edge_sdk.cli", "enrol", "oat", products[0].enrol, *files)
    assert enrolled.returncode == 0, enrolled.stderr
    assert enrolled.stdout == "enrolled oat with 1 template\n"
    images = [products[0].probes[0], products[5].enrol]
    identified = aarch64.run(
        "-m", "edge_sdk.cli", "identify", *images, *files, "--threshold", "0.6", "--json"
    )
    assert identified.returncode == 1, identified.stderr
    assert [answer["subject"] for answer in json.loads(identified.stdout)] == ["oat", None]


def test_the_doctor_finds_aarch64_whole(aarch64: Emulation, reference_models: Path) -> None:
    model = reference_models / "products.cpu_int8.tflite"
    done = aarch64.run("-m", "edge_sdk.cli", "doctor", "--model", model, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    results = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert results["machine"]["found"].startswith("aarch64, glibc ")
    assert results["cpu"]["found"].startswith("4 of 4 answers exact (ai-edge-litert ")
    for check in ("interpreter", "numpy", "cryptography", "pillow", "image decoder", "model"):
        assert results[check]["status"] == "ok", results[check]


@pytest.mark.real
def test_the_door_opens_on_aarch64(aarch64: Emulation, shared: Path, tmp_path: Path) -> None:
    kit = KitFile.open(write_face_kit(tmp_path / "face.edgekit", shared))
    folder, scene = tmp_path / "door", tmp_path / "scene"
    done = set_up(kit, SetupOptions(folder=folder, door=True), accept=lambda _: True)
    photographs = write_photographs(tmp_path / "alice", shared, ENROLLED, most=4)
    done.installation.open_recognizer().enrol(map(read_image, photographs), "alice")
    scene.mkdir()
    for number in range(3):
        shutil.copy(photographs[0], scene / f"{number}.jpg")
    answer = aarch64.run(SCRIPT.with_name("door.py"), folder, scene)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {
        "machine": "aarch64",
        "events": ["waiting", "pressed", "answer", "waiting"],
        "opened": 1,
        "energized": 1,
        "left_on": False,
    }


def test_armv7l_answers_within_tolerance_through_tflite_runtime(
    armv7l: Emulation, reference_models: Path, probes: Path, folders: tuple[Path, Path]
) -> None:
    """LiteRT has no wheels for 32-bit ARM, so it is not supported; but tflite-runtime's results are within tolerance."""
    model = reference_models / "products.cpu_int8.tflite"
    ours, theirs = here(folders[0], model, probes), there(armv7l, folders[1], model, probes)
    assert theirs["runtime"].startswith("tflite-runtime ")
    assert theirs["right"], theirs["golden"]
    cosines = (np.array(theirs["embeddings"]) * np.array(ours["embeddings"])).sum(axis=1)
    assert cosines.min() > 0.98
    assert theirs["decisions"] == ours["decisions"]


def test_the_doctor_on_armv7l_says_to_take_a_64_bit_system(armv7l: Emulation) -> None:
    done = armv7l.run("-m", "edge_sdk.cli", "doctor", "--json")
    results = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert results["machine"]["status"] == "warn"
    assert "64-bit" in results["machine"]["advice"]
    assert "no longer maintained" in results["interpreter"]["advice"]


def test_counted_instructions_repeat(aarch64: Emulation, reference_models: Path) -> None:
    model = reference_models / "products.cpu_int8.tflite"
    try:
        first, second = (count(model, DRAWN, None, machine="aarch64")["stages"] for _ in range(2))
    except CountingError as error:
        lacking(f"no instruction counts: {error}")
    assert {"detect", "align", "embed network", "match"} <= first.keys()
    assert second == {name: pytest.approx(value, abs=tolerance(value)) for name, value in first.items()}
