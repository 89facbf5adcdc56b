"""The cache returns its entries unchanged, keeps them private, and ignores damaged files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from converters.evaluate.runner.embedding_cache import EmbeddingCache, default_folder

KEY = "ab" * 32


def digest(k: int) -> bytes:
    return hashlib.sha256(bytes([k])).digest()


def filled(folder: Path, count: int = 20) -> dict[bytes, np.ndarray]:
    vectors = np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)
    cache = EmbeddingCache(folder, KEY, 8)
    entries = {digest(k): vectors[k] for k in range(count)}
    for image, vector in entries.items():
        cache.put(image, vector)
    cache.save()
    return entries


def test_entries_come_back_bit_for_bit_in_another_run(tmp_path: Path) -> None:
    entries = filled(tmp_path / "cache")
    again = EmbeddingCache(tmp_path / "cache", KEY, 8)
    for image, vector in entries.items():
        cached = again.get(image)
        assert cached is not None
        assert cached.tobytes() == vector.tobytes()
    assert again.get(digest(99)) is None
    assert EmbeddingCache(tmp_path / "cache", "cd" * 32, 8).get(digest(0)) is None


def test_a_later_run_adds_and_keeps(tmp_path: Path) -> None:
    entries = filled(tmp_path)
    more = EmbeddingCache(tmp_path, KEY, 8)
    more.put(digest(77), np.ones(8, np.float32))
    more.save()
    again = EmbeddingCache(tmp_path, KEY, 8)
    assert all(again.get(image) is not None for image in [*entries, digest(77)])


def test_folder_and_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    filled(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    inside = list(folder.rglob("*"))
    assert len(inside) > 10
    for path in inside:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other magic", "longer"])
def test_a_damaged_file_is_ignored_and_written_again(tmp_path: Path, damage: str) -> None:
    entries = filled(tmp_path, 1)
    (file,) = (tmp_path / KEY).iterdir()
    whole = file.read_bytes()
    file.write_bytes(
        {
            "flip": whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
            "cut": whole[:-3],
            "empty": b"",
            "other magic": b"OTHERMAG" + whole[8:],
            "longer": whole + b"x",
        }[damage]
    )
    cache = EmbeddingCache(tmp_path, KEY, 8)
    ((image, vector),) = entries.items()
    assert cache.get(image) is None
    cache.put(image, vector)
    cache.save()
    assert file.read_bytes() == whole
    assert len(list((tmp_path / KEY).iterdir())) == 1


def test_another_dimension_is_ignored(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    assert EmbeddingCache(tmp_path, KEY, 9).get(digest(0)) is None


def test_a_cache_that_cannot_be_created_reports_it_and_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = EmbeddingCache(tmp_path / "file" / "cache", KEY, 8)
    assert "no cache" in cache.problem
    cache.put(digest(0), np.ones(8, np.float32))
    cache.save()
    assert cache.get(digest(0)) is None


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edge-sdk" / "embeddings"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG specification: ignore relative paths
    assert default_folder() == Path.home() / ".cache" / "edge-sdk" / "embeddings"
