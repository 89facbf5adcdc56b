"""Creation of a gallery: if it fails, nothing is left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import AttemptPolicy, FileAnchor, Gallery, InMemoryKey, Passphrase, TpmKey
from edge_sdk.gallery.creation import AUDITS, SUITES, TEMPLATE_TYPES, TRANSFORMS, name_of
from edge_sdk.gallery.format.content import AUDIT_ANSWERS, AUDIT_POLICY, SLOT_KEYS
from edge_sdk.gallery.format.header import Suite, TemplateType, Transform, parse_header
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import audit_path, lock_path
from tests.simulated_file_system import SimulatedFileSystem
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, D, embeddings, names


class FailingKey(TpmKey):
    """A TPM key whose secret cannot be destroyed."""

    def forget(self, parameters: bytes) -> None:
        raise GalleryError("the TPM does not answer")


def test_a_failed_creation_destroys_the_new_secret(path: Path, tpm: str) -> None:
    nowhere = path.parent / "nowhere" / "g"
    with pytest.raises(GalleryError, match="cannot lock"):
        Gallery.create(nowhere, key=TpmKey(pcrs=""), model_id=MODEL, dimension=D)
    assert tpm_nv.indices() == set()
    with pytest.raises(GalleryError, match="cannot lock"):
        Gallery.create(nowhere, key=FailingKey(pcrs=""), model_id=MODEL, dimension=D)
    assert len(tpm_nv.indices()) == 1
    Gallery.create(path, key=TpmKey(pcrs=""), model_id=MODEL, dimension=D)
    assert names(path, TpmKey(pcrs="")) == []


@pytest.mark.parametrize("place", ["nowhere/anchor", "file/anchor"])
def test_an_anchor_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(GalleryError):
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=FileAnchor(tmp_path / place))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"]
    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=FileAnchor(tmp_path / "anchor"))


def test_an_error_at_any_step_of_a_creation_leaves_only_earlier_files() -> None:
    place, anchor = Path("g/home.gallery"), Path("a/anchor")

    def create(files: SimulatedFileSystem) -> None:
        Gallery.create(
            place,
            key=KEY,
            model_id=MODEL,
            dimension=4,
            anchor=FileAnchor(anchor, filesystem=files),
            filesystem=files,
        )

    files = SimulatedFileSystem()
    create(files)
    steps = len(files.steps)
    assert steps > 10
    for step in range(steps):
        files = SimulatedFileSystem()
        files.fail = {step: OSError(errno.EIO, os.strerror(errno.EIO))}
        with pytest.raises(GalleryError):
            create(files)
        assert files.state() == {}, step
    log = {audit_path(place): b"of a gallery that was here before\n"}
    files = SimulatedFileSystem.holding(log)
    files.fail = {6: OSError(errno.EIO, os.strerror(errno.EIO))}
    with pytest.raises(GalleryError):
        create(files)
    assert files.state()[audit_path(place)].startswith(log[audit_path(place)])


class FailingAnchor(FileAnchor):
    """An anchor that fails after `prepare`, as if its chip did not answer."""

    def advance(self, gallery_id: bytes, generation: int) -> None:
        raise GalleryError("the chip does not answer")

    def abandon(self, gallery_id: bytes) -> None:
        raise GalleryError("the chip still does not answer")


def test_the_first_error_is_reported_and_everything_is_removed(path: Path, tmp_path: Path) -> None:
    anchor = FailingAnchor(tmp_path / "anchor")
    with pytest.raises(GalleryError, match=r"^the chip does not answer$"):
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    assert list(tmp_path.iterdir()) == []


def test_an_anchor_in_use_by_a_gallery_of_the_same_id_is_refused(path: Path, tmp_path: Path) -> None:
    """If random bytes repeat, the new gallery has the id of an earlier one and would use its anchor."""
    anchor = FileAnchor(tmp_path / "anchor")

    def random(size_bytes: int) -> bytes:
        return bytes(range(1, size_bytes + 1))

    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor, random=random)
    path.unlink()
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(GalleryError, match=r"^the anchor is in use$") as caught:
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor, random=random)
    assert caught.value.hint == "use a separate anchor for each gallery"
    after = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert after == {file: data for file, data in before.items() if file != lock_path(path)}


def create(path: Path, **options: Any) -> Gallery:
    return Gallery.create(path, **{"key": KEY, "model_id": MODEL, "dimension": D, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_id": MODEL[:31]}, "model_id has 31 bytes, expected 32 (a SHA-256)"),
        ({"model_id": MODEL + b"x"}, "model_id has 33 bytes, expected 32 (a SHA-256)"),
        ({"model_id": MODEL.hex()}, "expected model_id of type bytes, found str"),
        *(
            ({"dimension": wrong}, f"expected a dimension that is an integer in 1..65535, found {wrong!r}")
            for wrong in (0, -1, 65_536, 32.0, True, "32", None)
        ),
        ({"audit": "some"}, "expected audit to be one of all, changes, off, found 'some'"),
        ({"suite": "aes"}, "expected suite to be one of aes-256-gcm, chacha20-poly1305, found 'aes'"),
        ({"dtype": "float32"}, "expected dtype to be one of int8, float16, found 'float32'"),
        ({"transform": "SHP3"}, "expected transform to be one of shp3, none, found 'SHP3'"),
    ],
)
def test_an_argument_out_of_range_is_refused_by_its_name_and_leaves_nothing(
    tmp_path: Path, path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        create(path, **options)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dimension", [1, 65_535])
def test_the_smallest_and_the_largest_dimension_are_accepted(path: Path, dimension: int) -> None:
    create(path, dimension=dimension)
    assert Gallery.open(path, key=KEY).status().dimension == dimension


def test_the_first_generation_has_what_the_arguments_say(path: Path) -> None:
    drawn: list[bytes] = []

    def random(size_bytes: int) -> bytes:
        drawn.append(bytes([len(drawn) + 1]) * size_bytes)
        return drawn[-1]

    gallery = create(
        path,
        model_id=bytearray(MODEL),
        dtype="float16",
        transform="none",
        suite="chacha20-poly1305",
        audit="all",
        random=random,
        clock=lambda: 1_700_000_000.9,
    )
    header, content = gallery._session.header, gallery._session.content
    assert parse_header(path.read_bytes()) == header
    assert (header.suite, header.template_type) == (Suite.CHACHA20_POLY1305, TemplateType.FLOAT16)
    assert (header.transform, header.model_id, header.dimension) == (Transform.NONE, MODEL, D)
    assert (header.generation, header.key_epoch, len(header.slots)) == (1, 1, 1)
    assert len({header.gallery_id, content.root_secret[:16]}) == 2
    assert {header.gallery_id, content.root_secret} <= {*drawn}
    assert (len(header.gallery_id), len(content.root_secret)) == (16, 32)
    assert (content.committed_at_s, content.names, len(content.templates)) == (1_700_000_000, (), 0)
    flags = {record.kind: record.critical for record in content.policy}
    assert (flags[SLOT_KEYS], flags[AUDIT_POLICY]) == (True, False)
    (entry,) = gallery.audit.report().entries
    assert (entry.event.event, entry.generation, entry.at_s) == ("create", 1, 1_700_000_000)
    assert entry.event.detail.startswith(f"gallery={header.gallery_id.hex()}")
    assert entry.carried_out
    assert gallery.audit.report().intact


def test_the_default_gallery_has_int8_templates_a_transform_and_a_log_of_changes_and_answers(
    path: Path,
) -> None:
    gallery = create(path)
    status = gallery.status()
    assert (status.suite, status.dtype, status.transform) == ("aes-256-gcm", "int8", "shp3")
    assert gallery._session.content.record(AUDIT_POLICY) == AUDIT_ANSWERS
    assert [entry.event.event for entry in gallery.audit.report().entries] == ["create"]
    gallery.identify(embeddings(1)[0], threshold=0.5)
    assert [entry.event.event for entry in gallery.audit.report().entries] == ["create", "rejected"]


def test_a_gallery_without_a_log_writes_none_and_leaves_an_earlier_one_alone(path: Path) -> None:
    earlier = create(path)
    earlier.enrol("ann", embeddings(1))
    path.unlink()
    log = audit_path(path).read_bytes()
    with pytest.raises(GalleryError, match="is the audit log of a gallery that no longer exists") as caught:
        create(path)
    assert str(audit_path(path)) in str(caught.value)
    assert caught.value.hint == (
        "move the log away and keep it, or put its gallery back; a new gallery starts its own log"
    )
    assert not path.exists()
    gallery = create(path, audit="off")
    assert audit_path(path).read_bytes() == log
    assert gallery._session.content.audit.entries == 0
    with pytest.raises(GalleryError, match="keeps no audit log"):
        gallery.audit.report()


def test_the_file_of_a_gallery_is_never_replaced_by_a_new_one(tmp_path: Path, path: Path) -> None:
    create(path).enrol("ann", embeddings(1))
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(GalleryError) as caught:
        create(path)
    assert str(caught.value) == f"{path} exists already"
    assert caught.value.hint == "open it, or choose another path"
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert names(path, KEY) == ["ann"]


class UnreadableFileSystem(SimulatedFileSystem):
    """A file system in which the place of the gallery cannot be looked at."""

    error = OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, path: Path, limit: int) -> bytes:
        if path.suffix == ".gallery":
            raise self.error
        return super().read(path, limit)


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(errno.EIO, "no answer"), "no answer"), (OSError("no number"), "no number")]
)
def test_a_place_that_cannot_be_looked_at_is_one_error(error: OSError, reason: str) -> None:
    files = UnreadableFileSystem()
    files.error = error
    with pytest.raises(GalleryError) as caught:
        create(Path("g/home.gallery"), filesystem=files)
    assert str(caught.value) == f"cannot create g/home.gallery: {reason}"


class StartedAnchor(FileAnchor):
    """An anchor whose counter starts above 0, as that of a TPM may."""

    def prepare(self, gallery_id: bytes) -> int:
        return 41


def test_the_first_generation_follows_the_anchors_counter(tmp_path: Path, path: Path) -> None:
    anchor = StartedAnchor(tmp_path / "anchor")
    gallery = create(path, anchor=anchor)
    assert gallery.status().generation == 42
    assert [entry.generation for entry in gallery.audit.report().entries] == [42]
    assert names(path, KEY, anchor=anchor) == []


def test_the_key_of_the_first_slot_opens_the_gallery_and_its_slot_key_is_sealed(path: Path) -> None:
    words = Passphrase("a recovery phrase", memory_kib=64, passes=1, lanes=1)
    gallery = create(path, key=words)
    assert len(gallery._session.content.record(SLOT_KEYS) or b"") == 32
    assert names(path, words) == []
    with pytest.raises(GalleryError):
        names(path, KEY)


def test_every_choice_has_its_name() -> None:
    for table in (SUITES, TEMPLATE_TYPES, TRANSFORMS):
        assert [name_of(table, value) for value in table.values()] == [*table]
    assert [*AUDITS] == ["all", "changes", "off"]


@pytest.mark.parametrize("letters", [241, 255, 300])
@pytest.mark.parametrize("letter", ["n", "é"])
def test_a_name_that_is_too_long_for_companion_files_is_refused(
    tmp_path: Path, letters: int, letter: str
) -> None:
    name = letter * (letters // len(letter.encode()) + 1)
    with pytest.raises(InputError, match="expected a file name of at most 240 bytes"):
        Gallery.create(tmp_path / name, key=InMemoryKey(b"k" * 32), model_id=b"m" * 32, dimension=8)
    assert not list(tmp_path.iterdir())


def test_the_longest_name_allows_every_companion_file(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240)
    gallery = Gallery.create(path, key=InMemoryKey(b"k" * 32), model_id=b"m" * 32, dimension=8)
    gallery.attempts.limit(AttemptPolicy())
    gallery.enrol("alice", np.ones(8, np.float32))
    assert gallery.identify(np.ones(8, np.float32), threshold=0.9).accepted
