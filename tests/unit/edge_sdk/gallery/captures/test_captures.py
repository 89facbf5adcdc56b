"""Captures are sealed for a key, bound to gallery and subject, and stored only for enrolled subjects."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import (
    ChangeCommittedError,
    GalleryError,
    GalleryFormatError,
    InputError,
    SealError,
    SubjectUnknownError,
)
from edge_sdk.gallery import Gallery
from edge_sdk.gallery.captures.crops import Crops, pack_crops, parse_crops
from edge_sdk.gallery.captures.files import captures_path
from edge_sdk.gallery.captures.keys import CapturesKey, public_path, read_recipient
from edge_sdk.gallery.captures.recrop import recropped
from edge_sdk.gallery.captures.sealed import open_part, seal_part, split_parts
from edge_sdk.gallery.format.captures_record import (
    CapturesRecord,
    KeptRecord,
    StoredPart,
    pack_captures,
    pack_kept,
    parse_captures,
    parse_kept,
)
from edge_sdk.gallery.store.audit_events import in_words
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112, arcface
from tests.simulated_file_system import PowerCut, SimulatedFileSystem
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, D, embeddings

CAPTURES_KEY = CapturesKey(bytes(range(32)))
OTHER_KEY = CapturesKey(bytes(range(1, 33)))
CONSENT = "Ann Lee, signed form 12"
GALLERY, ANN = b"g" * 16, b"a" * 16


def crops(count: int = 2, height: int = 20, width: int = 16, seed: int = 0) -> Crops:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return Crops(pixels, CONSENT, stored_at_s=1_800_000_000, enrolled_by=b"e" * 16)


def part(**changes: bytes) -> bytes:
    where = {"gallery": GALLERY, "subject": ANN, "recipient": CAPTURES_KEY.public, **changes}
    return seal_part(crops(), **where)


@pytest.fixture
def storing(gallery: Gallery) -> Gallery:
    """A gallery with ann and bob that stores captures, and cyd with two captures."""
    gallery.captures.switch_on(CAPTURES_KEY.public)
    gallery.enrol("cyd", embeddings(3, 2), captures=crops())
    return gallery


def file_of(gallery: Gallery, path: Path, name: str) -> Path:
    return captures_path(path, bytes.fromhex({s.name: s.id for s in gallery.subjects()}[name]))


def captures_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.captures.*"))


def test_crops_come_back_from_their_bytes() -> None:
    aligned = replace(crops(), landmarks=ARCFACE_112)
    for original in (crops(), aligned):
        again = parse_crops(pack_crops(original))
        assert np.array_equal(again.pixels, original.pixels)
        assert (again.consent, again.landmarks) == (original.consent, original.landmarks)
        assert (again.stored_at_s, again.enrolled_by) == (original.stored_at_s, original.enrolled_by)


def test_damaged_crops_are_refused() -> None:
    packed = pack_crops(crops())
    for length in range(0, 90):
        with pytest.raises(GalleryFormatError):
            parse_crops(packed[:length])
    for at, value in itertools.product(range(8), (0, 1, 255)):
        damaged = bytearray(packed)
        damaged[at] = value if damaged[at] != value else 7
        with pytest.raises(GalleryFormatError):
            parse_crops(bytes(damaged))


@pytest.mark.parametrize(
    ("pixels", "consent"),
    [
        (np.zeros((0, 20, 20, 3), np.uint8), CONSENT),
        (np.zeros((33, 20, 20, 3), np.uint8), CONSENT),
        (np.zeros((1, 20, 20, 2), np.uint8), CONSENT),
        (np.zeros((1, 20, 20, 3), np.float32), CONSENT),
        (np.zeros((32, 600, 600, 3), np.uint8), CONSENT),
        (np.zeros((1, 20, 20, 3), np.uint8), " "),
        (np.zeros((1, 20, 20, 3), np.uint8), "x" * 1025),
    ],
)
def test_malformed_crops_and_missing_consent_are_refused(pixels: np.ndarray, consent: str) -> None:
    with pytest.raises(InputError):
        Crops(pixels, consent)


def test_a_part_opens_only_with_its_key_for_its_gallery_and_subject() -> None:
    sealed = part()
    opened = open_part(sealed, CAPTURES_KEY, gallery=GALLERY, subject=ANN)
    assert np.array_equal(opened.pixels, crops().pixels)
    assert opened.consent == CONSENT
    assert CONSENT.encode() not in sealed
    with pytest.raises(SealError, match="are sealed for the key"):
        open_part(sealed, OTHER_KEY, gallery=GALLERY, subject=ANN)
    for changes in ({"gallery": b"h" * 16}, {"subject": b"b" * 16}):
        with pytest.raises(SealError, match="another gallery or another subject"):
            open_part(part(**changes), CAPTURES_KEY, gallery=GALLERY, subject=ANN)


def test_every_altered_byte_of_a_part_is_refused() -> None:
    sealed = part()
    for at in [*range(120), *range(120, len(sealed), 37), len(sealed) - 1]:
        damaged = bytearray(sealed)
        damaged[at] ^= 1
        with pytest.raises((SealError, GalleryFormatError)):
            open_part(bytes(damaged), CAPTURES_KEY, gallery=GALLERY, subject=ANN)
    # The ids in the header are authenticated too, not only compared.
    moved = bytearray(part(subject=b"b" * 16))
    moved[32:48] = ANN
    with pytest.raises(SealError, match="altered"):
        open_part(bytes(moved), CAPTURES_KEY, gallery=GALLERY, subject=ANN)


def test_files_of_several_parts_are_divided_and_incomplete_ones_refused() -> None:
    parts = [part(), part()]
    assert split_parts(b"".join(parts)) == parts
    assert split_parts(b"") == []
    for damaged in (parts[0][:-1], parts[0] + b"x", b"".join(parts * 9)):
        with pytest.raises(GalleryFormatError):
            split_parts(damaged)


def test_the_records_come_back_and_malformed_ones_are_refused() -> None:
    parts = tuple(StoredPart(bytes([n]) * 16, bytes(8), bytes([n]) * 32, 5, 3) for n in (1, 1, 2))
    record = CapturesRecord(b"r" * 32, parts)
    assert parse_captures(pack_captures(record)) == record
    assert record.of(b"\1" * 16) == parts[:2]
    unordered = pack_captures(CapturesRecord(b"r" * 32, parts[::-1]))
    none = pack_captures(CapturesRecord(b"r" * 32, (replace(parts[0], captures=0),)))
    for value in (b"", pack_captures(record)[:-1], unordered, none, b"r" * 40):
        with pytest.raises(GalleryFormatError):
            parse_captures(value)
    kept = KeptRecord(7, b"d" * 32, b"m" * 32, 1, 2, (b"a" * 16,))
    assert parse_kept(pack_kept(kept)) == kept
    for value in (
        b"",
        pack_kept(kept)[:-1],
        pack_kept(replace(kept, generation=0)),
        pack_kept(replace(kept, method=3)),
    ):
        with pytest.raises(GalleryFormatError):
            parse_kept(value)


def test_a_key_pair_is_two_private_and_public_files(tmp_path: Path) -> None:
    path = tmp_path / "captures.key"
    key = CapturesKey.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert CapturesKey.read(path) == key
    assert read_recipient(public_path(path)) == key.public
    assert key.secret.hex() not in repr(key)
    with pytest.raises(GalleryError, match="exists already"):
        CapturesKey.create(path)
    with pytest.raises(InputError, match="expected a private key of captures, found a public key"):
        CapturesKey.read(public_path(path))
    with pytest.raises(InputError, match="expected a public key of captures, found a private key"):
        read_recipient(path)


def test_a_failed_key_pair_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "captures.key"
    public_path(path).touch()
    with pytest.raises(GalleryError, match="exists already"):
        CapturesKey.create(path)
    assert not path.exists()


def test_captures_are_off_until_they_are_switched_on(gallery: Gallery, path: Path) -> None:
    assert gallery.captures.status().recipient is None
    with pytest.raises(GalleryError, match="does not store captures"):
        gallery.enrol("cyd", embeddings(3), captures=crops())
    assert [s.name for s in gallery.subjects()] == ["ann", "bob"]
    with pytest.raises(InputError, match="public key"):
        gallery.captures.switch_on(bytes(32))
    assert not captures_files(path)


def test_an_enrolment_stores_its_captures_and_says_so(storing: Gallery, path: Path) -> None:
    status = storing.captures.status()
    assert status.recipient == CAPTURES_KEY.public.hex()
    assert (status.subjects, status.without) == ((("cyd", 2),), ("ann", "bob"))
    file = file_of(storing, path, "cyd")
    assert captures_files(path) == [file]
    assert file.stat().st_mode & 0o777 == 0o600
    assert storing.problems() == ()
    events = [(e.event.event, in_words(e.event)) for e in storing.audit.report().entries]
    assert (
        "captures-stored",
        "captures of the enrolment stored, with consent: number of captures 2",
    ) in events
    again = Gallery.open(path, key=KEY, model_id=MODEL)
    gallery_id = bytes.fromhex(again.status().gallery_id)
    subject = bytes.fromhex(file.name[-32:])
    opened = open_part(file.read_bytes(), CAPTURES_KEY, gallery=gallery_id, subject=subject)
    assert np.array_equal(opened.pixels, crops().pixels)


@pytest.mark.parametrize("way", ["remove", "erase", "captures", "off"])
def test_captures_go_with_their_subject_and_on_request(storing: Gallery, path: Path, way: str) -> None:
    steps = {
        "remove": lambda: storing.remove("cyd"),
        "erase": lambda: storing.erase("cyd"),
        "captures": lambda: storing.captures.remove("cyd"),
        "off": storing.captures.switch_off,
    }
    steps[way]()
    assert not captures_files(path)
    assert storing.captures.status().subjects == ()
    assert ("cyd" in [s.name for s in storing.subjects()]) == (way in ("captures", "off"))
    assert storing.problems() == ()


def test_captures_of_an_unknown_subject_are_not_removed(storing: Gallery) -> None:
    with pytest.raises(SubjectUnknownError):
        storing.captures.remove("dan")


def test_a_key_with_stored_captures_is_not_exchanged(storing: Gallery) -> None:
    storing.captures.switch_on(CAPTURES_KEY.public)
    with pytest.raises(GalleryError, match="cannot be exchanged"):
        storing.captures.switch_on(OTHER_KEY.public)
    storing.captures.remove("cyd")
    storing.captures.switch_on(OTHER_KEY.public)
    assert storing.captures.status().recipient == OTHER_KEY.public.hex()


def test_an_import_brings_no_captures(storing: Gallery, tmp_path: Path) -> None:
    other = Gallery.create(tmp_path / "other.gallery", key=KEY, model_id=MODEL, dimension=D)
    other.captures.switch_on(CAPTURES_KEY.public)
    other.exchange.import_package(
        storing.exchange.export("cyd", recipient=bytes.fromhex(other.status().recipient))
    )
    assert other.captures.status().without == ("cyd",)


@pytest.mark.parametrize("fault", ["missing", "altered", "swapped", "stale", "mode"])
def test_verify_notices_missing_altered_and_stale_captures(storing: Gallery, path: Path, fault: str) -> None:
    storing.enrol("dan", embeddings(4, 2), captures=crops(seed=4))
    cyd, dan = file_of(storing, path, "cyd"), file_of(storing, path, "dan")
    expected = "the captures of 'cyd' are missing, incomplete or altered"
    if fault == "missing":
        cyd.unlink()
    elif fault == "altered":
        cyd.write_bytes(cyd.read_bytes()[:-1] + b"x")
    elif fault == "swapped":
        shutil.copy(dan, cyd)
    elif fault == "mode":
        cyd.chmod(0o644)
        expected = f"{cyd} has mode 0644"
    else:
        expected = "does not belong to this gallery's content"
        shutil.copy(cyd, cyd.with_name(cyd.name[:-1] + ("0" if cyd.name[-1] != "0" else "1")))
    assert any(expected in problem for problem in storing.problems())
    storing.revoke("ann")
    assert len(captures_files(path)) == (1 if fault == "missing" else 2)


def test_a_failed_write_of_captures_says_that_the_subject_is_enrolled(
    storing: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge_sdk.gallery.captures.files.captures_path", lambda *_: path.parent / "no" / "file"
    )
    with pytest.raises(ChangeCommittedError, match="its captures are not stored"):
        storing.enrol("dan", embeddings(4), captures=crops())
    monkeypatch.undo()
    assert [s.name for s in storing.subjects()][-1] == "dan"
    assert any("the captures of 'dan'" in problem for problem in storing.problems())


def test_a_power_cut_leaves_no_captures_of_somebody_who_is_not_enrolled() -> None:
    path = Path("home.gallery")
    files = SimulatedFileSystem()
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, filesystem=files)
    gallery.captures.switch_on(CAPTURES_KEY.public)
    state, count = files.state(), len(files.steps)
    gallery.enrol("cyd", embeddings(3), captures=crops(count=1))
    states = 0
    for cut in range(len(files.steps) - count + 1):
        cut_files = SimulatedFileSystem.holding(state)
        again = Gallery.open(path, key=KEY, model_id=MODEL, filesystem=cut_files)
        cut_files.cut_before, cut_files.tears = len(cut_files.steps) + cut, 2
        with contextlib.suppress(PowerCut, GalleryError):
            again.enrol("cyd", embeddings(3), captures=crops(count=1))
        for left in cut_files.states_after_cut():
            states += 1
            opened = Gallery.open(path, key=KEY, model_id=MODEL, filesystem=SimulatedFileSystem.holding(left))
            stored = [entry for entry in left if ".captures." in entry.name]
            enrolled = "cyd" in [s.name for s in opened.subjects()]
            assert enrolled or not stored
            if enrolled and not any("captures" in problem for problem in opened.problems()):
                assert len(stored) == 1
    assert states > 40


ALIGNED = InputContract.from_json(
    {"size": [112, 112], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
)


def face_crops(height: int, width: int) -> Crops:
    pixels = np.random.default_rng(1).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    return Crops(pixels, CONSENT, arcface(height, width))


def test_crops_of_the_same_template_are_used_as_they_are_and_narrower_ones_are_cut_out() -> None:
    stored = face_crops(112, 112)
    assert np.array_equal(recropped(stored, ALIGNED)[0], stored.pixels[0])
    narrow = InputContract.from_json(
        {"size": [112, 96], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
    )
    assert np.array_equal(recropped(stored, narrow)[0], stored.pixels[0, :, 8:104])


@pytest.mark.parametrize(
    ("stored", "value", "message"),
    [
        (face_crops(112, 96), {"size": [112, 112]}, "8 pixels beyond the edge"),
        (face_crops(112, 112), {"size": [224, 224]}, "2.00 times the resolution"),
        (crops(height=112, width=112), {"size": [112, 112]}, "not aligned in the same way"),
        (
            face_crops(112, 112),
            {"size": [112, 112], "color": "gray"},
            "have 3 channels, the new network needs 1",
        ),
    ],
)
def test_a_network_that_needs_more_than_was_stored_is_refused(
    stored: Crops, value: dict[str, object], message: str
) -> None:
    needed = InputContract.from_json({"color": "rgb", "range": [0, 255], "alignment": "arcface", **value})
    with pytest.raises(GalleryError, match=message):
        recropped(stored, needed)


VECTORS = Path(__file__).parents[4] / "vectors" / "captures"


@pytest.mark.parametrize("vector", sorted(VECTORS.glob("*.vector")), ids=lambda path: path.stem)
def test_a_vector_is_read_with_its_expected_result(vector: Path) -> None:
    head_text, _, file = vector.read_bytes().partition(b"\n\n")
    head = dict(line.split(": ", 1) for line in head_text.decode().splitlines())
    key, where = (
        CapturesKey(bytes.fromhex(head["key"])),
        {n: bytes.fromhex(head[n]) for n in ("gallery", "subject")},
    )

    def opened() -> list[Crops]:
        return [open_part(part, key, **where) for part in split_parts(file)]

    if head["expect"] != "ok":
        with pytest.raises({"format": GalleryFormatError, "seal": SealError}[head["expect"]]):
            opened()
        return
    parts = opened()
    assert (
        hashlib.sha256(b"".join(part.pixels.tobytes() for part in parts)).hexdigest() == head["crops-sha256"]
    )
    assert "|".join(part.consent for part in parts) == head["consents"]


def test_the_vectors_cover_every_refusal() -> None:
    assert len(list(VECTORS.glob("*.vector"))) >= 15
