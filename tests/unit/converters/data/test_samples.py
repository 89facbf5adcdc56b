"""Sample sets from folders and archives: names, digests, decoding and refusals."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import open_samples
from edge_sdk.errors import InputError
from tests.labelled_images import png, write

NAMES = ("anna/anna_0001.png", "anna/anna_0002.png", "ben/ben_0001.png")


def plain(value: int) -> bytes:
    return png(np.full((4, 5, 3), value, np.uint8))


def contents() -> dict[str, bytes]:
    return {name: plain(10 * k + 10) for k, name in enumerate(NAMES)}


def write_tar(path: Path, files: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_folder_and_tar_are_the_same_set(tmp_path: Path) -> None:
    folder = open_samples(write(tmp_path / "data", contents()))
    prefixed = [(f"top/data/{name}", content) for name, content in reversed(contents().items())]
    packed = open_samples(write_tar(tmp_path / "data.tar.gz", prefixed, "w:gz"))
    assert [sample.name for sample in folder.samples] == list(NAMES)
    assert folder.samples == packed.samples
    assert folder.digest == packed.digest
    assert (folder.data_set, packed.data_set) == ("data", "data")
    assert folder.image(folder.samples[0]).shape == (4, 5, 3)


def test_other_files_are_ignored(tmp_path: Path) -> None:
    extra = {"anna/notes.txt": b"x", "anna/.hidden.png": b"x", "loose.png": b"x", "anna/deep/x.png": b"x"}
    assert len(open_samples(write(tmp_path, {**contents(), **extra})).samples) == 3


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path, {"anna/a.png": png(np.full((4, 5), 7, np.uint8))}))
    assert samples.image(samples.samples[0]).shape == (4, 5, 3)
    assert samples.image(samples.samples[0], color="gray").shape == (4, 5, 1)
    assert (samples.image(samples.samples[0]) == 7).all()


def test_bad_folders_and_tars_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        open_samples(tmp_path / "empty")
    with pytest.raises(InputError, match="nothing there"):
        open_samples(tmp_path / "absent")
    with pytest.raises(InputError, match="readable"):
        open_samples(tmp_path / "absent.tar")
    (tmp_path / "text.tar").write_bytes(b"not a tar at all")
    with pytest.raises(InputError, match="readable"):
        open_samples(tmp_path / "text.tar")
    whole = write_tar(tmp_path / "cut.tar", list(contents().items())).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    with pytest.raises(InputError, match="readable"):
        open_samples(tmp_path / "cut.tar")
    with pytest.raises(InputError, match="found none"):
        open_samples(write_tar(tmp_path / "loose.tar", [("a.png", plain(1))]))
    with pytest.raises(InputError, match="twice"):
        open_samples(write_tar(tmp_path / "twice.tar", [("x/a/b.png", plain(1)), ("y/a/b.png", plain(2))]))


def test_a_tar_is_not_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "evil.tar", [("../../up/a.png", plain(1)), ("/etc/b.png", plain(2))])
    before = sorted(tmp_path.rglob("*"))
    assert [sample.name for sample in open_samples(path).samples] == ["etc/b.png", "up/a.png"]
    assert sorted(tmp_path.rglob("*")) == before
