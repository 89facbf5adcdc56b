"""A backup is restored into the installation of a new device with one call, or nothing changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.door.installation import Installation
from edge_sdk.door.restore import InstalledRestoration, restore_into
from edge_sdk.door.setup import SetupOptions, set_up
from edge_sdk.errors import EdgeSdkError, GalleryError, SealError
from edge_sdk.gallery import Gallery, Passphrase
from edge_sdk.kit import KitFile
from edge_sdk.model.model_file import ModelFile
from tests.kits import make_kit, proven_points

PASSPHRASE = "quokka lantern 7 harbor mist"


@pytest.fixture(scope="module")
def kit(
    tmp_path_factory: pytest.TempPathFactory,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., Any],
) -> KitFile:
    model = make_model(operating_points=proven_points(make_evidence))
    return make_kit(tmp_path_factory.mktemp("kit") / "face.edgekit", model)


@pytest.fixture(scope="module")
def old(kit: KitFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an installation in which alice is enrolled, its backup, and a copy of its key."""
    folder = tmp_path_factory.mktemp("old")
    gallery = opened(install(kit, folder / "door"))
    gallery.enrol("alice", person(1))
    gallery.reject()
    gallery.keys.add(Passphrase(PASSPHRASE))
    gallery.backup(folder / "home.backup")
    shutil.copy2(folder / "door" / "home.key", folder / "copy.key")
    return folder


@pytest.fixture
def new(kit: KitFile, tmp_path: Path) -> Installation:
    return install(kit, tmp_path / "door")


def install(kit: KitFile, folder: Path) -> Installation:
    return set_up(kit, SetupOptions(folder=folder, door=True), accept=lambda terms: True).installation


def opened(installation: Installation, **options: Any) -> Gallery:
    return installation.open_gallery(model_id=ModelFile.open(installation.model).model_id, **options)


def person(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=32) + 0.01 * random.normal(size=(3, 32))).astype(np.float32)


def restore(installation: Installation, old: Path, key: Path | str, **options: Any) -> InstalledRestoration:
    return restore_into(
        installation,
        old / "home.backup",
        key_word=str(key),
        anchor_word=installation.anchor,
        passphrase=lambda prompt: PASSPHRASE,
        **options,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def names(gallery: Gallery) -> list[str]:
    return [subject.name for subject in gallery.subjects()]


@pytest.mark.filterwarnings("ignore:this key file is also")
def test_a_key_file_of_the_old_device_is_copied(new: Installation, old: Path) -> None:
    before = files(new.folder)
    result = restore(new, old, old / "copy.key")
    assert (result.key_word, result.key_copied) == (new.key, True)
    assert result.earlier is not None
    assert result.restoration.failures == 1
    assert "failed attempts in a row before the restore still count: 1" in result.restoration.statement
    restored = Installation.read(new.folder)
    assert restored == new
    gallery = opened(restored)
    assert names(gallery) == ["alice"]
    assert gallery.problems() == ()
    aside = files(result.earlier)
    assert aside["home.gallery"] == before["home.gallery"]
    assert aside["home.key"].startswith(before["home.key"])
    assert aside["home.anchor"] == before["anchor/home.anchor"]


def test_a_passphrase_becomes_the_key_of_the_installation(new: Installation, old: Path) -> None:
    result = restore(new, old, "passphrase")
    restored = Installation.read(new.folder)
    assert (result.key_word, restored.key) == ("passphrase", "passphrase")
    assert not (new.folder / "home.key").exists()
    assert names(opened(restored, key=Passphrase(PASSPHRASE))) == ["alice"]


@pytest.mark.filterwarnings("ignore:this key file is also")
def test_a_key_that_was_copied_before_and_a_gallery_that_was_moved_away(new: Installation, old: Path) -> None:
    shutil.copy2(old / "copy.key", new.key)
    before = files(new.folder)
    with pytest.raises(GalleryError, match="does not open it, so it is not known to be empty"):
        restore(new, old, new.key)
    assert files(new.folder) == before
    new.gallery.unlink()
    result = restore(new, old, new.key)
    assert result.earlier is not None
    assert (result.earlier / "home.anchor").exists() and not (result.earlier / "home.key").exists()
    assert names(opened(Installation.read(new.folder))) == ["alice"]


def test_people_are_never_set_aside(new: Installation, old: Path) -> None:
    opened(new).enrol("eve", person(2))
    before = files(new.folder)
    with pytest.raises(GalleryError, match="enrolled in it: 1"):
        restore(new, old, old / "copy.key", replace=True)
    assert files(new.folder) == before


def test_a_key_that_does_not_open_the_backup_is_named(new: Installation, old: Path) -> None:
    before = files(new.folder)
    with pytest.raises(SealError, match="the key file that was given does not open the backup"):
        restore(new, old, new.key)
    assert files(new.folder) == before


def test_a_restore_that_fails_moves_everything_back(new: Installation, old: Path) -> None:
    before = files(new.folder)
    with pytest.raises(EdgeSdkError, match="expected gallery 0000"):
        restore(new, old, old / "copy.key", gallery_id="00" * 16)
    assert files(new.folder) == before
    assert names(opened(Installation.read(new.folder))) == []


@pytest.mark.filterwarnings("ignore:this key file is also")
def test_the_gallery_of_the_same_device_is_replaced_only_if_confirmed(
    kit: KitFile, old: Path, tmp_path: Path
) -> None:
    shutil.copytree(old / "door", tmp_path / "door")
    same = Installation.read(tmp_path / "door")
    with pytest.raises(GalleryError, match="exists already"):
        restore(same, old, same.key)
    result = restore(same, old, same.key, replace=True)
    assert (result.earlier, result.key_word, result.key_copied) == (None, same.key, False)
