"""Pictures are added to an enrolled subject if they are like it and unlike others, and can be removed again."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import CaptureError, GalleryError, InputError, SubjectExistsError, SubjectUnknownError
from edge_sdk.gallery import EnrolOptions, Gallery, InMemoryKey, Subject
from edge_sdk.gallery.rules.enrolment import MAX_TEMPLATES_WITH_LOOKS, unlike_capture
from tests.evidence_points import TWO_POINTS
from tests.simulated_file_system import SimulatedFileSystem

KEY = InMemoryKey(bytes(range(32)))
D = 64


POLICY = TWO_POINTS


def person(seed: int, captures: int = 1, spread: float = 0.3, *, look: int = 0) -> np.ndarray:
    """Return captures of one person; a look moves all of them in one direction."""
    random = np.random.default_rng([seed, look])
    face = np.random.default_rng(seed).normal(size=D) + 0.5 * look * random.normal(size=D)
    return (face + spread * random.normal(size=(captures, D))).astype(np.float32)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = Gallery.create(tmp_path / "home.gallery", key=KEY, model_id=bytes(32), dimension=D)
    with gallery.transaction() as t:
        t.set_policy(POLICY)
    gallery.enrol("ann", person(1, 3), label="ground floor", valid_until=4e9)
    gallery.enrol("bob", person(2, 3))
    return gallery


def subject(gallery: Gallery, name: str) -> Subject:
    return next(s for s in gallery.subjects() if s.name == name)


def looks(gallery: Gallery, name: str = "ann") -> list[tuple[str, int]]:
    return [(look.name, look.templates) for look in subject(gallery, name).looks]


def events(gallery: Gallery) -> list[str]:
    return [entry.event.event for entry in gallery.audit.report().entries]


def test_a_look_is_added_recognized_listed_audited_and_removed(gallery: Gallery, tmp_path: Path) -> None:
    before = subject(gallery, "ann")
    with_glasses = person(1, 3, look=1)
    gallery.enrol("ann", with_glasses[:2], add=True, look="glasses")
    after = subject(gallery, "ann")
    assert (after.templates, looks(gallery)) == (5, [("glasses", 2)])
    assert (after.id, after.label, after.valid_until_s, after.enrolled_at_s) == (
        before.id,
        before.label,
        before.valid_until_s,
        before.enrolled_at_s,
    )
    assert gallery.identify(with_glasses[2]).subject == "ann"
    last = list(gallery.audit.report().entries)[-2]
    assert (last.event.event, last.event.subject, last.event.detail) == (
        "add-look",
        after.id,
        f"templates=2,look={after.looks[0].id}",
    )
    gallery.enrol("ann", person(1, 1, look=2), add=True)
    assert looks(gallery) == [("glasses", 2), ("look 3", 1)]
    reopened = Gallery.open(tmp_path / "home.gallery", key=KEY, model_id=bytes(32))
    assert looks(reopened) == [("glasses", 2), ("look 3", 1)]
    matrix = reopened.references().matrix
    reopened.remove_look("ann", "glasses")
    assert looks(reopened) == [("look 3", 1)]
    assert subject(reopened, "ann").templates == 4
    # The enrolment's templates, bob's, and those of the other look remain.
    assert np.array_equal(reopened.references().matrix, matrix[[0, 1, 2, 3, 4, 5, 8]])
    assert events(reopened)[-1] == "remove-look"
    with pytest.raises(SubjectUnknownError, match="'ann' has no look 'glasses'; its looks: 'look 3'"):
        reopened.remove_look("ann", "glasses")


def test_a_stranger_and_another_subject_are_not_added(gallery: Gallery) -> None:
    with pytest.raises(CaptureError, match="the two captures are not like one another"):
        gallery.enrol("ann", np.concatenate([person(1, look=1), person(9)]), add=True)
    with pytest.raises(CaptureError, match=r"not like 'ann'.*fewer than half of the 3 stored") as caught:
        gallery.enrol("ann", person(9, 2), add=True)
    assert "--allow-unlike" in str(caught.value.hint)
    with pytest.raises(CaptureError):
        gallery.enrol("ann", person(2, 2, look=1), add=True)
    with pytest.raises(SubjectExistsError, match="'ann' looks like 'bob'"):
        gallery.enrol("ann", person(2, 2), add=True, allow_unlike=True)
    assert subject(gallery, "ann").templates == 3
    gallery.enrol("ann", person(9, 2), add=True, allow_unlike=True)
    assert events(gallery)[-2:] == ["add-look", "unlike-allowed"]


def test_pictures_of_another_person_are_refused_also_after_steps_in_between(gallery: Gallery) -> None:
    """Each step is like most of the stored templates, but the last one is not like the enrolment."""
    start, end = person(1, spread=0)[0], person(9, spread=0)[0]
    with pytest.raises(CaptureError, match="fewer than half of the 3 templates of the enrolment"):
        for share in np.linspace(0, 1, 9)[1:]:
            step = (1 - share) * start + share * end
            noise = np.random.default_rng(int(8 * share)).normal(size=(7, D))
            gallery.enrol("ann", (step + 0.3 * noise).astype(np.float32), add=True)
    assert subject(gallery, "ann").templates > 10, "templates of looks outnumber those of the enrolment"
    gallery.enrol("ann", person(1, look=1), add=True)


@pytest.mark.parametrize("own", [1, 2, 3, 4])
def test_a_capture_must_match_half_of_the_templates(own: int) -> None:
    templates = np.eye(4)[:own]
    for matched in range(own + 1):
        row = templates[:matched].sum(axis=0, keepdims=True) if matched else np.eye(5)[4:, :4]
        length = np.linalg.norm(row) or 1.0
        assert (unlike_capture(row / length, templates, 0.1) is None) == (2 * matched >= own)


def test_the_same_picture_and_too_many_are_refused(gallery: Gallery) -> None:
    gallery.keys.renew_transform()
    with pytest.raises(CaptureError, match="capture 2 of 2 is a picture that 'ann' has already") as caught:
        gallery.enrol("ann", np.concatenate([person(1, look=1), person(1, 3)[:1]]), add=True)
    assert caught.value.capture == 1
    with pytest.raises(CaptureError, match="capture 2 of 2"):
        gallery.enrol("ann", np.repeat(person(1, look=1), 2, axis=0), add=True)
    with pytest.raises(InputError, match="at most 64 templates of one subject, found 3 stored and 62 new"):
        gallery.enrol("ann", person(1, MAX_TEMPLATES_WITH_LOOKS - 2), add=True)
    with gallery.transaction() as t:
        for number in range(16):
            t.enrol("bob", person(2, 1, look=1 + number), add=True, allow_unlike=True)
        with pytest.raises(InputError, match="at most 16 looks"):
            t.enrol("bob", person(2, 1, look=18), add=True, allow_unlike=True)
    assert looks(gallery, "bob")[::15] == [("look 2", 1), ("look 17", 1)]


def test_who_is_revoked_or_unknown_gets_no_pictures(gallery: Gallery) -> None:
    gallery.revoke("ann")
    with pytest.raises(InputError, match="'ann' is revoked"):
        gallery.enrol("ann", person(1, look=1), add=True)
    assert subject(gallery, "ann").revoked
    with pytest.raises(SubjectUnknownError):
        gallery.enrol("carl", person(3), add=True)
    with pytest.raises(SubjectUnknownError):
        gallery.remove_look("carl", "glasses")


@pytest.mark.parametrize(
    "fields",
    [
        {"add": True, "label": "x"},
        {"add": True, "valid_until": 4e9},
        {"add": True, "enrolled_by": b"1" * 16},
        {"look": "glasses"},
        {"allow_unlike": True},
        {"add": 1},
        {"add": True, "look": "x\n"},
        {"add": True, "look": "x" * 65},
    ],
)
def test_options_that_contradict_each_other_cannot_be_written(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        EnrolOptions(**fields)  # type: ignore[arg-type]


def test_a_look_and_its_subject_can_share_a_transaction(gallery: Gallery) -> None:
    with gallery.transaction() as t:
        t.enrol("carl", person(3, 2))
        t.enrol("carl", person(3, 2, look=1), add=True, look="hat")
        t.enrol("bob", person(2, 1, look=1), add=True)
        with pytest.raises(InputError, match="already"):
            t.enrol("bob", person(2, 1, look=2), add=True, look="look 2")
        with pytest.raises(InputError, match="in the same transaction"):
            t.remove_look("bob", "look 2")
        t.enrol("dan", person(4, 2))
        t.enrol("dan", person(4, 1, look=1), add=True)
        t.remove("dan")
    assert looks(gallery, "carl") == [("hat", 2)]
    assert looks(gallery, "bob") == [("look 2", 1)]
    gallery.remove_look("carl", "hat")
    gallery.remove("bob")
    assert [(s.name, s.templates, s.looks) for s in gallery.subjects()] == [("ann", 3, ()), ("carl", 2, ())]


def test_processes_that_add_looks_at_once_lose_none(gallery: Gallery, tmp_path: Path) -> None:
    errors: list[Exception] = []

    def add(number: int) -> None:
        try:
            other = Gallery.open(tmp_path / "home.gallery", key=KEY, model_id=bytes(32))
            other.enrol(
                "ann", person(1, 1, look=number), add=True, look=f"look of {number}", allow_unlike=True
            )
        except GalleryError as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gallery.refresh()
    assert not errors
    assert sorted(looks(gallery)) == [(f"look of {number}", 1) for number in range(1, 5)]


_STEPS = st.tuples(
    st.sampled_from(["enrol", "add", "add", "remove look", "remove", "erase"]),
    st.integers(0, 2),
    st.integers(1, 3),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.lists(_STEPS, min_size=1, max_size=3), max_size=6))
def test_any_sequence_leaves_the_templates_of_a_dict(steps: list[list[tuple[str, int, int]]]) -> None:
    """A dict of lists of templates, one list for the enrolment and one for each look, is the model."""
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        Path("g/home"),
        key=KEY,
        model_id=bytes(32),
        dimension=4,
        filesystem=files,
        dtype="float16",
        transform="none",
    )
    model: dict[str, list[tuple[str, np.ndarray]]] = {}
    drawn = np.random.default_rng(0)
    for transaction in steps:
        added = set()
        with gallery.transaction() as t:
            for kind, number, count in transaction:
                name, rows = f"subject {number}", drawn.normal(size=(count, 4)).astype(np.float32)
                if kind == "enrol" and name not in model:
                    t.enrol(name, rows)
                    model[name] = [("", rows)]
                elif kind == "add" and name in model:
                    look = f"look {drawn.integers(1 << 40)}"
                    t.enrol(name, rows, add=True, look=look)
                    model[name].append((look, rows))
                    added.add(name)
                elif kind == "remove look" and len(model.get(name, [])) > 1 and name not in added:
                    if name in {s.name for s in gallery.subjects()}:
                        look, _ = model[name].pop(1 + count % (len(model[name]) - 1))
                        t.remove_look(name, look)
                elif kind in ("remove", "erase") and name in model:
                    t.remove(name)
                    del model[name]
    reopened = Gallery.open(Path("g/home"), key=KEY, model_id=bytes(32), filesystem=files)
    stored = {s.name: s for s in reopened.subjects()}
    assert stored.keys() == model.keys()
    matrix, owners = reopened.references()
    order = [s.name for s in reopened.subjects()]
    for name, parts in model.items():
        assert [(look.name, look.templates) for look in stored[name].looks] == [
            (look, len(rows)) for look, rows in parts[1:]
        ]
        unit = np.concatenate([rows for _, rows in parts])
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        assert np.allclose(matrix[owners == order.index(name)], unit, atol=1e-3)
