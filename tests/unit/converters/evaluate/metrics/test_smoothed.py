"""Kernel-smoothed differences, compared with direct sums over all comparisons, and verdicts against a margin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from converters.evaluate.metrics import (
    AllPairs,
    Interval,
    ListedPairs,
    SmoothedDifference,
    Unsupported,
    judge,
)
from converters.evaluate.metrics.smoothed import BANDWIDTH, pooled_difference, smoothed_differences
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray
from tests.drawn_embeddings import unit_rows


def population(
    subjects: int = 60, *, noise: float = 0.7, seed: int = 0, most: int = 6
) -> tuple[FloatArray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(subjects), rng.integers(2, most + 1, subjects))
    level = noise * np.exp(0.3 * rng.normal(size=subjects))[labels, None]
    drawn = rng.normal(size=(subjects, 32))[labels] + level * rng.normal(size=(labels.size, 32))
    return unit_rows(drawn), labels


def disturbed(vectors: FloatArray, noise: float, *, seed: int = 5) -> FloatArray:
    rng = np.random.default_rng(seed)
    return unit_rows(vectors + noise * rng.normal(size=vectors.shape) / np.sqrt(vectors.shape[1]))


def direct_tar(
    vectors: FloatArray, labels: np.ndarray, fmr: float, keep: np.ndarray, bandwidth: float
) -> float:
    """Compute the smoothed TAR of the kept images pair by pair."""
    first, second = np.triu_indices(labels.size, 1)
    used = keep[first] & keep[second]
    first, second = first[used], second[used]
    scores = np.einsum("ij,ij->i", vectors[first].astype(float), vectors[second].astype(float))
    same = labels[first] == labels[second]
    low, high = -1.5, 1.5
    for _ in range(60):
        middle = (low + high) / 2
        rate = ndtr((scores[~same] - middle) / bandwidth).mean()
        low, high = (middle, high) if rate > fmr else (low, middle)
    accepted = ndtr((scores[same] - low) / bandwidth)
    owners = labels[first[same]]
    shares = [accepted[owners == owner].mean() for owner in np.unique(owners)]
    return float(np.mean(shares))


def stated(row: SmoothedDifference | Unsupported) -> SmoothedDifference:
    assert isinstance(row, SmoothedDifference)
    return row


@pytest.mark.parametrize("fmr", [0.05, 0.01])
def test_a_smoothed_difference_is_that_of_direct_sums(fmr: float) -> None:
    vectors, labels = population()
    other = disturbed(vectors, 0.3)
    data, changed = AllPairs(vectors, labels), AllPairs(other, labels)
    row = stated(smoothed_differences(data, changed, fmrs=[fmr])[0])
    assert row.baseline_bandwidth == pytest.approx(BANDWIDTH * (data.scores().non_mated_sd or 0))
    everyone = np.ones(labels.size, bool)
    before = direct_tar(vectors, labels, fmr, everyone, row.baseline_bandwidth)
    after = direct_tar(other, labels, fmr, everyone, row.candidate_bandwidth)
    assert (row.baseline_tar, row.candidate_tar) == pytest.approx((before, after), abs=1e-4)
    assert row.difference == pytest.approx(after - before, abs=2e-5)
    assert row.interval.replicates == 60 and row.subjects == 60


def test_the_standard_error_is_that_of_leaving_out_each_subject() -> None:
    """With as many groups as subjects, a group is one subject."""
    vectors, labels = population(12, most=4)
    other = disturbed(vectors, 0.5)
    row = stated(smoothed_differences(AllPairs(vectors, labels), AllPairs(other, labels), fmrs=[0.1])[0])
    changes = []
    for subject in range(12):
        keep = labels != subject
        tars = (
            direct_tar(rows, labels, 0.1, keep, bandwidth)
            for rows, bandwidth in ((vectors, row.baseline_bandwidth), (other, row.candidate_bandwidth))
        )
        before, after = tars
        changes.append(after - before)
    expected = np.sqrt(11 / 12 * ((np.array(changes) - np.mean(changes)) ** 2).sum())
    assert row.standard_error == pytest.approx(expected, rel=0.01)


def test_one_subject_with_most_of_the_loss_lengthens_the_interval_below() -> None:
    vectors, labels = population(60)
    everywhere = stated(
        pooled_difference(AllPairs(vectors, labels), AllPairs(disturbed(vectors, 0.4), labels))
    )
    changed = np.where(labels[:, None] == 7, disturbed(vectors, 4.0), vectors)
    alone = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(changed, labels)))

    def below(row: SmoothedDifference) -> float:
        return (row.difference - row.interval.low) / row.standard_error

    assert 2.0 < below(everywhere) < 2.9
    assert below(alone) > 4.0
    assert (alone.interval.high - alone.difference) / alone.standard_error < 2.4


def test_the_interval_is_mirrored_if_the_artefacts_are_exchanged() -> None:
    vectors, labels = population(60)
    first, second = AllPairs(vectors, labels), AllPairs(disturbed(vectors, 0.4), labels)
    row, mirrored = stated(pooled_difference(first, second)), stated(pooled_difference(second, first))
    assert (mirrored.interval.low, mirrored.interval.high) == pytest.approx(
        (-row.interval.high, -row.interval.low), abs=1e-12
    )


def test_listed_pairs_give_the_figures_of_all_pairs() -> None:
    vectors, labels = population()
    other = disturbed(vectors, 0.2)
    first, second = np.triu_indices(labels.size, 1)
    whole = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(other, labels)))
    listed = stated(
        pooled_difference(
            ListedPairs(vectors, labels, first, second), ListedPairs(other, labels, first, second)
        )
    )
    assert listed.difference == pytest.approx(whole.difference, abs=1e-9)
    assert listed.standard_error == pytest.approx(whole.standard_error, rel=1e-6)


def test_the_size_of_tiles_changes_no_figure() -> None:
    vectors, labels = population(30)
    other = disturbed(vectors, 0.2)
    rows = [
        stated(pooled_difference(AllPairs(vectors, labels, size), AllPairs(other, labels, size)))
        for size in (7, 256)
    ]
    assert rows[0].difference == pytest.approx(rows[1].difference, abs=1e-12)


def test_an_offset_common_to_all_scores_changes_nothing() -> None:
    """The score of [a x, b] and [a y, b] is a a (x y) + b b."""
    vectors, labels = population()
    common = np.full((labels.size, 1), 0.6, np.float32)
    shifted = unit_rows(np.concatenate([0.8 * vectors, common], axis=1))
    row = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(shifted, labels)))
    assert abs(row.difference) < 2e-4


def test_the_range_of_fmr_is_what_the_pairs_of_subjects_support() -> None:
    for subjects, low, high in ((60, 3 / 1770, 1e-2), (12, 3 / 66, 3 / 66)):
        vectors, labels = population(subjects)
        row = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(disturbed(vectors, 0.1), labels)))
        assert (row.lowest_fmr, row.highest_fmr) == pytest.approx((low, high))


def test_intervals_contain_the_true_difference() -> None:
    """Two artefacts that add noise of the same size to the same embeddings have a true difference of 0."""
    covered, worse = 0, 0
    for draw in range(60):
        vectors, labels = population(40, seed=100 + draw)
        sides = [AllPairs(disturbed(vectors, 0.3, seed=2 * draw + side), labels) for side in (0, 1)]
        row = stated(pooled_difference(*sides, seed=draw))
        covered += row.interval.low <= 0 <= row.interval.high
        worse += judge(row, margin=0.001).verdict == "worse"
    assert covered >= 55
    assert worse <= 3


def test_too_few_subjects_are_refused() -> None:
    vectors, labels = population(9)
    data = AllPairs(vectors, labels)
    row = pooled_difference(data, data)
    assert isinstance(row, Unsupported)
    assert row.reason == "a difference needs at least 10 subjects with two or more images each, found 9"
    (single,) = smoothed_differences(data, data, fmrs=[0.1])
    assert isinstance(single, Unsupported) and single.needed == 10


def test_an_fmr_that_the_subjects_do_not_support_is_refused_in_subjects() -> None:
    vectors, labels = population(60)
    data = AllPairs(vectors, labels)
    high, low = smoothed_differences(data, data, fmrs=[1e-2, 1e-4])
    assert isinstance(high, SmoothedDifference) and isinstance(low, Unsupported)
    assert low.needed == 246 and low.found == 60 and "FMR 0.0001 needs at least 246 subjects" in low.reason


def test_equal_artefacts_are_no_worse_except_for_people_who_are_not_in_the_data() -> None:
    vectors, labels = population(60)
    row = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(vectors, labels)))
    assert row.difference == 0 and row.standard_error == 0
    assert (row.interval.low, row.interval.high) == (0, 0)
    verdict = judge(row, margin=0.001)
    assert (verdict.verdict, verdict.more_subjects) == ("no worse", None)
    assert verdict.unseen_share == pytest.approx(3 / 60, rel=0.03)
    nearly = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(disturbed(vectors, 1e-4), labels)))
    assert judge(nearly, margin=0.001).verdict == "no worse"


def test_quantized_and_equal_scores_are_evaluated() -> None:
    vectors, labels = population(40)
    coarse = unit_rows(np.round(4 * vectors))
    row = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(coarse, labels)))
    assert row.interval.low < row.difference < row.interval.high
    equal = np.zeros_like(vectors)
    equal[:, 0] = 1.0
    flat = stated(pooled_difference(AllPairs(vectors, labels), AllPairs(equal, labels)))
    assert flat.difference < -0.5 and np.isfinite(flat.standard_error)


def test_images_of_other_subjects_are_refused() -> None:
    vectors, labels = population(20)
    with pytest.raises(InputError, match="the same images in the same order"):
        pooled_difference(AllPairs(vectors, labels), AllPairs(vectors, labels[::-1].copy()))
    with pytest.raises(InputError, match="the same images in the same order"):
        smoothed_differences(AllPairs(vectors, labels), AllPairs(vectors, labels[::-1].copy()), fmrs=[0.1])
    with pytest.raises(InputError, match=r"10..1000 groups"):
        pooled_difference(AllPairs(vectors, labels), AllPairs(vectors, labels), groups=2)


def test_one_image_of_each_subject_gives_no_difference() -> None:
    vectors, _ = population(20)
    single = AllPairs(vectors[:12], np.arange(12))
    row = pooled_difference(single, single)
    assert isinstance(row, Unsupported) and row.found == 0


def row_of(low: float, high: float) -> SmoothedDifference:
    middle = (low + high) / 2
    bounds = Interval(low, high, 0.95, 20, "")
    return SmoothedDifference(1e-4, 1e-2, 0.9, 0.9, middle, (high - low) / 4.186, bounds, 100, 0.03, 0.03)


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((-0.0029, 0.01), "no worse"),
        ((-0.004, -0.0031), "worse"),
        ((-0.0031, 0.01), "cannot tell"),
        ((-0.02, -0.0029), "cannot tell"),
    ],
)
def test_a_verdict_compares_the_whole_interval_with_the_margin(
    ends: tuple[float, float], verdict: str
) -> None:
    assert judge(row_of(*ends), margin=0.003).verdict == verdict


def test_the_number_of_further_subjects_follows_from_the_standard_error() -> None:
    """With 100 subjects and standard error e, 2.093 e + 0.842 e must fall to the distance from the margin."""
    row = row_of(-0.006, 0.006)
    error = 0.012 / 4.186
    expected = 100 * ((0.006 + 0.842 * error) / 0.003) ** 2 - 100
    assert judge(row, margin=0.003).more_subjects == pytest.approx(expected, abs=2)
    assert judge(row_of(-0.006, 0.0), margin=0.003).more_subjects is None
    with pytest.raises(InputError, match="a margin of at least 1e-15"):
        judge(row, margin=0.0)
