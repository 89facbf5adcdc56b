"""Status and problems of a gallery name every weakness and every fault."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.gallery import FileAnchor, Gallery, KeyFile, Passphrase
from edge_sdk.gallery.store.files import audit_path
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, QUICK, D


def test_problems_of_a_gallery_that_opens_are_listed(gallery: Gallery, path: Path) -> None:
    assert gallery.problems() == ()
    path.chmod(0o640)
    path.with_name("home.gallery.tmp").write_bytes(b"half")
    log = audit_path(path)
    log.write_bytes(log.read_bytes().replace(b" enrol ", b" erase ", 1))
    problems = gallery.problems()
    assert [
        any(word in line for line in problems) for word in ("0640", "left by a crash", "broken at entry 2")
    ] == [True] * 3


def test_status_says_what_is_not_protected(path: Path, tmp_path: Path) -> None:
    plain = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="off")
    gaps = "\n".join(plain.status().not_protected)
    for words in (
        "stray copy",
        "old copy that is put back",
        "attempts are not limited",
        "no audit log",
        "photo or a screen",
    ):
        assert words in gaps
    kept = Gallery.create(
        tmp_path / "b",
        key=Passphrase("a recovery phrase", **QUICK),
        model_id=MODEL,
        dimension=D,
        anchor=FileAnchor(tmp_path / "anchor"),
    )
    kept.keys.add(KEY)
    gaps = "\n".join(kept.status().not_protected)
    assert "guessed" in gaps
    assert "1 more key opens it" in gaps
    assert "no audit log" not in gaps
    assert "together with its old anchor file" in gaps
    assert "someone who has the disk also has the key" not in gaps
    kept.keys.add(KeyFile.create(tmp_path / "key"))
    gaps = "\n".join(kept.status().not_protected)
    assert "guessed" in gaps
    assert "someone who has the disk also has the key" in gaps, "the gap of the weaker key counts"
