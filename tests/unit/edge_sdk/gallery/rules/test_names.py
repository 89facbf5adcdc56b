"""Names have visible characters only, and no two of them look the same."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import InputError, SubjectExistsError
from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.gallery.rules import names
from edge_sdk.gallery.rules.names import Names, checked_name, skeleton
from tests.simulated_file_system import SimulatedFileSystem

KEY = InMemoryKey(b"k" * 32)
PATH = Path("home.gallery")


def face(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=8).astype(np.float32)


@pytest.fixture
def gallery() -> Gallery:
    return Gallery.create(PATH, key=KEY, model_id=bytes(32), dimension=8, filesystem=SimulatedFileSystem())


@pytest.mark.parametrize(
    "name",
    [
        "Zoë Müller-Łoś",
        "O'Neil, J. (2nd floor) #3",
        "محمد رضا",
        "می\u200cخواهم",  # Persian with a zero-width non-joiner
        "क्\u200dष",  # Devanagari with a joiner after the virama
        "श्री कृष्ण",
        "ශ්\u200dරී",  # Sinhala with a joiner after the virama
        "山田 太郎",
        "葛\U000e0100城",  # an ideographic variation selector
        "김철수",
        "👩\u200d🚀",
        "👩🏽\u200d🚀 Ann",
        "❤\ufe0f",
        "1\ufe0f⃣",
        "🏳\ufe0f\u200d🌈",
        "Ω-sensor 5",
        "Анна",
        "x" * 64,
    ],
)
def test_correctly_spelled_names_are_accepted(gallery: Gallery, name: str) -> None:
    gallery.enrol(name, face(1))
    assert gallery.subjects()[0].name == unicodedata.normalize("NFC", name)
    assert gallery.verify(face(1), name, threshold=0.9).accepted


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"a{mark}"
            for mark in "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u061c\u034f\u2061\ufe0f\u3164\u115f\uffa0\u2800\u17b4\u180e"
        ),
        *("\U000e0061a", "a\U000e0061", "a\U000e0100", "\ue000", "a\u0378", "\ud800", "a\x00", "a\u2028b"),
        *("\u200d👩", "👩\u200d", "a\u200db", "क\u200d", "a\u200cb"),
        *("\u0301", "\u0301a", "\u20e3", " a", "a ", "\u3000a", "a\u00a0", " ", "\t", "", "\u200b"),
    ],
    ids=ascii,
)
def test_invisible_and_misplaced_characters_are_refused(gallery: Gallery, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        gallery.enrol(name, face(1))
    assert gallery.subjects() == ()


@pytest.mark.parametrize(
    ("enrolled", "twin"),
    [
        ("a", "ａ"),  # full-width
        ("ann", "ａｎｎ"),
        ("Anna", "Аnna"),  # Cyrillic capital a
        ("Anna", "Αnna"),  # Greek capital alpha
        ("pope", "роре"),  # Cyrillic throughout
        ("file", "ﬁle"),
        ("IV", "Ⅳ"),
        ("a b", "a  b"),
        ("a b", "a\u00a0b"),
        ("a b", "a\u2003b"),
        ("می\u200cخواهم", "میخواهم"),
        ("क्ष", "क्\u200dष"),
        ("❤", "❤\ufe0f"),
        ("é", "e\u0301"),
        ("Zoë", "Zoe\u0308"),
        ("2", "²"),
        ("guest", "Guest"),
        ("Guest", "GUEST"),
        ("guest", "Guеst"),  # Cyrillic e
        ("Вера", "вера"),
        ("Νίκος", "ΝΊΚΟΣ"),
        ("Strauß", "STRAUSS"),
    ],
)
def test_a_name_that_looks_like_an_enrolled_one_is_refused(
    gallery: Gallery, enrolled: str, twin: str
) -> None:
    for first, second in ((enrolled, twin), (twin, enrolled)):
        gallery.enrol(first, face(1))
        with pytest.raises(SubjectExistsError):
            gallery.enrol(second, face(2))
        with pytest.raises(SubjectExistsError), gallery.transaction() as t:
            t.enrol("other", face(3))
            t.enrol(second, face(2), allow_duplicate=True)
        gallery.remove(first)
        gallery.enrol(second, face(2))
        gallery.remove(second)


def test_a_removed_name_is_free_in_the_same_transaction(gallery: Gallery) -> None:
    gallery.enrol("ann", face(1))
    with gallery.transaction() as t:
        t.enrol("bob", face(2))
        t.remove("bob")
        t.enrol("ｂob", face(2))
        t.remove("ann")
        t.enrol("ａnn", face(1))
    assert [s.name for s in gallery.subjects()] == ["ｂob", "ａnn"]


def test_a_gallery_that_holds_such_names_still_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimulatedFileSystem()
    gallery = Gallery.create(PATH, key=KEY, model_id=bytes(32), dimension=8, filesystem=files)
    with monkeypatch.context() as earlier:
        # A gallery that an earlier version wrote, without these rules.
        earlier.setattr(names, "_is_refused", lambda name, index: False)
        earlier.setattr(Names, "similar_to", lambda self, name: None)
        for seed, name in enumerate(("a", "a\u200b", "ａ", "A")):
            gallery.enrol(name, face(seed))
    opened = Gallery.open(PATH, key=KEY, model_id=bytes(32), filesystem=files)
    assert [s.name for s in opened.subjects()] == ["a", "a\u200b", "ａ", "A"]
    assert opened.identify(face(1), threshold=0.9).subject == "a\u200b"
    opened.change("a\u200b", label="invisible")
    opened.revoke("a\u200b")
    opened.remove("a\u200b")
    opened.remove("a")
    with pytest.raises(SubjectExistsError):
        opened.enrol("a", face(7))


@pytest.mark.parametrize("name", [None, b"ann", 5, 1.5, ["ann"], object], ids=repr)
def test_a_name_that_is_no_string_is_one_error(gallery: Gallery, name: object) -> None:
    gallery.enrol("ann", face(1))
    for attempt in (
        lambda: gallery.enrol(name, face(1)),  # type: ignore[arg-type]
        lambda: gallery.verify(face(1), name, threshold=0.5),  # type: ignore[arg-type]
        lambda: gallery.revoke(name),  # type: ignore[arg-type]
        lambda: gallery.remove(name),  # type: ignore[arg-type]
        lambda: gallery.change(name, label="x"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match="expected a subject's name as str"):
            attempt()


@given(st.text(min_size=1, max_size=12))
def test_a_checked_name_has_a_visible_skeleton_and_is_stable(name: str) -> None:
    try:
        checked = checked_name(name)
    except InputError:
        return
    assert skeleton(checked)
    assert checked_name(checked) == checked
    assert skeleton(skeleton(checked)) == skeleton(checked)
    refused = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not refused & {unicodedata.category(character) for character in checked}
