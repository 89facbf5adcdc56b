"""Folders and tars of images, what fails to acquire, and what two artefacts have in common."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.evaluate.metrics.samples import (
    EmbeddedSamples,
    SampleSet,
    embed_samples,
    in_common,
    open_samples,
)
from edge_sdk.errors import AcquisitionError, InputError

NAMES = ("anna/anna_0001.png", "anna/anna_0002.png", "ben/ben_0001.png")


def png(value: int, mode: str = "RGB") -> bytes:
    made = io.BytesIO()
    Image.new(mode, (5, 4), value if mode == "L" else (value, 0, 0)).save(made, "PNG")
    return made.getvalue()


def contents() -> dict[str, bytes]:
    return {name: png(10 * k + 10) for k, name in enumerate(NAMES)}


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_tar(path: Path, files: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def by_colour(image: np.ndarray) -> np.ndarray:
    angle = float(image[0, 0, 0]) / 100
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_folder_and_tar_are_the_same_set(tmp_path: Path) -> None:
    folder = open_samples(write_folder(tmp_path / "data", contents()))
    prefixed = [(f"top/data/{name}", content) for name, content in reversed(contents().items())]
    packed = open_samples(write_tar(tmp_path / "data.tar.gz", prefixed, "w:gz"))
    assert [sample.name for sample in folder.samples] == list(NAMES)
    assert folder.samples == packed.samples
    assert folder.digest == packed.digest
    assert (folder.data_set, packed.data_set) == ("data", "data")
    assert folder.image(folder.samples[0]).shape == (4, 5, 3)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    extra = {"anna/notes.txt": b"x", "anna/.hidden.png": b"x", "loose.png": b"x", "anna/deep/x.png": b"x"}
    assert len(open_samples(write_folder(tmp_path, {**contents(), **extra})).samples) == 3


def test_failures_to_acquire_are_counted_and_named(tmp_path: Path) -> None:
    files = {**contents(), "ben/ben_0002.png": b"not an image", "carl/carl_0001.png": png(99)[:40]}

    def embed(image: np.ndarray) -> np.ndarray:
        if image[0, 0, 0] == 20:
            raise AcquisitionError("expected a face, found none", reason="no face")
        return by_colour(image)

    steps: list[tuple[int, int]] = []
    found = embed_samples(
        open_samples(write_folder(tmp_path, files)), embed, progress=lambda *at: steps.append(at)
    )
    assert found.names == ("anna/anna_0001.png", "ben/ben_0001.png")
    assert found.subjects == ("anna", "ben")
    assert dict(found.failures) == {
        "anna/anna_0002.png": "no face",
        "ben/ben_0002.png": "cannot be decoded",
        "carl/carl_0001.png": "cannot be decoded",
    }
    acquired = found.acquisition()
    assert (acquired.attempts, acquired.failures, acquired.rate) == (5, 3, 0.6)
    assert acquired.first_names[0] == "anna/anna_0002.png: no face"
    assert steps[-1] == (5, 5)


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    samples = open_samples(write_folder(tmp_path, {"anna/a.png": png(7, "L")}))
    assert samples.image(samples.samples[0]).shape == (4, 5, 3)
    assert samples.image(samples.samples[0], color="gray").shape == (4, 5, 1)
    assert (samples.image(samples.samples[0]) == 7).all()


def test_nothing_embedded_is_an_error(tmp_path: Path) -> None:
    def refuse(image: np.ndarray) -> np.ndarray:
        raise InputError(f"expected 112x112, found {image.shape}")

    with pytest.raises(
        InputError, match=r"3 failures to acquire, the first anna/anna_0001.png: expected 112"
    ):
        embed_samples(open_samples(write_folder(tmp_path, contents())), refuse)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.ones((1, 4), np.float32), r"\(D,\)"),
        (np.ones(4, np.int8), "int8"),
        (np.ones(4, np.float32), "norm 2"),
        (np.full(4, np.nan, np.float32), "NaN"),
    ],
)
def test_embeddings_of_another_form_are_refused(tmp_path: Path, vector: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        embed_samples(open_samples(write_folder(tmp_path, contents())), lambda _: vector)


def test_embeddings_that_change_their_length_are_refused(tmp_path: Path) -> None:
    lengths = iter((4, 5, 4))
    with pytest.raises(InputError, match="4 values, found 5"):
        embed_samples(
            open_samples(write_folder(tmp_path, contents())),
            lambda _: np.eye(next(lengths), dtype=np.float32)[0],
        )


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
        open_samples(write_tar(tmp_path / "loose.tar", [("a.png", png(1))]))
    with pytest.raises(InputError, match="twice"):
        open_samples(write_tar(tmp_path / "twice.tar", [("x/a/b.png", png(1)), ("y/a/b.png", png(2))]))


def test_a_tar_is_not_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "evil.tar", [("../../up/a.png", png(1)), ("/etc/b.png", png(2))])
    before = sorted(tmp_path.rglob("*"))
    assert [sample.name for sample in open_samples(path).samples] == ["etc/b.png", "up/a.png"]
    assert sorted(tmp_path.rglob("*")) == before


def test_in_common_keeps_what_both_embedded(tmp_path: Path) -> None:
    samples: SampleSet = open_samples(write_folder(tmp_path, contents()))

    def only_dark(image: np.ndarray) -> np.ndarray:
        if image[0, 0, 0] > 20:
            raise AcquisitionError("expected dark, found light", reason="too light")
        return by_colour(image)

    first, second = in_common(embed_samples(samples, by_colour), embed_samples(samples, only_dark))
    assert first.names == second.names == NAMES[:2]
    assert len(second.failures) == 1
    other = EmbeddedSamples("else", "00", NAMES[:1], ("anna",), np.eye(1, dtype=np.float32))
    with pytest.raises(InputError, match="other digests"):
        in_common(first, other)
    with pytest.raises(InputError, match="one name and one subject"):
        EmbeddedSamples("x", "0", ("a", "a"), ("a", "a"), np.eye(2, dtype=np.float32))
