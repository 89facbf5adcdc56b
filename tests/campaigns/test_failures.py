"""After a failed change, the error says what is on disk, and the gallery that failed goes on from there.

Every call of the file system, of gallery and anchor, fails once: before or after its effect, with an error or with an
interruption, for each kind of change. From each call on, the medium also fails for good.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable

import pytest

from edge_sdk.errors import ChangeCommittedError, EdgeSdkError, GalleryError
from edge_sdk.gallery import Gallery
from tests.campaigns import crash_states
from tests.campaigns.crash_states import KINDS, PATH, Board, State, embedding, reopen

Fault = Callable[[int, bool], None]
NOT_CHANGED, NOT_KNOWN = "the gallery was not changed", "it is not known if the change is committed"
QUICK = ("enrol", "rotate-key within a chip", "change the attempt limit", "re-anchor")
# Changes that may leave the gallery's file as it is; a new segment of the log is begun again later if that fails.
OPTIONAL = (
    "failed attempt",
    "accepted attempt",
    "accepted answer",
    "audit entry",
    "begin a segment",
    "begin a segment in a new key epoch",
)


def error_at(call: int, *, after: bool) -> Fault:
    def fault(number: int, done: bool) -> None:
        if (number, done) == (call, after):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return fault


def interruption_at(call: int, *, after: bool) -> Fault:
    def fault(number: int, done: bool) -> None:
        if (number, done) == (call, after):
            raise KeyboardInterrupt

    return fault


def dead_from(call: int, *, after: bool) -> Fault:
    def fault(number: int, done: bool) -> None:
        if (number, done) >= (call, after):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fault


FAULTS = {"error": error_at, "interruption": interruption_at, "dead medium": dead_from}


def head(state: State) -> bytes:
    return state.get(PATH, b"")[:88]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Gallery]:
    """Collect the galleries that the kinds of change open."""
    galleries: list[Gallery] = []

    def reopen_and_keep(files: Board) -> Gallery:
        galleries.append(reopen(files))
        return galleries[-1]

    monkeypatch.setattr(crash_states, "reopen", reopen_and_keep)
    return galleries


def outcome(files: Board, change: Callable[[Board], object]) -> BaseException | None:
    try:
        change(files)
    except (EdgeSdkError, OSError, KeyboardInterrupt) as error:
        return error
    finally:
        files.fault = None
    return None


def check_message(error: BaseException | None, *, changed: bool, kind: str) -> None:
    """Compare what the error says with what is on disk."""
    if isinstance(error, ChangeCommittedError):
        assert changed, error
        assert str(error).startswith("the change is committed; ")
    elif isinstance(error, GalleryError):
        text = f"{error} {error.hint}"
        assert (NOT_CHANGED not in text) or not changed, error
        assert not changed or NOT_KNOWN in text, error
        assert not str(error).startswith("the change is committed")
    elif error is None:
        assert changed or kind in OPTIONAL
    else:
        assert isinstance(error, KeyboardInterrupt), (
            "an error of the operating system is no error of the gallery"
        )


def check_continuation(gallery: Gallery, files: Board, error: BaseException | None) -> None:
    """Check that the object that failed has the state on disk and can be changed again.

    If the medium could not be read after a rotation, the object does not know the new key and stays refused.
    """
    try:
        gallery.refresh()
    except GalleryError as refused:
        assert NOT_KNOWN in str(error), refused
        assert "open it again with the new key" in str(refused.hint), refused
        return
    fresh = reopen(files)
    assert gallery.subjects() == fresh.subjects()
    assert gallery.status().generation == fresh.status().generation
    gallery.enrol("after the failure", embedding(9))
    assert reopen(files).subjects() == gallery.subjects()
    assert gallery.audit.report().intact


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(name, fault, marks=[] if fault == "error" or name in QUICK else pytest.mark.slow)
        for name, fault in itertools.product(KINDS, FAULTS)
    ],
)
def test_the_error_says_what_is_on_disk(name: str, fault: str, opened: list[Gallery]) -> None:
    kind = KINDS[name]
    start = kind.start()
    undisturbed = Board.holding(start)
    kind.change(undisturbed)
    committed = 0
    for call in range(len(undisturbed.calls)):
        for after in (False, True):
            files = Board.holding(start)
            files.fault = FAULTS[fault](call, after=after)
            opened.clear()
            error = outcome(files, kind.change)
            changed = head(files.state()) != head(start)
            if name == "create":
                assert error is None or not changed or fault == "dead medium", (call, after, error)
                continue
            try:
                check_message(error, changed=changed, kind=name)
                for gallery in opened:
                    check_continuation(gallery, files, error)
            except AssertionError as wrong:
                raise AssertionError(
                    f"call {call} ({undisturbed.calls[call]}), after={after}: {error!r}: {wrong}"
                ) from wrong
            committed += isinstance(error, ChangeCommittedError)
    if fault == "error" and name not in (*OPTIONAL, "create"):
        assert committed >= 2, "the folder that cannot be synced, and the anchor that cannot be advanced"
