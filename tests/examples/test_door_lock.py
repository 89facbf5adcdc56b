"""The door-lock example opens the door only for an accepted person; pins and camera are simulated."""

from __future__ import annotations

import importlib.util
import io
import re
import resource
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from gpiozero import Button, Device, DigitalOutputDevice
from gpiozero.pins.mock import MockFactory

from edge_sdk.door import lock
from edge_sdk.door.lock import DoorEvent, DoorEventKind, DoorLock, print_event
from edge_sdk.door.watchdog import ServiceManager
from edge_sdk.errors import AcquisitionError, GalleryError
from edge_sdk.gallery import AttemptPolicy, Gallery, InMemoryKey
from edge_sdk.gallery.open_attempt import OpenAttempt
from edge_sdk.recognizer import Recognizer
from edge_sdk.types import UInt8Array
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.images import read_image
from edge_sdk.vision.liveness import MiniFasNet
from tests.conftest import lacking
from tests.examples.conftest import FaceNetworks
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real

FOLDER = Path(__file__).parents[2] / "firmware_examples" / "raspberry_pi_door_lock"
KEY = InMemoryKey(bytes(range(32)))
THRESHOLD = 0.45
ENROLLED, STRANGER = "Donald_Rumsfeld", "Emma_Watson"


class Finished(Exception):  # noqa: N818
    """Raised if the camera has no more frames."""


class Camera:
    """A live camera that shows photographs with sensor noise."""

    name = "photographs"
    live = True

    def __init__(self, *frames: UInt8Array) -> None:
        self._frames = frames
        self._rng = np.random.default_rng(0)
        self.given = 0

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> UInt8Array | None:
        if self.given == len(self._frames):
            raise Finished
        frame = self._frames[self.given]
        self.given += 1
        noise = self._rng.integers(-2, 3, frame.shape)
        return np.clip(frame.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def door_lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("door_lock", FOLDER / "door_lock.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photographs(shared: Path) -> Iterator[Callable[[str], list[UInt8Array]]]:
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".jpg"))

        def of(person: str) -> list[UInt8Array]:
            files = [archive.extractfile(name) for name in names if f"/{person}/" in f"/{name}"]
            return [read_image(io.BytesIO(file.read())) for file in files if file is not None]

        yield of


@pytest.fixture(scope="module")
def parts(face_networks: FaceNetworks, liveness_networks: tuple[Path, Path]) -> dict[str, Any]:
    return {
        "detector": Detector.open(face_networks.detector),
        "embedder": Embedder.open(face_networks.embedder),
        "pad": MiniFasNet.open(*liveness_networks),
    }


@pytest.fixture
def recognizer(
    parts: dict[str, Any], photographs: Callable[[str], list[UInt8Array]], tmp_path: Path
) -> Recognizer:
    """A recognizer with one enrolled person. It has no attack detection, because that would refuse photographs."""
    embedder = parts["embedder"]
    gallery = Gallery.create(
        tmp_path / "home.gallery", key=KEY, model_id=embedder.model_id, dimension=embedder.dimension
    )
    with gallery.transaction() as t:
        # The wait must not end during a test, however slow the machine is.
        t.limit_attempts(AttemptPolicy(wait_s=86_400))
    recognizer = Recognizer(parts["detector"], embedder, gallery, threshold=THRESHOLD)
    assert recognizer.enrol(photographs(ENROLLED), ENROLLED).templates >= 3
    return recognizer


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    factory = MockFactory()
    before, Device.pin_factory = Device.pin_factory, factory
    yield factory
    factory.close()
    Device.pin_factory = before


class Door:
    """Runs a door lock on gpiozero's mock pins, presses the button until the frames end or an error occurs."""

    def __init__(self, module: ModuleType, pins: MockFactory) -> None:
        self._module = module
        self._pins = pins
        self.opened = 0
        self.error: BaseException | None = None

    def run(self, recognizer: Recognizer, camera: Any) -> None:
        module = self._module
        strike_pin, button_pin = self._pins.pin(module.STRIKE_PIN), self._pins.pin(module.BUTTON_PIN)

        def show(event: DoorEvent) -> None:
            print_event(event)
            if event.kind is DoorEventKind.WAITING:
                button_pin.drive_low()
                button_pin.drive_high()

        try:
            with DigitalOutputDevice(module.STRIKE_PIN) as output, Button(module.BUTTON_PIN) as button:
                strike_pin.clear_states()
                program = DoorLock(
                    recognizer,
                    camera,
                    button=button,
                    strike=output,
                    open_s=0.3,
                    look_s=PATIENCE_S,
                    show=show,
                    service=ServiceManager(),
                )
                program.serve()
        except Finished:
            pass
        except BaseException as error:  # noqa: BLE001  the test checks it
            self.error = error
        self.opened = sum(state.state for state in strike_pin.states)
        assert not strike_pin.state, "the strike stayed energized"


@pytest.fixture
def door(door_lock: ModuleType, pins: MockFactory) -> Door:
    return Door(door_lock, pins)


def other_photograph(recognizer: Recognizer, frames: list[UInt8Array]) -> UInt8Array:
    """Return the last photograph with a good face, which was not used for the enrolment."""
    return next(frame for frame in reversed(frames) if recognizer.identify(frame).counted)


def test_an_enrolled_person_opens_the_door(
    door: Door, recognizer: Recognizer, photographs: Callable[[str], list[UInt8Array]]
) -> None:
    frame = other_photograph(recognizer, photographs(ENROLLED))
    door.run(recognizer, Camera(*[frame] * 6))
    assert (door.opened, door.error) == (1, None)


def test_the_strike_is_released_while_the_program_hangs(
    door_lock: ModuleType,
    pins: MockFactory,
    recognizer: Recognizer,
    photographs: Callable[[str], list[UInt8Array]],
) -> None:
    """The program hangs in the camera's last read until the strike is released."""
    strike_pin = pins.pin(door_lock.STRIKE_PIN)
    released: list[bool] = []

    class Hangs(Camera):
        def read(self) -> UInt8Array | None:
            if self.given == len(self._frames):
                deadline_s = time.monotonic() + PATIENCE_S
                while strike_pin.state and time.monotonic() < deadline_s:
                    time.sleep(0.01)
                released.append(not strike_pin.state)
            return super().read()

    frame = other_photograph(recognizer, photographs(ENROLLED))
    door = Door(door_lock, pins)
    door.run(recognizer, Hangs(*[frame] * 5))
    assert (released, door.opened) == ([True], 1)


@pytest.mark.parametrize("person", [STRANGER, "Bill_Frist", "Elsa_Zylberstein"])
def test_a_stranger_does_not_open_the_door(
    door: Door, recognizer: Recognizer, photographs: Callable[[str], list[UInt8Array]], person: str
) -> None:
    door.run(recognizer, Camera(*[photographs(person)[0]] * 6))
    assert (door.opened, door.error) == (0, None)


def test_repeated_attempts_of_a_stranger_are_locked_out(
    door: Door,
    recognizer: Recognizer,
    photographs: Callable[[str], list[UInt8Array]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stranger, enrolled = photographs(STRANGER)[0], photographs(ENROLLED)[0]
    # Each press reads two frames that may be old, and three for its attempt.
    door.run(recognizer, Camera(*[stranger] * 5 * 6, *[enrolled] * 5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == ["rejected not recognized"] * 5
    assert lines[5:] == ["locked_out too many failures: wait"] * 2, "the enrolled person must wait too"
    assert door.opened == 0


@pytest.mark.parametrize("attack", ["attack_1.jpg", "attack_2.jpg"])
def test_a_photograph_of_an_enrolled_person_does_not_open_the_door(
    shared: Path, door: Door, parts: dict[str, Any], tmp_path: Path, attack: str
) -> None:
    frame = read_image(shared / "pad_samples" / attack)
    embedder = parts["embedder"]
    gallery = Gallery.create(
        tmp_path / "g.gallery", key=KEY, model_id=embedder.model_id, dimension=embedder.dimension
    )
    with gallery.transaction() as t:
        t.limit_attempts(AttemptPolicy.with_pad())
    blind = Recognizer(parts["detector"], embedder, gallery, threshold=THRESHOLD)
    blind.enrol([frame], "owner", least=1)
    door.run(blind, Camera(*[frame] * 5))
    assert door.opened == 1, "control: without attack detection the picture opens the door"
    seeing = Recognizer(parts["detector"], embedder, gallery, pad=parts["pad"], threshold=THRESHOLD)
    door.run(seeing, Camera(*[frame] * 5))
    assert (door.opened, door.error) == (0, None)
    status = gallery.attempts.status()
    assert status is not None and status.failures == 1


def test_a_living_face_passes_the_attack_detector(
    shared: Path, door: Door, parts: dict[str, Any], tmp_path: Path
) -> None:
    frame = read_image(shared / "pad_samples" / "live_1.jpg")
    embedder = parts["embedder"]
    gallery = Gallery.create(
        tmp_path / "g.gallery", key=KEY, model_id=embedder.model_id, dimension=embedder.dimension
    )
    recognizer = Recognizer(parts["detector"], embedder, gallery, pad=parts["pad"], threshold=THRESHOLD)
    recognizer.enrol([frame], "owner", least=1)
    door.run(recognizer, Camera(*[frame] * 5))
    assert (door.opened, door.error) == (1, None)


def test_an_unplugged_camera(
    door: Door, recognizer: Recognizer, photographs: Callable[[str], list[UInt8Array]]
) -> None:
    class Unplugged(Camera):
        def read(self) -> UInt8Array | None:
            if self.given == 3:
                raise AcquisitionError("no more frames", reason="no camera")
            return super().read()

    door.run(recognizer, Unplugged(*[photographs(ENROLLED)[0]] * 9))
    assert door.opened == 0
    assert isinstance(door.error, AcquisitionError)


def test_a_frozen_camera(
    door: Door, recognizer: Recognizer, photographs: Callable[[str], list[UInt8Array]]
) -> None:
    class Frozen(Camera):
        def read(self) -> UInt8Array | None:
            return np.zeros((120, 160, 3), np.uint8)

    door.run(recognizer, Frozen())
    assert door.opened == 0
    assert isinstance(door.error, AcquisitionError) and door.error.reason == "frozen camera"


def test_a_full_disk(
    door: Door, recognizer: Recognizer, photographs: Callable[[str], list[UInt8Array]]
) -> None:
    frame = other_photograph(recognizer, photographs(ENROLLED))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (0, before[1])
    )  # no file can grow, so the attempt cannot be counted
    try:
        door.run(recognizer, Camera(*[frame] * 5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert door.opened == 0
    assert isinstance(door.error, GalleryError)


@pytest.mark.parametrize("damage", ["flipped", "gone", "old"])
def test_a_gallery_damaged_while_the_lock_runs(
    door: Door,
    recognizer: Recognizer,
    photographs: Callable[[str], list[UInt8Array]],
    tmp_path: Path,
    damage: str,
) -> None:
    frame = other_photograph(recognizer, photographs(ENROLLED))
    path = tmp_path / "home.gallery"
    whole = path.read_bytes()
    if damage == "old":
        recognizer.gallery.remove(ENROLLED)
        path.write_bytes(whole)  # restores the older copy
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    door.run(recognizer, Camera(*[frame] * 5))
    assert door.opened == 0
    assert isinstance(door.error, GalleryError)


@pytest.mark.parametrize("end", [0, 40, 300, -1])
def test_a_bad_gallery_does_not_open(
    recognizer: Recognizer, face_networks: FaceNetworks, tmp_path: Path, end: int
) -> None:
    path = tmp_path / "home.gallery"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(GalleryError):
        Recognizer.open(face_networks.embedder, detector=face_networks.detector, gallery=path, key=KEY)


STEPS = ["detect", "embed", "assess", "begin_attempt", "accept_if_agreed", "refresh", "read", "print", "on"]


@pytest.mark.parametrize("failure", [RuntimeError, MemoryError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_in_any_step(
    door: Door,
    recognizer: Recognizer,
    parts: dict[str, Any],
    photographs: Callable[[str], list[UInt8Array]],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    failure: type[BaseException],
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise failure(step)

    frame = other_photograph(recognizer, photographs(ENROLLED))
    tested = recognizer
    if step == "assess":
        tested = Recognizer(
            parts["detector"], parts["embedder"], recognizer.gallery, pad=parts["pad"], threshold=THRESHOLD
        )
    camera = Camera(*[frame] * 5)
    owners: dict[str, Any] = {
        "detect": parts["detector"],
        "embed": parts["embedder"],
        "assess": parts["pad"],
        "begin_attempt": recognizer.gallery,
        "accept_if_agreed": OpenAttempt,
        "refresh": recognizer.gallery._session,
        "read": camera,
        "print": lock,
        "on": DigitalOutputDevice,
    }
    monkeypatch.setattr(owners[step], step, crash, raising=False)
    door.run(tested, camera)
    assert door.opened == 0
    assert isinstance(door.error, failure)


def test_a_crash_while_the_door_is_open_shuts_it(
    door: Door, recognizer: Recognizer, photographs: Callable[[str], list[UInt8Array]]
) -> None:
    class Breaks(Camera):
        def read(self) -> UInt8Array | None:
            if self.given == len(self._frames):
                raise RuntimeError("broken")
            return super().read()

    frame = other_photograph(recognizer, photographs(ENROLLED))
    door.run(recognizer, Breaks(*[frame] * 5))
    assert isinstance(door.error, RuntimeError)
    assert door.opened == 1


def test_the_program_fits_on_a_page() -> None:
    assert len((FOLDER / "door_lock.py").read_text().splitlines()) <= 40


def test_the_service_releases_the_strike_and_has_few_rights(door_lock: ModuleType) -> None:
    unit = FOLDER / "door-lock.service"
    assert f"ExecStopPost=+/usr/bin/pinctrl set {door_lock.STRIKE_PIN} op dl" in unit.read_text()
    if shutil.which("systemd-analyze") is None:
        lacking("needs systemd-analyze on the PATH: apt-get install systemd")
    report = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    ).stdout
    score = re.search(r"exposure level for door-lock.service: ([\d.]+)", report)
    assert score is not None and float(score[1]) < 1.5
