"""Old anchors, old counters and galleries forged with removed keys are refused, except as SECURITY.md states."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from edge_sdk.errors import EdgeSdkError, GalleryError, RollbackError, SealError
from edge_sdk.gallery import Gallery, Reason
from edge_sdk.gallery.attempt_counter import counter_path
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import pack_content
from edge_sdk.gallery.store.sealed_file import slot_keys_of
from tests.campaigns.splices import (
    ANCHOR,
    FACES,
    KEYS,
    PATH,
    STRANGE_KEYS,
    THRESHOLD,
    accepted_by,
    make_history,
    mixes,
    opened,
    print_figures,
    put_in_place,
)
from tests.simulated_file_system import SimulatedFileSystem

HOME = make_history("ann", "eve", KEYS)
AWAY = make_history("eve", "ann", KEYS)
STRANGE = make_history("eve", "ann", STRANGE_KEYS)
BEFORE = 3  # generation of home before Eve was revoked
COUNT = counter_path(PATH)


# The anchor.


def test_a_generation_opens_only_with_its_own_anchor() -> None:
    """A file anchor is not secret: an old gallery opens with its old anchor (stated in SECURITY.md)."""
    results: Counter[str] = Counter()
    anchors = [(owner, age.get(ANCHOR)) for owner in (HOME, AWAY, STRANGE) for age in owner.ages]
    for generation, age in enumerate(HOME.ages, start=1):
        for (owner, anchor), key in itertools.product([*anchors, (HOME, None)], HOME.keys):
            anchored = (
                owner.ages.index(next(a for a in owner.ages if a[ANCHOR] == anchor)) + 1 if anchor else 0
            )
            state = {PATH: age[PATH], **({ANCHOR: anchor} if anchor else {})}
            fits = owner is HOME and generation - anchored in (0, 1) and (key is KEYS[0] or generation >= 3)
            try:
                opened(state, key, anchored=True)
            except EdgeSdkError as error:
                assert not fits, (generation, anchored)
                assert owner is HOME or not isinstance(error, RollbackError)
                results[type(error).__name__] += 1
            else:
                assert fits, (generation, anchored)
                results["fits"] += 1
    assert print_figures("anchors", results) == len(HOME.ages) * (len(anchors) + 1) * 2
    # Eve is accepted if an old gallery is put back without an anchor, or together with its old anchor.
    assert accepted_by(opened(HOME.ages[BEFORE - 1], KEYS[0], anchored=True)[0]) == ["ann", "eve"]


def test_another_gallery_is_refused_by_a_separate_anchor_or_key() -> None:
    """With the same key and no anchor it is accepted (stated in SECURITY.md)."""
    for other in (AWAY, STRANGE):
        with pytest.raises(GalleryError, match=r"another gallery|wrong key"):
            opened({**other.now, ANCHOR: HOME.now[ANCHOR]}, KEYS[0], anchored=True)
    with pytest.raises(GalleryError, match="wrong key"):
        opened(STRANGE.now, KEYS[0])
    assert accepted_by(opened(AWAY.now, KEYS[0])[0]) == ["eve"]
    # A running process refuses all of them, with any keys and anchor.
    gallery, files = opened(HOME.now, KEYS[0])
    for state in (AWAY.now, STRANGE.now, HOME.ages[BEFORE - 1]):
        put_in_place(files, PATH, state[PATH])
        assert refuses_every_attempt(gallery)
    put_in_place(files, PATH, HOME.now[PATH])
    assert accepted_by(gallery) == ["ann"]


def refuses_every_attempt(gallery: Gallery) -> bool:
    """Check that a running process refuses the file that replaced its gallery, and gives no answer."""
    with pytest.raises(GalleryError):
        gallery.refresh()
    for face in FACES.values():
        with pytest.raises(GalleryError):
            gallery.identify(face, threshold=THRESHOLD)
    return True


# Splices of the file that counts attempts.


def failed(gallery: Gallery, times: int) -> None:
    for _ in range(times):
        assert not gallery.identify(FACES["eve"], threshold=THRESHOLD).accepted


def counts() -> tuple[Gallery, SimulatedFileSystem, dict[str, bytes]]:
    """Return home after failed attempts, and counter files by name: its own of several times and those of others."""
    kept = {"away": AWAY.now[COUNT], "strange": STRANGE.now[COUNT]}
    gallery, files = opened(HOME.now, KEYS[0])
    failed(gallery, 2)
    kept["count before"] = files.state()[COUNT]
    gallery.attempts.reset()
    kept["none"] = files.state()[COUNT]
    failed(gallery, 3)
    kept["older"] = files.state()[COUNT]
    failed(gallery, 4)
    kept["now"] = files.state()[COUNT]
    return gallery, files, kept


def fields(count: bytes) -> list[bytes]:
    """Split a counter file into its fields, see docs/reference/gallery-format.md."""
    return [count[a:b] for a, b in itertools.pairwise((0, 8, 24, 40, 48, 56, 60, 64, 80, 88, 120))]


def test_only_a_counter_file_of_the_current_counter_is_accepted() -> None:
    """A file mixed from several states is refused. A whole older state is accepted by a new process only (SECURITY.md)."""
    gallery, files, kept = counts()
    mine = {kept[name]: failures for name, failures in (("none", 0), ("older", 3), ("now", 7))}
    results: Counter[str] = Counter()

    def offer(count: bytes, failures: set[int]) -> None:
        """Open with a counter file; a new process must read one of `failures`, or be locked out if there are none."""
        state = {**files.state(), COUNT: count}
        new, _ = opened(state, KEYS[0])
        status = new.attempts.status()
        assert status is not None
        answer = new.identify(FACES["ann"], threshold=THRESHOLD)
        if failures:
            assert (status.failures in failures, answer.subject) == (True, "ann")
        else:
            assert (status.refusal, answer.reason, answer.accepted) == (Reason.COUNTER, Reason.COUNTER, False)
        results["locked out" if not failures else "newest" if failures == {7} else "older"] += 1

    spliced = [
        made
        for first, second in itertools.combinations(kept.values(), 2)
        for made in mixes(fields(first), fields(second))
    ]
    for made in spliced:
        offer(made, set())
    parts = [b"", *kept.values(), *spliced[:: len(spliced) // 20]]
    for row in itertools.product(parts, repeat=2):
        own = {mine[part] for part in row if part in mine}
        offer(b"".join(row), own if len(own) == 1 else set())  # two states of one counter are refused
    for row in itertools.product([*kept.values()], repeat=3):
        offer(b"".join(row), set())
    assert print_figures("counters", results) > 2_000
    # The process that wrote them accepts only the newest, also next to a state of another counter.
    for row in itertools.product([b"", *kept.values()], repeat=2):
        if {*row} & {*mine} != {kept["now"]}:
            put_in_place(files, COUNT, b"".join(row))
            assert gallery.identify(FACES["ann"], threshold=THRESHOLD).reason is Reason.COUNTER
    put_in_place(files, COUNT, kept["now"])
    assert gallery.identify(FACES["ann"], threshold=THRESHOLD).accepted


# Removed keys.


def forged(*, generation: int) -> bytes:
    """Seal an old content of home, in which Eve is accepted, with the slot keys read from an old generation."""
    then = opened(HOME.ages[BEFORE - 1], KEYS[1])[0]._session
    header = replace(then.header, generation=generation)
    return sealing.seal(header, slot_keys_of(then.content), pack_content(then.content), random=bytes)


def put_forgery_in_place(gallery: Gallery, files: SimulatedFileSystem, *, counter: bool = True) -> None:
    """Put the next generation in place as a forgery, by default with a counter file of the forged content's key."""
    put_in_place(files, PATH, forged(generation=gallery.status().generation + 1))
    if counter:
        put_in_place(files, COUNT, HOME.ages[BEFORE - 1][COUNT])


def test_a_forgery_with_a_removed_key_deceives_only_a_new_process_and_none_after_a_rotation() -> None:
    """A key that remains opens a file of the old epoch, so someone who knows its slot key can forge it (SECURITY.md)."""
    gallery, files = opened(HOME.now, KEYS[0], anchored=True)
    gallery.keys.remove(1)
    assert forged_is_refused(gallery, files)
    # A removal renews the key of the counter: the forgery is opened, but needs a counter file of its own key as well.
    put_forgery_in_place(gallery, files, counter=False)
    deceived, _ = opened(files.state(), KEYS[0], anchored=True)
    answers = [deceived.identify(face, threshold=THRESHOLD) for face in FACES.values()]
    assert [(answer.accepted, answer.reason) for answer in answers] == [(False, Reason.COUNTER)] * 2
    put_forgery_in_place(gallery, files)
    deceived, _ = opened(files.state(), KEYS[0], anchored=True)
    assert accepted_by(deceived) == ["ann", "eve"]
    # A rotation to a new key excludes them permanently.
    gallery, files = opened(HOME.now, KEYS[0], anchored=True)
    gallery.keys.rotate(STRANGE_KEYS[0])
    assert forged_is_refused(gallery, files)
    put_forgery_in_place(gallery, files)
    for anchored in (True, False):
        with pytest.raises(SealError):
            opened(files.state(), STRANGE_KEYS[0], anchored=anchored)


def forged_is_refused(gallery: Gallery, files: SimulatedFileSystem) -> bool:
    """Check that a running process refuses forgeries of older, equal and newer generations, and still uses its own."""
    own, now = files.state()[PATH], gallery.status().generation
    for generation in range(1, now + 3):
        put_in_place(files, PATH, forged(generation=generation))
        assert refuses_every_attempt(gallery)
    put_in_place(files, PATH, own)
    return accepted_by(gallery) == ["ann"]
