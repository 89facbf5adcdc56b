"""Error rates by group: variances, tests, thresholds and changes."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.curves import threshold_at_fmr
from converters.evaluate.metrics.dyadic import PairDesign, dyadic_variance, log_ratio_variance
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.group_changes import group_changes
from converters.evaluate.metrics.group_evidence import GroupsEvidence, WorstGroupThreshold
from converters.evaluate.metrics.group_tests import (
    MatchCount,
    SubjectValues,
    holm,
    pair_rate,
    rate_test,
    value_tests,
)
from converters.evaluate.metrics.groups import measure_groups
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray

DIMENSION = 48


def people(
    seed: int, sizes: tuple[int, ...], *, alike: float = 0.0, noisy: float = 0.0, images: int = 4
) -> tuple[FloatArray, np.ndarray, np.ndarray]:
    """Draw embeddings; subjects of group 0 share a direction (more false matches) or have more noise (more misses)."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(size=(group.size, DIMENSION)) / np.sqrt(DIMENSION)
    centres[group == 0, 0] += alike
    subject = np.repeat(np.arange(group.size), images)
    spread = 0.6 * np.exp(0.3 * rng.normal(size=group.size)) * np.where(group == 0, 1.0 + noisy, 1.0)
    vectors = centres[subject] + spread[subject, None] * rng.normal(size=(subject.size, DIMENSION)) / np.sqrt(
        DIMENSION
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), subject, group


def names_of(subject: np.ndarray) -> tuple[list[str], list[str]]:
    subjects = [f"s{number:04}" for number in subject]
    return [f"{name}/{place}.jpg" for place, name in enumerate(subjects)], subjects


def covariates_of(subject: np.ndarray, group: np.ndarray) -> Covariates:
    rows = {f"s{number:04}": (f"group {group[number]}",) for number in np.unique(subject)}
    return Covariates("groups.csv", "0" * 64, False, ("camera",), rows)


def measured(
    vectors: FloatArray, subject: np.ndarray, group: np.ndarray, fmrs: tuple[float, ...] = (1e-2,)
) -> GroupsEvidence:
    comparisons = AllPairs(vectors, subject)
    scores = comparisons.scores()
    thresholds = []
    for fmr in fmrs:
        threshold = threshold_at_fmr(scores, fmr)
        assert not isinstance(threshold, Unsupported)
        thresholds.append((fmr, threshold))
    return measure_groups(
        comparisons, covariates_of(subject, group), *names_of(subject), thresholds=thresholds
    )


@pytest.mark.parametrize("kind", ["within", "across", "across with shared subjects"])
def test_designs_of_groups_give_the_variance_of_listed_comparisons(kind: str) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 3, size=(9, 2))
    if kind == "across":
        images[:4, 0] = 0
        images[4:, 1] = 0
    owner = [(s, g) for s in range(9) for g in range(2) for _ in range(images[s, g])]
    pairs = []
    for (s, g), (t, h) in itertools.combinations(owner, 2):
        if s != t and (g == h) == (kind == "within"):
            pairs.append((s, t, bool(rng.random() < 0.2 + 0.3 * (s % 3 == 0))))
    design = (
        PairDesign.within_groups(images)
        if kind == "within"
        else PairDesign.across_groups(images[:, 0], images[:, 1])
    )
    matches = [(s, t) for s, t, match in pairs if match]
    first, second = np.array(matches).T
    assert design.trials == len(pairs)
    assert design.dyads == len({frozenset((s, t)) for s, t, _ in pairs})
    listed = PairDesign.of_pairs(*np.array([(s, t) for s, t, _ in pairs]).T, 9)
    assert dyadic_variance(design, first, second).value == pytest.approx(
        dyadic_variance(listed, first, second).value, rel=1e-9
    )


def test_the_variance_of_a_log_ratio_is_zero_if_both_files_have_the_same_false_matches() -> None:
    matches = np.array([0, 1, 2]), np.array([3, 4, 5])
    assert log_ratio_variance(matches, matches, 6).value == pytest.approx(0.0, abs=1e-12)
    assert log_ratio_variance(matches, (np.array([0]), np.array([3])), 6).value > 0


def test_rates_of_groups_add_up_to_the_rates_of_all_comparisons() -> None:
    vectors, subject, group = people(1, (20, 25, 30))
    evidence = measured(vectors, subject, group)
    (point,) = evidence.covariates[0].points
    scores = AllPairs(vectors, subject).scores()
    rows = point.within + point.across
    assert sum(row.non_mated_trials for row in rows) == scores.non_mated_trials
    assert sum(row.false_matches for row in rows) == scores.false_matches(np.array([point.threshold]))[0]
    assert sum(row.mated_trials for row in rows) == scores.mated_trials
    assert (
        sum(row.false_non_matches for row in rows) == scores.false_non_matches(np.array([point.threshold]))[0]
    )
    assert [row.subjects for row in point.within] == [20, 25, 30]
    for row in point.within:
        assert row.fmr_interval is not None and row.fmr is not None
        assert row.fmr_interval.low <= row.fmr <= row.fmr_interval.high


def test_listed_pairs_give_the_same_rates_as_all_pairs() -> None:
    vectors, subject, group = people(2, (12, 15), images=3)
    first, second = np.triu_indices(len(subject), 1)
    thresholds = [(1e-2, 0.35)]
    covariates, names = covariates_of(subject, group), names_of(subject)
    of_all = measure_groups(AllPairs(vectors, subject), covariates, *names, thresholds=thresholds)
    listed = ListedPairs(vectors, subject, first, second)
    of_list = measure_groups(listed, covariates, *names, thresholds=thresholds)
    assert of_all == of_list


def test_a_group_with_more_false_matches_and_one_with_more_misses_are_flagged() -> None:
    alike = measured(*people(5, (30, 30, 40), alike=0.45)).covariates[0].flagged()
    assert ("group 0", "FMR") in [(test.group, test.rate) for _, test in alike if test.value > test.others]
    noisy = measured(*people(5, (30, 30, 40), noisy=0.7)).covariates[0].flagged()
    assert ("group 0", "FNMR") in [(test.group, test.rate) for _, test in noisy if test.value > test.others]


def test_false_alarms_are_rare_without_a_differential() -> None:
    alarms = sum(
        bool(measured(*people(seed, (20, 25, 40)), fmrs=(1e-2,)).covariates[0].flagged())
        for seed in range(30)
    )
    assert alarms <= 4  # 1.5 expected at the level 0.05; more than 4 has a probability of 1.6 %


def test_permutation_p_values_are_exact_without_a_difference() -> None:
    rng = np.random.default_rng(7)
    p_values = []
    for seed in range(60):
        sums = np.zeros((36, 2))
        group = np.repeat([0, 1], [12, 24])
        sums[np.arange(36), group] = rng.binomial(4, rng.beta(0.2, 2, size=36))
        trials = np.zeros((36, 2))
        trials[np.arange(36), group] = 4
        p_values.append(value_tests(SubjectValues(sums, trials), seed=seed)[0])
    assert np.mean([value is not None and value <= 0.2 for value in p_values]) <= 0.35
    assert value_tests(SubjectValues(sums, trials), seed=1) == value_tests(
        SubjectValues(sums, trials), seed=1
    )


def test_a_group_of_fewer_than_ten_subjects_is_not_tested_and_is_named() -> None:
    evidence = measured(*people(3, (6, 30, 30)))
    (covariate,) = evidence.covariates
    assert "group 0" not in {test.group for point in covariate.points for test in point.tests}
    small = {(row.group, row.figure): (row.subjects, row.needed) for row in covariate.small}
    assert small["group 0", "a test of the FNMR"] == (6, 10)
    assert small["group 0", "the claim FMR 0.01"] == (6, 25)


def test_pairs_of_subjects_weigh_alike_in_the_test_of_the_fmr() -> None:
    images = np.array([[1], [1], [40]])
    design = PairDesign.within_groups(images)
    matches = np.array([0] * 20 + [0]), np.array([2] * 20 + [1])
    rate = pair_rate(MatchCount(design, *matches))
    assert rate.rate == pytest.approx((20 / 40 + 1 / 1 + 0) / 3)
    assert rate.pairs == 3


def test_one_image_of_each_subject_makes_the_mean_over_pairs_the_fmr() -> None:
    rng = np.random.default_rng(4)
    first, second = np.triu_indices(30, 1)
    hits = rng.random(first.size) < 0.05
    count = MatchCount(PairDesign.of_pairs(first, second, 30), first[hits], second[hits])
    assert pair_rate(count).rate == count.rate
    assert pair_rate(count).effective == pytest.approx(count.effective())
    images = MatchCount(PairDesign.of_images(np.ones(30, dtype=np.int64)), first[hits], second[hits])
    assert pair_rate(images) == pair_rate(count)


def test_a_difference_of_zero_against_zero_false_matches_is_not_significant() -> None:
    none = np.empty(0, dtype=np.int64)
    count = MatchCount(PairDesign.of_images(np.full(20, 3)), none, none)
    assert rate_test(pair_rate(count), pair_rate(count)) == 1.0


def test_holm_adjusts_for_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []


def test_the_worst_group_threshold_is_that_of_the_group_with_the_most_false_matches() -> None:
    evidence = measured(*people(5, (40, 40, 12), alike=0.45))
    (point,) = evidence.covariates[0].points
    worst = point.worst_group
    assert isinstance(worst, WorstGroupThreshold)
    assert worst.group == "group 0"
    assert worst.threshold == max(threshold for _, threshold in worst.thresholds) > point.threshold
    assert [name for name, _ in worst.without_claim] == ["group 2"]
    assert worst.without_claim[0][1] == "FMR 0.01 needs at least 25 subjects, found 12"
    assert worst.tar_before is not None and worst.tar_after is not None
    assert worst.tar_after < worst.tar_before


def test_no_group_supports_a_claim() -> None:
    (point,) = measured(*people(5, (12, 12, 12))).covariates[0].points
    assert isinstance(point.worst_group, Unsupported)
    assert point.worst_group.needed == 25


def test_covariates_of_images_compare_images_of_one_subject_across_groups() -> None:
    vectors, subject, _ = people(6, (30,), images=4)
    names, subjects = names_of(subject)
    rows = {name: ("glasses" if place % 2 else "none",) for place, name in enumerate(names)}
    covariates = Covariates("glasses.csv", "0" * 64, True, ("glasses",), rows)
    evidence = measure_groups(
        AllPairs(vectors, subject), covariates, names, subjects, thresholds=[(1e-2, 0.35)]
    )
    (point,) = evidence.covariates[0].points
    (between,) = point.across
    assert between.mated_trials == 30 * 4
    assert [row.mated_trials for row in point.within] == [30, 30]
    assert {test.rate for test in point.tests} == {"FMR", "FNMR"}


def test_images_without_a_group_take_part_in_no_figure() -> None:
    vectors, subject, group = people(1, (15, 15, 10))
    covariates = covariates_of(subject, group)
    rows = {key: value for key, value in covariates.rows.items() if value != ("group 2",)}
    partial = Covariates("groups.csv", "0" * 64, False, ("camera",), rows)
    names, subjects = names_of(subject)
    missing = partial.check(names, subjects)
    assert len(missing) == 10
    evidence = measure_groups(
        AllPairs(vectors, subject),
        partial,
        names,
        subjects,
        thresholds=[(1e-2, 0.35)],
        without_row=missing,
    )
    assert evidence.without_row == 10 and evidence.without_row_names[0] == "s0030"
    (point,) = evidence.covariates[0].points
    assert sum(row.non_mated_trials for row in point.within + point.across) == 16 * (30 * 29 // 2)


def test_covariates_refuse_unknown_subjects_and_files_of_another_data_set() -> None:
    rows = {"alice": ("a",), "bob": ("b",)}
    covariates = Covariates("g.csv", "0" * 64, False, ("camera",), rows)
    with pytest.raises(InputError, match="found 1 unknown: bob"):
        covariates.check(["alice/1.jpg"], ["alice"])
    with pytest.raises(InputError, match=r"rows for the 1 subjects of the data set in g\.csv, found none"):
        covariates.check(["carol/1.jpg"], ["carol"])
    with pytest.raises(InputError, match=r"expected 2..32 groups of camera in g\.csv, found 1"):
        covariates.groupings(["alice/1.jpg"], ["alice"])


def test_a_loss_in_one_group_is_found_by_the_comparison_with_float() -> None:
    vectors, subject, group = people(8, (30, 40, 50))
    rng = np.random.default_rng(1)
    noise = np.where(group[subject] == 0, 0.9, 0.05)[:, None]
    changed = vectors + noise * rng.normal(size=vectors.shape) / np.sqrt(DIMENSION)
    changed = (changed / np.linalg.norm(changed, axis=1, keepdims=True)).astype(np.float32)
    baseline, candidate = AllPairs(vectors, subject), AllPairs(changed, subject)
    thresholds = []
    for fmr in (1e-2,):
        own, other = threshold_at_fmr(baseline.scores(), fmr), threshold_at_fmr(candidate.scores(), fmr)
        assert not isinstance(own, Unsupported) and not isinstance(other, Unsupported)
        thresholds.append((fmr, own, other))
    covariates, names = covariates_of(subject, group), names_of(subject)
    (row,) = group_changes(baseline, candidate, covariates, *names, thresholds=thresholds)
    assert row.changes[0].differs
    assert row.changes[0].fnmr_change is not None and row.changes[0].fnmr_change > 0.1
    assert row.changes[0].fnmr_interval is not None
    assert row.changes[0].fnmr_interval.confidence == pytest.approx(1 - 0.05 / 3)
    assert row.changes[0].fnmr_interval.low > 0


def test_the_same_file_twice_changes_no_group() -> None:
    vectors, subject, group = people(8, (20, 20))
    comparisons = AllPairs(vectors, subject)
    threshold = threshold_at_fmr(comparisons.scores(), 1e-2)
    assert not isinstance(threshold, Unsupported)
    (row,) = group_changes(
        comparisons,
        comparisons,
        covariates_of(subject, group),
        *names_of(subject),
        thresholds=[(1e-2, threshold, threshold)],
    )
    for change in row.changes:
        assert change.fnmr_change == 0.0 and not change.differs
        assert change.fnmr_interval is not None
        assert change.fnmr_interval.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_evidence_of_groups_has_a_deterministic_json_form() -> None:
    first, second = (json.dumps(measured(*people(4, (15, 20))).to_json(), sort_keys=True) for _ in range(2))
    assert first == second
    assert '"kind": "GroupPoint"' in first
