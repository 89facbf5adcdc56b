"""Keys of a gallery are added, removed and rotated; the transform key is renewed; the anchor is set again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import (
    GalleryChangedError,
    GalleryError,
    GalleryFormatError,
    InputError,
    RollbackError,
    SealError,
)
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, KeyRole, Passphrase, TpmKey
from edge_sdk.gallery.format.content import KEY_NAMES, TRANSFORM_KEY
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import lock_path
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, OTHER, QUICK, THIRD, D, embeddings, names


def test_an_added_key_opens_and_the_others_still_open(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    assert names(path, words) == names(path, KEY) == ["ann", "bob"]
    Gallery.open(path, key=words).enrol("cy", embeddings(3))
    assert names(path, KEY) == ["ann", "bob", "cy"]
    assert [(s.name, s.level, s.levels, s.in_use) for s in gallery.keys.slots()] == [
        ("key in memory", 0, (0,), True),
        ("passphrase", None, (0, 1, 2), False),
    ]
    gallery.keys.add(InMemoryKey(b"m" * 32))
    memory = gallery.keys.slots()[2]
    assert (memory.level, memory.level_words) == (None, "not known")
    assert gallery.status().key_epoch == 1


def test_adding_a_stronger_key_returns_the_weaker_slots(gallery: Gallery) -> None:
    added = gallery.keys.add(InMemoryKey(b"s" * 32, level=3))
    assert (added.slot.index, added.slot.level, added.weakness) == (1, 3, None)
    assert [(slot.index, slot.level) for slot in added.weaker] == [(0, 0)]
    # A slot whose level is not known is not called weaker, and a weaker key is a recovery key.
    assert gallery.keys.add(InMemoryKey(b"t" * 32, level=4)).weaker == added.weaker
    assert gallery.keys.add(OTHER).weaker == ()


def test_the_error_for_a_key_of_another_kind_names_the_kinds_that_open(gallery: Gallery, path: Path) -> None:
    with pytest.raises(SealError, match="wrong key, or the gallery was altered") as caught:
        Gallery.open(path, key=Passphrase("a recovery phrase", **QUICK))
    hint = "according to its header the gallery is opened by: key in memory (was it rotated?); found a passphrase"
    assert caught.value.hint == hint
    with pytest.raises(SealError) as caught:
        Gallery.open(path, key=OTHER)
    assert "was it rotated?" in str(caught.value.hint)


def test_a_key_in_two_slots_is_not_removed_from_one(gallery: Gallery, path: Path) -> None:
    for _ in range(2):
        gallery.keys.add(OTHER)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match="slot 1 has the same key as slot 2, which would still open"
    ) as caught:
        gallery.keys.remove(1, keep=[OTHER])
    assert "rotate-key" in str(caught.value.hint)
    assert path.read_bytes() == before


def test_eight_keys_fit_and_a_ninth_does_not(gallery: Gallery, path: Path) -> None:
    keys = [InMemoryKey(os.urandom(32)) for _ in range(7)]
    for key in keys:
        gallery.keys.add(key)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="has 8 keys already"):
        gallery.keys.add(OTHER)
    assert path.read_bytes() == before
    assert all(names(path, key) == ["ann", "bob"] for key in [KEY, *keys])


def test_after_a_rotation_older_keys_do_not_open(gallery: Gallery, path: Path) -> None:
    gallery.keys.add(OTHER)
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.rotate(THIRD, words)
    assert names(path, THIRD) == names(path, words) == ["ann", "bob"]
    for old in (KEY, OTHER):
        with pytest.raises(SealError) as caught:
            Gallery.open(path, key=old)
        assert "rotated" in str(caught.value.hint)
    gallery.enrol("cy", embeddings(3))
    assert names(path, words) == ["ann", "bob", "cy"]
    assert (gallery.status().key_epoch, gallery.status().key_slots) == (2, 2)


def test_a_rotation_to_the_same_key_is_no_rotation(tmp_path: Path, gallery: Gallery, path: Path) -> None:
    before = path.read_bytes()
    for same in ([KEY], [OTHER, KEY]):
        with pytest.raises(InputError, match="opens the gallery now"):
            gallery.keys.rotate(*same)
    for wrong in ([], [OTHER] * 9):
        with pytest.raises(InputError, match="1 to 8 keys"):
            gallery.keys.rotate(*wrong)
    assert path.read_bytes() == before


def test_a_passphrase_may_be_the_same_and_its_slot_is_new(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.rotate(words)
    old = gallery._session.header.slots[0].parameters
    gallery.keys.rotate(words)
    assert gallery._session.header.slots[0].parameters != old
    assert names(path, words) == ["ann", "bob"]


def test_a_reader_follows_new_slot_keys_and_reports_that_its_key_was_removed(
    gallery: Gallery, path: Path
) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    gallery.keys.add(OTHER)
    reader, shut_out = Gallery.open(path, key=words), Gallery.open(path, key=OTHER)
    gallery.keys.remove(2, keep=[words])
    assert reader.refresh()
    assert [s.name for s in reader.subjects()] == ["ann", "bob"]
    with pytest.raises(GalleryError, match="keys were changed") as caught:
        shut_out.refresh()
    assert "new key" in str(caught.value.hint)
    # Nor can it write with the keys it has in memory.
    with pytest.raises(GalleryChangedError), shut_out.transaction() as t:
        t.revoke("ann")
    assert not any(s.revoked for s in Gallery.open(path, key=KEY).subjects())


def test_removing_a_key_needs_the_other_keys(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    gallery.keys.add(OTHER)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"no key given for slot 1 \(passphrase\)"):
        gallery.keys.remove(2)
    with pytest.raises(GalleryError, match="no key given for slot 1"):
        gallery.keys.remove(2, keep=[Passphrase("another phrase", **QUICK)])
    with pytest.raises(InputError, match="slot 0 is the one"):
        gallery.keys.remove(0, keep=[words, OTHER])
    for slot in (-1, 3):
        with pytest.raises(InputError, match=r"0\.\.2"):
            gallery.keys.remove(slot)
    assert path.read_bytes() == before
    gallery.keys.remove(2, keep=[words])
    assert names(path, KEY) == names(path, words) == ["ann", "bob"]
    with pytest.raises(SealError):
        Gallery.open(path, key=OTHER)


def test_slot_keys_read_with_a_removed_key_open_nothing(gallery: Gallery, path: Path) -> None:
    from edge_sdk.gallery.format import sealing
    from edge_sdk.gallery.format.header import parse_header
    from edge_sdk.gallery.store.sealed_file import slot_keys_of

    gallery.keys.add(OTHER)
    seen = slot_keys_of(Gallery.open(path, key=OTHER)._session.content)
    gallery.keys.remove(1)
    header = parse_header(path.read_bytes())
    for slot_key in seen:
        with pytest.raises(SealError):
            sealing.unwrap(header, header.slots[0], slot_key)


def test_the_key_of_a_failed_rotation_opens_nothing_and_the_old_one_does(
    gallery: Gallery, path: Path
) -> None:
    class Broken(InMemoryKey):
        def secret(self, parameters: bytes) -> bytes:
            raise GalleryError("the chip does not answer")

    before = path.read_bytes()
    for change in (
        lambda: gallery.keys.rotate(OTHER, Broken(bytes(range(32)))),
        lambda: gallery.keys.add(Broken(bytes(range(32)))),
    ):
        with pytest.raises(GalleryError, match="does not answer"):
            change()
    assert path.read_bytes() == before
    assert names(path, KEY) == ["ann", "bob"]


def test_a_secret_in_a_chip_is_destroyed_with_its_slot(path: Path, tpm: str) -> None:
    key = TpmKey(pcrs="")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    gallery.keys.add(key)
    assert len(tpm_nv.indices()) == 1
    with pytest.raises(InputError):
        gallery.keys.rotate(key, KEY)
    gallery.keys.rotate(OTHER)
    assert tpm_nv.indices() == set()
    gallery.keys.add(key)
    gallery.keys.remove(1)
    assert tpm_nv.indices() == set()
    lock_path(path).unlink()
    lock_path(path).mkdir()
    with pytest.raises(GalleryError):
        gallery.keys.add(key)
    assert tpm_nv.indices() == set()


def test_an_open_gallery_keeps_using_its_slot(gallery: Gallery, path: Path) -> None:
    gallery.keys.add(OTHER)
    opened = Gallery.open(path, key=OTHER)
    opened.revoke("ann")
    assert [slot.in_use for slot in opened.keys.slots()] == [False, True]
    with pytest.raises(InputError, match="slot 1 is the one"):
        opened.keys.remove(1, keep=[KEY])
    opened.keys.remove(0)
    assert names(path, OTHER) == ["ann", "bob"]


def test_a_renewed_transform_recognizes_as_before_and_is_unrelated(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=512)
    faces = embeddings(5, 40, 512)
    with gallery.transaction() as t:
        for index, face in enumerate(faces):
            t.enrol(f"s{index}", face)
    before = gallery.references().matrix.astype(np.float64)
    old_file = path.with_name("old")
    shutil.copy(path, old_file)
    gallery.keys.renew_transform()
    after = gallery.references().matrix.astype(np.float64)
    cosine = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert np.abs(cosine).max() < 0.25, "no template resembles the earlier one of its subject"
    reopened = Gallery.open(path, key=KEY)
    for opened in (gallery, reopened):
        probes = np.stack([opened.transform_probe(face) for face in faces])
        rows = opened.references().matrix.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        assert (probes * rows).sum(1).min() > 0.9998
        assert [opened.identify(face, threshold=0.9).subject for face in faces[:3]] == ["s0", "s1", "s2"]
    assert Gallery.open(old_file, key=KEY).identify(faces[0], threshold=0.9).subject == "s0"
    assert (
        reopened.problems() == (f"{lock_path(path)} has mode 0644, expected 0600",) or not reopened.problems()
    )


@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_what_a_renewal_costs(path: Path, dtype: str) -> None:
    """Print the figures of docs/reference/gallery-format.md: distance of templates from their embeddings."""
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=512, dtype=dtype)
    faces = embeddings(5, 50, 512)
    with gallery.transaction() as t:
        for index, face in enumerate(faces):
            t.enrol(f"s{index}", face)

    def worst() -> float:
        probes = np.stack([gallery.transform_probe(face) for face in faces])
        rows = gallery.references().matrix.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return float((probes * rows).sum(1).min())

    lost = [1 - worst()]
    for _ in range(5):
        gallery.keys.renew_transform()
        lost.append(1 - worst())
    print(dtype, [f"{value:.1e}" for value in lost])
    assert lost[0] < lost[1] < 3 * lost[0]
    assert lost[5] < (4e-4 if dtype == "int8" else 1e-6)


def test_a_gallery_without_transform_cannot_renew_it(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, transform="none")
    with pytest.raises(GalleryError, match="without a transform"):
        gallery.keys.renew_transform()
    empty = Gallery.create(path.with_name("empty"), key=KEY, model_id=MODEL, dimension=D)
    empty.keys.renew_transform()
    empty.enrol("ann", embeddings(1))
    assert empty.identify(embeddings(1)[0], threshold=0.9).subject == "ann"


def test_a_renewed_key_of_another_length_is_refused(gallery: Gallery, path: Path) -> None:
    from dataclasses import replace

    from edge_sdk.gallery.format.content import PolicyRecord

    content = gallery._session.content
    record = PolicyRecord(TRANSFORM_KEY, critical=True, value=bytes(31))
    with pytest.raises(GalleryFormatError, match="31 bytes"):
        gallery._session.commit(content, replace(content, policy=(content.policy[0], record)))
    with pytest.raises(GalleryFormatError, match="31 bytes"):
        Gallery.open(path, key=KEY)


def test_a_re_anchored_backup_is_the_newest_and_all_other_copies_are_refused(
    tmp_path: Path, path: Path
) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    gallery.enrol("ann", embeddings(1))
    backup = path.read_bytes()
    gallery.enrol("bob", embeddings(2))
    gallery.enrol("cy", embeddings(3))
    newest = path.read_bytes()
    path.write_bytes(backup)
    with pytest.raises(RollbackError) as caught:
        Gallery.open(path, key=KEY, anchor=anchor)
    assert "re-anchor" in str(caught.value.hint)
    restored = Gallery.open(path, key=KEY, anchor=anchor, anchored=False)
    restored.keys.reanchor()
    assert restored.status().generation == 5
    assert names(path, KEY, anchor=anchor) == ["ann"]
    report = restored.audit.report()
    assert report.intact
    assert report.entries[-1].event.detail == "from=2,anchor=4"
    for older in (backup, newest):
        path.write_bytes(older)
        with pytest.raises(RollbackError):
            Gallery.open(path, key=KEY, anchor=anchor)


def test_a_lost_anchor_is_replaced_by_re_anchoring(tmp_path: Path, path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    for seed in range(3):
        gallery.enrol(f"s{seed}", embeddings(seed))
    (tmp_path / "anchor").unlink()
    with pytest.raises(RollbackError, match="anchor was lost"):
        Gallery.open(path, key=KEY, anchor=anchor)
    Gallery.open(path, key=KEY, anchor=anchor, anchored=False).keys.reanchor()
    assert len(names(path, KEY, anchor=anchor)) == 3
    with pytest.raises(InputError, match="expected an anchor"):
        Gallery.open(path, key=KEY).keys.reanchor()


def test_keys_have_names_and_roles_that_follow_their_keys(gallery: Gallery, path: Path) -> None:
    def named(opened: Gallery) -> list[tuple[str, str, str]]:
        return [(slot.name, slot.given_name, slot.role.value) for slot in opened.keys.slots()]

    assert named(gallery) == [("key in memory", "", "none")]
    words = Passphrase("a recovery phrase", **QUICK)
    added = gallery.keys.add(words, name="Zoë's card", role="recovery")
    assert (added.slot.given_name, added.slot.role) == ("Zoë's card", KeyRole.RECOVERY)
    assert gallery.keys.rename(0, role=KeyRole.DEVICE).given_name == ""
    gallery.keys.rename(0, name="door")
    entry = list(gallery.audit.report().entries)[-1]
    assert (entry.event.event, entry.event.detail) == ("name-key", "slot=0,type=8,role=device")
    door, recovery = ("key in memory", "door", "device"), ("passphrase", "Zoë's card", "recovery")
    assert named(gallery) == named(Gallery.open(path, key=words)) == [door, recovery]
    # The key in use comes first after an erasure with all keys, and after a removal.
    reopened = Gallery.open(path, key=words)
    reopened.erase("ann", keys=[KEY])
    assert named(reopened) == [recovery, door]
    reopened.keys.add(OTHER)
    other = Gallery.open(path, key=OTHER)
    assert named(other)[2] == ("key in memory", "", "none")
    other.keys.remove(0, keep=[KEY])
    assert named(other) == [("key in memory", "", "none"), door]
    generation = other.status().generation
    other.keys.rename(1, name="door")
    assert other.status().generation == generation, "nothing changed"
    other.keys.rename(1, name="", role="none")
    assert other._session.content.record(KEY_NAMES) is None
    other.keys.rename(0, name="x")
    other.keys.rotate(THIRD)
    assert named(other) == [("key in memory", "", "none")]


def test_names_of_keys_are_bounded_and_unique(gallery: Gallery) -> None:
    gallery.keys.add(OTHER, name="owner")
    for change in (
        lambda: gallery.keys.rename(0, name="owner"),
        lambda: gallery.keys.rename(2, name="x"),
        lambda: gallery.keys.rename(0),
        lambda: gallery.keys.rename(0, name="x" * 65),
        lambda: gallery.keys.rename(0, name="\x1b[2J"),
        lambda: gallery.keys.rename(0, role="boss"),
        lambda: gallery.keys.add(THIRD, name="owner"),
    ):
        with pytest.raises(InputError):
            change()
    assert [slot.given_name for slot in gallery.keys.slots()] == ["", "owner"]
