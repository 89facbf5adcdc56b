"""Random changes by two processes, with power cuts: the gallery always agrees with a model, which is a dict."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edge_sdk.errors import GalleryChangedError, GalleryError, SubjectExistsError, SubjectUnknownError
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, KeyFile
from tests.patience import PATIENCE_S
from tests.simulated_file_system import PowerCut, SimulatedFileSystem

ROOT = Path(__file__).parents[2]
PATH, ANCHOR = Path("gallery/home.gallery"), Path("anchor/home.anchor")
KEYS = [InMemoryKey(bytes([number]) * 32) for number in range(1, 4)]
NAMES = ["ann", "bob", "cy", "dan"]
D = 16


@dataclass(frozen=True)
class Person:
    """A subject as the model knows it."""

    seed: int
    revoked: bool = False
    label: str = ""


def face(name: str, seed: int) -> np.ndarray:
    return np.random.default_rng([NAMES.index(name), seed]).normal(size=D).astype(np.float32)


People = dict[str, Person]


class Processes(RuleBasedStateMachine):
    """State machine: two processes have the gallery open, and each loads the changes of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.files = SimulatedFileSystem()
        self.people: People = {}
        self.key = 0
        self.commits = 1

    @initialize()
    def create(self) -> None:
        first = Gallery.create(
            PATH,
            key=KEYS[0],
            model_id=bytes(32),
            dimension=D,
            anchor=FileAnchor(ANCHOR, filesystem=self.files),
            filesystem=self.files,
        )
        self.processes = [first, self.open()]

    def open(self) -> Gallery:
        anchor = FileAnchor(ANCHOR, filesystem=self.files)
        return Gallery.open(PATH, key=KEYS[self.key], anchor=anchor, filesystem=self.files)

    def process(self, which: int) -> Gallery:
        """Return one of the two processes; open it again if the other one rotated the key."""
        try:
            self.processes[which].refresh()
        except GalleryError as error:
            assert "keys were changed" in str(error)
            self.processes[which] = self.open()
        return self.processes[which]

    def do(self, which: int, change: str, name: str, seed: int) -> None:
        """Make a change in the gallery, and in the model if it is allowed."""
        gallery, person = self.process(which), self.people.get(name)
        try:
            if change == "enrol":
                gallery.enrol(name, face(name, seed))
            elif change == "label":
                gallery.change(name, label=f"floor {seed}")
            else:
                getattr(gallery, change)(name)
        except SubjectExistsError:
            assert change == "enrol" and person is not None
        except SubjectUnknownError:
            assert change != "enrol" and person is None
        else:
            self.people = self.after(change, name, seed)
            self.commits += 1

    def after(self, change: str, name: str, seed: int) -> People:
        person = self.people.get(name)
        if change in ("remove", "erase"):
            return {other: kept for other, kept in self.people.items() if other != name}
        if change == "enrol":
            return {**self.people, name: Person(seed)} if person is None else self.people
        if person is None:
            return self.people
        if change == "label":
            return {**self.people, name: replace(person, label=f"floor {seed}")}
        return {**self.people, name: replace(person, revoked=change == "revoke")}

    changes = st.sampled_from(["enrol", "enrol", "remove", "revoke", "reinstate", "erase", "label"])

    @rule(which=st.integers(0, 1), change=changes, name=st.sampled_from(NAMES), seed=st.integers(0, 3))
    def change(self, which: int, change: str, name: str, seed: int) -> None:
        self.do(which, change, name, seed)

    @rule(
        which=st.integers(0, 1), names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
    )
    def enrol_several_at_once(self, which: int, names: list[str]) -> None:
        gallery = self.process(which)
        try:
            with gallery.transaction() as t:
                for name in names:
                    t.enrol(name, face(name, 0))
        except SubjectExistsError:
            assert set(names) & set(self.people)
        else:
            self.people.update({name: Person(0) for name in names})

    @rule(name=st.sampled_from(NAMES))
    def both_change_at_once(self, name: str) -> None:
        """The second transaction is refused completely."""
        first, second = self.process(0), self.process(1)
        if name in self.people:
            return
        with pytest.raises(GalleryChangedError), second.transaction() as t:
            t.enrol(name, face(name, 1))
            first.enrol(name, face(name, 2))
        self.people = {**self.people, name: Person(2)}

    @rule(which=st.integers(0, 1))
    def rotate_the_key(self, which: int) -> None:
        gallery = self.process(which)
        self.key = (self.key + 1) % len(KEYS)
        gallery.keys.rotate(KEYS[self.key])

    @rule(which=st.integers(0, 1))
    def renew_the_transform(self, which: int) -> None:
        self.process(which).keys.renew_transform()

    @rule(which=st.integers(0, 1))
    def re_anchor(self, which: int) -> None:
        self.process(which).keys.reanchor()

    @rule(
        which=st.integers(0, 1),
        change=changes,
        name=st.sampled_from(NAMES),
        seed=st.integers(0, 3),
        cut=st.integers(0, 12),
        left=st.integers(0, 10_000),
    )
    def power_is_cut_during_a_change(
        self, which: int, change: str, name: str, seed: int, cut: int, left: int
    ) -> None:
        self.process(which)
        before, after = self.people, self.after(change, name, seed)
        self.files.cut_before = len(self.files.steps) + cut
        acknowledged = False
        try:
            self.do(which, change, name, seed)
            acknowledged = True
        except PowerCut:
            pass
        states = list(self.files.states_after_cut())
        self.files = SimulatedFileSystem.holding(states[left % len(states)])
        self.processes = [self.open(), self.open()]
        people = self.held(self.processes[0])
        assert people == self.people if acknowledged else people in (before, after)
        self.people = people

    @rule(which=st.integers(0, 1))
    def a_process_starts_again(self, which: int) -> None:
        self.processes[which] = self.open()

    def held(self, gallery: Gallery) -> People:
        """Return the gallery's subjects in the form of the model; the seed is the one whose face is accepted."""
        people = {}
        for subject in gallery.subjects():
            known = self.people.get(subject.name)
            seeds = [known.seed] if known else range(4)
            matching = [
                seed
                for seed in seeds
                if gallery.verify(face(subject.name, seed), subject.name, threshold=0.9).accepted
            ]
            seed = matching[0] if matching else (known.seed if known else -1)
            people[subject.name] = Person(seed, subject.revoked, subject.label)
        return people

    @invariant()
    def every_process_agrees_with_the_model(self) -> None:
        if not hasattr(self, "processes"):
            return
        for which in (0, 1):
            gallery = self.process(which)
            assert self.held(gallery) == self.people
            for name, person in self.people.items():
                result = gallery.identify(face(name, person.seed), threshold=0.9)
                assert result.accepted is not person.revoked
                assert result.subject == (None if person.revoked else name)
            for name in set(NAMES) - set(self.people):
                assert not gallery.identify(face(name, 0), threshold=0.9).accepted

    def teardown(self) -> None:
        if hasattr(self, "processes"):
            assert self.process(0).audit.report().intact


def run(examples: int) -> None:
    run_state_machine_as_test(
        Processes,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_changes_and_power_cuts_loses_or_admits_anybody() -> None:
    run(60)


@pytest.mark.slow
def test_no_order_of_changes_in_two_thousand_runs_loses_or_admits_anybody() -> None:
    run(2_000)


class WithoutSync(Processes):
    """A negative control: files are not synced until the first power cut."""

    def __init__(self) -> None:
        super().__init__()
        self.files.ignored = ("fsync",)

    def teardown(self) -> None:
        """Skip the check of the audit log, which is lost without syncing."""


def test_the_machine_notices_files_that_are_not_synced() -> None:
    with pytest.raises((AssertionError, GalleryError)):
        run_state_machine_as_test(
            WithoutSync,
            settings=settings(
                max_examples=100,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )


WRITER = """
import json, random, sys
import numpy as np
from edge_sdk.errors import SubjectExistsError, SubjectUnknownError
from edge_sdk.gallery import FileAnchor, Gallery, KeyFile
from edge_sdk.gallery.store import files
files.LOCK_TIMEOUT_S = 3600  # on a slow machine the other process may hold the lock for a long time

path, key, anchor, who, seed = sys.argv[1:]
gallery = Gallery.open(path, key=KeyFile(key), anchor=FileAnchor(anchor))
dice, mine = random.Random(seed), {}
for number in range(60):
    name = f"{who}{dice.randrange(6)}"
    try:
        if dice.randrange(3):
            gallery.enrol(name, np.random.default_rng([ord(who), number]).normal(size=(1, 16)).astype(np.float32))
            mine[name] = False
        elif dice.randrange(2):
            gallery.revoke(name)
            mine[name] = True
        else:
            gallery.remove(name)
            del mine[name]
    except (SubjectExistsError, SubjectUnknownError) as error:
        assert (name in mine) is isinstance(error, SubjectExistsError)
print(json.dumps(mine))
"""


def test_two_real_processes_each_find_their_own_dict_again(tmp_path: Path) -> None:
    key, anchor, path = tmp_path / "home.key", tmp_path / "home.anchor", tmp_path / "home.gallery"
    Gallery.create(path, key=KeyFile.create(key), model_id=bytes(32), dimension=D, anchor=FileAnchor(anchor))
    seed = random.Random(os.urandom(8)).randrange(1 << 30)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, key, anchor, who, str(seed)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in "ab"
    ]
    outputs = [writer.communicate(timeout=PATIENCE_S)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], seed
    expected = {**json.loads(outputs[0]), **json.loads(outputs[1])}
    gallery = Gallery.open(path, key=KeyFile(key), anchor=FileAnchor(anchor))
    assert {s.name: s.revoked for s in gallery.subjects()} == expected, seed
    assert gallery.audit.report().intact
