"""The test of a card's threshold on a gallery's own subjects, and the threshold that replaces it."""

import math

import numpy as np
import pytest
from scipy import stats

from edge_sdk.gallery.rules.own_scores import OwnScores, ScoreMoments
from edge_sdk.gallery.rules.transfer import (
    MIN_SUBJECTS,
    Adaptation,
    TransferState,
    adaptation_of,
    check_transfer,
    tail_probability,
)
from edge_sdk.gallery.rules.transfer_words import in_words
from edge_sdk.model.non_mated_scores import NonMatedScores
from tests.unit.edge_sdk.gallery.rules.test_own_scores import D, content_of, unit

SD = D**-0.5
CARD = NonMatedScores(0.0, SD, 2.3 * SD, 0.01, comparisons=400_000, subjects=1000)


def people(count: int, seed: int = 1, *, alike: float = 0.0) -> OwnScores:
    """Return the scores of random subjects whose mean cosine is `alike`."""
    common = np.zeros(D)
    common[0] = 1.0
    rows = math.sqrt(alike) * common + math.sqrt(1 - alike) * unit(seed, count)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return OwnScores(content_of(list(rows[:, np.newaxis])))


@pytest.mark.parametrize("count", [1, 3, 8, 50, 500])
@pytest.mark.parametrize("mean", [0.1, 1.9, 45.0, 480.0])
@pytest.mark.parametrize("mean_from", [2.0, 30.0, 5e3, 9e5, math.inf])
def test_tail_probabilities_are_those_of_the_distributions(count: int, mean: float, mean_from: float) -> None:
    expected = (
        stats.poisson.sf(count - 1, mean)
        if math.isinf(mean_from)
        else stats.nbinom.sf(count - 1, mean_from, mean_from / (mean_from + mean))
    )
    assert tail_probability(count, mean=mean, mean_from=mean_from) == pytest.approx(
        expected, rel=1e-8, abs=1e-12
    )


def test_a_card_from_very_many_comparisons_counts_as_exact() -> None:
    assert tail_probability(8, mean=1.9, mean_from=1e17) == tail_probability(8, mean=1.9)


def test_known_values_of_the_poisson_tail() -> None:
    assert tail_probability(8, mean=1.9) == pytest.approx(7.9346e-4, rel=1e-4)
    assert tail_probability(1, mean=2.0) == pytest.approx(1 - math.exp(-2))
    assert tail_probability(0, mean=2.0) == 1
    # Between whole numbers the tail decreases.
    assert tail_probability(8, mean=1.9) < tail_probability(7.5, mean=1.9) < tail_probability(7, mean=1.9)


def test_twenty_people_are_190_trials_and_eight_matches_are_too_many() -> None:
    # Subject 2n and 2n + 1 are alike, all others are orthogonal.
    def pairs(alike: int) -> OwnScores:
        rows = [np.eye(D)[[n]] for n in range(20)]
        for n in range(alike):
            rows[2 * n + 1] = 0.8 * np.eye(D)[[2 * n]] + 0.6 * np.eye(D)[[2 * n + 1]]
        return OwnScores(content_of(rows))

    for alike, state in ((7, TransferState.AS_EXPECTED), (8, TransferState.TOO_MANY_MATCHES)):
        check = check_transfer(pairs(alike), CARD)
        assert (check.subjects, check.pairs, check.matches) == (20, 190, alike)
        assert check.expected == pytest.approx(1.9)
        assert check.state is state
        assert check.p_value == pytest.approx(stats.poisson.sf(alike - 1, 1.9), rel=0.02)
    assert in_words(check).startswith(
        "8 of 190 pairs of different subjects match at cosine 0.4066, the card states 1.9: "
    )


def test_templates_of_one_subject_are_one_trial() -> None:
    rows = [np.eye(D)[[n]] for n in range(20)]
    rows[1] = np.stack([0.8 * np.eye(D)[0] + 0.6 * np.eye(D)[1], np.eye(D)[1]])
    check = check_transfer(OwnScores(content_of(rows)), CARD)
    assert (check.pairs, check.matches) == (190, 0.5)


@pytest.mark.parametrize("count", [0, 1, 2, MIN_SUBJECTS - 1])
def test_few_subjects_give_no_alarm_and_keep_the_cards_threshold(count: int) -> None:
    own = people(count, alike=0.9)
    check = check_transfer(own, CARD, adapts=True)
    assert (check.state, check.alarm, check.p_value) == (TransferState.TOO_FEW, False, None)
    assert adaptation_of(own, CARD) is None
    assert f"too few subjects to compare with the card: {count}, at least 10 are needed" in in_words(check)
    assert in_words(check).endswith("until then the card's thresholds are used")


@pytest.mark.parametrize("count", [10, 20, 60, 128])
def test_people_like_those_of_the_card_give_no_alarm(count: int) -> None:
    alarms = [check_transfer(people(count, seed), CARD).alarm for seed in range(100)]
    assert sum(alarms) <= 1


def test_people_who_look_alike_to_the_model_give_an_alarm() -> None:
    assert all(check_transfer(people(20, seed, alike=0.3), CARD).alarm for seed in range(100))


def test_a_card_from_few_people_is_less_certain() -> None:
    few = NonMatedScores(0.0, SD, 2.3 * SD, 0.01, comparisons=300, subjects=25)
    own = people(100, alike=0.02)
    assert check_transfer(own, few).p_value > check_transfer(own, CARD).p_value  # type: ignore[operator]


@pytest.mark.parametrize("alike", [0.0, 0.1, 0.5, 0.9])
def test_an_adapted_threshold_is_never_lower(alike: float) -> None:
    adaptation = adaptation_of(people(20, alike=alike), CARD)
    assert adaptation is not None
    for threshold in (-1.0, -0.3, 0.0, 0.2, 0.5, 0.9, 1.0):
        assert threshold <= adaptation.raised(threshold) <= 1


def test_an_adapted_threshold_has_the_same_place_among_the_scores() -> None:
    adaptation = Adaptation(CARD, ScoreMoments(0.3, 1.5 * SD, 0))
    assert adaptation.raised(2 * SD) == pytest.approx(0.3 + 3 * SD)
    assert adaptation.raised(0.99) == 1
    assert Adaptation(CARD, ScoreMoments(-0.3, SD, 0)).raised(0.2) == 0.2


def test_one_person_under_two_names_raises_no_threshold() -> None:
    rows = list(unit(1, 20)[:, np.newaxis])
    honest = adaptation_of(OwnScores(content_of(rows)), CARD)
    twice = unit(2, 1) + 0.05 * unit(3, 1)
    rows[4], rows[7] = unit(2, 1), twice / np.linalg.norm(twice)
    own = OwnScores(content_of(rows))
    adaptation, check = adaptation_of(own, CARD), check_transfer(own, CARD, adapts=True)
    assert honest is not None
    assert adaptation is not None
    assert adaptation.raised(0.7) == pytest.approx(honest.raised(0.7), abs=0.06)
    assert (check.alarm, check.set_aside) == (False, 1)
    assert "1 pair is left out" in in_words(check)
