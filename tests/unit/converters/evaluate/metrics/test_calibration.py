"""PAV and Cllr compared with scikit-learn and with values by hand; figures of probabilities of unknown subjects."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from converters.evaluate.metrics.calibration import cllr, min_cllr, pool
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.probability import fit_counts
from converters.evaluate.metrics.probability_evidence import measure_probability
from converters.evaluate.metrics.score_counts import ScoreCounts, fold_counts, fold_of_subjects
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from edge_sdk.errors import InputError
from tests.drawn_embeddings import unit_rows


def people(
    subjects: int, each: int, *, seed: int = 0, noise: float = 0.8, spread: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw unit vectors around a direction per subject; `spread` varies the noise between subjects."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(subjects), each)
    own = noise * np.exp(spread * rng.normal(size=subjects))
    vectors = rng.normal(size=(subjects, 32))[codes] + own[codes, None] * rng.normal(size=(codes.size, 32))
    return unit_rows(vectors), codes


def test_pav_by_hand() -> None:
    # Scores 1, 2, 3, 4 with mated N Y N Y: 2 and 3 violate the order and become one block.
    blocks = pool(ScoreCounts.of(np.array([1.0, 2, 3, 4]), np.array([False, True, False, True])))
    assert blocks.lowest.tolist() == [1, 2, 4]
    assert blocks.highest.tolist() == [1, 3, 4]
    assert blocks.probability(0.5).tolist() == [0.0, 0.5, 1.0]
    assert blocks.probability(0.1).tolist() == pytest.approx([0.0, 0.1, 1.0])
    # The middle block has half of each kind: ratio 1 costs 1 bit for half of the comparisons.
    assert blocks.cllr() == pytest.approx(0.5)


def test_tied_scores_are_one_block() -> None:
    blocks = pool(ScoreCounts.of(np.array([0.3, 0.3, 0.3, 0.7]), np.array([True, False, False, True])))
    assert blocks.lowest.tolist() == [0.3, 0.7]
    assert blocks.mated.tolist() == [0.5, 0.5]
    assert blocks.non_mated.tolist() == [1.0, 0.0]
    assert blocks.cllr() == pytest.approx((0.5 * log2(3) + log2(1.5)) / 2)


@pytest.mark.parametrize("prior", [0.5, 0.01])
def test_pav_against_scikit_learn(prior: float) -> None:
    rng = np.random.default_rng(3)
    truth = np.arange(400) < 80
    scores = np.round(rng.normal(np.where(truth, 0.3, 0.0), 0.2), 2)  # many ties
    weights = np.where(truth, prior / 80, (1 - prior) / 320)
    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, truth, sample_weight=weights)
    blocks = pool(ScoreCounts.of(scores, truth))
    block = np.searchsorted(blocks.lowest, scores, side="right") - 1
    assert blocks.probability(prior)[block] == pytest.approx(reference.predict(scores), abs=1e-9)
    assert (np.diff(blocks.probability(prior)) >= 0).all()
    # Minimum Cllr is the cost of the ratios of the isotonic regression at prior 0.5.
    chance = np.clip(
        IsotonicRegression()
        .fit(scores, truth, sample_weight=np.where(truth, 1 / 80, 1 / 320))
        .predict(scores),
        1e-300,
        1 - 1e-16,
    )
    ratios = np.log(chance) - np.log1p(-chance)
    assert min_cllr(ScoreCounts.of(scores, truth)) == pytest.approx(
        cllr(ratios[truth], ratios[~truth]), abs=1e-9
    )


def test_cllr_by_hand() -> None:
    assert cllr(np.zeros(3), np.zeros(5)) == pytest.approx(1.0)  # ratios of 1 say nothing
    assert cllr(np.array([log(3)]), np.array([-log(3)])) == pytest.approx(log2(4 / 3))
    assert cllr(np.array([-log(7)]), np.array([log(7)])) == pytest.approx(3.0)  # the wrong way: log2(1 + 7)
    assert cllr(np.array([50.0]), np.array([-50.0])) == pytest.approx(0.0, abs=1e-12)
    twice = cllr(np.array([1.0, -2]), np.array([-3.0]), weights=(np.array([2.0, 1.0]), np.array([9.0])))
    assert twice == pytest.approx(cllr(np.array([1.0, 1, -2]), np.array([-3.0])))


def test_bounds_of_min_cllr() -> None:
    apart = ScoreCounts.of(np.array([0.1, 0.2, 0.8]), np.array([False, False, True]))
    reversed_kinds = ScoreCounts.of(np.array([0.1, 0.2, 0.8]), np.array([True, True, False]))
    assert (min_cllr(apart), min_cllr(reversed_kinds)) == (0.0, 1.0)
    with pytest.raises(InputError, match="both kinds"):
        min_cllr(ScoreCounts.of(np.array([0.1]), np.array([True])))


def test_folds_have_equal_numbers_of_subjects_and_images() -> None:
    codes = np.repeat(np.arange(30), [20, 18] + [2] * 14 + [1] * 14)
    fold = fold_of_subjects(codes, 5)
    assert np.bincount(fold).tolist() == [6] * 5
    assert fold[0] != fold[1]
    assert np.array_equal(fold, fold_of_subjects(codes, 5))


@pytest.mark.parametrize("block_rows", [7, 256])
def test_counts_by_folds_against_single_comparisons(block_rows: int) -> None:
    vectors, codes = people(9, 4)
    order = np.random.default_rng(1).permutation(codes.size)
    vectors, codes = vectors[order], codes[order]
    counted = fold_counts(AllPairs(vectors, codes, block_rows=block_rows), 4)
    fold = fold_of_subjects(codes, 4)
    first, second = np.triu_indices(codes.size, 1)
    listed = fold_counts(ListedPairs(vectors, codes, first, second), 4)
    assert np.array_equal(counted.mated, listed.mated)
    assert np.array_equal(counted.non_mated, listed.non_mated)
    left, right = fold[codes[first]], fold[codes[second]]
    mated = codes[first] == codes[second]
    for a, b in ((0, 0), (1, 3), (3, 1)):
        outside = ~np.isin(left, (a, b)) & ~np.isin(right, (a, b))
        assert counted.without(a, b).mated_trials == (mated & outside).sum()
        assert counted.without(a, b).non_mated_trials == (~mated & outside).sum()
        inside = ((left == a) & (right == b)) | ((left == b) & (right == a))
        assert counted.of(a, b).mated_trials + counted.of(a, b).non_mated_trials == inside.sum()


def test_each_comparison_is_predicted_without_its_two_subjects() -> None:
    vectors, codes = people(8, 3, noise=1.4)
    pairs = AllPairs(vectors, codes)
    evidence = measure_probability(pairs, data_set="drawn", data_digest="ab" * 32, folds=8)
    assert (evidence.folds, evidence.validation) == (8, "cross-validated by subject, 8 folds")
    first, second = np.triu_indices(codes.size, 1)
    scores = np.einsum("ij,ij->i", vectors[first].astype(float), vectors[second].astype(float))
    left, right = codes[first], codes[second]
    ratios = np.empty(scores.size)
    for k in range(scores.size):  # leave out both subjects, comparison by comparison
        kept = ~np.isin(left, (left[k], right[k])) & ~np.isin(right, (left[k], right[k]))
        fit = fit_counts(ScoreCounts.of(scores[kept], (left == right)[kept]))
        ratios[k] = fit.log_likelihood_ratio(scores[k])
    assert evidence.cllr == pytest.approx(cllr(ratios[left == right], ratios[left != right]), rel=1e-3)
    assert evidence.min_cllr < evidence.in_sample.cllr < evidence.cllr
    assert sum(row.count for row in evidence.bins) == scores.size


@pytest.mark.parametrize("seed", range(4))
def test_in_sample_figures_flatter(seed: int) -> None:
    data = AllPairs(*people(12, 3, seed=seed, noise=1.3, spread=0.5))
    evidence = measure_probability(data, data_set="drawn", data_digest="ab" * 32)
    assert evidence.in_sample.cllr < evidence.cllr
    assert evidence.in_sample.log_loss < evidence.log_loss


@pytest.mark.parametrize(("subjects", "images"), [(3, 3), (2, 4)])
def test_too_few_subjects_give_in_sample_figures_with_the_reason(subjects: int, images: int) -> None:
    evidence = measure_probability(
        AllPairs(*people(subjects, images, noise=1.5)), data_set="drawn", data_digest="ab" * 32
    )
    assert evidence.folds == 0
    assert isinstance(evidence.not_validated, Unsupported)
    assert "four or more subjects" in evidence.not_validated.reason
    assert (evidence.brier, evidence.bins) == (evidence.in_sample.brier, evidence.in_sample.bins)
    assert "not cross-validated" in evidence.validation


def test_one_kind_and_bad_folds_are_refused() -> None:
    vectors, _ = people(4, 2)
    with pytest.raises(InputError, match="both kinds"):
        measure_probability(AllPairs(vectors, np.zeros(8, int)), data_set="drawn", data_digest="ab")
    with pytest.raises(InputError, match="both kinds"):
        measure_probability(AllPairs(vectors, np.arange(8)), data_set="drawn", data_digest="ab")
    with pytest.raises(InputError, match="folds"):
        measure_probability(AllPairs(*people(4, 2)), data_set="drawn", data_digest="ab", folds=2)
    with pytest.raises(InputError, match="folds"):
        fold_counts(AllPairs(*people(4, 2)), 33)


def test_evidence_states_the_prior_and_has_plain_json() -> None:
    data = AllPairs(*people(30, 3, noise=1.2))
    half = measure_probability(data, data_set="drawn", data_digest="ab" * 32)
    rare = measure_probability(data, data_set="drawn", data_digest="ab" * 32, prior=0.01)
    assert (half.platt.prior, rare.platt.prior) == (0.5, 0.01)
    assert half.min_cllr == pytest.approx(rare.min_cllr)  # does not depend on a prior
    assert rare.brier < 0.01 * 0.99  # better than the prior alone
    value = rare.to_json()
    assert isinstance(value["platt"], dict)
    assert value["platt"]["prior"] == 0.01
    lowest, highest, shares = np.array(value["pav"]).T
    assert (lowest <= highest).all()
    assert (np.diff(shares) >= 0).all()
    assert shares.size <= 200
