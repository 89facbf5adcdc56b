"""Numbers too large for their field, from any source, cause an error of the SDK, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import EdgeSdkError, GalleryError, InputError
from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import pack_content
from edge_sdk.gallery.store.anchor import with_anchor
from edge_sdk.gallery.store.files import audit_path
from edge_sdk.gallery.store.sealed_file import slot_keys_of
from edge_sdk.model.operating_point import OperatingPoint
from tests.simulated_file_system import SimulatedFileSystem

PATH, ANCHOR = Path("g/home.gallery"), Path("a/home.anchor")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
FACE = np.ones((1, 8), np.float32)
NO_TIMES = (
    -1,
    -1e300,
    float("nan"),
    float("inf"),
    253_402_300_800,
    9.46e18,  # the year 300 billion
    2**63,
    2**64,
    10**400,
)


class Clock:
    """A fake clock that can be set to any number."""

    def __init__(self) -> None:
        self.now_s: float = 1_700_000_000

    def __call__(self) -> float:
        return self.now_s


def door(files: SimulatedFileSystem, clock: Clock, audit: str = "all") -> Gallery:
    gallery = Gallery.create(
        PATH,
        key=KEY,
        model_id=bytes(32),
        dimension=8,
        audit=audit,
        anchor=FileAnchor(ANCHOR, filesystem=files),
        filesystem=files,
        clock=clock,
    )
    gallery.enrol("ann", FACE)
    return gallery


@pytest.mark.parametrize("now_s", NO_TIMES)
def test_with_an_impossible_time_nothing_is_written_and_no_subject_accepted(now_s: float) -> None:
    files, clock = SimulatedFileSystem(), Clock()
    gallery = door(files, clock)
    before, steps = files.state(), len(files.steps)
    clock.now_s = now_s
    changes: list[Callable[[], object]] = [
        lambda: gallery.enrol("bob", -FACE),
        lambda: gallery.revoke("ann"),
        lambda: gallery.erase("ann", keys=[KEY]),
        lambda: gallery.keys.add(OTHER),
        lambda: gallery.keys.rotate(OTHER),
        gallery.keys.renew_transform,
        gallery.keys.reanchor,
        lambda: gallery.exchange.export(recipient=bytes.fromhex(gallery.status().recipient)),
        lambda: gallery.identify(FACE[0], threshold=0.5),
    ]
    for change in changes:
        with pytest.raises(GalleryError, match="clock gives") as caught:
            change()
        assert "set the clock" in str(caught.value.hint)
    assert (files.state(), len(files.steps)) == (before, steps)
    with pytest.raises(GalleryError, match="clock gives"):
        door(empty := SimulatedFileSystem(), clock)
    assert empty.state() == {}
    clock.now_s = 253_402_300_799
    assert gallery.identify(FACE[0], threshold=0.5).accepted
    gallery.revoke("ann")
    assert gallery.audit.report().entries[-1].at_s == 253_402_300_799


@pytest.mark.parametrize("audit", ["changes", "off"])
@pytest.mark.parametrize("seen", [2**63 - 1, 2**64 - 1, 10**20 - 1])
def test_an_anchor_beyond_the_last_generation_is_refused(seen: int, audit: str) -> None:
    """An anchor may hold any number; a log entry with such a number could never be parsed."""
    files = SimulatedFileSystem()
    gallery_id = door(files, Clock(), audit).status().gallery_id
    state = {**files.state(), ANCHOR: f"edge-sdk anchor 1 {gallery_id} {seen}\n".encode()}
    files = SimulatedFileSystem.holding(state)
    anchor = FileAnchor(ANCHOR, filesystem=files)
    gallery = Gallery.open(PATH, key=KEY, anchor=anchor, anchored=False, filesystem=files)
    with pytest.raises(GalleryError, match="generation"):
        gallery.keys.reanchor()
    assert files.state() == state
    assert files.steps == []


def test_the_last_generation_is_written_and_none_after_it() -> None:
    files = SimulatedFileSystem()
    gallery_id = door(files, Clock()).status().gallery_id
    state = {**files.state(), ANCHOR: f"edge-sdk anchor 1 {gallery_id} {2**63 - 2}\n".encode()}
    files = SimulatedFileSystem.holding(state)
    anchor = FileAnchor(ANCHOR, filesystem=files)
    gallery = Gallery.open(PATH, key=KEY, anchor=anchor, anchored=False, filesystem=files)
    gallery.keys.reanchor()
    assert gallery.status().generation == 2**63 - 1
    state = files.state()
    with pytest.raises(GalleryError, match="at most 9223372036854775807"):
        gallery.revoke("ann")
    assert files.state() == state
    assert not Gallery.open(PATH, key=KEY, anchor=anchor, filesystem=files).audit.report().problems()


@pytest.mark.parametrize("entries", [2**63, 2**64 - 1])
def test_a_log_with_the_last_number_is_not_continued(entries: int) -> None:
    """Only a holder of a key can write such a log head; it must cause an error of the SDK."""
    files = SimulatedFileSystem()
    session = door(files, Clock())._session
    content = with_anchor(session.content, b"")
    content = replace(content, audit=replace(content.audit, entries=entries))
    file = sealing.seal(session.header, slot_keys_of(content), pack_content(content), random=bytes)
    state = {PATH: file, audit_path(PATH): files.state()[audit_path(PATH)]}
    files = SimulatedFileSystem.holding(state)
    gallery = Gallery.open(PATH, key=KEY, filesystem=files)
    for change in (lambda: gallery.revoke("ann"), lambda: gallery.identify(FACE[0], threshold=0.5)):
        with pytest.raises(GalleryError, match="no more can be numbered"):
            change()
    assert files.state() == state
    assert gallery.audit.report().broken_at is not None


@pytest.mark.parametrize("when", [2**63, 2**64, 10**400, float("nan"), float("inf"), -1.0, -(10**400)])
def test_a_bound_that_is_no_time_is_refused(when: float) -> None:
    files = SimulatedFileSystem()
    gallery = door(files, Clock())
    state = files.state()
    for name in ("valid_from", "valid_until"):
        with pytest.raises(InputError, match=r"not"):
            gallery.enrol("bob", -FACE, **{name: when})
        with pytest.raises(InputError, match=r"not"):
            gallery.change("ann", **{name: when})
    with pytest.raises(InputError):
        gallery.identify(FACE[0], threshold=0.5, now=when)
    assert files.state() == state


def test_the_ends_of_a_calendar_are_times_or_refused() -> None:
    gallery = door(SimulatedFileSystem(), Clock())
    for hours in (-14, 0, 14):
        zone = timezone(timedelta(hours=hours))
        gallery.change("ann", valid_until=datetime.max.replace(tzinfo=zone))
        with pytest.raises(InputError):
            gallery.change("ann", valid_from=datetime.min.replace(tzinfo=zone))
    assert gallery.identify(FACE[0], threshold=0.5).accepted


@pytest.mark.parametrize(
    "wrong", [{"wait_s": 30.0}, {"free": 2.5}, {"most": float("nan")}, {"wait_s": 2**64}]
)
def test_a_limit_that_is_not_whole_or_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="attempts"):
        AttemptPolicy(**wrong)


@pytest.mark.parametrize("field", ["mated_trials", "non_mated_trials"])
def test_evidence_of_more_comparisons_than_fit_is_refused(field: str) -> None:
    """A model card may claim any number."""
    point = OperatingPoint(0.5, 1e-2, 0.1, mated_trials=100, non_mated_trials=2**64 - 1)
    gallery = door(files := SimulatedFileSystem(), Clock())
    with gallery.transaction() as t:
        t.set_policy(DecisionPolicy((point,), fpir=0.1))
    state = files.state()
    with pytest.raises(EdgeSdkError, match="comparisons"), gallery.transaction() as t:
        t.set_policy(DecisionPolicy((replace(point, **{field: 2**64}),), fpir=0.1))
    assert files.state() == state
