"""A check of a card's operating points with the owner's people: what it finds, and what too few people cannot show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_sdk.errors import InputError, ModelCardError
from edge_sdk.gallery.rules.transfer import TransferState
from edge_sdk.model.card import ModelCard
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.recognizer.evidence import EvidenceCheck, _upper_limit, check_evidence
from edge_sdk.recognizer.evidence_words import _of_100, evidence_in_words
from edge_sdk.types import FloatArray
from tests.conftest import card, evidence
from tests.drawn_embeddings import scattered

D = 64
#: Scores of unrelated directions in 64 dimensions have standard deviation 1/8; 2.33 deviations are exceeded by 1 %.
SCORES = NonMatedScores(0.0, 0.125, 0.29, 0.01, 124_750, 500)
CARD = card(
    dimension=D,
    operating_points=(
        evidence(threshold=0.3, fmr=1e-2),
        evidence(threshold=0.5, fmr=1e-4, non_mated_trials=30_000),
    ),
    non_mated_scores=SCORES,
)
SAME_FACE = 0.4


def household(subjects: int, pictures: int = 6, *, seed: int = 1) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(subjects), pictures)
    rows = scattered(rng, subjects, codes, SAME_FACE, dimension=D)
    return {f"person {subject}": rows[codes == subject] for subject in range(subjects)}


def check(
    people: dict[str, FloatArray], *, of: ModelCard = CARD, strangers: dict[str, FloatArray] | None = None
) -> EvidenceCheck:
    return check_evidence(people, of, fpir=0.01, strangers=strangers)


def words(result: EvidenceCheck) -> str:
    return "\n".join(evidence_in_words(result))


def test_a_household_that_is_apart_is_fine_and_the_camera_is_not_judged() -> None:
    result = check(household(5))
    assert result.fine
    assert result.threshold == 0.5 and result.references == 15
    assert len(result.pairs) == 10 and all(pair.apart for pair in result.pairs)
    assert {(person.templates, person.probes, person.matches) for person in result.people} == {(3, 3, 3)}
    assert result.camera.transfer.state is TransferState.TOO_FEW
    # 10 pairs without a match: up to 3 / 10 may match.
    assert result.camera.at_most == pytest.approx(0.3, abs=0.01)
    assert "person 0 and person 1 are apart" in words(result)
    assert "too few people to compare" in words(result) and "up to 30 of 100 pairs" in words(result)


@pytest.mark.parametrize(
    ("share", "shown"), [(0.2996, "30"), (1.0, "100"), (0.0996, "10"), (0.00037, "0.037")]
)
def test_a_small_share_is_not_printed_as_none(share: float, shown: str) -> None:
    assert _of_100(share) == f"{shown} of 100"


def test_a_part_of_a_match_raises_the_upper_limit() -> None:
    limits = [_upper_limit(matches, 10) for matches in (0, 0.5, 1)]
    assert limits == sorted(set(limits))
    # Quantiles of half a chi-squared distribution with 2, 3 and 4 degrees of freedom (Garwood 1936).
    assert limits == pytest.approx([0.29957, 0.39074, 0.47439], abs=1e-4)


def test_one_person_under_two_names_is_named() -> None:
    people = household(4, 8)
    people["person 1"], people["also person 1"] = people["person 1"][:4], people["person 1"][4:]
    result = check(people)
    assert not result.fine
    (pair,) = [pair for pair in result.pairs if not pair.apart]
    assert pair.as_one_person
    assert "person 1 and also person 1 are closer" in words(
        result
    ) and "twins, or one person under two names" in words(result)


def test_a_picture_of_somebody_else_is_named() -> None:
    people = household(3)
    people["person 0"][4] = people["person 2"][0]
    result = check(people)
    assert result.people[0].unlike == (4,)
    assert not result.fine
    names = {"person 0": ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg")}
    assert any("person 0: e.jpg resembles none" in line for line in evidence_in_words(result, names))


def test_a_person_who_is_not_recognized_is_a_problem() -> None:
    rng = np.random.default_rng(3)
    people = household(3)
    people["person 0"] = scattered(rng, 1, np.zeros(8, int), 1.6, dimension=D)
    result = check(people)
    assert not result.people[0].recognized and not result.fine
    assert "problem: person 0 is recognized in" in words(result)


def test_one_picture_shows_nothing_about_recognition() -> None:
    result = check(household(2, 1))
    assert result.fine and result.people[0].probes == 0
    assert "no further picture to recognize" in words(result)


def alike(people: dict[str, FloatArray], share: float) -> dict[str, FloatArray]:
    """Add a common part to all pictures, as a bad camera does."""
    common = np.ones(D) / np.sqrt(D)
    moved = {name: rows + share * common for name, rows in people.items()}
    return {
        name: (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        for name, rows in moved.items()
    }


def test_strangers_show_a_camera_whose_pictures_are_alike() -> None:
    strangers = {f"stranger {name}": rows for name, rows in household(20, 1, seed=2).items()}
    as_stated = check(household(5), strangers=strangers)
    assert as_stated.camera.transfer.state is TransferState.AS_EXPECTED
    assert as_stated.fine
    noticed = as_stated.camera.noticed
    assert noticed is not None and 0.02 < noticed < 0.1
    bad = check(alike(household(5), 0.6), strangers=alike(strangers, 0.6))
    assert bad.camera.transfer.alarm and not bad.fine
    assert "the evidence does not hold for this camera" in words(bad)


@pytest.mark.parametrize("subjects", [25, 60])
def test_the_stated_difference_is_noticed_in_most_cases(subjects: int) -> None:
    """Simulated bad cameras, whose pairs are correlated as those of a real one."""
    noticed = check(household(subjects, 1)).camera.noticed
    assert noticed is not None
    many = household(400, 1, seed=9)
    low, high = 0.0, 2.0
    for _ in range(12):
        middle = (low + high) / 2
        rows = np.concatenate(list(alike(many, middle).values()))
        matching = float(np.mean((rows @ rows.T)[np.triu_indices(len(rows), 1)] >= SCORES.threshold))
        low, high = (middle, high) if matching < noticed else (low, middle)
    cameras = [alike(household(subjects, 1, seed=seed), low) for seed in range(10, 50)]
    assert np.mean([check(people).camera.transfer.alarm for people in cameras]) > 0.7


def test_strangers_who_are_accepted_are_counted() -> None:
    people = household(3)
    strangers = {f"stranger {index}": people["person 0"][5:6] for index in range(3)}
    result = check(people, strangers=strangers)
    assert result.strangers is not None
    assert len(result.strangers.accepted) == 3 and result.strangers.too_many
    assert not result.fine


def test_one_person_has_no_pair() -> None:
    result = check(household(1))
    assert result.fine and result.pairs == ()
    assert "camera: not compared: one person has no pair" in words(result)


def test_a_card_without_scores_says_so() -> None:
    result = check(household(3), of=replace(CARD, non_mated_scores=None))
    assert result.fine
    assert "the model's card has no scores of different people" in words(result)


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({}, "expected pictures of one person or more"),
        ({"ann": np.zeros((0, D), np.float32)}, "ann: expected 1 picture or more"),
        ({"ann": np.ones((65, D), np.float32)}, "expected at most 64 pictures"),
        ({"ann": np.ones((2, 3), np.float32)}, "expected embeddings of dimension 64"),
        ({str(index): np.ones((1, D), np.float32) for index in range(129)}, "expected at most 128 people"),
    ],
)
def test_people_are_checked(people: dict[str, FloatArray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(people)


def test_a_card_without_evidence_is_refused() -> None:
    with pytest.raises(ModelCardError, match="operating point"):
        check(household(2), of=replace(CARD, operating_points=()))


def test_the_threshold_of_the_gallery_is_kept_if_it_is_higher() -> None:
    result = check_evidence(household(2), CARD, fpir=0.01, references=20, least_threshold=0.8)
    assert result.threshold == 0.8 and result.references == 20
