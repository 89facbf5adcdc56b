"""Open every state that a power cut can leave during a change of a gallery.

    python tests/campaigns/crash_states.py [--tears 3] [--processes 2] [KIND ...]

runs all kinds of change or the given ones: with writes torn at every byte, and with two power cuts and writes torn at
`--tears` places. A line for each kind goes to stderr, all counts as JSON to stdout.

A kind of change consists of the files before the change and the function that makes it. The contents before and after
the change are read by opening the gallery. A state is counted as lost if its content is neither, refused if it does not
open, rolled back if the anchor refuses it, locked out if the attempt counter is missing, and unprotected if the change
was acknowledged but its generation is not in the anchor; none of these may occur. A state that opens is changed once
more, because a gallery that cannot be changed is lost as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from edge_sdk.errors import GalleryError, RollbackError, SealError
from edge_sdk.gallery import AttemptPolicy, FileAnchor, Gallery, InMemoryKey, KnownTime, Reason
from edge_sdk.gallery.attempt_counter import Moment, counter_path
from edge_sdk.gallery.exchange.commands import Command, sign, source_of
from edge_sdk.gallery.format.content import (
    ATTEMPT_POLICY,
    AUDIT_SEGMENTS,
    COMMAND_HISTORY,
    LOOKS,
    SLOT_KEYS,
    TRANSFORM_KEY,
)
from edge_sdk.gallery.format.header import parse_header
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.audit_segments import closed_path
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import audit_path, tmp_path
from tests.simulated_file_system import PowerCut, SimulatedFileSystem, _File

PATH = Path("gallery/home.gallery")
ANCHOR = Path("anchor/home.anchor")
LOG = audit_path(PATH)
SMALL_SEGMENT_BYTES = 600
PACKAGE = Path("post/export")
COMMAND = Path("post/command")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
SOURCE = b"s" * 32
VERSION_1 = Path(__file__).parents[1] / "vectors" / "version_1"
LIMIT = AttemptPolicy(free=3, most=8, wait_s=0)
EVERY_BYTE = 1 << 30
State = dict[Path, bytes]


class Board(SimulatedFileSystem):
    """A simulated medium, with a chip whose data are durable at once."""

    def put_at_once(self, path: Path, data: bytes | None) -> None:
        self._check_power()
        for entries in (self._entries, self._durable_entries):
            if data is None:
                entries.pop(path, None)
            else:
                entries[path] = len(self._files)
        if data is not None:
            self._files.append(_File(data, data))


Change = Callable[[Board], object]


class ChipKey:
    """A key with a separate secret for each slot in a chip, stored and destroyed at once."""

    name, level, slot_type = "chip", 4, 7

    def __init__(self, files: Board) -> None:
        self._files = files

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        place = random(8)
        self._files.put_at_once(Path("chip") / place.hex(), random(32))
        return place

    def secret(self, parameters: bytes) -> bytes:
        try:
            return self._files.read(Path("chip") / parameters.hex(), 32)
        except OSError as error:
            raise GalleryError("the chip has no such secret, or does not answer") from error

    def forget(self, parameters: bytes) -> None:
        self._files.put_at_once(Path("chip") / parameters.hex(), None)


def embedding(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 4)).astype(np.float32)


def now() -> Moment:
    return Moment(b"1" * 16, 1_000_000)


def create(files: Board, **options: str) -> Gallery:
    return Gallery.create(
        PATH,
        key=KEY,
        model_id=bytes(32),
        dimension=4,
        anchor=FileAnchor(ANCHOR, filesystem=files),
        filesystem=files,
        uptime=now,
        **options,
    )


def reopen(files: Board) -> Gallery:
    """Open with the first key that opens the gallery."""
    anchor = FileAnchor(ANCHOR, filesystem=files)
    for key in (KEY, OTHER):
        try:
            return Gallery.open(PATH, key=key, anchor=anchor, filesystem=files, uptime=now)
        except SealError:
            continue
    return Gallery.open(PATH, key=ChipKey(files), anchor=anchor, filesystem=files, uptime=now)


@cache
def _two_subjects(transform: str) -> frozenset[tuple[Path, bytes]]:
    files = Board()
    gallery = create(files, transform=transform)
    with gallery.transaction() as t:
        t.enrol("ann", embedding(1))
        t.enrol("bob", embedding(2))
    gallery.exchange.add_source(source_of(SOURCE))
    status = gallery.status()
    office = Gallery.create(Path("office"), key=KEY, model_id=bytes(32), dimension=4, filesystem=Board())
    office.enrol("eve", embedding(5))
    command = Command.for_state(
        status.state,
        now_s=time.time(),
        source=source_of(SOURCE),
        gallery_id=bytes.fromhex(status.gallery_id),
        sequence=1,
        action="erase",
        subject="ann",
    )
    state = {
        **files.state(),
        PACKAGE: office.exchange.export(recipient=bytes.fromhex(status.recipient)),
        COMMAND: sign(command, SOURCE),
    }
    return frozenset(state.items())


def with_two_subjects(transform: str = "shp3") -> State:
    return dict(_two_subjects(transform))


def after_a_crash_with_leftovers() -> State:
    return {**with_two_subjects(), tmp_path(PATH): b"left over", tmp_path(ANCHOR): b"left over"}


def one_ahead_of_its_anchor() -> State:
    files = Board.holding(with_two_subjects())
    reopen(files).enrol("cy", embedding(3))
    return {**files.state(), ANCHOR: with_two_subjects()[ANCHOR]}


def after_a_torn_log() -> State:
    state = with_two_subjects()
    return {**state, LOG: state[LOG] + b"5 17 2 5 enr"}


def with_two_keys() -> State:
    files = Board.holding(with_two_subjects())
    reopen(files).keys.add(OTHER)
    return files.state()


def with_a_chip() -> State:
    files = Board.holding(with_two_subjects())
    reopen(files).keys.rotate(ChipKey(files))
    return files.state()


def with_attempt_limit() -> State:
    files = Board.holding(with_two_subjects())
    gallery = reopen(files)
    with gallery.transaction() as t:
        t.limit_attempts(LIMIT)
    gallery.reject()
    return files.state()


def with_attempt_limit_and_two_keys() -> State:
    files = Board.holding(with_attempt_limit())
    reopen(files).keys.add(OTHER)
    return files.state()


def of_version_1() -> State:
    """Return a gallery that edge-sdk 0.2 wrote, with a limit and one failed attempt."""
    files = (PATH, audit_path(PATH), counter_path(PATH), ANCHOR)
    return {path: (VERSION_1 / path.name).read_bytes() for path in files}


def with_small_segments(files: Board) -> Gallery:
    """Open the gallery with limits that its log exceeds with a few entries."""
    gallery = reopen(files)
    gallery._session._log = AuditLog(files, LOG, segment_bytes=SMALL_SEGMENT_BYTES, max_closed=1)
    return gallery


def with_a_full_segment() -> State:
    """Return a log with a closed segment and a full one."""
    files = Board.holding(with_two_subjects())
    gallery = with_small_segments(files)
    while closed_path(LOG, 2) not in files.state() or len(files.state()[LOG]) < SMALL_SEGMENT_BYTES:
        gallery._session.note(AuditEvent("export", detail="subjects=2"))
    return files.state()


def after_a_rotation() -> State:
    """Return a log whose next entry begins a segment, because a new key epoch began."""
    files = Board.holding(with_two_subjects())
    reopen(files).keys.rotate(OTHER)
    return files.state()


def _begin_segment(files: Board) -> None:
    with_small_segments(files)._session.note(AuditEvent("export", detail="subjects=2"))


def _policy(files: Board) -> None:
    with reopen(files).transaction() as t:
        t.set_threshold("ann", 0.7)
        t.set_threshold("bob", 0.8)


def _limit(files: Board) -> None:
    with reopen(files).transaction() as t:
        t.limit_attempts(LIMIT)


def _remove_limit(files: Board) -> None:
    with reopen(files).transaction() as t:
        t.limit_attempts(None)


def _note(files: Board) -> None:
    reopen(files)._session.note(AuditEvent("export", detail="subjects=2"))


@dataclass(frozen=True)
class Kind:
    """A kind of change: a function that returns the files before it, and the function that makes it."""

    start: Callable[[], State]
    change: Change


KINDS: dict[str, Kind] = {
    "create": Kind(dict, create),
    "enrol": Kind(with_two_subjects, lambda f: reopen(f).enrol("dan", embedding(4))),
    "enrol over leftovers": Kind(
        after_a_crash_with_leftovers, lambda f: reopen(f).enrol("dan", embedding(4))
    ),
    "enrol ahead of the anchor": Kind(
        one_ahead_of_its_anchor, lambda f: reopen(f).enrol("dan", embedding(4))
    ),
    "enrol after a torn log": Kind(after_a_torn_log, lambda f: reopen(f).enrol("dan", embedding(4))),
    "add a look": Kind(with_two_subjects, lambda f: reopen(f).enrol("ann", embedding(4), add=True)),
    "name a key": Kind(with_two_subjects, lambda f: reopen(f).keys.rename(0, name="owner")),
    "remove": Kind(with_two_subjects, lambda f: reopen(f).remove("ann")),
    "revoke": Kind(with_two_subjects, lambda f: reopen(f).revoke("ann")),
    "erase": Kind(with_two_subjects, lambda f: reopen(f).erase("ann")),
    "erase, key in a chip": Kind(with_a_chip, lambda f: reopen(f).erase("ann")),
    "rotate-key": Kind(with_two_subjects, lambda f: reopen(f).keys.rotate(OTHER)),
    "rotate-key into a chip": Kind(with_two_subjects, lambda f: reopen(f).keys.rotate(ChipKey(f))),
    "rotate-key within a chip": Kind(with_a_chip, lambda f: reopen(f).keys.rotate(ChipKey(f))),
    "rotate-key, attempt limit": Kind(with_attempt_limit, lambda f: reopen(f).keys.rotate(OTHER)),
    "remove-key, attempt limit": Kind(with_attempt_limit_and_two_keys, lambda f: reopen(f).keys.remove(1)),
    "erase, attempt limit": Kind(with_attempt_limit, lambda f: reopen(f).erase("ann")),
    "migrate": Kind(of_version_1, lambda f: reopen(f).revoke("ann")),
    "migrate by rotate-key": Kind(of_version_1, lambda f: reopen(f).keys.rotate(OTHER)),
    "migrate by reset attempts": Kind(of_version_1, lambda f: reopen(f).attempts.reset()),
    "add-key": Kind(with_two_subjects, lambda f: reopen(f).keys.add(OTHER)),
    "remove-key": Kind(with_two_keys, lambda f: reopen(f).keys.remove(1)),
    "re-anchor": Kind(with_two_subjects, lambda f: reopen(f).keys.reanchor()),
    "renew-transform": Kind(with_two_subjects, lambda f: reopen(f).keys.renew_transform()),
    "policy": Kind(with_two_subjects, _policy),
    "limit attempts": Kind(with_two_subjects, _limit),
    "change the attempt limit": Kind(with_attempt_limit, _limit),
    "remove the attempt limit": Kind(with_attempt_limit, _remove_limit),
    "reset attempts": Kind(with_attempt_limit, lambda f: reopen(f).attempts.reset()),
    "import": Kind(with_two_subjects, lambda f: reopen(f).exchange.import_package(f.state()[PACKAGE])),
    "merge an import": Kind(
        with_two_subjects, lambda f: reopen(f).exchange.merge_package(f.state()[PACKAGE], replace=True)
    ),
    "signed command": Kind(with_two_subjects, lambda f: reopen(f).exchange.execute(f.state()[COMMAND])),
    "audit entry": Kind(with_two_subjects, _note),
    "begin a segment": Kind(with_a_full_segment, _begin_segment),
    "begin a segment by a change": Kind(with_a_full_segment, lambda f: with_small_segments(f).revoke("ann")),
    "begin a segment in a new key epoch": Kind(after_a_rotation, _note),
    "accepted answer": Kind(with_two_subjects, lambda f: reopen(f).identify(embedding(1)[0], threshold=0.9)),
    "failed attempt": Kind(with_attempt_limit, lambda f: reopen(f).reject()),
    "accepted attempt": Kind(
        with_attempt_limit, lambda f: reopen(f).identify(embedding(1)[0], threshold=0.9)
    ),
}


def without_log(state: State) -> State:
    """Return a state without the audit log, which may have new entries although the change did not happen."""
    return {path: data for path, data in state.items() if path != LOG}


Look = tuple[object, ...]
FAILED_ATTEMPTS = 8  # index of the failed attempts in a look


def look(state: State, *, change_again: bool = True) -> Look | None:
    """Open the gallery in a state and return its content for comparison; None if there is no gallery."""
    files = Board.holding(state)
    if PATH not in state:
        if change_again:
            create(files)
            assert reopen(files).audit.report().intact
        return None
    gallery = reopen(files)
    result = _look_of(gallery)
    if not change_again:
        return result
    gallery.enrol("after the cut", embedding(9))
    again = reopen(files)
    assert len(again.subjects()) == len(gallery.subjects()) == len(result[0]) + 1  # type: ignore[arg-type]
    assert again.audit.report().intact
    return result


def _look_of(gallery: Gallery) -> Look:
    content, header = gallery._session.content, gallery._session.header
    attempts = gallery.attempts.status()
    # Keys, ids of counters and looks, and digests of states differ in every run.
    random_kinds = (SLOT_KEYS, TRANSFORM_KEY, ATTEMPT_POLICY, AUDIT_SEGMENTS, COMMAND_HISTORY, LOOKS)
    kinds = {r.kind: None if r.kind in random_kinds else r.value for r in content.policy}
    people = tuple((s.name, s.label, s.revoked, s.templates) for s in gallery.subjects())
    log = gallery.audit.report()
    return (
        people,
        log.intact,
        sum(entry.carried_out for entry in log.entries),
        header.generation,
        header.key_epoch,
        tuple(slot.type for slot in header.slots),
        tuple(sorted(kinds.items(), key=lambda item: item[0])),
        content.sequences,
        None if attempts is None else (attempts.failures, attempts.refusal),
        _recognized(gallery),
    )


def _recognized(gallery: Gallery) -> tuple[str | None, ...]:
    """Return the recognized subjects, without counting attempts."""
    matcher = gallery._session.matcher
    return tuple(
        matcher.identify(matcher.probe(embedding(seed)[0]), limit=0.9, time=KnownTime(2e9)).subject
        for seed in (1, 2)
    )


@dataclass
class Count:
    """Number of states, and of faults among them.

    Attributes:
        states: Distinct states.
        lost: States with neither the content before nor after the change, or without an acknowledged change.
        refused: States that do not open or cannot be changed.
        rolled_back: States that the anchor refuses.
        locked_out: States with an attempt limit but no valid counter.
        unprotected: States whose anchor is behind the acknowledged generation, so that an older copy would open.
        kept: States that opened; empty unless `keep` is set.
    """

    states: int = 0
    lost: int = 0
    refused: int = 0
    rolled_back: int = 0
    locked_out: int = 0
    unprotected: int = 0
    kept: list[State] = field(default_factory=list, repr=False)

    @property
    def faults(self) -> int:
        """Number of faults of all kinds."""
        return self.lost + self.refused + self.rolled_back + self.locked_out + self.unprotected

    def add(self, other: Count) -> None:
        """Add the numbers of another survey."""
        for name, number in other.figures().items():
            setattr(self, name, getattr(self, name) + number)

    def figures(self) -> dict[str, int]:
        """Return all numbers by name."""
        return {name: number for name, number in asdict(replace(self, kept=[])).items() if name != "kept"}


def survey(
    start: State,
    change: Change,
    *,
    ignored: tuple[str | int, ...] = (),
    tears: int = 8,
    first_fault: bool = False,
    keep: bool = False,
) -> Count:
    """Cut the power before every step of a change and after the last one, and open every state that can remain.

    Args:
        start: The files before the change.
        change: Makes the change; a generator yields after each acknowledged part.
        ignored: Numbers or names of file system steps that have no effect, for negative controls.
        tears: Number of places at which a write is torn, see `SimulatedFileSystem`.
        first_fault: Stop at the first fault.
        keep: Keep the states that opened.
    """
    count = Count()
    looks, total = _looks(start, change)
    seen = set()
    for cut in range(total + 1):
        files = Board.holding(start)
        files.cut_before, files.ignored, files.tears = (cut if cut < total else None), ignored, tears
        acknowledged = generation = 0
        try:
            for steps in _made(files, change):
                acknowledged, generation = steps, parse_header(files.state()[PATH]).generation
        except PowerCut:
            pass
        # Allowed are the content after the last acknowledged part and the contents after later parts.
        least = max(steps for steps, _ in looks if steps <= acknowledged)
        allowed = [content for steps, content in looks if steps >= least]
        for state in files.states_after_cut():
            key = (frozenset(state.items()), least)
            if key in seen:
                continue
            seen.add(key)
            count.states += 1
            try:
                content = look(state)
            except RollbackError:
                count.rolled_back += 1
            except (GalleryError, AssertionError):
                count.refused += 1
            else:
                count.locked_out += content is not None and content[FAILED_ATTEMPTS] == (None, Reason.COUNTER)
                count.lost += content not in allowed
                count.unprotected += _anchored(state) < generation
                if keep:
                    count.kept.append(state)
            if first_fault and count.faults:
                return count
    return count


def _anchored(state: State) -> int:
    """Return the generation in the anchor file of a gallery that opened, 0 without one."""
    return int(state[ANCHOR].split()[-1]) if ANCHOR in state else 0


def _made(files: Board, change: Change) -> Iterator[int]:
    """Make a change; yield the number of steps after each acknowledged part."""
    parts = change(files)
    if isinstance(parts, Iterator):
        for _ in parts:
            yield len(files.steps)
    yield len(files.steps)


def _looks(start: State, change: Change) -> tuple[list[tuple[int, Look | None]], int]:
    """Return the contents after each durable step of an undisturbed change, and the total number of steps."""
    files = Board.holding(start)
    for _ in _made(files, change):
        pass
    total = len(files.steps)
    states = [(0, start)]
    for number, kind in enumerate(files.steps):
        if kind == "fsync_directory" and number + 1 < total:
            run = Board.holding(start)
            run.cut_before = number + 1
            with contextlib.suppress(PowerCut):
                for _ in _made(run, change):
                    pass
            states.append((number + 1, run.state()))
    looks = []
    for steps, state in [*states, (total, files.state())]:
        with contextlib.suppress(GalleryError):
            looks.append((steps, look(state)))
    return looks, total


def enrol_one(files: Board) -> None:
    """Make the change that follows the first power cut."""
    reopen(files).enrol("once more", np.ones((1, 4), np.float32))


def cut_twice(kind: Kind, tears: int) -> Count:
    """Make a second change with a second power cut, from every state that the first power cut left."""
    first = survey(kind.start(), kind.change, tears=tears, keep=True)
    total = Count()
    for state in first.kept:
        if PATH in state:
            total.add(survey(state, enrol_one, tears=tears))
    return total


def all_of(name: str, tears: int) -> tuple[str, dict[str, dict[str, int]]]:
    """Run the campaign with one power cut and the campaign with two, for one kind of change."""
    kind = KINDS[name]
    once = survey(kind.start(), kind.change, tears=EVERY_BYTE)
    return name, {"torn at every byte": once.figures(), "cut twice": cut_twice(kind, tears).figures()}


def main() -> None:
    """Count states and faults of all kinds of change."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND")
    parser.add_argument("--tears", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    results = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for work in as_completed(pool.submit(all_of, name, options.tears) for name in options.kinds):
            name, counts = work.result()
            results[name] = counts
            print(f"{name}: {counts}", file=sys.stderr, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
