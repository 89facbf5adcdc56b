"""Promises of 1:N evidence, on simulated subjects: claims keep the FPIR of other people, intervals contain the true rate."""

import pytest

from tools.coverage import POPULATIONS
from tools.coverage_identification import Truth, measure_doors, measure_intervals

MILD, HARD = POPULATIONS


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.of(HARD, enrolled=20, templates=1, rounds=1)


def test_intervals_contain_the_true_rate_and_claims_keep_it(truth: Truth) -> None:
    tally = measure_intervals(HARD, truth, subjects=80, enrolled=20, templates=1, draws=40, fpirs=(0.1,))[0.1]
    assert len(tally.fpir.worse) == 40
    assert sum(tally.fpir.worse) <= 4
    assert sum(tally.fnir.worse) + sum(tally.fnir.better) <= 4
    assert sum(tally.first.worse) <= 4
    assert len(tally.claim.ratios) > 20
    assert sum(ratio > 1 for ratio in tally.claim.ratios) <= 4


def test_a_threshold_for_a_search_keeps_the_fpir_of_galleries() -> None:
    truth = Truth.of(MILD, enrolled=10, templates=1, rounds=1)
    (row,) = measure_doors(MILD, [truth], subjects=100, galleries=[(10, 1)], draws=30, fpirs=(0.1,))
    assert len(row.claim.ratios) > 20
    assert sum(ratio > 1 for ratio in row.claim.ratios) <= 4
    # Without the upper limit, about half of the thresholds would not.
    assert sum(ratio > 1 for ratio in row.measured.ratios) >= 8


def test_the_truth_is_that_of_its_own_threshold(truth: Truth) -> None:
    assert truth.fpir(truth.threshold(0.05)) == pytest.approx(0.05, abs=1e-3)
    assert truth.fnir(2.0) == 1.0
