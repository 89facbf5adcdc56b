"""A key file that a command created stays only if the gallery may need it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.cli.opening import new_keys
from edge_sdk.errors import ChangeCommittedError, GalleryError

Run = Callable[..., Any]


@pytest.fixture
def anchored(edge_sdk: Run, home: Any) -> tuple[Any, ...]:
    """Arguments of a gallery with an anchor, but without the anchor's option."""
    anchor = home.folder / "home.anchor"
    assert edge_sdk("gallery", "re-anchor", *home.files, "--anchor", anchor, "--yes").code == 0
    return tuple(home.files)


@pytest.mark.parametrize("change", [("rotate-key", "--to"), ("add-key",)])
def test_a_refused_change_removes_the_key_file_that_it_created(
    edge_sdk: Run, home: Any, anchored: tuple[Any, ...], change: tuple[str, ...]
) -> None:
    before, key = home.names(), home.folder / "new2.key"
    done = edge_sdk("gallery", *change, key, *anchored)
    assert done.code == 3
    assert f"removed the key file {key}, because the gallery does not use it" in done.err
    assert home.names() == before
    done = edge_sdk("gallery", *change, key, *anchored, "--anchor", home.folder / "home.anchor")
    assert (done.code, key.exists()) == (0, True)


def test_a_refused_change_keeps_a_key_file_that_existed(
    edge_sdk: Run, home: Any, anchored: tuple[Any, ...]
) -> None:
    edge_sdk(
        "gallery", "create", "--gallery", home.folder / "b", "--key", home.folder / "b.key", *home.all[:2]
    )
    before = home.names()
    assert "b.key" in before
    assert edge_sdk("gallery", "rotate-key", "--to", home.folder / "b.key", *anchored).code == 3
    assert home.names() == before


def test_a_later_key_that_cannot_be_read_removes_the_key_file(
    edge_sdk: Run, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = home.names()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    done = edge_sdk("gallery", "rotate-key", "--to", home.folder / "n.key", "--to", "passphrase", *home.files)
    assert (done.code, home.names()) == (3, before)


@pytest.mark.parametrize("command", [("gallery", "create"), ("enrol", "bob")])
def test_a_refused_creation_removes_the_key_file(
    edge_sdk: Run, empty_home: Any, products: list[Any], command: tuple[str, ...]
) -> None:
    images = [products[0].enrol] if command[0] == "enrol" else []
    (empty_home.folder / "file").write_text("")
    before = empty_home.names()
    done = edge_sdk(*command, *images, *empty_home.all, "--anchor", empty_home.folder / "file")
    assert (done.code, empty_home.names()) == (3, before)
    (empty_home.folder / "home.gallery").write_text("something else")
    assert edge_sdk(*command, *images, *empty_home.all).code == 3
    assert not (empty_home.folder / "home.key").exists()


@pytest.mark.parametrize(
    ("error", "replaces", "kept"),
    [
        (GalleryError("refused"), False, False),
        (KeyboardInterrupt(), False, False),
        (GalleryError("it is not known if the change is committed"), True, True),
        (ChangeCommittedError("the change is committed"), False, True),
    ],
    ids=repr,
)
def test_a_key_file_is_kept_if_the_change_may_be_committed(
    tmp_path: Path, error: BaseException, replaces: bool, kept: bool
) -> None:
    gallery, key = tmp_path / "g", tmp_path / "k"
    gallery.write_bytes(b"before")
    with pytest.raises(type(error)), new_keys(gallery, [str(key)]):
        assert key.exists()
        if replaces:
            (tmp_path / "new").write_bytes(b"after")
            (tmp_path / "new").replace(gallery)
        raise error
    assert key.exists() is kept
