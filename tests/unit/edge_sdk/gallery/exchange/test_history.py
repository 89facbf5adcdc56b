"""A command that was withheld cannot be used later against a newer state of the gallery."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import CommandRefusedError, GalleryFormatError, InputError
from edge_sdk.gallery import Command, FileAnchor, Gallery
from edge_sdk.gallery.exchange.commands import MAX_LIFETIME_S, sign, source_of
from edge_sdk.gallery.exchange.history import LOCAL, State, with_history
from edge_sdk.gallery.format import records
from edge_sdk.gallery.format.content import COMMAND_HISTORY, PolicyRecord
from edge_sdk.gallery.format.records import HistoryRecord, SubjectChange, pack_history, parse_history
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, OTHER, D, embeddings

OFFICE, BRANCH = b"o" * 32, b"b" * 32  # private keys
DAY_S = 86_400


class Home:
    """A gallery with ann, bob and a command source, a clock, and functions that sign commands for its state."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 1_800_000_000.0
        self.path, self.anchor = folder / "home.gallery", FileAnchor(folder / "home.anchor")
        self.gallery = Gallery.create(
            self.path, key=KEY, model_id=MODEL, dimension=D, anchor=self.anchor, clock=self.clock
        )
        self.gallery.enrol("ann", embeddings(1))
        self.gallery.enrol("bob", embeddings(2))
        self.gallery.exchange.add_source(source_of(OFFICE))
        self.sequence = 0

    def clock(self) -> float:
        return self.now_s

    def open(self, *, anchored: bool = True, key: Any = KEY) -> Gallery:
        """Open the gallery again and use it from now on."""
        self.gallery = Gallery.open(
            self.path, key=key, anchor=self.anchor, anchored=anchored, clock=self.clock
        )
        return self.gallery

    def sign(
        self, action: str = "reinstate", subject: str = "ann", *, private: bytes = OFFICE, **changes: Any
    ) -> bytes:
        """Sign a command for the present state."""
        self.sequence += 1
        status = self.gallery.status()
        fields: dict[str, Any] = {
            "state": status.state,
            "now_s": self.now_s,
            "source": source_of(private),
            "gallery_id": bytes.fromhex(status.gallery_id),
            "sequence": self.sequence,
            "action": action,
            "subject": subject,
        }
        return sign(Command.for_state(**{**fields, **changes}), private)

    def sign_enrolment(self, folder: Path, name: str, seed: int) -> bytes:
        """Sign an enrolment of a subject of another gallery."""
        other = Gallery.create(folder / f"{name}.gallery", key=OTHER, model_id=MODEL, dimension=D)
        other.enrol(name, embeddings(seed))
        package = other.exchange.export(recipient=bytes.fromhex(self.gallery.status().recipient))
        return self.sign("enrol", "", package=package)

    def revoked(self) -> list[str]:
        return [s.name for s in self.gallery.subjects() if s.revoked]

    def refuses(self, command: bytes, reason: str) -> str:
        """Check that the command is refused and changes nothing; return the hint."""
        before = self.path.read_bytes()
        with pytest.raises(CommandRefusedError, match=reason) as caught:
            self.gallery.exchange.execute(command)
        assert self.path.read_bytes() == before
        return str(caught.value.hint)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_withheld_reinstatement_does_not_undo_a_later_local_revocation(home: Home) -> None:
    home.gallery.revoke("ann")
    withheld = home.sign("reinstate")
    home.gallery.reinstate("ann")
    home.gallery.revoke("ann")
    generation = home.gallery.status().generation
    hint = home.refuses(withheld, rf"'ann' was changed in generation {generation - 1} on the device")
    assert "edge-sdk gallery status --json" in hint and "gallery audit" in hint
    # Neither in a new process nor after further commits.
    home.open().change("bob", label="unrelated")
    home.refuses(withheld, "'ann' was changed in generation")
    assert home.revoked() == ["ann"]
    home.gallery.exchange.execute(home.sign("reinstate"))
    assert home.revoked() == []


CHANGES: dict[str, Callable[[Gallery], Any]] = {
    "revoked": lambda g: g.revoke("ann"),
    "expires": lambda g: g.change("ann", valid_until=1_900_000_000),
    "not yet valid": lambda g: g.change("ann", valid_from=1_900_000_000),
    "enrolled again": lambda g: (g.remove("ann"), g.enrol("ann", embeddings(1))),
    "erased and enrolled again": lambda g: (g.erase("ann"), g.enrol("ann", embeddings(1))),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("action", ["revoke", "reinstate", "erase"])
def test_a_command_is_refused_after_its_subject_was_changed_on_the_device(
    home: Home, action: str, change: str
) -> None:
    withheld, unrelated = home.sign(action), home.sign("revoke", "bob")
    CHANGES[change](home.gallery)
    home.refuses(withheld, "'ann' was changed in generation")
    home.gallery.exchange.execute(unrelated)
    assert "bob" in home.revoked()


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.change("ann", label="second floor"),
        lambda g: g.enrol("cy", embeddings(3)),
        lambda g: g.keys.renew_transform(),
        lambda g: g.keys.add(OTHER),
        lambda g: g.keys.rotate(OTHER),
        lambda g: g.remove("bob"),
    ],
)
def test_other_changes_do_not_concern_a_command(home: Home, change: Callable[[Gallery], Any]) -> None:
    sent = home.sign("revoke")
    change(home.gallery)
    home.gallery.exchange.execute(sent)
    assert home.revoked() == ["ann"]


def test_commands_of_one_source_can_be_signed_together(home: Home, tmp_path: Path) -> None:
    batch = [
        home.sign("revoke"),
        home.sign("reinstate"),
        home.sign_enrolment(tmp_path, "eve", 7),
        home.sign("revoke", "eve"),
        home.sign("erase", "ann"),
    ]
    for command in batch:
        result = home.gallery.exchange.execute(command)
        assert result.state == home.gallery.status().state
    assert [subject.name for subject in home.gallery.subjects()] == ["bob", "eve"]
    assert home.revoked() == ["eve"]


def test_a_withheld_command_does_not_undo_one_of_another_source(home: Home) -> None:
    home.gallery.exchange.add_source(source_of(BRANCH))
    home.gallery.revoke("ann")
    withheld = home.sign("reinstate", private=BRANCH)
    for action in ("reinstate", "revoke"):
        home.gallery.exchange.execute(home.sign(action))
    home.refuses(withheld, f"by a command of the source {source_of(OFFICE).hex()[:16]}")
    assert home.revoked() == ["ann"]


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.remove("dan"),
        lambda g: g.erase("dan"),
        lambda g: g.revoke("dan"),
        lambda g: g.change("dan", valid_until=1_900_000_000),
    ],
)
def test_a_withheld_enrolment_does_not_bring_back_a_subject(
    home: Home, tmp_path: Path, change: Callable[[Gallery], Any]
) -> None:
    """The name may be another one, so a removal or restriction of any subject counts."""
    home.gallery.enrol("dan", embeddings(9))
    withheld = home.sign_enrolment(tmp_path, "dan2", 9)
    change(home.gallery)
    home.refuses(withheld, "a subject was removed, revoked or restricted in generation")
    fresh = home.sign_enrolment(tmp_path, "eve", 11)
    home.gallery.enrol("cy", embeddings(3))
    home.gallery.reinstate("dan") if home.revoked() else None
    assert home.gallery.exchange.execute(fresh).subjects == ("eve",)


def test_a_command_expires_by_a_time_that_does_not_go_back(home: Home) -> None:
    short, week = home.sign("revoke", lifetime_s=60), home.sign("revoke", "bob")
    home.now_s += 59
    home.gallery.change("bob", label="seals the time")
    home.now_s += 1
    assert "status --json" in home.refuses(short, "the command expired at 1800000060 s")
    home.gallery.change("bob", label="seals the time again")
    home.now_s -= 30
    home.refuses(short, "expired at 1800000060 s, the gallery's time is 1800000060 s")
    home.open()
    home.refuses(short, "expired at")
    home.now_s += 7 * DAY_S - 31
    home.gallery.exchange.execute(week)
    for lifetime_s in (0, -1, 0.5, MAX_LIFETIME_S + 1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="expected a lifetime of"):
            home.sign(lifetime_s=lifetime_s)


def test_with_a_clock_behind_the_gallery_only_commands_that_keep_out_are_executed(
    home: Home, tmp_path: Path
) -> None:
    home.gallery.revoke("ann")
    commands = [home.sign("reinstate"), home.sign_enrolment(tmp_path, "eve", 9)]
    home.now_s -= 3600
    for command in commands:
        assert "set the clock" in home.refuses(command, "the clock is 60 minutes behind the gallery")
    home.gallery.exchange.execute(home.sign("revoke", "bob", now_s=home.now_s + 3600))
    assert home.revoked() == ["ann", "bob"]


def test_a_reset_of_the_clock_invalidates_earlier_commands(home: Home) -> None:
    earlier = home.sign("revoke")
    home.now_s -= DAY_S
    home.gallery.reset_clock()
    home.refuses(earlier, "or its clock reset")
    home.gallery.exchange.execute(home.sign("revoke"))


def test_a_command_has_a_last_generation(home: Home) -> None:
    generation = home.gallery.status().generation
    with pytest.raises(InputError, match="in order"):
        home.sign("revoke", last_generation=generation - 1)
    here, next_ = (home.sign("revoke", last_generation=generation + n) for n in (0, 1))
    home.gallery.change("bob", label="one commit")
    home.refuses(here, f"up to generation {generation}, and the gallery is at generation {generation + 1}")
    home.gallery.exchange.execute(next_)


def test_a_command_for_a_state_that_the_gallery_never_had_is_refused(home: Home) -> None:
    """An attacker between door and office cannot report a later state, for which a withheld command would be accepted."""
    state = State.parse(home.gallery.status().state)
    ahead = home.sign("revoke", state=str(State(state.generation + 1, b"x" * 16)))
    other = home.sign("revoke", state=str(State(state.generation, b"x" * 16)))
    home.refuses(
        ahead,
        f"signed for generation {state.generation + 1}, and the gallery is at generation {state.generation}",
    )
    home.refuses(other, "for another state of generation")
    home.gallery.change("bob", label="later")
    for forged in (ahead, other):
        home.refuses(forged, "for another state of generation")
    home.gallery.change("bob", label="later still")
    home.refuses(ahead, "for another state of generation")


def test_commands_signed_before_a_source_was_added_again_are_refused(home: Home) -> None:
    withheld = home.sign("revoke")
    home.gallery.exchange.remove_source(source_of(OFFICE))
    assert home.gallery._session.content.record(COMMAND_HISTORY) is None
    between = home.sign("revoke")
    home.gallery.exchange.add_source(source_of(OFFICE))
    hint = home.refuses(withheld, "executes commands for generation .* or later: a back office was added")
    assert "sign the command again" in hint
    # A new back office can be added just after it has signed its first command.
    home.gallery.exchange.execute(between)
    assert home.revoked() == ["ann"]


def test_a_change_before_a_source_was_added_counts(home: Home) -> None:
    home.gallery.exchange.remove_source(source_of(OFFICE))
    home.gallery.revoke("ann")
    withheld = home.sign("reinstate")
    home.gallery.reinstate("ann")
    home.gallery.revoke("ann")
    home.gallery.exchange.add_source(source_of(OFFICE))
    home.refuses(withheld, "executes commands for generation")
    assert home.revoked() == ["ann"]


@pytest.mark.parametrize("lost_anchor", [False, True])
def test_an_executed_or_withheld_command_is_refused_after_a_backup_was_put_into_use(
    home: Home, lost_anchor: bool
) -> None:
    home.gallery.revoke("ann")
    backup = home.path.read_bytes()
    executed, withheld = home.sign("reinstate"), home.sign("revoke", "bob")
    home.gallery.exchange.execute(executed)
    home.gallery.revoke("ann")
    home.path.write_bytes(backup)
    if lost_anchor:
        home.anchor._path.unlink()
    home.open(anchored=False).keys.reanchor()
    assert home.revoked() == ["ann"]
    for command in (executed, withheld):
        home.refuses(command, "the gallery was re-anchored|for another state of generation")
    home.open()
    home.refuses(executed, "the gallery was re-anchored|for another state of generation")
    home.gallery.exchange.execute(home.sign("reinstate"))
    assert home.revoked() == []


def test_an_old_copy_refuses_a_command_for_a_newer_state(home: Home) -> None:
    old = home.path.read_bytes()
    home.gallery.change("bob", label="newer")
    sent = home.sign("revoke")
    home.path.write_bytes(old)
    home.anchor._path.unlink()
    home.gallery = Gallery.open(home.path, key=KEY, clock=home.clock)
    assert "old copy" in home.refuses(sent, "signed for generation")


def test_a_command_of_version_1_is_refused_with_the_reason(home: Home) -> None:
    head, _, text = home.sign("revoke").partition(b"\n")
    for line in (head.replace(b"command 2", b"command 1"), b"edge-sdk command 1 "):
        hint = home.refuses(line + b"\n" + text, "found a command of version 1, which does not expire")
        assert "sign it again" in hint


def test_a_history_keeps_512_states_and_512_changes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (records.MAX_STATES, records.MAX_CHANGES) == (512, 512)
    monkeypatch.setattr("edge_sdk.gallery.exchange.history.MAX_STATES", 3)
    monkeypatch.setattr("edge_sdk.gallery.exchange.history.MAX_CHANGES", 4)
    old = home.sign("revoke")
    for label in "abcd":
        home.gallery.change("bob", label=label)
    late = home.sign("revoke")
    home.refuses(old, "or it has changed often")
    with home.gallery.transaction() as t:
        for seed in range(5):
            t.enrol(f"s{seed}", embeddings(20 + seed))
    home.refuses(late, "or it has changed often")
    home.gallery.exchange.execute(home.sign("revoke"))
    history = parse_history(home.gallery._session.content.record(COMMAND_HISTORY) or b"")
    assert history.first == home.gallery.status().generation - 1
    assert [change.source for change in history.changes] == [source_of(OFFICE)]


def test_every_state_of_the_history_is_known_and_no_other(home: Home) -> None:
    states = []
    for number in range(6):
        states.append(home.gallery.status().state)
        home.gallery.change("bob", label=str(number))
    assert len(set(states)) == 6
    for state in states:
        number = State.parse(state).generation
        swapped = str(State(number, State.parse(states[0 if state != states[0] else 1]).digest))
        home.refuses(home.sign("revoke", state=swapped), f"for another state of generation {number}")
    home.gallery.exchange.execute(home.sign("revoke", state=states[0]))


def test_a_gallery_without_sources_keeps_no_history(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "g", key=KEY, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    gallery.revoke("ann")
    assert gallery._session.content.record(COMMAND_HISTORY) is None


def test_a_gallery_of_an_earlier_version_starts_a_history_with_its_next_commit(home: Home) -> None:
    session = home.gallery._session
    content = session.content
    policy = tuple(record for record in content.policy if record.kind != COMMAND_HISTORY)
    from dataclasses import replace

    without = replace(content, policy=policy)
    current = session.state
    after = with_history(without, replace(without, labels=("x", "y")), current, current.generation + 1)
    record = after.record(COMMAND_HISTORY)
    assert record is not None
    assert parse_history(record) == HistoryRecord(current.generation + 1)
    # A clock that was reset starts the history again as well.
    earlier = replace(content, committed_at_s=content.committed_at_s - 1)
    record = with_history(content, earlier, current, current.generation + 1).record(COMMAND_HISTORY)
    assert record is not None and parse_history(record).first == current.generation + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "0-" + "ab" * 16,
        "-1-" + "ab" * 16,
        "12-" + "AB" * 16,
        "12-" + "ab" * 15,
        "9" * 19 + "-" + "ab" * 16,
        "x",
    ],
)
def test_a_malformed_state_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a state such as"):
        State.parse(text)


def test_a_history_survives_packing_and_a_malformed_one_is_refused() -> None:
    changes = tuple(SubjectChange(bytes([n]) * 16, LOCAL, 3 + n, restricts=n % 2 == 0) for n in range(4))
    history = HistoryRecord(3, (b"a" * 16, b"b" * 16), changes)
    packed = pack_history(history)
    assert len(packed) == 16 + 2 * 16 + 4 * 56
    assert parse_history(packed) == history
    for wrong in (
        b"",
        packed[:-1],
        packed + b"\0",
        bytes(8) + packed[8:],
        packed[:7] + b"\x80" + packed[8:],
        pack_history(HistoryRecord(3, (b"a" * 16,) * 513)),
        pack_history(HistoryRecord(3, (), (changes[0],) * 513)),
        pack_history(HistoryRecord(9, (), changes)),
        pack_history(HistoryRecord(3, (), changes[::-1])),
    ):
        with pytest.raises(GalleryFormatError, match=r"history|at most"):
            parse_history(wrong)
    assert "critical" in repr(PolicyRecord(COMMAND_HISTORY, critical=False, value=packed))
    assert re.search(r"\d", str(State(12, b"a" * 16)))


def test_twenty_thousand_subjects_are_compared_by_their_ids(tmp_path: Path) -> None:
    """A bulk change has more changes than a history keeps, so commands for earlier states are refused."""
    home = Home(tmp_path)
    rng = np.random.default_rng(1)
    withheld = home.sign("revoke")
    with home.gallery.transaction() as t:
        for number in range(600):
            t.enrol(f"n{number}", rng.normal(size=(1, D)).astype(np.float32))
    home.refuses(withheld, "or it has changed often")
    home.gallery.exchange.execute(home.sign("revoke", "n5"))
    assert home.revoked() == ["n5"]
