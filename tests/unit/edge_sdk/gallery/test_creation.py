"""Creation of a gallery: if it fails, nothing is left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_sdk.errors import (
    GalleryError,
)
from edge_sdk.gallery import FileAnchor, Gallery, TpmKey
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import audit_path, lock_path
from tests.simulated_file_system import SimulatedFileSystem
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, D, names


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
