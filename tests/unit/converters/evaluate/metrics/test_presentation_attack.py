"""APCER and BPCER as ISO/IEC 30107-3 counts them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.presentation_attack import (
    presentation_attack_rates,
    threshold_at_apcer,
    upper_bound,
)
from edge_sdk.errors import InputError


def test_rates_are_counted_per_species_and_the_worst_is_the_figure() -> None:
    attacks = {"print": np.array([0.1, 0.2, 0.6, 0.5]), "screen": np.array([0.1, 0.2])}
    found = presentation_attack_rates(np.array([0.9, 0.8, 0.4, 0.5]), attacks, threshold=0.5)
    assert (found.refused, found.bpcer) == (1, 0.25)
    assert (found.apcer, found.worst_species) == (0.5, "print")
    assert [(s.species, s.passed, s.presentations) for s in found.species] == [
        ("print", 2, 4),
        ("screen", 0, 2),
    ]
    assert found.species[1].apcer_at_most > 0.5  # two attacks prove nothing
    assert found.to_dict()["apcer"] == 0.5


def test_no_score_refuses_a_person_and_lets_no_attack_pass() -> None:
    found = presentation_attack_rates(np.array([np.nan, 0.9]), {"print": np.array([np.nan])}, threshold=0.5)
    assert (found.bpcer, found.apcer) == (0.5, 0.0)


@given(st.integers(1, 400), st.data())
def test_the_bound_is_clopper_and_pearsons(trials: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, trials))
    wanted = 1.0 if errors == trials else beta.ppf(0.95, errors + 1, trials - errors)
    assert upper_bound(errors, trials) == pytest.approx(wanted, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.05, 0.3]))
def test_a_threshold_keeps_its_promise_and_no_lower_one_does(seed: int, apcer: float) -> None:
    rng = np.random.default_rng(seed)
    attacks = {"a": rng.random(100).round(2), "b": rng.random(73).round(2)}
    threshold = threshold_at_apcer(attacks, apcer)
    assert isinstance(threshold, float)
    found = presentation_attack_rates(np.ones(3), attacks, threshold=threshold)
    assert found.apcer <= apcer
    lower = presentation_attack_rates(np.ones(3), attacks, threshold=float(np.nextafter(threshold, -1)))
    assert lower.apcer > apcer


def test_a_claim_takes_attacks_of_every_species() -> None:
    found = threshold_at_apcer({"print": np.zeros(300), "mask": np.zeros(299)}, 0.01)
    assert isinstance(found, Unsupported)
    assert (found.needed, found.found) == (300, 299)
    assert "mask" in found.reason


@pytest.mark.parametrize(
    ("people", "attacks"),
    [
        (np.array([]), {"print": np.ones(1)}),
        (np.ones(1), {}),
        (np.ones(1), {"print": np.array([])}),
        (np.array([np.inf]), {"print": np.ones(1)}),
        (np.ones((2, 2)), {"print": np.ones(1)}),
    ],
)
def test_what_cannot_be_counted_is_refused(people: np.ndarray, attacks: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="expected"):
        presentation_attack_rates(people, attacks, threshold=0.5)
