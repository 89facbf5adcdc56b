"""Plans of an evaluation: the number of subjects, checked against claims of drawn data sets."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import AllPairs, Unsupported
from converters.evaluate.metrics.claims import claim_at
from converters.evaluate.metrics.planning import (
    TYPICAL,
    Dependence,
    make_plan,
    measure_dependence,
    measure_fnmr,
)
from edge_sdk.errors import InputError
from edge_sdk.model.operating_point import subjects_needed
from tests.drawn_embeddings import unit_rows


def people(subjects: int, images: int, *, seed: int) -> AllPairs:
    """Draw subjects of unequal difficulty, some of them alike."""
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(1).normal(size=(8, 48))
    own = rng.normal(size=(subjects, 48)) + 0.4 * shared[rng.integers(8, size=subjects)]
    labels = np.repeat(np.arange(subjects), images)
    level = 0.6 * np.exp(0.3 * rng.normal(size=subjects))[labels, None]
    rows = own[labels] + level * rng.normal(size=(labels.size, 48))
    return AllPairs(unit_rows(rows), labels)


@pytest.mark.parametrize("images", [1, 2, 4])
def test_the_planned_number_of_subjects_supports_the_claim_in_most_draws(images: int) -> None:
    (row,) = make_plan([1e-2], images_per_subject=images, margin=0.003).claims
    supported = 0
    for draw in range(40):
        data = people(row.subjects[1], images, seed=draw)
        tagged = data.with_subjects(-2.0)
        supported += not isinstance(claim_at(tagged, tagged.design(), 1e-2), Unsupported)
    assert supported >= 34


def test_a_plan_needs_at_least_the_subjects_of_the_rule_of_three() -> None:
    plan = make_plan([1e-3, 1e-4, 1e-3], images_per_subject=4, margin=0.003)
    assert [row.fmr for row in plan.claims] == [1e-3, 1e-4]
    for row in plan.claims:
        assert row.least == subjects_needed(row.fmr)
        assert row.least <= row.subjects[0] <= row.subjects[1] < row.comfortable[1]
        assert row.tar_interval is not None and row.tar_interval[0] < 0.95 < row.tar_interval[1]
    assert plan.dependence == TYPICAL
    assert 150 < plan.difference.subjects[0] < plan.difference.subjects[1] < 1000


def test_more_images_of_each_subject_need_fewer_subjects() -> None:
    numbers = [make_plan([1e-4], images_per_subject=k, margin=0.003).claims[0].subjects[1] for k in (1, 2, 8)]
    assert numbers[0] > numbers[1] > numbers[2] >= subjects_needed(1e-4)
    assert make_plan([1e-4], images_per_subject=1, margin=0.003).claims[0].tar_interval is None


def test_a_smaller_margin_needs_more_subjects() -> None:
    wide, narrow = (
        make_plan([1e-2], images_per_subject=2, margin=d).difference.subjects for d in (0.01, 0.001)
    )
    assert narrow[0] == pytest.approx(100 * wide[0], rel=0.05)


def test_effective_comparisons_follow_the_model() -> None:
    independent = Dependence(1e-2, 0.0, 0.0)
    assert independent.effective(1e-2, 100, 1) == pytest.approx(100 * 99 / 2)
    assert independent.effective(1e-2, 100, 3) == pytest.approx(9 * 100 * 99 / 2)
    assert Dependence(1e-2, 0.25, 0.0).effective(1e-2, 1e6, 1) == pytest.approx(
        1e6 / (4 * 0.25 * 1e-2), rel=1e-3
    )


def test_a_pilot_measures_the_dependence() -> None:
    measured = measure_dependence(people(60, 4, seed=1))
    assert not isinstance(measured, Unsupported)
    dependence, fnmr = measured
    assert 0 <= dependence.alike < 0.6 and 0 <= dependence.unequal < 2
    assert 0 <= fnmr < 0.5 and dependence.trials_per_subject >= 1
    plan = make_plan(
        [1e-3], images_per_subject=4, margin=0.003, dependence=(dependence, dependence), pilot="p"
    )
    assert plan.claims[0].subjects[0] == plan.claims[0].subjects[1]
    refused = measure_dependence(people(5, 4, seed=1))
    assert isinstance(refused, Unsupported) and "found 5 subjects" in refused.reason


def test_each_fmr_has_the_fnmr_that_a_pilot_measures_at_it() -> None:
    data = people(60, 4, seed=1)
    measured = measure_fnmr(data, [1e-1, 1e-2, 1e-3, 1e-6])
    assert [measured[fmr][1] for fmr in (1e-1, 1e-2, 1e-3, 1e-6)] == [1e-1, 1e-2, 1e-3, 1e-3]
    assert 1e-3 <= measured[1e-1][0] < measured[1e-2][0] < measured[1e-3][0] == measured[1e-6][0]
    high, low = make_plan([1e-2, 1e-3], images_per_subject=4, margin=0.003, measured=measured).claims
    for row in (high, low):
        assert (row.fnmr, row.fnmr_at) == measured[row.fmr]
        assert row.tar_interval is not None and row.tar_interval[0] < 1 - row.fnmr < row.tar_interval[1]


def test_the_least_pilot_of_the_guide_is_enough() -> None:
    """16 subjects with 3 images each have 1,080 non-mated comparisons; 12 have 594."""
    assert not isinstance(measure_dependence(people(16, 3, seed=2)), Unsupported)
    refused = measure_dependence(people(12, 3, seed=2))
    assert isinstance(refused, Unsupported)
    assert refused.reason.endswith("1,000 non-mated comparisons, found 12 subjects and 594 comparisons")


def test_alike_images_of_a_subject_are_measured_as_alike() -> None:
    """Copies of one image of each subject are worth one image."""
    single = people(60, 1, seed=3)
    copies = AllPairs(np.repeat(single.vectors, 3, axis=0), np.repeat(np.arange(60), 3))
    measured = measure_dependence(copies)
    assert not isinstance(measured, Unsupported)
    assert measured[0].alike == pytest.approx(1.0, abs=0.05)


def test_values_outside_their_range_are_refused() -> None:
    with pytest.raises(InputError, match="images per subject, found 0"):
        make_plan([1e-2], images_per_subject=0, margin=0.003)
    with pytest.raises(InputError, match="FMR of at least 1e-9"):
        make_plan([1e-12], images_per_subject=2, margin=0.003)
    with pytest.raises(InputError, match="more than 10,000,000 subjects"):
        make_plan([1e-9], images_per_subject=2, margin=0.003, dependence=(Dependence(1e-2, 1e9, 1.0),) * 2)
    with pytest.raises(InputError, match="a margin of at least 1e-15"):
        make_plan([1e-2], images_per_subject=2, margin=1.0)
