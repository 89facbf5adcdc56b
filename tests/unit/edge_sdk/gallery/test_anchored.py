"""A gallery seals the identity of its anchor: another one, or none, gives no answer and no change."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.errors import ChangeCommittedError, GalleryError, InputError, RollbackError
from edge_sdk.gallery import FileAnchor, Gallery, TpmCounter
from edge_sdk.gallery.format.content import ANCHOR_IDENTITY
from edge_sdk.gallery.format.header import VERSION
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.anchor import kind_name
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, D, embeddings, names

INDEX = 0x0150_0100
ATTRIBUTES = "nt=counter|ownerread|ownerwrite|authread|authwrite|no_da"
Change = Callable[[Gallery], object]
USES: dict[str, Change] = {
    "identify": lambda gallery: gallery.identify(embeddings(1)[0], threshold=0.9),
    "verify": lambda gallery: gallery.verify(embeddings(1)[0], "ann", threshold=0.9),
    "reject": lambda gallery: gallery.reject(),
    "export": lambda gallery: gallery.exchange.export(recipient=bytes.fromhex(gallery.status().recipient)),
    "enrol": lambda gallery: gallery.enrol("bob", embeddings(2)),
    "revoke": lambda gallery: gallery.revoke("ann"),
    "renew-transform": lambda gallery: gallery.keys.renew_transform(),
}


def tpm2(*arguments: str, data: bytes = b"") -> None:
    subprocess.run([f"tpm2_{arguments[0]}", *arguments[1:]], input=data, check=True, capture_output=True)


def define(attributes: str, *options: str) -> None:
    tpm2("nvundefine", hex(INDEX), "-C", "o")
    tpm2("nvdefine", hex(INDEX), "-C", "o", "-a", attributes, *options)


def create(path: Path, anchor: FileAnchor | TpmCounter | None) -> Gallery:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    gallery.enrol("ann", embeddings(1))
    return gallery


def sealed(gallery: Gallery) -> bytes | None:
    return gallery._session.content.record(ANCHOR_IDENTITY)


def test_an_ordinary_index_in_place_of_the_counter_is_refused(path: Path, tpm: str) -> None:
    """The owner of the TPM deletes the counter and writes the generation of an old copy to an ordinary index."""
    anchor = TpmCounter(INDEX)
    gallery = create(path, anchor)
    old, generation = path.read_bytes(), gallery.status().generation
    gallery.revoke("ann")
    path.write_bytes(old)
    define("ownerread|ownerwrite|authread|authwrite|no_da", "-s", "8")
    tpm2("nvwrite", hex(INDEX), "-C", "o", "-i", "-", data=generation.to_bytes(8, "big"))
    with pytest.raises(
        GalleryError, match=r"^expected a TPM counter at NV index 0x1500100, found an index of type 0"
    ):
        Gallery.open(path, key=KEY, anchor=anchor)
    with pytest.raises(GalleryError, match="type 0"):
        Gallery.create(path.with_name("other"), key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    assert not path.with_name("other").exists()


@pytest.mark.parametrize(
    ("attributes", "options", "reason"),
    [
        ("ownerread|ownerwrite", ("-s", "8"), "an index of type 0"),
        ("nt=bits|ownerread|ownerwrite", ("-s", "8"), "an index of type 2"),
        ("nt=extend|ownerread|ownerwrite", ("-s", "32"), "an index of type 4"),
        ("nt=pinpass|ownerread|ownerwrite|authread|no_da", ("-s", "8"), "an index of type 9"),
        (f"{ATTRIBUTES}|orderly", (), "the attributes"),
        (f"{ATTRIBUTES}|write_stclear", (), "the attributes"),
        (f"{ATTRIBUTES}|read_stclear", (), "the attributes"),
        (f"{ATTRIBUTES}|writedefine", (), "the attributes"),
        (ATTRIBUTES, ("-g", "sha1"), "a name of hash algorithm 0x4"),
    ],
)
def test_every_index_that_is_no_plain_counter_is_refused(
    attributes: str, options: tuple[str, ...], reason: str, tpm: str
) -> None:
    tpm2("nvdefine", hex(INDEX), "-C", "o", "-a", attributes, *options)
    anchor = TpmCounter(INDEX)
    for use in (anchor.read, anchor.prepare, anchor.identity):
        with pytest.raises(
            GalleryError, match=f"^expected a TPM counter at NV index 0x1500100, found {reason}"
        ):
            use(bytes(16))
    with pytest.raises(GalleryError, match=reason), anchor.staged(bytes(16), 1):
        pass


def test_the_name_of_a_counter_is_the_one_that_the_tpm_gives(tpm: str) -> None:
    tpm_nv.define_counter(INDEX)
    output = subprocess.run(
        ["tpm2_nvreadpublic", hex(INDEX)], check=True, capture_output=True, text=True
    ).stdout
    assert tpm_nv.counter_name(INDEX).hex() in output
    before = tpm_nv.counter_name(INDEX)
    tpm_nv.increment(INDEX)
    assert tpm_nv.counter_name(INDEX) == before


def test_a_counter_that_a_crash_left_without_a_value_is_taken_into_use(path: Path, tpm: str) -> None:
    """The name of a counter changes at its first increment, so it is incremented before it is sealed."""
    tpm2("nvdefine", hex(INDEX), "-C", "o", "-a", ATTRIBUTES)
    anchor = TpmCounter(INDEX)
    assert anchor.read(bytes(16)) == 0
    create(path, anchor)
    assert names(path, KEY, anchor=anchor) == ["ann"]


def test_a_counter_that_is_deleted_and_defined_again_lets_no_old_copy_in(path: Path, tpm: str) -> None:
    """It has the same name and a higher value: the TPM starts it above the highest value of all its counters."""
    anchor = TpmCounter(INDEX)
    gallery = create(path, anchor)
    copies = [path.read_bytes()]
    gallery.revoke("ann")
    copies.append(path.read_bytes())
    newest = gallery.status().generation
    define(ATTRIBUTES)
    for copy in copies:
        path.write_bytes(copy)
        with pytest.raises(
            RollbackError, match="the gallery is anchored in a TPM counter, found another one"
        ):
            Gallery.open(path, key=KEY, anchor=anchor)
    tpm_nv.increment(INDEX)
    assert anchor.identity(bytes(16)) == sealed(gallery)
    for clear in (False, True):
        if clear:
            tpm2("clear", "-c", "p")
            tpm2("nvdefine", hex(INDEX), "-C", "o", "-a", ATTRIBUTES)
            tpm_nv.increment(INDEX)
        assert (anchor.read(bytes(16)) or 0) > newest
        for copy in copies:
            path.write_bytes(copy)
            with pytest.raises(RollbackError, match="an old copy was put back"):
                Gallery.open(path, key=KEY, anchor=anchor)
    Gallery.open(path, key=KEY, anchor=anchor, anchored=False).keys.reanchor()
    assert names(path, KEY, anchor=anchor) == ["ann"]


def test_a_missing_counter_and_another_counter_are_refused(path: Path, tpm: str) -> None:
    gallery = create(path, TpmCounter(INDEX))
    tpm_nv.define_counter(INDEX + 1)
    with pytest.raises(RollbackError, match=r"^the gallery is anchored in a TPM counter, found another one"):
        Gallery.open(path, key=KEY, anchor=TpmCounter(INDEX + 1))
    tpm_nv.undefine(INDEX)
    with pytest.raises(
        GalleryError, match=r"^expected a TPM counter at NV index 0x1500100, found none$"
    ) as caught:
        Gallery.open(path, key=KEY, anchor=TpmCounter(INDEX))
    assert "re-anchor with an index that is not in use" in str(caught.value.hint)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="found none") as caught:
        gallery.revoke("ann")
    assert "the gallery was not changed" in str(caught.value.hint)
    assert path.read_bytes() == before
    # The way out: a new counter, or a file.
    for anchor in (TpmCounter(INDEX + 2), FileAnchor(path.with_name("anchor"))):
        Gallery.open(path, key=KEY, anchor=anchor, anchored=False).keys.reanchor()
        assert names(path, KEY, anchor=anchor) == ["ann"]
        assert kind_name(sealed(Gallery.open(path, key=KEY)) or b"") == (
            "a file" if isinstance(anchor, FileAnchor) else "a TPM counter"
        )
    with pytest.raises(RollbackError, match="the gallery is anchored in a file, found a TPM counter"):
        Gallery.open(path, key=KEY, anchor=TpmCounter(INDEX + 2))


def test_a_gallery_in_a_file_anchor_is_refused_with_a_counter_of_any_value(path: Path, tpm: str) -> None:
    create(path, FileAnchor(path.with_name("anchor")))
    tpm_nv.define_counter(INDEX)
    tpm_nv.increment(INDEX)
    assert TpmCounter(INDEX).read(bytes(16)) == 2
    with pytest.raises(RollbackError, match="the gallery is anchored in a file, found a TPM counter"):
        Gallery.open(path, key=KEY, anchor=TpmCounter(INDEX))


@pytest.mark.parametrize("use", USES)
def test_a_forgotten_anchor_gives_no_answer_and_no_change(path: Path, use: str) -> None:
    anchor = FileAnchor(path.with_name("anchor"))
    create(path, anchor)
    gallery, before = Gallery.open(path, key=KEY), {file: file.read_bytes() for file in path.parent.iterdir()}
    assert [subject.name for subject in gallery.subjects()] == ["ann"]
    assert gallery.status().anchor.startswith("not given (the gallery is anchored in a file")
    assert any("opened without its anchor" in gap for gap in gallery.status().not_protected)
    assert any("anchored in a file" in problem for problem in gallery.problems())
    with pytest.raises(
        GalleryError, match=r"^the gallery is anchored in a file, and no anchor was given"
    ) as caught:
        USES[use](gallery)
    assert "give the anchor (--anchor, or anchor= in a program)" in str(caught.value.hint)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    USES[use](Gallery.open(path, key=KEY, anchor=anchor))


@pytest.mark.parametrize("use", USES)
def test_a_gallery_that_is_opened_to_be_anchored_gives_no_answer_before(path: Path, use: str) -> None:
    anchor = FileAnchor(path.with_name("anchor"))
    create(path, anchor)
    gallery = Gallery.open(path, key=KEY, anchor=anchor, anchored=False)
    with pytest.raises(GalleryError, match=r"^the gallery was opened without a comparison with its anchor"):
        USES[use](gallery)
    gallery.keys.reanchor()
    USES[use](gallery)


def test_a_running_door_without_an_anchor_refuses_a_gallery_that_has_one_now(path: Path) -> None:
    door = create(path, None)
    assert door.identify(embeddings(1)[0], threshold=0.9).accepted
    Gallery.open(path, key=KEY, anchor=FileAnchor(path.with_name("anchor")), anchored=False).keys.reanchor()
    with pytest.raises(GalleryError, match="no anchor was given"):
        door.identify(embeddings(1)[0], threshold=0.9)


def test_an_anchor_is_removed_by_the_administrator_only(path: Path) -> None:
    anchor = FileAnchor(path.with_name("anchor"))
    create(path, anchor)
    old = path.read_bytes()
    gallery = Gallery.open(path, key=KEY)
    gallery.keys.remove_anchor()
    assert sealed(gallery) is None
    assert Gallery.open(path, key=KEY).identify(embeddings(1)[0], threshold=0.9).accepted
    assert "remove-anchor" in [entry.event.event for entry in gallery.audit.report().entries]
    with pytest.raises(InputError, match="expected a gallery with an anchor to remove, found one without"):
        gallery.keys.remove_anchor()
    path.write_bytes(old)
    with pytest.raises(GalleryError, match="no anchor was given"):
        Gallery.open(path, key=KEY).identify(embeddings(1)[0], threshold=0.9)


def test_a_gallery_that_has_not_sealed_its_anchor_seals_it_at_the_next_commit(path: Path) -> None:
    """Format version 1 stored no anchor."""
    anchor = FileAnchor(path.with_name("anchor"))
    first = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    assert sealed(first) is None
    session = first._session
    session._generation = replace(session._generation, header=replace(session.header, version=1))
    gallery = Gallery.open(path, key=KEY, anchor=anchor)
    gallery.enrol("ann", embeddings(1))
    assert (sealed(gallery), gallery._session.header.version) == (b"\1", VERSION)
    with pytest.raises(GalleryError, match="no anchor was given"):
        first.identify(embeddings(1)[0], threshold=0.9)


@pytest.mark.parametrize(
    "what", ["folder", "pipe", "link", "anchor of another gallery", "old anchor", "nothing"]
)
def test_another_thing_in_place_of_the_anchor_file_is_refused(path: Path, what: str) -> None:
    place, other = path.with_name("anchor"), path.with_name("other.anchor")
    gallery = create(path, FileAnchor(place))
    old = place.read_bytes()
    gallery.revoke("ann")
    gallery.reinstate("ann")
    create(path.with_name("other"), FileAnchor(other))
    kept = path.with_name("kept")
    place.rename(kept)
    replacements: dict[str, Callable[[], object]] = {
        "folder": place.mkdir,
        "pipe": lambda: os.mkfifo(place),
        "link": lambda: place.symlink_to(kept),
        "anchor of another gallery": lambda: shutil.copy(other, place),
        "old anchor": lambda: place.write_bytes(old),
        "nothing": lambda: None,
    }
    replacements[what]()
    with pytest.raises(GalleryError, match=r"cannot read the anchor|another gallery|has only seen [02]:"):
        Gallery.open(path, key=KEY, anchor=FileAnchor(place))
    before = path.read_bytes()
    with pytest.raises(GalleryError) as caught:
        gallery.revoke("ann")
    assert str(caught.value.hint).endswith("the gallery was not changed")
    assert path.read_bytes() == before


class FailingAnchor(FileAnchor):
    """An anchor that cannot be advanced while `fails` is set."""

    fails = False

    def advance(self, gallery_id: bytes, generation: int) -> None:
        if self.fails:
            raise GalleryError("the chip does not answer", hint="plug it in")
        super().advance(gallery_id, generation)


def test_a_change_whose_anchor_cannot_be_advanced_is_reported_as_committed(path: Path) -> None:
    anchor = FailingAnchor(path.with_name("anchor"))
    gallery = create(path, anchor)
    door = Gallery.open(path, key=KEY, anchor=anchor)
    anchor.fails = True
    with pytest.raises(
        ChangeCommittedError,
        match=r"^the change is committed; the anchor could not be advanced: the chip does not answer$",
    ) as caught:
        gallery.revoke("ann")
    assert caught.value.hint == (
        "plug it in; until then the gallery does not open, and the next command that opens it advances the anchor"
    )
    assert gallery.subjects()[0].revoked
    with pytest.raises(GalleryError, match="the chip does not answer"):
        door.identify(embeddings(1)[0], threshold=0.9)
    with pytest.raises(GalleryError, match=r"^the chip does not answer$") as caught_again:
        gallery.reinstate("ann")
    assert caught_again.value.hint == "plug it in; the gallery was not changed"
    anchor.fails = False
    assert not door.identify(embeddings(1)[0], threshold=0.9).accepted
    gallery.reinstate("ann")
    assert door.identify(embeddings(1)[0], threshold=0.9).accepted


def test_a_full_medium_of_the_anchor_is_noticed_before_the_change(path: Path) -> None:
    """A folder in the way stands in for the full medium: the new content of the anchor cannot be written."""
    anchor = FileAnchor(path.with_name("anchor"))
    gallery = create(path, anchor)
    path.with_name("anchor.tmp").mkdir()
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"^cannot create .*anchor.tmp") as caught:
        gallery.revoke("ann")
    assert not isinstance(caught.value, ChangeCommittedError)
    assert str(caught.value.hint).endswith("the gallery was not changed")
    assert path.read_bytes() == before
    assert gallery.identify(embeddings(1)[0], threshold=0.9).accepted
