"""A gallery that edge-sdk 0.2 wrote opens, answers, and becomes version 2 with its next commit; nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import RollbackError, SealError
from edge_sdk.gallery import Decision, FileAnchor, Gallery, InMemoryKey, Reason
from edge_sdk.gallery.attempt_counter import Moment
from edge_sdk.gallery.format.header import ModelKind, header_bytes_of, parse_header
from edge_sdk.gallery.rules.known_time import KnownTime

FOLDER = Path(__file__).parents[4] / "vectors" / "version_1"
FILES = ("home.gallery", "home.gallery.audit", "home.gallery.attempts", "home.anchor")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
MODEL = bytes(32)


def embedding(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 4)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path / name)
        (tmp_path / name).chmod(0o600)
    return tmp_path / "home.gallery"


def open_home(path: Path, key: InMemoryKey = KEY) -> Gallery:
    return Gallery.open(
        path,
        key=key,
        model_id=MODEL,
        anchor=FileAnchor(path.with_name("home.anchor")),
        uptime=lambda: Moment(b"1" * 16, 2_000_000),
    )


def seen(gallery: Gallery) -> tuple[object, ...]:
    """Return everything that a migration must keep."""
    answers = [
        gallery._session.matcher.identify(
            gallery._session.matcher.probe(embedding(seed)[0]), limit=0.99, time=KnownTime(2e9)
        ).subject
        for seed in (1, 2, 3)
    ]
    report = gallery.audit.report()
    return (
        [(s.name, s.label, s.revoked, s.templates, s.id) for s in gallery.subjects()],
        answers,
        gallery.exchange.sources(),
        gallery.attempts.status(),
        report.intact,
        report.strays,
    )


def test_a_gallery_of_version_1_opens_and_answers_and_its_file_stays_the_same(path: Path) -> None:
    before = path.read_bytes()
    gallery = open_home(path)
    assert [s.name for s in gallery.subjects()] == ["ann", "bob"]
    assert gallery.identify(embedding(1)[0], threshold=0.99).subject == "ann"
    assert gallery.identify(embedding(3)[0], threshold=0.99).decision is Decision.REJECTED
    assert gallery.problems() == ()
    assert path.read_bytes() == before
    assert parse_header(before).version == 1


COMMITS: dict[str, Callable[[Gallery], object]] = {
    "transaction": lambda gallery: gallery.revoke("bob"),
    "rotate": lambda gallery: gallery.keys.rotate(OTHER),
    "add": lambda gallery: gallery.keys.add(OTHER),
    "reanchor": lambda gallery: gallery.keys.reanchor(),
    "renew": lambda gallery: gallery.keys.renew_transform(),
}


@pytest.mark.parametrize("commit", COMMITS)
def test_every_commit_migrates_in_place_and_records_it_once(path: Path, commit: str) -> None:
    gallery = open_home(path)
    reader = open_home(path)
    before = seen(gallery)
    COMMITS[commit](gallery)
    header = parse_header(path.read_bytes())
    assert (header.version, header.model_kind, header.model_id) == (2, ModelKind.FILE, MODEL)
    key = OTHER if commit == "rotate" else KEY
    again = open_home(path, key)
    if commit != "transaction":
        assert seen(again)[:3] == before[:3]
    assert again.attempts.status() == before[3]
    again.change("ann", label="after the migration")
    events = [entry.event for entry in again.audit.report().entries if entry.event.event == "migrate"]
    assert [event.detail for event in events] == ["from=1,to=2"]
    assert again.audit.report().intact
    assert again.problems() == ()
    if commit != "rotate":
        assert reader.refresh()
        assert [s.name for s in reader.subjects()] == ["ann", "bob"]


def test_an_export_made_for_version_1_is_imported_by_the_migration(path: Path) -> None:
    gallery = open_home(path)
    assert gallery.exchange.import_package((FOLDER / "eve.export").read_bytes()) == ("eve",)
    assert gallery.identify(embedding(5)[0], threshold=0.99).subject == "eve"


def test_the_counter_of_version_1_goes_on_in_version_2(path: Path) -> None:
    gallery = open_home(path)
    assert gallery.attempts.status().failures == 1
    gallery.keys.rotate(OTHER)
    assert gallery.attempts.status().failures == 1
    gallery.reject()
    assert open_home(path, OTHER).attempts.status().failures == 2


def test_no_part_of_version_1_can_be_put_back_after_the_migration(path: Path) -> None:
    old = {name: (path.parent / name).read_bytes() for name in FILES}
    gallery = open_home(path)
    gallery.keys.rotate(OTHER)
    new = path.read_bytes()
    old_end, new_end = (header_bytes_of(parse_header(file).slots) for file in (old["home.gallery"], new))
    spliced = (
        new[:new_end] + old["home.gallery"][old_end:],
        old["home.gallery"][:old_end] + new[new_end:],
        new[:8] + b"\1" + new[9:],
        old["home.gallery"][:8] + b"\2" + old["home.gallery"][9:],
    )
    for file in spliced:
        path.write_bytes(file)
        for key in (KEY, OTHER):
            with pytest.raises(SealError):
                open_home(path, key)
    path.write_bytes(old["home.gallery"])
    with pytest.raises(RollbackError):
        open_home(path)
    path.write_bytes(new)
    path.with_name("home.gallery.attempts").write_bytes(old["home.gallery.attempts"])
    assert open_home(path, OTHER).identify(embedding(1)[0], threshold=0.99).reason is Reason.COUNTER
