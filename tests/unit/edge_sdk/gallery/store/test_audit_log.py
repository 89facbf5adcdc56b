"""The audit log records changes and answers, and altered, missing, truncated and added entries are detected."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import AuditEvent, Decision, Gallery, InMemoryKey
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import AUDIT_SEGMENTS, AuditHead
from edge_sdk.gallery.store.audit_log import MAX_ENTRIES
from edge_sdk.gallery.store.audit_report import AuditReport, check_log, take_snapshot
from edge_sdk.gallery.store.audit_segments import LABEL, LogSeal
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import audit_path
from tests.simulated_file_system import SimulatedFileSystem

KEY = InMemoryKey(bytes(range(32)))
MODEL = hashlib.sha256(b"model").digest()
D = 8


def embedding(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, D)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.gallery"


@pytest.fixture
def gallery(path: Path) -> Gallery:
    made = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="changes")
    made.enrol("ann", embedding(1), label="Ann of the second floor")
    made.enrol("bob", embedding(2))
    made.revoke("ann")
    return made


def strays(report: AuditReport) -> tuple[int, ...]:
    """Return the numbers of the lines that are no entries; all lines are in one file."""
    return tuple(stray.line for stray in report.strays)


def events(gallery: Gallery) -> list[str]:
    return [entry.event.event for entry in gallery.audit.report().entries]


def test_every_change_is_an_entry_with_its_subjects_id_and_no_name(gallery: Gallery, path: Path) -> None:
    ids = {s.name: s.id for s in gallery.subjects()}
    gallery.reinstate("ann")
    gallery.remove("bob")
    report = gallery.audit.report()
    assert report.intact
    assert [(e.number, e.generation, e.event.event, e.event.subject) for e in report.entries] == [
        (1, 1, "create", ""),
        (2, 2, "enrol", ids["ann"]),
        (3, 3, "enrol", ids["bob"]),
        (4, 4, "revoke", ids["ann"]),
        (5, 5, "reinstate", ids["ann"]),
        (6, 6, "remove", ids["bob"]),
    ]
    assert report.entries[0].event.detail == f"gallery={gallery.status().gallery_id}"
    log = audit_path(path).read_text()
    assert not any(word in log for word in ("ann", "bob", "Ann", "floor"))
    assert audit_path(path).stat().st_mode & 0o777 == 0o600
    assert report.words() == ["intact: 6 sealed entries"]


def test_a_commit_of_many_is_counted_not_listed(gallery: Gallery) -> None:
    with gallery.transaction() as t:
        for seed in range(100):
            t.enrol(f"subject {seed}", embedding(seed))
        t.remove("bob")
    assert [(e.event.event, e.event.detail) for e in gallery.audit.report().entries[-2:]] == [
        ("enrol", "subjects=100"),
        ("remove", ""),
    ]


def test_answers_are_entries_if_the_gallery_audits_all(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="all")
    gallery.enrol("ann", embedding(1))
    other = Gallery.open(path, key=KEY)
    assert gallery.identify(embedding(1)[0], threshold=0.9).decision is Decision.ACCEPTED
    assert other.identify(embedding(2)[0], threshold=0.9).decision is Decision.REJECTED
    assert gallery.verify(embedding(2)[0], "ann", threshold=0.9).decision is Decision.REJECTED
    assert events(gallery) == ["create", "enrol", "accepted", "rejected", "rejected"]
    entries = other.audit.report().entries
    ann = gallery.subjects()[0].id
    assert [entry.event.subject for entry in entries[2:]] == [ann, "", ann]
    assert gallery.audit.report().words() == ["intact: 2 sealed entries, 3 not sealed yet"]
    other.revoke("ann")
    assert gallery.audit.report().words() == ["intact: 6 sealed entries"]


def test_an_answer_that_cannot_be_written_down_is_not_given(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="all")
    gallery.enrol("ann", embedding(1))
    audit_path(path).unlink()
    audit_path(path).mkdir()
    with pytest.raises(
        GalleryError, match=rf"^cannot read the audit log {audit_path(path)}: not a regular file$"
    ):
        gallery.identify(embedding(1)[0], threshold=0.9)
    for use in (lambda: gallery.revoke("ann"), gallery.audit.report):
        with pytest.raises(GalleryError, match=r"^cannot read the audit log .*: not a regular file$"):
            use()


def test_an_entry_says_when(path: Path) -> None:
    clock = [1_750_000_000.9]
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, clock=lambda: clock[0])
    clock[0] += 61
    gallery.enrol("ann", embedding(1))
    assert [entry.at_s for entry in gallery.audit.report().entries] == [1_750_000_000, 1_750_000_061]


def test_without_a_log_there_is_none_to_read(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="off")
    gallery.enrol("ann", embedding(1))
    assert not audit_path(path).exists()
    with pytest.raises(GalleryError, match="keeps no audit log"):
        gallery.audit.report()
    with pytest.raises(InputError, match="all, changes, off"):
        Gallery.create(path.with_name("b"), key=KEY, model_id=MODEL, dimension=D, audit="some")


def test_every_bit_of_the_sealed_part_counts(gallery: Gallery, path: Path) -> None:
    log = audit_path(path)
    whole = log.read_bytes()
    ends = np.cumsum([len(line) + 1 for line in whole.splitlines()])
    for at in range(len(whole)):
        for bit in (at % 8,):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            log.write_bytes(flipped)
            report = gallery.audit.report()
            if flipped[at] == ord("\n") or whole[at] == ord("\n"):
                continue  # line feeds carry no data; lines that they split or join are tested below
            assert report.broken_at == int(np.searchsorted(ends, at, side="right")) + 1, (at, bit)


def test_every_cut_of_the_sealed_part_is_noticed(gallery: Gallery, path: Path) -> None:
    log = audit_path(path)
    whole = log.read_bytes()
    for size in range(len(whole) - 1):
        log.write_bytes(whole[:size])
        report = gallery.audit.report()
        assert not report.intact
        assert report.broken_at == whole[:size].count(b"\n") + (whole[size : size + 1] == b"\n") + 1
    log.write_bytes(whole[:-1])
    assert gallery.audit.report().intact, "only the last line feed is missing"
    gallery.reinstate("ann")
    assert gallery.audit.report().intact
    assert len(gallery.audit.report().entries) == 5


@pytest.mark.parametrize("line", range(4))
def test_a_line_that_is_taken_out_doubled_or_moved_shows(gallery: Gallery, path: Path, line: int) -> None:
    log = audit_path(path)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    assert gallery.audit.report().broken_at == line + 1
    log.write_bytes(b"".join([*lines[: line + 1], *lines[line:]]))
    assert gallery.audit.report().intact
    assert strays(gallery.audit.report()) == (line + 2,)
    if line:
        swapped = [*lines[: line - 1], lines[line], lines[line - 1], *lines[line + 1 :]]
        log.write_bytes(b"".join(swapped))
        assert gallery.audit.report().broken_at == line + 1


def test_the_log_of_another_gallery_is_no_log_of_this_one(
    gallery: Gallery, path: Path, tmp_path: Path
) -> None:
    other = Gallery.create(tmp_path / "other", key=KEY, model_id=MODEL, dimension=D)
    other.enrol("ann", embedding(1))
    audit_path(path).write_bytes(audit_path(tmp_path / "other").read_bytes())
    assert gallery.audit.report().broken_at == 1


def test_without_its_log_a_gallery_still_commits_and_reports_the_loss(gallery: Gallery, path: Path) -> None:
    kept = audit_path(path).read_bytes()
    audit_path(path).unlink()
    gallery.revoke("bob")
    assert [s.revoked for s in Gallery.open(path, key=KEY).subjects()] == [True, True]
    Gallery.open(path, key=KEY).reinstate("bob")
    report = gallery.audit.report()
    assert report.broken_at == 1
    assert any("broken at entry 1 of 8" in line for line in report.words())
    text = audit_path(path).read_text()
    assert " log-lost - after=4 " in text
    # `segment` and `log-lost` are outside the batch of the commit: they are carried out even if the commit is not.
    assert [
        (number, batch, event) for number, _, _, batch, event, *_ in map(str.split, text.splitlines())
    ] == [
        ("5", "0", "segment"),
        ("6", "0", "log-lost"),
        ("7", "7", "revoke"),
        ("8", "8", "reinstate"),
    ]
    # The lost part is the first segment; put back in its place, the log is complete.
    path.with_name(path.name + ".audit.000001").write_bytes(kept)
    assert gallery.audit.report().words() == ["intact: 8 sealed entries in 2 files"]


def test_a_torn_line_is_skipped_and_reported(gallery: Gallery, path: Path) -> None:
    log = audit_path(path)
    with log.open("ab") as file:
        file.write(b"5 1750000000 5 5 enr")
    report = gallery.audit.report()
    assert report.intact
    assert strays(report) == (5,)
    assert "line 5" in report.words()[0]
    Gallery.open(path, key=KEY).reinstate("ann")
    report = gallery.audit.report()
    assert report.intact
    assert (strays(report), len(report.entries)) == ((5,), 5)


def test_zeros_left_by_a_power_cut_hide_no_entry(gallery: Gallery, path: Path) -> None:
    """An entry has lost its line feed, and only the length of a later append reached the medium."""
    log = audit_path(path)
    whole = log.read_bytes()
    entries = len(gallery.audit.report().entries)
    log.write_bytes(whole[:-1] + bytes(100))
    report = gallery.audit.report()
    assert (report.intact, strays(report), len(report.entries)) == (True, (), entries)
    Gallery.open(path, key=KEY).reinstate("ann")
    report = gallery.audit.report()
    assert (report.intact, strays(report), len(report.entries)) == (True, (), entries + 1)


def test_a_commit_that_never_came_is_marked(path: Path) -> None:
    place = Path("g/home.gallery")
    files = SimulatedFileSystem()
    gallery = Gallery.create(place, key=KEY, model_id=MODEL, dimension=D, filesystem=files)
    steps = len(files.steps)
    files.fail = {steps + 4: OSError(28, os.strerror(28))}
    with pytest.raises(GalleryError):
        gallery.enrol("ann", embedding(1))
    assert [(e.event.event, e.carried_out) for e in gallery.audit.report().entries] == [
        ("create", True),
        ("enrol", False),
    ]
    gallery.enrol("ann", embedding(1))
    assert [(e.event.event, e.carried_out) for e in gallery.audit.report().entries] == [
        ("create", True),
        ("enrol", False),
        ("enrol", True),
    ]


def test_lines_that_were_in_the_log_before_are_kept_and_skipped(path: Path) -> None:
    audit_path(path).write_bytes(b"a line of another gallery\n")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embedding(1))
    report = gallery.audit.report()
    assert report.intact
    assert strays(report) == (1,)
    assert audit_path(path).read_bytes().startswith(b"a line of another gallery\n1 ")


def test_a_new_gallery_does_not_continue_the_log_of_a_removed_one(gallery: Gallery, path: Path) -> None:
    """The log is evidence: a removed gallery must not be replaced without notice."""
    old = audit_path(path).read_bytes()
    path.unlink()
    before = sorted(path.parent.iterdir())
    with pytest.raises(GalleryError, match="of a gallery that no longer exists") as caught:
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    assert (
        caught.value.hint
        == "move the log away and keep it, or put its gallery back; a new gallery starts its own log"
    )
    assert audit_path(path).read_bytes() == old
    assert sorted(path.parent.iterdir()) == before
    # A gallery without a log leaves the file alone; a gallery with one starts its own after the old file was moved.
    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="off").enrol("ann", embedding(1))
    assert audit_path(path).read_bytes() == old
    path.unlink()
    audit_path(path).rename(path.with_name("old.audit"))
    made = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    made.enrol("ann", embedding(1))
    assert made.problems() == ()


def test_the_log_of_an_interrupted_creation_does_not_prevent_a_new_gallery(path: Path) -> None:
    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    line = audit_path(path).read_bytes()
    for left in (line, line[:-1], line[:40], line + line[:9], line * 2, bytes(80)):
        path.unlink()
        audit_path(path).write_bytes(left)
        made = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
        made.enrol("ann", embedding(1))
        assert made.audit.report().intact


def test_a_link_in_place_of_the_log_is_not_followed(gallery: Gallery, path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    audit_path(path).unlink()
    audit_path(path).symlink_to(victim)
    with pytest.raises(GalleryError, match="audit log"):
        gallery.reinstate("ann")
    assert victim.read_text() == "precious"


def test_details_with_other_characters_are_refused() -> None:
    log = AuditLog(SimulatedFileSystem(), Path("g/log"))
    start = LogSeal.first(bytes)
    for detail in ("a b", "a\nb", "é", "x" * 257):
        with pytest.raises(InputError, match="is not a valid detail for the audit log"):
            log.append([AuditEvent("note", detail=detail)], start, now_s=1, generation=1, commit=False)


def test_a_long_log_is_continued_from_its_end(gallery: Gallery, path: Path) -> None:
    log = audit_path(path)
    head = gallery._session.content.audit
    with log.open("ab") as file:
        file.write(b"x" * 80 + b"\n")
        file.write((b"y" * 99 + b"\n") * 5_000)
    Gallery.open(path, key=KEY).reinstate("ann")
    report = gallery.audit.report()
    assert report.intact
    assert report.entries[-1].number == head.entries + 1
    assert (report.stray_lines, len(report.strays)) == (5_001, 1000)


def checked(data: bytes, seal: LogSeal) -> AuditReport:
    files = SimulatedFileSystem.holding({Path("log"): data})
    return check_log(files, take_snapshot(files, Path("log"), seal), generation=1)


def seal_of(head: AuditHead) -> LogSeal:
    return replace(LogSeal.first(bytes), head=head)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 5))
def test_random_bytes_are_no_entries(data: bytes, sealed: int) -> None:
    head = AuditHead(sealed, 0, hashlib.sha256(b"x").digest(), bytes(32))
    report = checked(data, seal_of(head if sealed else AuditHead()))
    assert report.entries == ()
    assert report.intact == (sealed == 0)


def test_a_missing_only_entry_is_reported(path: Path) -> None:
    """A new gallery has one entry; it is removed or altered."""
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    assert gallery.audit.report().words() == ["intact: 1 sealed entry"]
    line = audit_path(path).read_bytes()
    for left in (b"", line[:-2], b"1" + line):
        audit_path(path).write_bytes(left)
        assert gallery.audit.report().broken_at == 1
    audit_path(path).unlink()
    report = gallery.audit.report()
    assert (report.entries, report.sealed, report.broken_at) == ((), 1, 1)
    assert report.words() == ["broken at entry 1 of 1: it is missing or was altered"]


def test_a_log_without_sealed_entries_is_intact_with_any_content() -> None:
    for data in (b"", b"1 2 3\n"):
        assert checked(data, seal_of(AuditHead())).intact


def test_an_answer_does_not_mark_a_change_as_not_carried_out(path: Path) -> None:
    """Answers have the current generation; a reader must not take them for a repeated commit of that generation."""
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, audit="all")
    gallery.enrol("ann", embedding(1))
    gallery.identify(embedding(1)[0], threshold=0.9)
    assert gallery.audit.report().words() == ["intact: 2 sealed entries, 1 not sealed yet"]
    gallery.identify(embedding(2)[0], threshold=0.9)
    assert [
        (e.event.event, e.generation, e.batch, e.carried_out) for e in gallery.audit.report().entries
    ] == [
        ("create", 1, 1, True),
        ("enrol", 2, 2, True),
        ("accepted", 2, 0, True),
        ("rejected", 2, 0, True),
    ]


@pytest.mark.parametrize(("count", "words"), [(8, "line 5, 6, 7, 8, 9, 10, 11, 12 ("), (9, " 12 ... (")])
def test_strays_are_named_up_to_eight(gallery: Gallery, path: Path, count: int, words: str) -> None:
    with audit_path(path).open("ab") as file:
        file.write(b"stray\n\n" * count)
    report = gallery.audit.report()
    assert strays(report) == tuple(range(5, 5 + 2 * count, 2))
    audit_path(path).write_bytes(audit_path(path).read_bytes().replace(b"\n\n", b"\n"))
    assert words in gallery.audit.report().words()[0]
    assert gallery.audit.report().words()[0].startswith("not an entry: line 5, 6, ")
    assert (
        gallery.audit.report().words()[0].endswith("(torn by a power cut, altered, or not of this gallery)")
    )


def test_no_entry_has_a_number_after_the_last() -> None:
    files, place, event = SimulatedFileSystem(), Path("g/log"), AuditEvent("x")
    where = {"now_s": 1, "generation": 1, "commit": True}

    def behind(entries: int) -> LogSeal:
        return seal_of(AuditHead(entries, 1, b"c" * 32, b"k" * 32))

    # Three entries are written: `segment`, `log-lost` and the event.
    seal = AuditLog(files, place).append([event], behind(MAX_ENTRIES - 3), **where)
    assert seal.head.entries == MAX_ENTRIES
    before = files.state()
    assert before[place].count(b"\n") == 3
    for log, sealed in (
        (AuditLog(files, place), seal),
        (AuditLog(files, Path("g/b")), behind(MAX_ENTRIES - 2)),
    ):
        with pytest.raises(
            GalleryError,
            match=rf"^the audit log has {sealed.head.entries} entries, no more can be numbered$",
        ) as caught:
            log.append([event], sealed, **where)
        assert caught.value.hint == "make a new gallery and enrol again"
    assert files.state() == before


def test_a_gallerys_log_has_the_keys_of_the_format(gallery: Gallery, path: Path) -> None:
    """With another key a later version would report every existing log as altered."""
    content = gallery._session.content
    record = content.record(AUDIT_SEGMENTS)
    assert record is not None
    assert len(record) == 48 + 80
    assert record[48:64] == (1).to_bytes(8, "little") * 2
    assert record[64:96] == bytes(32)
    first_key, key, chain = record[96:], record[96:], bytes(32)
    for line in audit_path(path).read_bytes().splitlines():
        text, code = line.rsplit(b" ", 1)
        chain = hmac.new(key, chain + text, hashlib.sha256).digest()
        assert code == chain.hex().encode()
        key = hmac.new(key, b"edge-sdk/gallery/audit/next@v1", hashlib.sha256).digest()
    assert (content.audit.chain, content.audit.key) == (chain, key)
    root = sealing.hkdf(content.root_secret, salt=gallery._session.header.gallery_id, info=LABEL)
    assert first_key != root, "the keys of the log do not come from the root secret"


class Filling(SimulatedFileSystem):
    """A medium that becomes full in the middle of a write, after `room` bytes."""

    room: int | None = None

    def write(self, handle: int, data: bytes) -> None:
        if self.room is None:
            return super().write(handle, data)
        super().write(handle, bytes(data)[: self.room])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("room", "strays_left"), [(0, 0), (1, 1), (40, 2), (10_000, 0)])
def test_the_log_continues_after_a_full_medium(room: int, strays_left: int) -> None:
    files = Filling()
    gallery = Gallery.create(
        Path("g/home.gallery"), key=KEY, model_id=MODEL, dimension=D, filesystem=files, audit="all"
    )
    gallery.enrol("ann", embedding(1))
    for change in (
        lambda: gallery.revoke("ann"),
        lambda: gallery.identify(embedding(1)[0], threshold=0.9),
    ):
        files.room = room
        with pytest.raises(GalleryError, match="No space left on device"):
            change()
        files.room = None
    gallery.identify(embedding(1)[0], threshold=0.9)
    gallery.revoke("ann")
    report = gallery.audit.report()
    assert report.intact
    done = [e.event.event for e in report.entries if e.carried_out]
    assert [done[0], done[1], done[-2], done[-1]] == ["create", "enrol", "accepted", "revoke"]
    # A complete line on the medium is an entry although its change did not happen; an incomplete line is none.
    assert report.stray_lines == strays_left
    assert [e.event.event for e in report.entries if not e.carried_out] == ["revoke"] * (room == 10_000)


def test_a_lost_log_is_recorded_once(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embedding(1))
    kept = audit_path(path).read_bytes()
    audit_path(path).unlink()
    for _ in range(3):
        gallery.identify(embedding(1)[0], threshold=0.9)
        Gallery.open(path, key=KEY).identify(embedding(1)[0], threshold=0.9)
    gallery.revoke("ann")
    assert audit_path(path).read_bytes().count(b" log-lost ") == 1
    path.with_name(path.name + ".audit.000001").write_bytes(kept)
    assert events(gallery) == ["create", "enrol", "segment", "log-lost", *["accepted"] * 6, "revoke"]
    assert gallery.audit.report().words() == ["intact: 11 sealed entries in 2 files"]


def test_an_incomplete_line_is_closed_before_the_next_entry(gallery: Gallery, path: Path) -> None:
    with audit_path(path).open("ab") as file:
        file.write(b"x")
    gallery.reinstate("ann")
    assert b"\nx\n5 " in audit_path(path).read_bytes()


def test_a_foreign_file_in_place_of_the_log_is_kept_and_reported(gallery: Gallery, path: Path) -> None:
    audit_path(path).write_bytes(b"x")
    gallery.reinstate("ann")
    assert path.with_name(path.name + ".audit.000001").read_bytes() == b"x"
    report = gallery.audit.report()
    assert report.broken_at == 1
    assert [segment.state for segment in report.segments] == ["incomplete", "intact"]
