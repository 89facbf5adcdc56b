"""Real zoo files are used from a mirror folder or after a download, and refused if their digest is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk import zoo
from edge_sdk.errors import ModelError
from edge_sdk.vision.detector import Detector

pytestmark = pytest.mark.real


def entries(folder: Path) -> list[zoo.ZooEntry]:
    """Create one zoo entry for each file that SHA256SUMS lists in the folder itself, not in a subfolder."""
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = []
    for digest, file in (line.split() for line in lines):
        if "/" in file:
            continue
        size = (folder / file).stat().st_size
        address = (folder / file).resolve().as_uri()
        listed.append(
            replace(
                zoo.entry("blazeface-short"),
                name=file,
                file=file,
                address=address,
                sha256=digest,
                size_bytes=size,
            )
        )
    return listed


def test_every_file_is_found_in_the_mirror_and_is_the_listed_one(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(shared / "zoo"))
    for entry in entries(shared / "zoo"):
        assert zoo.path(entry) == shared / "zoo" / entry.file
        with pytest.raises(ModelError, match="found a different file"):
            zoo.path(replace(entry, sha256="0" * 64))


def test_files_are_pulled_into_the_cache_once(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(zoo.MIRROR, raising=False)
    monkeypatch.setenv("EDGE_SDK_CACHE", str(tmp_path))
    for entry in entries(shared / "zoo")[:3]:
        file = zoo.pull(entry)
        assert file.parent == tmp_path / "zoo"
        assert file.stat().st_size == entry.size_bytes
        with pytest.raises(ModelError, match="nothing was kept"):
            zoo.pull(replace(entry, file="other.onnx", sha256="0" * 64))
    assert len(list((tmp_path / "zoo").iterdir())) == 3


EXERCISED = [entry for entry in zoo.ENTRIES if entry.exercised]


@pytest.mark.parametrize("entry", EXERCISED, ids=[entry.name for entry in EXERCISED])
def test_the_shipped_digest_of_a_tested_model_is_that_of_the_file_here(
    shared: Path, monkeypatch: pytest.MonkeyPatch, entry: zoo.ZooEntry
) -> None:
    monkeypatch.setenv(zoo.MIRROR, (shared / "zoo").as_uri())
    assert zoo.path(entry).stat().st_size == entry.size_bytes


@pytest.mark.parametrize("name", ["blazeface-short", "blazeface-full"])
def test_a_detector_is_opened_only_with_its_own_digest(
    shared: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(shared / "zoo"))
    entry = zoo.entry(name)
    Detector.open(zoo.path(entry), sha256=entry.sha256)
    with pytest.raises(ModelError, match="SHA-256"):
        Detector.open(zoo.path(entry), sha256="0" * 64)
