"""A new key epoch has new secrets: whoever read the earlier ones opens no later export and extends no audit log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.errors import SealError
from edge_sdk.gallery import Gallery
from edge_sdk.gallery.exchange.export import open_package
from edge_sdk.gallery.match.matcher import transform_key_of
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.audit_segments import LogSeal
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import PosixFileSystem, audit_path
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, OTHER, THIRD, D, embeddings

EPOCHS: dict[str, Callable[[Gallery], object]] = {
    "rotate": lambda gallery: gallery.keys.rotate(THIRD),
    "remove": lambda gallery: gallery.keys.remove(1),
    "erase": lambda gallery: gallery.erase("bob", keys=[OTHER]),
}


@pytest.mark.parametrize("change", EPOCHS)
@pytest.mark.parametrize("transform", ["shp3", "none"])
def test_a_new_key_epoch_has_a_new_root_secret_and_the_same_answers(
    path: Path, transform: str, change: str
) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, transform=transform)
    gallery.enrol("ann", embeddings(1))
    gallery.enrol("bob", embeddings(2))
    root = gallery._session.content.root_secret
    gallery.keys.add(OTHER)
    assert gallery._session.content.root_secret == root
    key = transform_key_of(gallery._session.header, gallery._session.content)
    EPOCHS[change](gallery)
    assert gallery.status().key_epoch == 2
    assert gallery._session.content.root_secret != root
    assert transform_key_of(gallery._session.header, gallery._session.content) == key
    assert gallery.identify(embeddings(1)[0], threshold=0.99).subject == "ann"
    gallery.enrol("cy", embeddings(3))
    assert gallery.identify(embeddings(3)[0], threshold=0.99).subject == "cy"
    assert gallery.audit.report().intact


@pytest.fixture
def office(tmp_path: Path) -> Gallery:
    office = Gallery.create(tmp_path / "office.gallery", key=OTHER, model_id=MODEL, dimension=D)
    office.enrol("newcomer", embeddings(9))
    return office


def test_exports_after_a_rotation_are_closed_to_whoever_opened_the_gallery_before(
    gallery: Gallery, path: Path, office: Gallery
) -> None:
    before = Gallery.open(path, key=KEY)._session
    gallery.keys.rotate(THIRD)
    export = office.exchange.export(recipient=bytes.fromhex(gallery.status().recipient))
    with pytest.raises(SealError):
        open_package(export, before.header, before.content)
    assert gallery.exchange.import_package(export) == ("newcomer",)


def test_an_export_made_before_a_rotation_is_refused_and_the_error_says_why(
    gallery: Gallery, office: Gallery
) -> None:
    export = office.exchange.export(recipient=bytes.fromhex(gallery.status().recipient))
    gallery.keys.rotate(THIRD)
    with pytest.raises(SealError) as caught:
        gallery.exchange.import_package(export)
    assert str(caught.value) == (
        "the export is sealed for another gallery, or for this gallery before key epoch 2 began, "
        "which changed the recipient"
    )
    assert caught.value.hint == (
        "export again with --to set to the recipient that gallery status prints for this gallery"
    )
    assert [s.name for s in gallery.subjects()] == ["ann", "bob"]


def test_the_audit_log_after_a_rotation_is_closed_to_whoever_opened_the_gallery_before(
    gallery: Gallery, path: Path
) -> None:
    session = Gallery.open(path, key=KEY)._session
    before = LogSeal.of(session.header, session.content)
    gallery.keys.rotate(THIRD)
    log = AuditLog(PosixFileSystem(), audit_path(path))
    forged = [AuditEvent("enrol", detail="templates=1")]
    log.append(forged, before, now_s=1, generation=9, commit=False)
    report = gallery.audit.report()
    assert [entry.event.event for entry in report.entries][-1] == "rotate-key"
    assert report.stray_lines == 1
    gallery.enrol("cy", embeddings(3))
    report = gallery.audit.report()
    assert report.intact
    assert [entry.event.event for entry in report.entries][-1] == "enrol"
    assert report.stray_lines == 1


def test_an_entry_of_a_process_that_has_not_seen_the_rotation_is_part_of_the_log(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="all")
    gallery.enrol("ann", embeddings(1))
    gallery.enrol("bob", embeddings(2))
    door = Gallery.open(path, key=KEY)
    gallery.erase("bob")
    door._session.note(AuditEvent("rejected"))
    gallery.enrol("cy", embeddings(3))
    report = gallery.audit.report()
    assert (report.intact, report.strays) == (True, ())
    assert [entry.event.event for entry in report.entries][-4:] == ["erase", "segment", "rejected", "enrol"]
