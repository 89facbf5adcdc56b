"""The audit log continues over several files; every file that is cut, swapped, removed or forged is reported."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edge_sdk
from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery import AuditEvent, AuditReport, Decision, Gallery, InMemoryKey
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    AUDIT_POLICY,
    AUDIT_SEGMENTS,
    COMMAND_HISTORY,
    KNOWN_RECORDS,
    SLOT_KEYS,
    AuditHead,
    PolicyRecord,
)
from edge_sdk.gallery.store.audit_events import EVENTS, in_words
from edge_sdk.gallery.store.audit_log import next_line
from edge_sdk.gallery.store.audit_segments import (
    LABEL,
    MAX_CLOSED,
    SEGMENT_BYTES,
    LogSeal,
    closed_path,
    next_path,
    segment_event,
)
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import audit_path
from edge_sdk.gallery.store.sealed_file import OpenSlot, slot_keys_of, write_generation
from tests.simulated_file_system import SimulatedFileSystem

OLD, NEW = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
PATH = Path("g/home.gallery")
LOG = audit_path(PATH)
D = 8
ANN = np.random.default_rng(1).normal(size=D).astype(np.float32)
STRANGER = np.random.default_rng(2).normal(size=D).astype(np.float32)
State = dict[Path, bytes]


def create(files: SimulatedFileSystem) -> Gallery:
    return Gallery.create(PATH, key=OLD, model_id=bytes(32), dimension=D, filesystem=files)


def reopen(files: SimulatedFileSystem, key: InMemoryKey = OLD) -> Gallery:
    return Gallery.open(PATH, key=key, filesystem=files)


def with_small_segments(gallery: Gallery, segment_bytes: int = 1500, max_closed: int = 3) -> None:
    """Use small limits in this object, so that few entries fill the log."""
    session = gallery._session
    session._log = AuditLog(
        session.environment.files,
        audit_path(session.environment.path),
        segment_bytes=segment_bytes,
        max_closed=max_closed,
    )


def fill(gallery: Gallery, entries: int = 12) -> None:
    for _ in range(entries):
        gallery._session.note(AuditEvent("export", detail="subjects=1," + "x" * 100))


def fill_one_segment(gallery: Gallery) -> None:
    """Append entries until the next one begins a new segment."""
    gallery._session.note(*[AuditEvent("export", detail="x" * 200)] * (SEGMENT_BYTES // 280 + 1))


def numbers(report: AuditReport) -> list[int]:
    return [entry.number for entry in report.entries]


def put(files: SimulatedFileSystem, path: Path, data: bytes | None) -> None:
    """Replace or remove a file, as a thief with a card reader can."""
    if data is None:
        files.unlink(path)
        return
    handle = files.create(Path("thief"))
    files.write(handle, data)
    files.rename(Path("thief"), path)


def logs(state: State) -> State:
    return {path: data for path, data in state.items() if path.name.startswith(LOG.name)}


def test_a_full_segment_is_closed_and_the_log_continues_in_a_new_file() -> None:
    files = SimulatedFileSystem()
    gallery = create(files)
    gallery.enrol("ann", ANN)
    fill_one_segment(gallery)
    assert set(logs(files.state())) == {LOG}
    assert gallery.identify(ANN, threshold=0.9).decision is Decision.ACCEPTED
    assert set(logs(files.state())) == {LOG, closed_path(LOG, 1)}
    # Another process finds the end of the log, and a change seals both segments.
    reopen(files).identify(STRANGER, threshold=0.9)
    reopen(files).revoke("ann")
    gallery.audit.report()
    report = gallery.audit.report()
    assert report.problems() == []
    assert numbers(report) == list(range(1, report.sealed + 1))
    assert [e.event.event for e in report.entries][-4:] == ["segment", "accepted", "rejected", "revoke"]
    assert [(part.index, part.state) for part in report.segments] == [(1, "intact"), (2, "intact")]
    assert report.segments[0].last + 1 == report.segments[1].first
    assert report.words() == [f"intact: {report.sealed} sealed entries in 2 files"]
    assert len(gallery._session.content.record(AUDIT_SEGMENTS) or b"") == 48 + 2 * 80


def test_the_log_is_bounded_and_states_what_the_rule_removed() -> None:
    files, clock = SimulatedFileSystem(), [1_750_000_000.0]
    gallery = Gallery.create(
        PATH, key=OLD, model_id=bytes(32), dimension=D, filesystem=files, clock=lambda: clock[0]
    )
    with_small_segments(gallery)
    for number in range(30):
        clock[0] += 60
        fill(gallery, 4)
        if number % 5 == 0:
            gallery.enrol(
                f"subject {number}", np.eye(1, D, number % D, dtype=np.float32), allow_duplicate=True
            )
        # The log is checked by another process, which knows only what was sealed.
        report = reopen(files).audit.report()
        assert report.problems() == []
        assert numbers(report) == list(range(report.removed.entries + 1, report.last + 1))
        kept = logs(files.state())
        assert len(kept) <= 4
        assert sum(map(len, kept.values())) < 4 * 2500
    assert report.segments[0].index > 5
    assert report.removed.entries == report.segments[0].first - 1
    assert 1_750_000_000 < report.removed.at_s <= clock[0]
    assert (
        f"entries 1 to {report.removed.entries} were removed by the limit on the size of the log"
        in "\n".join(report.words())
    )
    assert len(gallery._session.content.record(AUDIT_SEGMENTS) or b"") <= 48 + 4 * 80


def test_the_limits_keep_a_log_of_64_mib_at_most() -> None:
    assert SEGMENT_BYTES * MAX_CLOSED == 64 << 20


def with_four_segments() -> tuple[SimulatedFileSystem, Gallery]:
    """Return a log of four segments: two sealed, two begun since the last change."""
    files = SimulatedFileSystem()
    gallery = create(files)
    with_small_segments(gallery, max_closed=9)
    fill(gallery, 12)
    gallery.enrol("ann", ANN)
    while closed_path(LOG, 3) not in files.state():
        fill(gallery, 1)
    return files, gallery


def spliced(state: State) -> Iterator[State]:
    """Generate logs with files removed, swapped, repeated, and cut."""
    mine = logs(state)
    paths = sorted(mine)
    for path in paths[:-1] if paths[-1] == LOG else paths:
        yield {other: data for other, data in mine.items() if other != path}
    for contents in itertools.permutations(mine.values()):
        yield dict(zip(mine, contents, strict=True))
    for first, second in itertools.permutations(mine, 2):
        yield {**mine, first: mine[second]}
        yield {**mine, first: mine[first] + mine[second]}
    for path in paths:
        lines = mine[path].splitlines(keepends=True)
        for number in range(len(lines)):
            yield {**mine, path: b"".join(lines[:number] + lines[number + 1 :])}
            yield {
                **mine,
                path: b"".join([*lines[:number], lines[number][:-9] + b"00000000\n", *lines[number + 1 :]]),
            }


def test_every_segment_that_is_removed_swapped_or_altered_is_reported() -> None:
    files, _ = with_four_segments()
    state = files.state()
    original, count = logs(state), 0
    whole = {*reopen(files).audit.report().entries}
    last_line = original[LOG].splitlines(keepends=True)[-1]
    # The last entries are not sealed, so they can be cut off (stated in SECURITY.md).
    allowed = {LOG: original[LOG].removesuffix(last_line)}
    for log in spliced(state):
        if log == original or log == {**original, **allowed}:
            continue
        others = {path: data for path, data in state.items() if path not in original}
        report = reopen(SimulatedFileSystem.holding({**others, **log})).audit.report()
        assert report.problems(), log
        assert {*report.entries} <= whole
        count += 1
    assert count > 100


def test_a_lost_or_swapped_segment_does_not_lock_the_door() -> None:
    files, _ = with_four_segments()
    state = files.state()
    others = {path: data for path, data in state.items() if path not in logs(state)}
    for log in spliced(state):
        device = SimulatedFileSystem.holding({**others, **log})
        gallery = reopen(device)
        assert gallery.identify(ANN, threshold=0.9).accepted
        gallery.revoke("ann")
        entries = [entry.event.event for entry in gallery.audit.report().entries]
        assert entries[-1] == "revoke"
        assert "accepted" in entries


class Thief:
    """Someone who opened the gallery before its keys were replaced, and who can write its folder."""

    def __init__(self, files: SimulatedFileSystem) -> None:
        gallery = reopen(files)
        session = gallery._session
        self.seal = LogSeal.of(session.header, session.content)

    def lines(self, head: AuditHead, *events: AuditEvent) -> tuple[bytes, AuditHead]:
        data = b""
        for event in events:
            line, head = next_line(head, event, now_s=1, generation=9, batch=0)
            data += line
        return data, head


def after_rotation() -> tuple[SimulatedFileSystem, Thief]:
    files = SimulatedFileSystem()
    gallery = create(files)
    gallery.enrol("ann", ANN)
    thief = Thief(files)
    gallery.keys.rotate(NEW)
    return files, thief


def test_a_new_key_epoch_begins_a_new_segment_with_a_key_that_no_older_secret_gives() -> None:
    files, thief = after_rotation()
    gallery = reopen(files, NEW)
    gallery.identify(ANN, threshold=0.9)
    assert [e.event.event for e in gallery.audit.report().entries] == [
        "create",
        "enrol",
        "rotate-key",
        "segment",
        "accepted",
    ]
    seal = LogSeal.of(gallery._session.header, gallery._session.content)
    assert seal.last.index == 2
    known = {thief.seal.secret, thief.seal.head.key, *(row.key for row in thief.seal.segments)}
    known |= {thief.seal.key_of(index) for index in range(2, 50)}
    known |= {thief.seal.secret_of(index) for index in range(2, 50)}
    assert not known & {seal.secret, seal.last.key, seal.head.key}


def test_the_holder_of_an_old_key_cannot_extend_the_log() -> None:
    for entries_since in (0, 1):
        files, thief = after_rotation()
        for _ in range(entries_since):
            reopen(files, NEW).identify(ANN, threshold=0.9)
        head = thief.seal.head
        # He knows the entry of the rotation from the file, and the keys of every entry that old keys can give.
        closed = closed_path(LOG, 1) if entries_since else LOG
        rotation = files.state()[closed].splitlines()[2]
        _, head = thief.lines(head, AuditEvent("rotate-key"))
        forged, _ = thief.lines(
            replace(head, chain=bytes.fromhex(rotation.split(b" ")[-1].decode())),
            AuditEvent("accepted", "ab" * 16),
        )
        put(files, closed, files.state()[closed] + forged)
        report = reopen(files, NEW).audit.report()
        assert report.stray_lines == 1
        assert not any(entry.event.subject == "ab" * 16 for entry in report.entries)
        # A door that runs on does not continue the forged entry either.
        reopen(files, NEW).revoke("ann")
        report = reopen(files, NEW).audit.report()
        assert (report.intact, report.stray_lines) == (True, 1)
        assert [e.event.event for e in report.entries][-1] == "revoke"


def test_the_holder_of_an_old_key_cannot_begin_a_segment() -> None:
    files, thief = after_rotation()
    own = thief.seal.renewed(os.urandom)
    for segment in (replace(own.last, key=thief.seal.key_of(2)), own.last):
        start = segment_event(replace_start(segment))
        forged, _ = thief.lines(segment.head, start, AuditEvent("accepted", "ab" * 16))
        device = SimulatedFileSystem.holding(files.state())
        device.rename(LOG, closed_path(LOG, 1))
        put(device, LOG, forged)
        report = reopen(device, NEW).audit.report()
        assert report.problems()
        assert not any(entry.event.subject for entry in report.entries if entry.event.event == "accepted")
        reopen(device, NEW).identify(ANN, threshold=0.9)
        assert reopen(device, NEW).audit.report().problems()


def replace_start(segment: object) -> object:
    from edge_sdk.gallery.store.audit_segments import Removed, SegmentStart

    return SegmentStart(segment, 1, Removed())  # type: ignore[arg-type]


def test_the_holder_of_an_old_key_cannot_rewrite_entries_before_the_rotation() -> None:
    files, thief = after_rotation()
    reopen(files, NEW).identify(ANN, threshold=0.9)
    lines, _ = thief.lines(
        thief.seal.segments[0].head,
        AuditEvent("create", detail="gallery=" + "0" * 32),
        AuditEvent("commit"),
        AuditEvent("rotate-key", detail="keys=1"),
    )
    put(files, closed_path(LOG, 1), lines)
    assert reopen(files, NEW).audit.report().broken_at == 3


def test_a_process_that_opened_the_gallery_before_a_rotation_uses_the_new_keys() -> None:
    files = SimulatedFileSystem()
    keys = [OLD, NEW]
    gallery = create(files)
    gallery.enrol("ann", ANN)
    gallery.keys.add(NEW)
    daemon = reopen(files, NEW)
    daemon.identify(STRANGER, threshold=0.9)
    other = InMemoryKey(bytes(range(2, 34)))
    reopen(files, keys[0]).keys.rotate(other)
    with pytest.raises(GalleryError, match="this key no longer opens it"):
        daemon._session.note(AuditEvent("export"))
    report = reopen(files, other).audit.report()
    assert report.words() == ["intact: 5 sealed entries"]


def version_1(state: State) -> State:
    """Return a gallery's files as format version 1 had them: the log's first key comes from the root secret."""
    gallery = reopen(SimulatedFileSystem.holding(state))
    session = gallery._session
    header, content = session.header, session.content
    head = AuditHead(key=sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL))
    data = b""
    for entry in gallery.audit.report().entries:
        line, head = next_line(
            head, entry.event, now_s=entry.at_s, generation=entry.generation, batch=entry.batch
        )
        data += line
    policy = tuple(record for record in content.policy if record.kind != AUDIT_SEGMENTS)
    files = SimulatedFileSystem()
    environment = replace(session.environment, files=files)
    write_generation(
        environment,
        header,
        replace(content, policy=policy, audit=head),
        OpenSlot(0, slot_keys_of(content)[0]),
    )
    return {PATH: files.state()[PATH], LOG: data}


def test_a_log_of_version_1_is_continued_and_verifies_across_the_migration() -> None:
    files = SimulatedFileSystem()
    create(files).enrol("ann", ANN)
    files = SimulatedFileSystem.holding(version_1(files.state()))
    old = files.state()[LOG]
    gallery = reopen(files)
    assert gallery.audit.report().words() == ["intact: 2 sealed entries"]
    gallery.identify(ANN, threshold=0.9)
    assert reopen(files).audit.report().words() == ["intact: 2 sealed entries, 1 not sealed yet"]
    reopen(files).revoke("ann")
    assert reopen(files).audit.report().words() == ["intact: 4 sealed entries"]
    reopen(files).reinstate("ann")
    report = reopen(files).audit.report()
    assert report.words() == ["intact: 6 sealed entries in 2 files"]
    assert files.state()[closed_path(LOG, 1)].startswith(old)
    # The first change gave the log a random secret, which the root secret does not give.
    seal = LogSeal.of(reopen(files)._session.header, reopen(files)._session.content)
    assert seal.last.index == 2
    put(files, closed_path(LOG, 1), old)
    assert reopen(files).audit.report().broken_at == 3


class CountingReads(SimulatedFileSystem):
    """Counts the bytes that are read from the log."""

    log_bytes: int = 0

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        data = super().read(path, max_bytes, offset)
        self.log_bytes += len(data) if path.name.startswith(LOG.name) else 0
        return data


def test_a_long_log_of_version_1_is_closed_at_the_first_answer_without_reading_it() -> None:
    files = SimulatedFileSystem()
    create(files).enrol("ann", ANN)
    state = version_1(files.state())
    head = reopen(SimulatedFileSystem.holding(state))._session.content.audit
    sealed, lines = head.entries, []
    while sum(map(len, lines[:1])) * len(lines) < 6 * SEGMENT_BYTES:
        line, head = next_line(head, AuditEvent("rejected"), now_s=1_790_000_000, generation=2, batch=0)
        lines.append(line)
    files = CountingReads.holding({**state, LOG: state[LOG] + b"".join(lines)})
    assert isinstance(files, CountingReads)
    gallery = reopen(files)
    assert gallery.identify(ANN, threshold=0.9).accepted
    assert files.log_bytes < 3 * SEGMENT_BYTES
    gallery.revoke("ann")
    assert files.log_bytes < 3 * SEGMENT_BYTES
    report = reopen(files).audit.report()
    assert report.problems() == []
    assert report.last == sealed + len(lines) + 3
    assert [part.index for part in report.segments] == [1, 2]


def test_a_claimed_number_that_the_file_cannot_have_is_not_taken_over() -> None:
    """Otherwise one line written by a thief would use up all numbers and shut the door."""
    files = SimulatedFileSystem()
    create(files).enrol("ann", ANN)
    last = f"{(1 << 63) - 3} 1 2 0 rejected - - {'ab' * 32}\n".encode()
    put(files, LOG, b"x" * (3 * SEGMENT_BYTES) + b"\n" + last)
    gallery = reopen(files)
    assert gallery.identify(ANN, threshold=0.9).accepted
    gallery.revoke("ann")
    report = gallery.audit.report()
    assert report.broken_at == 1
    assert report.last == 6


def test_opening_a_full_log_reads_at_most_the_current_segment() -> None:
    files, gallery = with_four_segments()
    fill(gallery, 9)
    counting = CountingReads.holding(files.state())
    assert isinstance(counting, CountingReads)
    reopen(counting).identify(ANN, threshold=0.9)
    assert counting.log_bytes < len(files.state()[LOG]) + 2048


def test_a_report_is_right_while_another_process_begins_segments() -> None:
    """The files are renamed and removed between the snapshot and the check."""
    files = SimulatedFileSystem()
    gallery = create(files)
    with_small_segments(gallery)

    class Busy(SimulatedFileSystem):
        reads = 0

        def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
            data = super().read(path, max_bytes, offset)
            self.reads += 1
            if self.reads in (40, 41, 60):
                fill(gallery, 12)
            return data

    fill(gallery, 40)
    busy = Busy()
    busy.__dict__.update(files.__dict__)
    gallery._session.environment = replace(gallery._session.environment, files=busy)
    gallery._session._log._files = busy
    reader = Gallery.open(PATH, key=OLD, filesystem=busy)
    report = reader.audit.report()
    assert report.problems() == []


def test_an_interrupted_change_of_segments_is_finished() -> None:
    files, _ = with_four_segments()
    state = files.state()
    cut = {**state, next_path(LOG): state[LOG]}
    del cut[LOG]
    device = SimulatedFileSystem.holding(cut)
    report = reopen(device).audit.report()
    assert report.problems() == []
    assert next_path(LOG) in device.state(), "a check writes nothing"
    reopen(device).identify(ANN, threshold=0.9)
    assert next_path(LOG) not in device.state()
    assert reopen(device).audit.report().last == report.last + 1


def test_a_file_in_the_way_of_a_closed_segment_is_kept() -> None:
    files = SimulatedFileSystem()
    gallery = create(files)
    put(files, closed_path(LOG, 1), b"of an earlier gallery\n")
    fill_one_segment(gallery)
    fill(gallery, 1)
    assert (
        files.state()[closed_path(LOG, 1).with_name(LOG.name + ".000001.old")] == b"of an earlier gallery\n"
    )
    assert gallery.audit.report().problems() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 1)], "ascending order"),
        ([(1, 0)], "ascending order"),
        ([(2, 1), (1, 9)], "ascending order"),
        ([(1, 1), (2, 99)], "begins after its last sealed entry"),
    ],
)
def test_a_malformed_record_is_refused(rows: Sequence[tuple[int, int]], message: str) -> None:
    gallery = create(SimulatedFileSystem())
    value = bytes(48) + b"".join(struct.pack("<QQ32s32s", *row, bytes(32), bytes(32)) for row in rows)
    content = replace(
        gallery._session.content,
        policy=(PolicyRecord(AUDIT_SEGMENTS, critical=False, value=value),),
        audit=AuditHead(20, 1, hashlib.sha256(b"x").digest(), bytes(32)),
    )
    with pytest.raises(GalleryFormatError, match=message):
        LogSeal.of(gallery._session.header, content)


def test_answers_can_be_turned_off_and_on_again() -> None:
    files = SimulatedFileSystem()
    gallery = create(files)
    gallery.enrol("ann", ANN)
    assert gallery.status().audit.startswith("changes and answers")
    gallery.audit.log_answers(False)
    gallery.identify(ANN, threshold=0.9)
    assert gallery._session.content.record(AUDIT_POLICY) is None
    reopen(files).audit.log_answers(True)
    gallery.identify(ANN, threshold=0.9)
    assert [e.event.event for e in gallery.audit.report().entries][2:] == ["policy", "policy", "accepted"]
    generation = gallery.status().generation
    gallery.audit.log_answers(True)
    assert gallery.status().generation == generation
    none = Gallery.create(
        Path("g/none"), key=OLD, model_id=bytes(32), dimension=D, filesystem=files, audit="off"
    )
    with pytest.raises(GalleryError, match="keeps no audit log"):
        none.audit.log_answers(True)


def test_every_event_of_the_sources_has_words() -> None:
    sources = "".join(path.read_text() for path in Path(edge_sdk.__file__).parent.rglob("*.py"))
    names = {
        *re.findall(r'AuditEvent\(\s*"([a-z-]+)"', sources),
        *(d.value.replace("_", "-") for d in Decision),
    }
    assert len(names) > 20
    assert names <= EVENTS.keys()
    assert in_words(AuditEvent("policy", detail="kind=3")) == "setting changed: decision policy"
    assert in_words(AuditEvent("policy", detail="kind=99")) == "setting changed: kind=99"


@pytest.mark.parametrize(
    ("event", "detail", "words"),
    [
        ("add-key", "type=3", "key added: passphrase"),
        ("add-key", "type=40000", "key added: unknown kind 40000"),
        ("remove-key", "slot=0,type=1", "key removed: slot 0, key file"),
        ("rotate-key", "keys=2", "keys replaced: number of new keys 2"),
        ("re-anchor", "from=4,anchor=0", "from generation 4, the anchor had no generation yet"),
        ("re-anchor", "from=4,anchor=7", "from generation 4, newest generation of the anchor 7"),
        ("rejected", "n=37,since=1750000000", "number of answers 37, since 2025-06-15T15:06:40Z"),
        ("change", "valid-from=0,valid-until=1750000000", "valid from no limit, valid until 2025-06-15"),
        ("change", "name-or-label", "subject changed: name or label"),
        (
            "clock-reset",
            "from=1750000000,to=1750000001",
            "from 2025-06-15T15:06:40Z, to 2025-06-15T15:06:41Z",
        ),
        ("clock-behind", "seconds=90", "by 90 s"),
        ("migrate", "from=1,to=2", "from version 1, to version 2"),
        ("threshold-override", "policy=0.6200,given=-0.5000", "policy 0.6200, given -0.5000"),
        ("enrol", "templates=2,by=" + "ab" * 16, "number of templates 2, sent by " + "ab" * 16),
        ("command", "source=" + "1" * 64 + ",sequence=9", "source " + "1" * 64 + ", sequence number 9"),
        ("segment", "index=2,oldest=1,removed=0", "new file of the log begun: file 2"),
        ("later-event", "unknown=1,type=x", "later-event: unknown=1, type=x"),
    ],
)
def test_details_are_printed_in_words(event: str, detail: str, words: str) -> None:
    assert words in in_words(AuditEvent(event, detail=detail))


def test_every_part_of_the_details_of_the_sources_has_words() -> None:
    sources = "".join(path.read_text() for path in Path(edge_sdk.__file__).parent.rglob("*.py"))
    details = [
        (event, detail)
        for event, detail in re.findall(r'AuditEvent\(\s*"([a-z-]+)",[^)]*?f"([a-z-]+=[^"]*)"', sources)
        if event not in ("segment", "policy")
    ]
    assert len(details) > 10
    for event, detail in details:
        for name in re.findall(r"([a-z-]+)=", detail):
            assert f"{name}=" not in in_words(AuditEvent(event, detail=f"{name}=1"))


@pytest.mark.parametrize("kind", sorted(KNOWN_RECORDS - {SLOT_KEYS, AUDIT_SEGMENTS, COMMAND_HISTORY}))
def test_every_setting_that_the_log_records_has_words(kind: int) -> None:
    words = in_words(AuditEvent("policy", detail=f"kind={kind}"))
    assert words.startswith("setting changed: ")
    assert "kind=" not in words
