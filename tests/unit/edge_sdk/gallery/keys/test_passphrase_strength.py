"""A passphrase is refused, weak or strong by the characters that do not follow from words and patterns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, SealError
from edge_sdk.gallery import Gallery, Passphrase
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.header import Slot, parse_header
from edge_sdk.gallery.keys import passphrase_strength
from edge_sdk.gallery.keys.passphrase_strength import strength_of, unpredictable_characters
from edge_sdk.gallery.keys.provider import check_work
from edge_sdk.gallery.store.sealed_file import unlock
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, OTHER, QUICK, D, names

TRIVIAL = [
    "",
    "seven..",
    "12345678",
    "87654321",
    "123456789012345",
    "11111111",
    "aaaaaaaaaaaaaaaaaaaaaaaa",
    "abcdefgh",
    "abababababababab",
    "abc123abc123abc123",
    "password",
    "Password123!",
    "P@ssw0rd2026",
    "p a s s w o r d",
    "passwordpassword",
    "drowssap1",
    "qwertyuiop",
    "1q2w3e4r",
    "1qaz2wsx",
    "letmein123456",
    "Summer2026!",
    "raspberrypi",
]
WEAK = ["x7#kQ9!vb", "long enough", "monkey dragon football sunshine", "größer als du"]
STRONG = ["correct horse battery staple", "a recovery phrase", "my dog is so big", "Kj3$wq!9Lp#zR5x"]


@pytest.mark.parametrize("words", TRIVIAL)
def test_a_trivial_passphrase_makes_no_slot(words: str) -> None:
    assert strength_of(words).level == 0
    with pytest.raises(InputError, match=r"expected .*8") as caught:
        Passphrase(words).new_parameters(bytes)
    assert words == "" or words not in str(caught.value)
    assert "15 characters or more" in str(caught.value.hint)


@pytest.mark.parametrize("words", WEAK)
def test_a_weak_passphrase_is_level_1_with_the_reason(words: str) -> None:
    strength = Passphrase(words).strength()
    assert (strength.level, Passphrase(words).level) == (1, 1)
    assert "15 or more are recommended" in str(strength.weakness)
    Passphrase(words, **QUICK).new_parameters(bytes)


@pytest.mark.parametrize("words", STRONG)
def test_a_long_passphrase_without_patterns_is_level_2(words: str) -> None:
    assert strength_of(words) == passphrase_strength.Strength(2, None)


def test_each_pattern_counts_as_two_characters_and_a_repetition_as_none() -> None:
    for text, count in {
        "vqxj": 4,
        "vqxj dragon": 7,
        "vqxj dragon 1999": 10,
        "vqxj 3456789": 7,
        "vqxjvqxj": 4,
        "vqxj-vqxj-vqxj": 6,
        "v q x j": 4,
        "vqxjsdfgh": 6,
        "vqxmhgfds": 6,
    }.items():
        assert unpredictable_characters(text) == count, text


def test_names_of_the_gallery_and_of_the_device_count_like_common_words() -> None:
    assert strength_of("wernigerode4711").level == 2
    assert strength_of("wernigerode4711", ["Wernigerode"]).level == 0
    assert strength_of("wernigerode4711", ["Wernige-rode"]).level == 0
    assert strength_of("wernigerode4711", ["we"]).level == 2


def test_a_very_long_passphrase_is_judged_by_its_first_128_characters() -> None:
    assert unpredictable_characters("a" * 5000) == 1
    assert unpredictable_characters("vq" * 64 + "the rest is not read") == 2


def test_the_name_of_the_gallery_is_refused_as_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "wernigerode.gallery"
    options = {"model_id": MODEL, "dimension": D}
    with pytest.raises(InputError, match="common words, names or patterns"):
        Gallery.create(path, key=Passphrase("Wernigerode-2026"), **options)
    assert list(tmp_path.iterdir()) == []
    gallery = Gallery.create(path, key=KEY, **options)
    before = path.read_bytes()
    for change in (gallery.keys.add, gallery.keys.rotate):
        with pytest.raises(InputError, match="common words, names or patterns"):
            change(Passphrase("wernigerode.gallery", **QUICK))
    assert path.read_bytes() == before


def test_a_weak_passphrase_is_reported_by_status_keys_and_add(tmp_path: Path) -> None:
    words = Passphrase("long enough", **QUICK)
    gallery = Gallery.create(tmp_path / "g", key=words, model_id=MODEL, dimension=D)
    status = gallery.status()
    assert (status.key_level, gallery.keys.slots()[0].level) == (1, 1)
    assert status.key_weakness is not None and "15 or more are recommended" in status.key_weakness
    assert any("can guess the passphrase: the passphrase has 11" in gap for gap in status.not_protected)
    added = gallery.keys.add(Passphrase("x7#kQ9!vb", **QUICK))
    assert (added.slot.level, added.weaker) == (1, ())
    assert added.weakness is not None and "count as 9" in added.weakness


def test_a_gallery_with_a_passphrase_that_is_refused_now_still_opens_at_level_0(tmp_path: Path) -> None:
    class Former(Passphrase):
        """A passphrase of an earlier version, which checked the length only."""

        def require_strength(self, names: object = ()) -> None:
            pass

    path = tmp_path / "g"
    Gallery.create(path, key=Former("password", **QUICK), model_id=MODEL, dimension=D)
    status = Gallery.open(path, key=Passphrase("password")).status()
    assert (status.key_level, status.subjects) == (0, 0)
    assert status.key_weakness is not None and "count as 2 characters" in status.key_weakness


def test_the_slots_of_a_file_may_not_cost_more_than_the_most_expensive_slot(tmp_path: Path) -> None:
    """A hostile header is refused before any Argon2id work; nothing that needs a second is done here."""
    path = tmp_path / "g"
    words = Passphrase("a recovery phrase", memory_kib=64, passes=1, lanes=1)
    gallery = Gallery.create(path, key=words, model_id=MODEL, dimension=D)
    dear = Passphrase("another recovery phrase", memory_kib=256 * 1024, passes=16)
    for change in (gallery.keys.add, lambda key: gallery.keys.rotate(key, key)):
        with pytest.raises(InputError, match="Argon2id work of at most 4194304 KiB"):
            change(dear)
    header = parse_header(path.read_bytes())
    slot = header.slots[0]
    parameters = dear.new_parameters(bytes)
    hostile = replace(header, slots=tuple(Slot(slot.type, parameters, slot.wrapped) for _ in range(8)))
    with pytest.raises(GalleryFormatError, match="found 33554432"):
        unlock(hostile, dear)
    # The good slot comes first, and is not tried either.
    with pytest.raises(GalleryFormatError, match="found 4194368"):
        unlock(replace(header, slots=(slot, hostile.slots[0])), words)
    # Slots of other kinds cost nothing here.
    check_work(words, [slot, *(replace(other, type=1) for other in hostile.slots[1:])])
    # Eight slots of the default costs are within the limit.
    words.check_slots([Passphrase("a recovery phrase").new_parameters(bytes)] * 8)


def test_the_second_passphrase_opens(tmp_path: Path) -> None:
    path = tmp_path / "g"
    first, second = (Passphrase(f"a recovery phrase {word}", **QUICK) for word in ("of ours", "of theirs"))
    gallery = Gallery.create(path, key=first, model_id=MODEL, dimension=D)
    gallery.keys.add(second)
    assert names(path, second) == names(path, first) == []
    opened = Gallery.open(path, key=second)
    assert [slot.in_use for slot in opened.keys.slots()] == [False, True]
    opened.keys.remove(0)
    assert names(path, second) == []


def test_every_slot_of_a_kind_is_tried_although_the_secret_of_an_earlier_one_is_missing(
    tmp_path: Path,
) -> None:
    class Chip:
        """A key with one secret per slot; a chip knows only its own slots."""

        name, level, slot_type = "chip", 4, 40000

        def __init__(self, number: int, *, right: bool = True) -> None:
            self.number, self.right = bytes([number]), right

        def new_parameters(self, random: object) -> bytes:
            return self.number

        def secret(self, parameters: bytes) -> bytes:
            if parameters != self.number:
                raise GalleryError(f"chip {self.number[0]} has no secret for slot {parameters[0]}")
            return (self.number if self.right else b"?") * sealing.KEY_BYTES

    path = tmp_path / "g"
    gallery = Gallery.create(path, key=Chip(1), model_id=MODEL, dimension=D)
    gallery.keys.add(Chip(2))
    gallery.keys.add(KEY)
    assert names(path, Chip(2)) == names(path, Chip(1)) == []
    with pytest.raises(GalleryError, match="chip 3 has no secret for slot 1"):
        names(path, Chip(3))
    with pytest.raises(SealError, match="wrong key"):
        names(path, Chip(2, right=False))
    # A key for a slot that is kept is found behind one that does not answer.
    Gallery.open(path, key=KEY).keys.remove(0, keep=[Chip(3), Chip(2)])
    Gallery.open(path, key=KEY).keys.add(OTHER)
    assert names(path, Chip(2)) == []
    with pytest.raises(GalleryError, match="chip 3 has no secret"):
        Gallery.open(path, key=KEY).keys.remove(2, keep=[Chip(3)])
