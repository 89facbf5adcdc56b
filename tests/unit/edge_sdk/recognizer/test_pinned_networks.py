"""A gallery pins the detector and liveness networks; others are refused before they are parsed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import GalleryFormatError, InputError, ModelError, ModelMismatchError
from edge_sdk.gallery import Gallery, InMemoryKey, PinnedNetworks
from edge_sdk.gallery.format.content import PINNED_NETWORKS
from edge_sdk.gallery.rules.pinned_networks import pack_networks, parse_networks
from edge_sdk.recognizer import Recognizer
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import Face
from edge_sdk.vision.liveness import MiniFasNet, Presentation
from tests.face_networks import write_detector, write_liveness

KEY = InMemoryKey(b"k" * 32)
FRAME = np.zeros((120, 160, 3), np.uint8)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Door:
    """The files of a door whose gallery pins its networks."""

    model: Path
    detector: Path
    pad: tuple[Path, Path]
    gallery: Path

    def open(self, **changes: Any) -> Recognizer:
        options: dict[str, Any] = {
            "detector": self.detector,
            "pad": self.pad,
            "gallery": self.gallery,
            "key": KEY,
            "threshold": 0.9,
        }
        return Recognizer.open(self.model, **{**options, **changes})


@pytest.fixture
def door(tmp_path: Path, model_path: Path) -> Door:
    detector = write_detector(tmp_path / "detector.tflite")
    pad = tuple(write_liveness(tmp_path / f"pad_{seed}.tflite", seed=seed) for seed in (1, 2))
    embedder = Embedder.open(model_path)
    Gallery.create(
        tmp_path / "home.gallery",
        key=KEY,
        model_id=embedder.model_id,
        dimension=embedder.dimension,
        networks=PinnedNetworks.of(Detector.open(detector), MiniFasNet.open(*pad)),
    )
    return Door(model_path, detector, (pad[0], pad[1]), tmp_path / "home.gallery")


def test_the_pinned_networks_are_accepted(door: Door) -> None:
    for pad in (door.pad, list(door.pad), door.pad[::-1], MiniFasNet.open(*door.pad, threshold=0.8)):
        door.open(pad=pad).identify(FRAME)
    door.open(detector=Detector.open(door.detector)).identify(FRAME)
    networks = Gallery.open(door.gallery, key=KEY).networks
    assert networks is not None
    assert networks.detector == sha256(door.detector)
    assert set(networks.liveness) == {sha256(path) for path in door.pad}
    assert networks.liveness_threshold == 0.5


@pytest.mark.parametrize("name", ["detector.tflite", "pad_1.tflite", "pad_2.tflite"])
def test_a_replaced_file_is_refused_before_it_is_parsed(door: Door, name: str) -> None:
    path = door.gallery.with_name(name)
    writer = write_detector if name == "detector.tflite" else write_liveness
    original = path.read_bytes()
    for replacement in (writer(path, seed=9).read_bytes(), original + b"\0", b"not a network", original[:-1]):
        path.write_bytes(replacement)
        with pytest.raises(ModelError, match="SHA-256"):
            door.open()
    path.write_bytes(original)
    door.open()


def test_a_door_without_the_pinned_liveness_networks_is_refused(door: Door, tmp_path: Path) -> None:
    other = write_liveness(tmp_path / "other.tflite", seed=9)
    with pytest.raises(
        ModelMismatchError, match="expected the liveness networks that the gallery pins"
    ) as caught:
        door.open(pad=None)
    assert "gallery pin-networks" in str(caught.value.hint)
    for pad in (door.pad[0], [door.pad[0], door.pad[0]], [*door.pad, other], [other, door.pad[0]], [other]):
        with pytest.raises(ModelError, match="SHA-256"):
            door.open(pad=pad)
    with pytest.raises((ModelError, InputError)):
        door.open(pad=[])
    for opened in (MiniFasNet.open(door.pad[0]), MiniFasNet.open(*door.pad, other)):
        with pytest.raises(ModelMismatchError, match="liveness"):
            door.open(pad=opened)


def test_a_lower_liveness_threshold_is_refused(door: Door) -> None:
    with pytest.raises(ModelMismatchError, match=r"threshold of at least 0\.5.*found 0\.01"):
        door.open(pad=MiniFasNet.open(*door.pad, threshold=0.01))


class AlwaysLive:
    """An attack detector that was not opened from a file."""

    def assess(self, frame: Any, face: Face) -> Presentation:
        return Presentation(1.0, 0.5)


class NoFaces:
    """A detector that was not opened from a file."""

    def detect(self, frame: Any) -> tuple[Face, ...]:
        return ()


def test_an_object_that_was_not_opened_from_a_file_is_refused(door: Door, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match="expected the detector that the gallery pins"):
        door.open(detector=NoFaces())
    with pytest.raises(ModelMismatchError, match="expected the detector that the gallery pins"):
        door.open(detector=Detector.open(write_detector(tmp_path / "other.tflite", seed=9)))
    with pytest.raises(ModelMismatchError, match="expected the liveness networks"):
        door.open(pad=AlwaysLive())
    for detector, pad in ((NoFaces(), None), (None, AlwaysLive())):
        with pytest.raises(InputError, match="opened from"):
            PinnedNetworks.of(detector, pad)


def test_a_gallery_that_pins_nothing_accepts_any_network(door: Door) -> None:
    with Gallery.open(door.gallery, key=KEY).transaction() as t:
        t.pin_networks(None)
    door.open(detector=NoFaces(), pad=AlwaysLive()).identify(FRAME)
    door.open(pad=None).identify(FRAME)


def test_a_running_recognizer_follows_a_change_of_the_pinned_networks(door: Door, tmp_path: Path) -> None:
    other = Detector.open(write_detector(tmp_path / "other.tflite", seed=9))
    running = door.open()
    administrator = Gallery.open(door.gallery, key=KEY)
    networks = administrator.networks
    assert networks is not None
    with administrator.transaction() as t:
        t.pin_networks(replace(networks, detector=other.sha256))
    running._sampler = AlwaysGood()  # type: ignore[assignment]
    with pytest.raises(ModelMismatchError, match="expected the detector"):
        running.identify(FRAME)
    events = [(e.event.event, e.event.detail) for e in administrator.audit.report().entries]
    assert events[-1] == ("policy", "kind=9")
    with pytest.raises(ModelMismatchError):
        running.enrol([FRAME, FRAME + 1, FRAME + 2], "ann")
    assert administrator.subjects() == ()


class AlwaysGood:
    """A sampler that finds a good face in every frame."""

    def take(self, frame: np.ndarray, *, limits: Any = None) -> Any:
        from edge_sdk.recognizer.sampling import AlignedSample

        fields = dict.fromkeys(AlignedSample.__dataclass_fields__)
        return AlignedSample(**{**fields, "embedding": np.ones(32, np.float32)})


def test_the_record_of_pinned_networks_is_read_back() -> None:
    digests = tuple(hashlib.sha256(bytes([n])).hexdigest() for n in range(4))
    for networks in (
        PinnedNetworks(digests[0]),
        PinnedNetworks(None, digests[1:], 0.5),
        PinnedNetworks(digests[0], digests[:1], 1.0),
    ):
        packed = pack_networks(networks)
        assert parse_networks(packed) == networks
        for cut in range(len(packed)):
            with pytest.raises(GalleryFormatError):
                parse_networks(packed[:cut])
        for wrong in (packed + b"\0", bytes(16) + packed[16:], b"\xff" * 8 + packed[8:]):
            with pytest.raises(GalleryFormatError):
                parse_networks(wrong)
    packed = pack_networks(PinnedNetworks(None, digests[:2], 0.5))
    with pytest.raises(GalleryFormatError, match="order"):
        parse_networks(packed[:16] + packed[48:] + packed[16:48])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"detector": "00"},
        {"detector": "Z" * 64},
        {"detector": "A" * 64},
        {"detector": 5},
        {"liveness": ("a" * 64,)},
        {"liveness": ("a" * 64,), "liveness_threshold": 0},
        {"liveness": ("a" * 64,), "liveness_threshold": 1.5},
        {"liveness": ("a" * 64,), "liveness_threshold": float("nan")},
        {"liveness": ("a" * 64,), "liveness_threshold": True},
        {"liveness": ("a" * 64,), "liveness_threshold": "0.5"},
        {"liveness": ("a" * 64,) * 17, "liveness_threshold": 0.5},
        {"detector": "a" * 64, "liveness_threshold": 0.5},
    ],
)
def test_malformed_pinned_networks_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        PinnedNetworks(**wrong)


def test_a_gallery_with_a_malformed_record_does_not_open(door: Door) -> None:
    gallery = Gallery.open(door.gallery, key=KEY)
    session = gallery._session
    before = session.content
    records = tuple(
        replace(record, value=b"\x01") if record.kind == PINNED_NETWORKS else record
        for record in before.policy
    )
    with pytest.raises(GalleryFormatError):
        session.commit(before, replace(before, policy=records))
