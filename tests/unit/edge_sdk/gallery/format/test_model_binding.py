"""A gallery is bound to the embedding space; one that is bound to a file is bound to the space by its next commit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_sdk.errors import InputError, ModelCardError, ModelMismatchError
from edge_sdk.gallery import Gallery
from edge_sdk.gallery.format.content import MODEL_FILE
from edge_sdk.gallery.format.header import ModelKind, parse_header
from edge_sdk.model.model_id import ModelId
from tests.unit.edge_sdk.gallery.galleries import KEY, D, embeddings


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


SPACE = digest("space")
MODEL = ModelId(digest("file"), space=SPACE)
WITH_EVIDENCE = ModelId(digest("file with evidence"), space=SPACE)
OTHER = ModelId(digest("other file"), space=digest("other space"))
# The same file under an SDK whose steps before the network differ.
RESIZED = ModelId(MODEL, space=digest("another resize"))


def made_with(path: Path, model_id: bytes) -> Gallery:
    gallery = Gallery.create(path, key=KEY, model_id=model_id, dimension=D)
    gallery.enrol("ann", embeddings(1))
    return gallery


def reopen(path: Path, model_id: bytes | None) -> Gallery:
    return Gallery.open(path, key=KEY, model_id=model_id, needs_model=False)


def kind_of(path: Path) -> tuple[ModelKind, bytes]:
    header = parse_header(path.read_bytes())
    return header.model_kind, header.model_id


def test_a_gallery_made_with_a_model_is_bound_to_its_space(path: Path) -> None:
    gallery = made_with(path, MODEL)
    assert kind_of(path) == (ModelKind.SPACE, SPACE)
    assert (gallery.status().model_kind, gallery.status().model_id) == ("embedding space", SPACE.hex())
    for model in (MODEL, WITH_EVIDENCE):
        assert reopen(path, model).identify(embeddings(1)[0], threshold=0.9).subject == "ann"
    for model in (OTHER, RESIZED):
        with pytest.raises(ModelMismatchError) as caught:
            reopen(path, model)
        assert str(caught.value) == (
            f"the gallery holds templates of model {SPACE.hex()[:8]}, the model in use is {model.space.hex()[:8]}"
        )
        assert (
            caught.value.hint
            == "use the gallery's model; or change to this one with edge-sdk gallery migrate, or enrol again"
        )


def test_plain_bytes_are_compared_as_they_are(path: Path) -> None:
    gallery = made_with(path, digest("a program's own id"))
    assert kind_of(path) == (ModelKind.FILE, digest("a program's own id"))
    assert gallery.status().model_kind == "model file"
    reopen(path, digest("a program's own id")).revoke("ann")
    assert kind_of(path) == (ModelKind.FILE, digest("a program's own id"))
    with pytest.raises(ModelMismatchError):
        reopen(path, digest("another id"))


def test_plain_bytes_of_the_file_or_the_space_open_a_gallery_of_a_space(path: Path) -> None:
    made_with(path, MODEL)
    for plain in (bytes(MODEL), SPACE):
        assert reopen(path, plain).subjects()
    for plain in (bytes(WITH_EVIDENCE), OTHER.space, bytes(32)):
        with pytest.raises(ModelMismatchError):
            reopen(path, plain)


@pytest.mark.parametrize("wrong", ["00" * 16, bytes(31), 5])
def test_a_malformed_model_id_is_refused(path: Path, wrong: object) -> None:
    gallery = made_with(path, MODEL)
    for call in (lambda: reopen(path, wrong), lambda: gallery.require_model(wrong)):  # type: ignore[arg-type]
        with pytest.raises(InputError, match="model_id"):
            call()


def test_the_next_commit_of_a_process_that_knows_the_model_binds_to_the_space(path: Path) -> None:
    made_with(path, bytes(MODEL))
    door = reopen(path, MODEL)
    assert door.identify(embeddings(1)[0], threshold=0.9).accepted
    assert kind_of(path) == (ModelKind.FILE, MODEL)
    administrator = reopen(path, None)
    administrator.change("ann", label="a")
    assert kind_of(path) == (ModelKind.FILE, MODEL), "that process does not know the model"
    administrator.require_model(MODEL)
    administrator.change("ann", label="b")
    assert kind_of(path) == (ModelKind.SPACE, SPACE)
    events = [entry.event for entry in administrator.audit.report().entries]
    assert [event.detail for event in events if event.event == "bind-model"] == [f"space={SPACE.hex()}"]
    assert door.refresh()
    assert door.identify(embeddings(1)[0], threshold=0.9).accepted
    assert reopen(path, WITH_EVIDENCE).subjects()
    assert reopen(path, bytes(MODEL)).subjects(), "a program with plain bytes goes on"
    assert administrator.problems() == ()


def test_a_file_whose_card_changed_before_the_binding_is_refused_with_the_way_out(path: Path) -> None:
    made_with(path, bytes(MODEL))
    with pytest.raises(ModelMismatchError) as caught:
        reopen(path, WITH_EVIDENCE)
    assert "edge-sdk gallery bind-model" in str(caught.value.hint)
    gallery = reopen(path, None)
    for files in ([], [bytes(OTHER)]):
        with pytest.raises(ModelMismatchError):
            gallery.bind_model(WITH_EVIDENCE, files=files)
    assert gallery.bind_model(WITH_EVIDENCE, files=[bytes(MODEL)]) is True
    assert gallery.bind_model(WITH_EVIDENCE) is False
    assert kind_of(path) == (ModelKind.SPACE, SPACE)
    assert gallery._session.content.record(MODEL_FILE) == MODEL
    assert reopen(path, WITH_EVIDENCE).identify(embeddings(1)[0], threshold=0.9).subject == "ann"
    with pytest.raises(ModelMismatchError):
        gallery.bind_model(OTHER, files=[SPACE, bytes(MODEL)])


def test_a_running_process_of_another_model_stops_at_the_binding(path: Path) -> None:
    """Two processes opened the gallery of one file, but one of them computes embeddings of another space from it."""
    made_with(path, bytes(MODEL))
    resized = reopen(path, RESIZED)
    reopen(path, MODEL).bind_model(MODEL)
    with pytest.raises(ModelMismatchError):
        resized.identify(embeddings(1)[0], threshold=0.9)


@pytest.mark.parametrize("sender", [MODEL, bytes(MODEL)])
@pytest.mark.parametrize("receiver", [MODEL, bytes(MODEL)])
def test_exports_between_galleries_of_a_file_and_of_a_space(
    tmp_path: Path, sender: bytes, receiver: bytes
) -> None:
    office = made_with(tmp_path / "office", sender)
    Gallery.create(tmp_path / "home", key=KEY, model_id=receiver, dimension=D)
    home = reopen(tmp_path / "home", MODEL)
    export = office.exchange.export(recipient=bytes.fromhex(home.status().recipient))
    assert export[14] == (1 if isinstance(sender, ModelId) else 0)
    assert home.exchange.import_package(export) == ("ann",)
    other = Gallery.create(tmp_path / "other", key=KEY, model_id=OTHER, dimension=D)
    export = office.exchange.export(recipient=bytes.fromhex(other.status().recipient))
    with pytest.raises(ModelMismatchError):
        other.exchange.import_package(export)


def test_an_export_of_a_space_for_a_gallery_of_a_file_says_what_to_do(tmp_path: Path) -> None:
    office = made_with(tmp_path / "office", MODEL)
    home = Gallery.create(tmp_path / "home", key=KEY, model_id=bytes(MODEL), dimension=D)
    export = office.exchange.export(recipient=bytes.fromhex(home.status().recipient))
    with pytest.raises(ModelMismatchError) as caught:
        home.exchange.import_package(export)
    assert "edge-sdk gallery bind-model" in str(caught.value.hint)
    home.bind_model(MODEL)
    assert home.exchange.import_package(export) == ("ann",)


def test_thresholds_are_taken_from_the_stored_evidence_only(path: Path) -> None:
    model = ModelId(MODEL, space=SPACE, evidence=digest("evidence"))
    measured_again = ModelId(WITH_EVIDENCE, space=SPACE, evidence=digest("new evidence"))
    gallery = made_with(path, model)
    gallery.require_evidence(model.evidence)
    for other in (measured_again.evidence, b"", bytes(32)):
        with pytest.raises(ModelCardError, match="evidence") as caught:
            gallery.require_evidence(other)
        assert "edge-sdk gallery policy" in str(caught.value.hint)
    with gallery.transaction() as t:
        t.pin_evidence(measured_again.evidence)
    reopen(path, measured_again).require_evidence(measured_again.evidence)
    with pytest.raises(ModelCardError):
        gallery.require_evidence(model.evidence)
    with pytest.raises(InputError, match="expected a digest of 32 bytes"), gallery.transaction() as t:
        t.pin_evidence(b"")


def test_the_binding_stores_the_evidence_and_a_gallery_of_a_file_needs_none(path: Path) -> None:
    model = ModelId(MODEL, space=SPACE, evidence=digest("evidence"))
    gallery = made_with(path, bytes(model))
    gallery.require_evidence(digest("any evidence: the whole file is compared"))
    gallery.bind_model(model)
    gallery.require_evidence(model.evidence)
    with pytest.raises(ModelCardError):
        gallery.require_evidence(digest("other evidence"))
