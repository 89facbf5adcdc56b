"""What remembers, the anchor and the counter of failures, is swapped and cut together; and older keys write galleries."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from edge_sdk.errors import EdgeSdkError, GalleryError, RollbackError, SealError
from edge_sdk.gallery import Gallery, Reason
from edge_sdk.gallery.attempts import counter_path
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
    door,
    enters,
    mixes,
    opened,
    put_in_place,
    told,
)
from tests.simulated_file_system import SimulatedFileSystem

HOME = door("ann", "eve", KEYS)
AWAY = door("eve", "ann", KEYS)
STRANGE = door("eve", "ann", STRANGE_KEYS)
BEFORE = 3  # the generation of home before the last one: Eve may enter
COUNT = counter_path(PATH)


# The anchor.


def test_every_generation_meets_every_anchor_and_an_old_one_is_let_in_by_its_own_only() -> None:
    """A file anchor keeps no secret: an old gallery comes back with its old anchor, and SECURITY.md says so."""
    found: Counter[str] = Counter()
    anchors = [(owner, age.get(ANCHOR)) for owner in (HOME, AWAY, STRANGE) for age in owner.ages]
    for generation, age in enumerate(HOME.ages, start=1):
        for (owner, anchor), key in itertools.product([*anchors, (HOME, None)], HOME.keys):
            remembered = (
                owner.ages.index(next(a for a in owner.ages if a[ANCHOR] == anchor)) + 1 if anchor else 0
            )
            state = {PATH: age[PATH], **({ANCHOR: anchor} if anchor else {})}
            fits = owner is HOME and generation - remembered in (0, 1) and (key is KEYS[0] or generation >= 3)
            try:
                opened(state, key, anchored=True)
            except EdgeSdkError as error:
                assert not fits, (generation, remembered)
                assert owner is HOME or not isinstance(error, RollbackError)
                found[type(error).__name__] += 1
            else:
                assert fits, (generation, remembered)
                found["fits"] += 1
    assert told("anchors", found) == len(HOME.ages) * (len(anchors) + 1) * 2
    # Eve is let in by what is older than the anchor where nothing remembers, or old anchor and gallery come together.
    assert enters(opened(HOME.ages[BEFORE - 1], KEYS[0], anchored=True)[0]) == ["ann", "eve"]


def test_another_gallery_in_ones_place_is_refused_by_an_anchor_or_a_key_of_ones_own() -> None:
    """Without either it is let in, and SECURITY.md says so: one key file for two doors makes one door of them."""
    for foreign in (AWAY, STRANGE):
        with pytest.raises(GalleryError, match=r"another gallery|wrong key"):
            opened({**foreign.now, ANCHOR: HOME.now[ANCHOR]}, KEYS[0], anchored=True)
    with pytest.raises(GalleryError, match="wrong key"):
        opened(STRANGE.now, KEYS[0])
    assert enters(opened(AWAY.now, KEYS[0])[0]) == ["eve"]
    # A process that runs is not deceived, whatever its keys and anchor.
    gallery, files = opened(HOME.now, KEYS[0])
    for state in (AWAY.now, STRANGE.now, HOME.ages[BEFORE - 1]):
        put_in_place(files, PATH, state[PATH])
        assert nobody_enters(gallery)
    put_in_place(files, PATH, HOME.now[PATH])
    assert enters(gallery) == ["ann"]


def nobody_enters(gallery: Gallery) -> bool:
    """Whether a door that runs refuses what lies in its gallery's place, and answers nobody meanwhile."""
    with pytest.raises(GalleryError):
        gallery.refresh()
    for face in FACES.values():
        with pytest.raises(GalleryError):
            gallery.identify(face, threshold=THRESHOLD)
    return True


# The counter of failures.


def failed(gallery: Gallery, times: int) -> None:
    for _ in range(times):
        assert not gallery.identify(FACES["eve"], threshold=THRESHOLD).accepted


def counts() -> tuple[Gallery, SimulatedFileSystem, dict[str, bytes]]:
    """Home after failures in two counts, and every counter a thief could have kept or got elsewhere."""
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
    """A counter cut at its borders; docs/reference/gallery-format.md."""
    return [count[a:b] for a, b in itertools.pairwise((0, 8, 24, 40, 48, 56, 60, 64, 80, 88, 120))]


def test_no_counter_is_believed_but_one_that_was_written_in_this_count() -> None:
    """A process that starts believes an older one of this count (SECURITY.md says so); one that runs does not."""
    gallery, files, kept = counts()
    mine = {kept[name]: failures for name, failures in (("none", 0), ("older", 3), ("now", 7))}
    found: Counter[str] = Counter()

    def offered(count: bytes, failures: set[int]) -> None:
        """Lay a counter there; which numbers of failures a process that starts may read in it, none for locked out."""
        state = {**files.state(), COUNT: count}
        new, _ = opened(state, KEYS[0])
        status = new.attempts.status()
        assert status is not None
        answer = new.identify(FACES["ann"], threshold=THRESHOLD)
        if failures:
            assert (status.failures in failures, answer.subject) == (True, "ann")
        else:
            assert (status.refusal, answer.reason, answer.accepted) == (Reason.COUNTER, Reason.COUNTER, False)
        found["locked out" if not failures else "the newest" if failures == {7} else "an older one"] += 1

    spliced = [
        made
        for one, two in itertools.combinations(kept.values(), 2)
        for made in mixes(fields(one), fields(two))
    ]
    for made in spliced:
        offered(made, set())
    parts = [b"", *kept.values(), *spliced[:: len(spliced) // 20]]
    for row in itertools.product(parts, repeat=2):
        own = {mine[part] for part in row if part in mine}
        offered(b"".join(row), own if len(own) == 1 else set())  # two states of one count are none
    for row in itertools.product([*kept.values()], repeat=3):
        offered(b"".join(row), set())
    assert told("counters", found) > 2_000
    # The process that counted them is deceived by none, and believes the newest beside what it does not know.
    for row in itertools.product([b"", *kept.values()], repeat=2):
        if {*row} & {*mine} != {kept["now"]}:
            put_in_place(files, COUNT, b"".join(row))
            assert gallery.identify(FACES["ann"], threshold=THRESHOLD).reason is Reason.COUNTER
    put_in_place(files, COUNT, kept["now"])
    assert gallery.identify(FACES["ann"], threshold=THRESHOLD).accepted


# Keys that were taken away.


def forged(*, generation: int) -> bytes:
    """What somebody writes who once opened home with the second key: Eve may enter, and the slot keys are those of then."""
    then = opened(HOME.ages[BEFORE - 1], KEYS[1])[0]._session
    header = replace(then.header, generation=generation)
    return sealing.seal(header, slot_keys_of(then.content), pack_content(then.content), random=bytes)


def test_who_had_a_key_that_was_removed_deceives_no_running_door_but_one_that_starts_until_every_key_is_new() -> (
    None
):
    """As SECURITY.md says: taking a key away keeps the epoch's other secrets, so whoever saw them can write with them."""
    gallery, files = opened(HOME.now, KEYS[0], anchored=True)
    gallery.keys.remove(1)
    assert forged_is_refused(gallery, files)
    put_in_place(files, PATH, forged(generation=gallery.status().generation + 1))
    deceived, _ = opened(files.state(), KEYS[0], anchored=True)
    assert enters(deceived) == ["ann", "eve"]
    # A rotation to a key that nobody has seen shuts them out for good.
    gallery, files = opened(HOME.now, KEYS[0], anchored=True)
    gallery.keys.rotate(STRANGE_KEYS[0])
    assert forged_is_refused(gallery, files)
    put_in_place(files, PATH, forged(generation=gallery.status().generation + 1))
    for anchored in (True, False):
        with pytest.raises(SealError):
            opened(files.state(), STRANGE_KEYS[0], anchored=anchored)


def forged_is_refused(gallery: Gallery, files: SimulatedFileSystem) -> bool:
    """Whether a door that runs refuses forgeries of older, equal and newer generations, and goes on with its own."""
    own, now = files.state()[PATH], gallery.status().generation
    for generation in range(1, now + 3):
        put_in_place(files, PATH, forged(generation=generation))
        assert nobody_enters(gallery)
    put_in_place(files, PATH, own)
    return enters(gallery) == ["ann"]
