"""Audit logs, exports and commands that combine parts of other galleries or older generations are refused."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from edge_sdk.errors import CommandRefusedError, EdgeSdkError, SubjectExistsError
from edge_sdk.gallery import AuditReport, Gallery
from edge_sdk.gallery.exchange.commands import Command, sign, source_of
from edge_sdk.gallery.exchange.export import HEADER_BYTES
from edge_sdk.gallery.format.content import MAX_SEQUENCE
from edge_sdk.gallery.store.files import audit_path
from tests.campaigns.splices import (
    FACES,
    KEYS,
    PATH,
    STRANGE_KEYS,
    History,
    accepted_by,
    grafts,
    make_history,
    mixes,
    opened,
    print_figures,
    put_in_place,
)
from tests.simulated_file_system import SimulatedFileSystem

OFFICE, HOMES_OFFICE, STRANGER = b"o" * 32, b"h" * 32, b"s" * 32  # private keys
HOME = make_history("ann", "eve", KEYS, sources=[source_of(OFFICE), source_of(HOMES_OFFICE)])
AWAY = make_history("eve", "ann", KEYS, sources=[source_of(OFFICE)])
STRANGE = make_history("eve", "ann", STRANGE_KEYS, sources=[source_of(OFFICE)])
LOG = audit_path(PATH)
NOW_S = time.time()


@pytest.fixture(autouse=True)
def originals_still_open() -> Iterator[None]:
    """After each attack check that the originals still open."""
    yield
    for history, who in ((HOME, "ann"), (AWAY, "eve"), (STRANGE, "eve")):
        gallery = opened(history.now, history.keys[0], anchored=True)[0]
        assert accepted_by(gallery) == [who]
        assert not gallery.audit.report().problems()


# The audit log.


def branched() -> bytes:
    """Return the log of a changed copy of home: it has the same keys and numbers, but another last entry."""
    gallery, files = opened(HOME.ages[-2], KEYS[0])
    gallery.revoke("ann")
    return files.state()[LOG]


def lines(log: bytes) -> list[bytes]:
    return log.splitlines(keepends=True)


def reports(logs: Iterable[bytes]) -> Counter[str]:
    """Replace home's log by each log; the report must show a problem, and no entry that home never had."""
    original = HOME.now[LOG]
    gallery, files = opened(HOME.now, KEYS[0])
    real = tuple(gallery.audit.report().entries)
    others = {*real, *report_of(branched()).entries}
    results: Counter[str] = Counter()
    for log in {*logs} - {original, original[:-1]}:
        put_in_place(files, LOG, log)
        report = gallery.audit.report()
        assert report.problems(), log
        assert {*report.entries} <= others, log
        assert report.broken_at is None or 1 <= report.broken_at <= report.sealed
        if report.intact:
            assert tuple(report.entries) == real
        results["broken" if report.broken_at else "intact, with strays"] += 1
    return results


def report_of(log: bytes) -> AuditReport:
    return opened({**HOME.now, LOG: log}, KEYS[0])[0].audit.report()


def test_a_log_with_parts_of_other_logs_is_reported() -> None:
    mine, last = lines(HOME.now[LOG]), branched()
    other_logs = [last, *(d.now[LOG] for d in (AWAY, STRANGE))]
    older = [age[LOG] for age in HOME.ages[:-1]]

    def logs() -> Iterator[bytes]:
        yield from [b"", *other_logs, *older]
        for other in other_logs:
            theirs = lines(other)
            for i, j in itertools.product(range(len(mine) + 1), range(len(theirs) + 1)):
                yield b"".join(mine[:i] + theirs[j:])
                yield b"".join(theirs[:j] + mine[i:])
            for i, j in itertools.product(range(len(mine)), range(len(theirs))):
                yield b"".join([*mine[:i], theirs[j], *mine[i + 1 :]])
                yield b"".join([*mine[:i], theirs[j], *mine[i:]])
            # Single fields of each line, replaced by the other's.
            for i, (line, another) in enumerate(zip(mine, theirs, strict=False)):
                for made in mixes(line.split(b" "), another.split(b" "), joint=b" "):
                    yield b"".join([*mine[:i], made, *mine[i + 1 :]])

    assert print_figures("another's log", reports(logs())) > 900


def test_removed_repeated_and_moved_lines_are_reported() -> None:
    mine = lines(HOME.now[LOG])
    assert len(mine) == 9

    def logs() -> Iterator[bytes]:
        for kept in itertools.product((False, True), repeat=len(mine)):
            yield b"".join(itertools.compress(mine, kept))
        for i, j in itertools.product(range(len(mine)), repeat=2):
            yield b"".join([*mine[:i], mine[j], *mine[i:]])
            moved = [*mine[:i], *mine[i + 1 :]]
            yield b"".join([*moved[:j], mine[i], *moved[j:]])
        for order in itertools.permutations(mine[-5:]):
            yield b"".join([*mine[:-5], *order])

    assert print_figures("lines out, doubled, moved", reports(logs())) == 751


@pytest.mark.slow
def test_logs_joined_at_any_byte_are_reported() -> None:
    def logs() -> Iterator[bytes]:
        for other in (branched(), AWAY.now[LOG], STRANGE.now[LOG]):
            yield from grafts(HOME.now[LOG], other, range(len(HOME.now[LOG])))
            yield from grafts(other, HOME.now[LOG], range(len(other)))

    assert print_figures("logs, every byte", reports(logs())) > 2_500


def test_answers_since_the_last_change_can_be_cut_off_and_nothing_else() -> None:
    """The next change seals the answers that are in the log (stated in SECURITY.md)."""
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        PATH, key=KEYS[0], model_id=bytes(32), dimension=64, audit="all", filesystem=files
    )
    gallery.enrol("ann", FACES["ann"])
    sealed = len(lines(files.state()[LOG]))
    for _ in range(3):
        assert accepted_by(gallery) == ["ann"]
    log = lines(files.state()[LOG])
    assert len(log) == sealed + 6
    for count in range(len(log)):
        put_in_place(files, LOG, b"".join(log[:count]))
        assert gallery.audit.report().intact == (count >= sealed)
    put_in_place(files, LOG, b"".join(log))
    gallery.revoke("ann")
    put_in_place(files, LOG, b"".join(log))
    assert gallery.audit.report().broken_at == len(log) + 1


# Exports.


def recipient(history: History) -> bytes:
    return bytes.fromhex(opened(history.now, history.keys[0])[0].status().recipient)


def parts(package: bytes) -> list[bytes]:
    """Split an export: the header's fields, the encapsulated key, the sealed content without tag, the tag."""
    cuts = [0, 8, 10, 12, 14, 16, 48, 80, HEADER_BYTES, HEADER_BYTES + 32, len(package) - 16, len(package)]
    return [package[a:b] for a, b in itertools.pairwise(cuts)]


def test_an_export_for_another_gallery_or_with_parts_of_others_is_refused() -> None:
    senders = [opened(d.ages[1], d.keys[0])[0] for d in (HOME, AWAY, STRANGE)]
    recipients = (HOME, AWAY, STRANGE)
    packages = {
        (i, j): senders[i].exchange.export("ann", recipient=recipient(recipients[j]))
        for i, j in itertools.product(range(3), repeat=2)
    }
    results: Counter[str] = Counter()

    def offer(package: bytes, to: int) -> None:
        gallery, files = opened(
            {PATH: recipients[to].ages[0][PATH], LOG: recipients[to].ages[0][LOG]}, recipients[to].keys[0]
        )
        with pytest.raises(EdgeSdkError) as refused:
            gallery.exchange.import_package(package)
        assert not files.steps
        assert gallery.subjects() == ()
        results[refused.typename] += 1

    for (i, j), package in packages.items():
        for to in {0, 1, 2} - {j}:
            offer(package, to)
        empty, _ = opened(
            {PATH: recipients[j].ages[0][PATH], LOG: recipients[j].ages[0][LOG]}, recipients[j].keys[0]
        )
        assert empty.exchange.import_package(package) == ("ann",)
        assert {empty.subjects()[0].id} == {s.id for s in senders[i].subjects() if s.name == "ann"}
    for first, second in itertools.combinations(packages.values(), 2):
        for made in mixes(parts(first), parts(second)):
            for to in range(3):
                offer(made, to)
    for first, second in ((packages[0, 1], packages[2, 1]), (packages[0, 1], packages[0, 2])):
        for made in grafts(first, second, range(1, len(first))):
            offer(made, 1)
    assert print_figures("exports", results) > 2_000


def test_an_older_export_brings_back_no_revoked_subject() -> None:
    package = opened(HOME.ages[1], KEYS[0])[0].exchange.export("eve", recipient=recipient(HOME))
    gallery, files = opened(HOME.now, KEYS[0])
    with pytest.raises(SubjectExistsError):
        gallery.exchange.import_package(package)
    assert not files.steps
    assert accepted_by(gallery) == ["ann"]


# Signed commands.


def command(history: History, private: bytes, sequence: int, action: str, subject: str) -> bytes:
    status = opened(history.now, history.keys[0])[0].status()
    unsigned = Command.for_state(
        status.state,
        now_s=NOW_S,
        source=source_of(private),
        gallery_id=bytes.fromhex(status.gallery_id),
        sequence=sequence,
        action=action,
        subject=subject,
    )
    return sign(unsigned, private)


def test_only_the_newest_command_of_a_known_source_for_this_gallery_is_executed() -> None:
    gallery, files = opened(HOME.now, KEYS[0])
    executed = [
        command(HOME, OFFICE, 5, "reinstate", "eve"),
        command(HOME, HOMES_OFFICE, 7, "erase", "crowd"),
        command(HOME, OFFICE, 9, "revoke", "eve"),
    ]
    for sent in executed:
        gallery.exchange.execute(sent)
    refused = [
        command(HOME, OFFICE, 8, "reinstate", "eve"),
        command(HOME, STRANGER, 30, "reinstate", "eve"),
        command(AWAY, OFFICE, 31, "reinstate", "eve"),
        command(STRANGE, OFFICE, 32, "reinstate", "eve"),
    ]
    all_ = [*executed, *refused]
    steps, people, sources = len(files.steps), gallery.subjects(), gallery.exchange.sources()
    heads = [sent.partition(b"\n")[0].split(b" ") for sent in all_]
    texts = [sent.partition(b"\n")[2] for sent in all_]

    def sent() -> Iterator[bytes]:
        yield from all_
        for source, signature, text in itertools.product(heads, heads, texts):
            yield b" ".join([*source[:4], signature[4]]) + b"\n" + text
        # JSON objects of fields of all commands, under every head.
        objects = [json.loads(text) for text in texts]
        # Lists are not hashable, so each value is compared as JSON.
        choices = [dict.fromkeys(json.dumps(o[key]) for o in objects) for key in objects[0]]
        for values in itertools.product(*choices):
            fields = zip(objects[0], map(json.loads, values), strict=True)
            text = json.dumps(dict(fields)).encode()
            for head in heads:
                yield b" ".join(head) + b"\n" + text
        for first, second in itertools.permutations(all_, 2):
            yield from grafts(first, second, range(1, len(first)))

    errors: Counter[str] = Counter()
    for data in dict.fromkeys(sent()):
        with pytest.raises(CommandRefusedError) as caught:
            gallery.exchange.execute(data)
        errors[re.sub(r"[0-9a-f]{16,}|\d+", "..", str(caught.value)).partition(",")[0]] += 1
    assert print_figures("commands", errors) > 7_500
    assert (len(files.steps), gallery.subjects(), gallery.exchange.sources()) == (steps, people, sources)
    # Another gallery refuses commands of home's own office.
    away, files = opened(AWAY.now, KEYS[0])
    with pytest.raises(CommandRefusedError, match="is not one that the gallery accepts"):
        away.exchange.execute(command(AWAY, HOMES_OFFICE, 99, "reinstate", "ann"))
    assert not files.steps


def test_an_executed_command_stays_refused_after_its_source_was_removed_and_added_again() -> None:
    gallery, files = opened(HOME.now, KEYS[0])
    old = command(HOME, OFFICE, 5, "reinstate", "eve")
    gallery.exchange.execute(old)
    gallery.revoke("eve")
    gallery.exchange.remove_source(source_of(OFFICE))
    with pytest.raises(CommandRefusedError, match="is not one that the gallery accepts"):
        gallery.exchange.execute(old)
    gallery.exchange.add_source(source_of(OFFICE))
    for again in (gallery, opened(files.state(), KEYS[0])[0]):
        with pytest.raises(CommandRefusedError, match="is not newer than"):
            again.exchange.execute(old)
        assert accepted_by(again) == ["ann"]
    assert MAX_SEQUENCE > gallery.exchange.sources()[source_of(OFFICE).hex()] == 5
