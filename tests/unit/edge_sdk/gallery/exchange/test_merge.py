"""An import enrols whom the gallery does not have, and decides each subject separately."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import SubjectExistsError
from edge_sdk.gallery import Gallery, ImportResult, InMemoryKey
from edge_sdk.gallery.exchange.export import export_subjects
from tests.evidence_points import TWO_POINTS

KEY = InMemoryKey(bytes(range(32)))
D = 64


POLICY = TWO_POINTS


def person(seed: int, captures: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=D) + 0.3 * random.normal(size=(captures, D))).astype(np.float32)


def make(path: Path, *, policy: bool = True) -> Gallery:
    gallery = Gallery.create(path, key=KEY, model_id=hashlib.sha256(b"model").digest(), dimension=D)
    if policy:
        with gallery.transaction() as t:
            t.set_policy(POLICY)
    return gallery


@pytest.fixture
def home(tmp_path: Path) -> Gallery:
    gallery = make(tmp_path / "home")
    for seed, name in enumerate(("ann", "bob", "cy", "dan")):
        gallery.enrol(name, person(seed), label=f"label of {name}")
    return gallery


@pytest.fixture
def office(tmp_path: Path) -> Gallery:
    return make(tmp_path / "office")


def merge(sender: Gallery, to: Gallery, *names: str, replace: bool = False) -> ImportResult:
    package = sender.exchange.export(*names, recipient=bytes.fromhex(to.status().recipient))
    return to.exchange.merge_package(package, replace=replace)


def test_a_second_import_skips_whom_the_first_has_enrolled(home: Gallery, office: Gallery) -> None:
    assert merge(home, office, "ann") == ImportResult(imported=("ann",))
    assert merge(home, office) == ImportResult(imported=("bob", "cy", "dan"), skipped=("ann",))
    assert [s.id for s in office.subjects()] == [s.id for s in home.subjects()]
    generation = office.status().generation
    assert merge(home, office).skipped == ("ann", "bob", "cy", "dan")
    assert office.status().generation == generation, "no commit without a change"


def test_each_subject_is_decided_separately(home: Gallery, office: Gallery) -> None:
    office.enrol("ann", person(0))  # the same person with another id
    office.enrol("bob", person(20))  # another person with the same name
    office.enrol("carlos", person(2))  # cy under another name
    result = merge(home, office)
    assert (result.imported, result.skipped) == (("dan",), ("ann",))
    reasons = {subject.name: subject.reason for subject in result.refused}
    assert reasons.keys() == {"bob", "cy"}
    assert "not like those of that subject" in reasons["bob"]
    assert reasons["cy"] == "'cy' looks like 'carlos', who is enrolled: the gallery would confuse them"
    assert all(subject.hint for subject in result.refused)
    assert merge(home, office, replace=True).replaced == ("ann", "dan")
    with pytest.raises(SubjectExistsError):
        office.exchange.import_package(
            home.exchange.export(recipient=bytes.fromhex(office.status().recipient))
        )


def test_a_replaced_subject_keeps_id_revocation_and_threshold(home: Gallery, office: Gallery) -> None:
    office.enrol("ann", person(0)[:1], label="old", valid_until=4e9)
    office.enrol("ann", person(0)[1:2], add=True, look="glasses")
    with office.transaction() as t:
        t.revoke("ann")
        t.set_threshold("ann", 0.9)
    before = office.subjects()[0]
    home.change("ann", valid_until=5e9)
    assert merge(home, office, "ann", replace=True) == ImportResult(replaced=("ann",))
    after = office.subjects()[0]
    assert (after.id, after.revoked, after.threshold) == (before.id, True, 0.9)
    assert (after.label, after.templates, after.looks, after.valid_until_s) == (
        "label of ann",
        3,
        (),
        5_000_000_000,
    )
    assert "replace" in [entry.event.event for entry in office.audit.report().entries][-3:]
    home.revoke("bob")
    assert merge(home, office, "bob").imported == ("bob",)
    assert office.subjects()[1].revoked
    office.reinstate("bob")
    merge(home, office, "bob", replace=True)
    assert office.subjects()[1].revoked


def test_without_a_policy_a_name_decides(tmp_path: Path, home: Gallery) -> None:
    plain = make(tmp_path / "plain", policy=False)
    plain.enrol("ann", person(9))
    assert merge(home, plain) == ImportResult(imported=("bob", "cy", "dan"), skipped=("ann",))


def test_an_id_that_is_taken_is_another_name_of_the_same_subject(home: Gallery, office: Gallery) -> None:
    merge(home, office, "ann")
    assert merge_altered(home, office, names=("anna", "bob", "cy", "dan")).skipped[0] == "ann"
    result = merge_altered(home, office, names=("anna", "bob", "cy", "dan"), replace=True)
    assert result.replaced[0] == "ann"
    assert office.subjects()[0].name == "ann", "the name of this gallery stays"


def test_a_forged_export_replaces_nobody(home: Gallery, office: Gallery) -> None:
    """An export is not signed: anybody who knows the recipient can write one with the id of an enrolled subject."""
    merge(home, office)
    before = office._session.content.matrix.copy()
    matrix = home._session.content.matrix.copy()
    matrix[:3] = matrix[3:6]
    for names in (("ann", "bob", "cy", "dan"), ("mallory", "bob", "cy", "dan")):
        result = merge_altered(home, office, names=names, matrix=matrix, replace=True)
        assert [subject.name for subject in result.refused] == [names[0]]
        assert (
            "'ann' is enrolled already, and the exported templates are not like" in result.refused[0].reason
        )
    assert np.array_equal(office._session.content.matrix[:3], before[:3])


def test_a_name_in_two_spellings_is_refused_alone(home: Gallery, office: Gallery) -> None:
    matrix = home._session.content.matrix.copy()
    matrix[3:6] = matrix[:3]
    names = ("\u00e9", "e\u0301", "cy", "dan")
    for replace in (False, True):
        result = merge_altered(home, office, names=names, matrix=matrix, replace=replace)
        if not replace:
            assert result.imported == ("\u00e9", "cy", "dan")
            assert [subject.reason for subject in result.refused] == ["the export holds '\u00e9' twice"]
        else:
            assert not result.refused
            assert [s.name for s in office.subjects()] == ["\u00e9", "cy", "dan"]


def merge_altered(home: Gallery, office: Gallery, *, replace: bool = False, **fields: Any) -> ImportResult:
    """Import an export whose sender has other names or templates."""
    content = dataclasses.replace(home._session.content, **fields)
    package = export_subjects(
        home._session.header, content, [], recipient=bytes.fromhex(office.status().recipient)
    )
    return office.exchange.merge_package(package, replace=replace)


def test_looks_are_imported_with_their_names(home: Gallery, office: Gallery) -> None:
    home.enrol("ann", person(0, 5)[3:], add=True, look="glasses")
    home.enrol("ann", person(77), add=True, look="mask", allow_unlike=True)
    result = merge(home, office, "ann")
    assert result.imported == ("ann",)
    (refused,) = result.refused_looks
    assert refused.name == "ann, look mask"
    assert "not like 'ann'" in refused.reason
    (ann,) = [subject for subject in office.subjects() if subject.name == "ann"]
    assert [(look.name, look.templates) for look in ann.looks] == [("glasses", 2)]
    assert ann.templates == 5
    office.remove_look("ann", "glasses")
    again = merge(home, office, "ann", replace=True)
    assert again.replaced == ("ann",)
    (ann,) = [subject for subject in office.subjects() if subject.name == "ann"]
    assert [look.name for look in ann.looks] == ["glasses"]
    assert office.problems() == ()
