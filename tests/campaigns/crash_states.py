"""Every state that a power cut may leave during a change of a gallery, and what is found there.

    python tests/campaigns/crash_states.py [--tears 3] [--processes 2] [KIND ...]

runs all of it, or some kinds of change: torn at every byte, and cut twice, torn at so many places. A line for each
kind goes to stderr, all counts as JSON to stdout.

A kind of change is a start, a function that makes the change, and nothing more: what was before and what is after
is found by opening. A state is lost where it says neither, refused where it does not open, rolled back where the
anchor refuses it, locked out where the count of tries is gone; none of that may be. Where it opens it is changed once more, since a gallery that cannot be
changed any more is lost too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from edge_sdk.errors import GalleryError, RollbackError, SealError
from edge_sdk.gallery import AttemptPolicy, FileAnchor, Gallery, InMemoryKey, Reason
from edge_sdk.gallery.attempts import Moment
from edge_sdk.gallery.exchange.commands import Command, sign, source_of
from edge_sdk.gallery.format.content import ATTEMPT_POLICY, SLOT_KEYS, TRANSFORM_KEY
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.files import audit_path, tmp_path
from tests.simulated_file_system import PowerCut, SimulatedFileSystem, _File

PATH = Path("gallery/home.gallery")
ANCHOR = Path("anchor/home.anchor")
PACKAGE = Path("post/export")
COMMAND = Path("post/command")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
SOURCE = b"s" * 32
LIMIT = AttemptPolicy(free=3, most=8, wait_s=0)
EVERY_BYTE = 1 << 30
State = dict[Path, bytes]


class Board(SimulatedFileSystem):
    """A medium, and a chip that keeps what it is given at once."""

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
    """A key whose slots have secrets of their own in a chip beside the files, put there and destroyed at once."""

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
        except FileNotFoundError as error:
            raise GalleryError("the chip has no such secret") from error

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
    """Open with whichever of the keys does."""
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
    command = Command(source_of(SOURCE), bytes.fromhex(status.gallery_id), 1, "erase", "ann")
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
    return {**state, audit_path(PATH): state[audit_path(PATH)] + b"5 17 2 5 enr"}


def with_two_keys() -> State:
    files = Board.holding(with_two_subjects())
    reopen(files).keys.add(OTHER)
    return files.state()


def with_a_chip() -> State:
    files = Board.holding(with_two_subjects())
    reopen(files).keys.rotate(ChipKey(files))
    return files.state()


def counting_tries() -> State:
    files = Board.holding(with_two_subjects())
    gallery = reopen(files)
    with gallery.transaction() as t:
        t.limit_attempts(LIMIT)
    gallery.reject()
    return files.state()


def _policy(files: Board) -> None:
    with reopen(files).transaction() as t:
        t.set_threshold("ann", 0.7)
        t.set_threshold("bob", 0.8)


def _limit(files: Board) -> None:
    with reopen(files).transaction() as t:
        t.limit_attempts(LIMIT)


def _limit_no_more(files: Board) -> None:
    with reopen(files).transaction() as t:
        t.limit_attempts(None)


def _note(files: Board) -> None:
    reopen(files)._session.note(AuditEvent("export", detail="subjects=2"))


@dataclass(frozen=True)
class Kind:
    """One kind of change: from where, and how."""

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
    "remove": Kind(with_two_subjects, lambda f: reopen(f).remove("ann")),
    "revoke": Kind(with_two_subjects, lambda f: reopen(f).revoke("ann")),
    "erase": Kind(with_two_subjects, lambda f: reopen(f).erase("ann")),
    "erase, key in a chip": Kind(with_a_chip, lambda f: reopen(f).erase("ann")),
    "rotate-key": Kind(with_two_subjects, lambda f: reopen(f).keys.rotate(OTHER)),
    "rotate-key into a chip": Kind(with_two_subjects, lambda f: reopen(f).keys.rotate(ChipKey(f))),
    "rotate-key within a chip": Kind(with_a_chip, lambda f: reopen(f).keys.rotate(ChipKey(f))),
    "add-key": Kind(with_two_subjects, lambda f: reopen(f).keys.add(OTHER)),
    "remove-key": Kind(with_two_keys, lambda f: reopen(f).keys.remove(1)),
    "re-anchor": Kind(with_two_subjects, lambda f: reopen(f).keys.reanchor()),
    "renew-transform": Kind(with_two_subjects, lambda f: reopen(f).keys.renew_transform()),
    "policy": Kind(with_two_subjects, _policy),
    "limit tries": Kind(with_two_subjects, _limit),
    "limit tries otherwise": Kind(counting_tries, _limit),
    "limit tries no more": Kind(counting_tries, _limit_no_more),
    "reset tries": Kind(counting_tries, lambda f: reopen(f).attempts.reset()),
    "import": Kind(with_two_subjects, lambda f: reopen(f).exchange.import_package(f.state()[PACKAGE])),
    "signed command": Kind(with_two_subjects, lambda f: reopen(f).exchange.execute(f.state()[COMMAND])),
    "audit entry": Kind(with_two_subjects, _note),
    "failed try": Kind(counting_tries, lambda f: reopen(f).reject()),
    "accepted try": Kind(counting_tries, lambda f: reopen(f).identify(embedding(1)[0], threshold=0.9)),
}


def without_log(state: State) -> State:
    """A state but for the audit log, which says what is about to be done before it is."""
    return {path: data for path, data in state.items() if path != audit_path(PATH)}


Look = tuple[object, ...]
TRIES = 8  # place of failures in a look


def look(state: State, *, change_again: bool = True) -> Look | None:
    """What the gallery in a state says when it is opened; None where there is none."""
    files = Board.holding(state)
    if PATH not in state:
        if change_again:
            create(files)
            assert reopen(files).audit.report().intact
        return None
    gallery = reopen(files)
    found = _said(gallery)
    if not change_again:
        return found
    gallery.enrol("after the cut", embedding(9))
    again = reopen(files)
    assert len(again.subjects()) == len(gallery.subjects()) == len(found[0]) + 1  # type: ignore[arg-type]
    assert again.audit.report().intact
    return found


def _said(gallery: Gallery) -> Look:
    content, header = gallery._session.content, gallery._session.header
    tries = gallery.attempts.status()
    # Random in every run: the keys, and the id of a count.
    kinds = {
        r.kind: None if r.kind in (SLOT_KEYS, TRANSFORM_KEY, ATTEMPT_POLICY) else r.value
        for r in content.policy
    }
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
        None if tries is None else (tries.failures, tries.refusal),
        _recognized(gallery),
    )


def _recognized(gallery: Gallery) -> tuple[str | None, ...]:
    """Who is recognized, past the count of tries: a survey is no try."""
    matcher = gallery._session.matcher
    return tuple(
        matcher.identify(matcher.probe(embedding(seed)[0]), limit=0.9, now_s=2e9).subject for seed in (1, 2)
    )


@dataclass
class Count:
    """States, and those among them where something went wrong.

    Attributes:
        states: Different states.
        lost: They say neither what was before nor what is after, or not what was acknowledged.
        refused: They do not open, or cannot be changed any more.
        rolled_back: The anchor refuses them.
        locked_out: Tries are counted, and the counter is not there to count them.
    """

    states: int = 0
    lost: int = 0
    refused: int = 0
    rolled_back: int = 0
    locked_out: int = 0
    kept: list[State] = field(default_factory=list, repr=False)

    @property
    def faults(self) -> int:
        """All that must not be."""
        return self.lost + self.refused + self.rolled_back + self.locked_out

    def add(self, other: Count) -> None:
        """Count another survey's states as well."""
        for name, number in other.figures().items():
            setattr(self, name, getattr(self, name) + number)

    def figures(self) -> dict[str, int]:
        """All numbers by name."""
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
    """Cut the power before every step of a change and after the last, and open every state that may be left.

    Args:
        start: What lies on the medium.
        change: What is done; where it is a generator, it yields after each part that is acknowledged.
        ignored: Steps that do nothing, for negative controls.
        tears: As `SimulatedFileSystem`.
        first_fault: Stop at the first.
        keep: Keep the states that opened.
    """
    count = Count()
    looks, total = _looks(start, change)
    seen = set()
    for cut in range(total + 1):
        files = Board.holding(start)
        files.cut_before, files.ignored, files.tears = (cut if cut < total else None), ignored, tears
        acknowledged = 0
        try:
            for steps in _made(files, change):
                acknowledged = steps
        except PowerCut:
            pass
        # What was there when the last acknowledged change had been made, and all that came after.
        least = max(steps for steps, _ in looks if steps <= acknowledged)
        allowed = [said for steps, said in looks if steps >= least]
        for state in files.states_after_cut():
            key = (frozenset(state.items()), least)
            if key in seen:
                continue
            seen.add(key)
            count.states += 1
            try:
                found = look(state)
            except RollbackError:
                count.rolled_back += 1
            except (GalleryError, AssertionError):
                count.refused += 1
            else:
                count.locked_out += found is not None and found[TRIES] == (None, Reason.COUNTER)
                count.lost += found not in allowed
                if keep:
                    count.kept.append(state)
            if first_fault and count.faults:
                return count
    return count


def _made(files: Board, change: Change) -> Iterator[int]:
    """Make a change; after each part of it that was acknowledged, how many steps were taken."""
    parts = change(files)
    if isinstance(parts, Iterator):
        for _ in parts:
            yield len(files.steps)
    yield len(files.steps)


def _looks(start: State, change: Change) -> tuple[list[tuple[int, Look | None]], int]:
    """What an undisturbed change leaves to be said after so many steps, where it opens; and the steps in all."""
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
    """What is done after the first cut."""
    reopen(files).enrol("once more", np.ones((1, 4), np.float32))


def cut_twice(kind: Kind, tears: int) -> Count:
    """From every state that the first cut left, change again and cut again."""
    first = survey(kind.start(), kind.change, tears=tears, keep=True)
    total = Count()
    for state in first.kept:
        if PATH in state:
            total.add(survey(state, enrol_one, tears=tears))
    return total


def all_of(name: str, tears: int) -> tuple[str, dict[str, dict[str, int]]]:
    """Both campaigns of a kind of change."""
    kind = KINDS[name]
    once = survey(kind.start(), kind.change, tears=EVERY_BYTE)
    return name, {"torn at every byte": once.figures(), "cut twice": cut_twice(kind, tears).figures()}


def main() -> None:
    """Count the states of all kinds of change and what is wrong with them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND")
    parser.add_argument("--tears", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    found = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for work in as_completed(pool.submit(all_of, name, options.tears) for name in options.kinds):
            name, counts = work.result()
            found[name] = counts
            print(f"{name}: {counts}", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
