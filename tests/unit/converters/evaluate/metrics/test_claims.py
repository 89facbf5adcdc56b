"""Claims keep their FMR: exact counts, refusals in subjects, and the true FMR of drawn populations."""

import numpy as np
import pytest
from scipy.stats import chi2, norm

from converters.evaluate.metrics.claims import claim_at, effective_numbers, most_errors
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from converters.evaluate.metrics.verification import operating_points
from converters.evaluate.metrics.verification_evidence import Claim


@pytest.mark.parametrize(
    ("per_rate", "errors"), [(2.9, None), (3.0, 0), (4.7, 0), (4.8, 1), (10, 4), (30, 20), (1000, 947)]
)
def test_the_errors_that_independent_trials_allow(per_rate: float, errors: int | None) -> None:
    trials = per_rate / 1e-3
    assert most_errors(1e-3, trials=trials, effective=trials) == errors
    if errors is not None:
        assert chi2.ppf(0.95, 2 * errors + 2) / 2 <= per_rate < chi2.ppf(0.95, 2 * errors + 4) / 2


def test_correlated_trials_allow_fewer_errors() -> None:
    independent = most_errors(1e-3, trials=30_000, effective=30_000)
    correlated = most_errors(1e-3, trials=30_000, effective=10_000)
    assert 0 < correlated < independent
    assert chi2.ppf(0.95, 2 * correlated / 3 + 2) / 2 <= 10


def population(rng: np.random.Generator, subjects: int, images: np.ndarray, shared: float) -> AllPairs:
    """Draw subjects whose directions share a random part, so that some of them match often."""
    centre = rng.normal(size=(1, 16))
    own = rng.normal(size=(subjects, 16)) + shared * rng.exponential(size=(subjects, 1)) * centre
    rows = np.repeat(own / np.linalg.norm(own, axis=1, keepdims=True), images, axis=0)
    rows = rows + 0.1 * rng.normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return AllPairs(rows.astype(np.float32), np.repeat(np.arange(subjects), images))


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_the_true_fmr_is_above_a_claim_in_few_draws(shared: float) -> None:
    rng = np.random.default_rng(2)
    large = population(rng, 3000, np.ones(3000, dtype=int), shared).vectors
    true = np.sort((large @ large.T)[np.triu_indices(3000, 1)])
    above_claim = above_measured = claims = 0
    for _ in range(150):
        data = population(rng, 40, rng.integers(1, 5, size=40), shared)
        row = operating_points(data, data.scores(), data_set="d", data_digest="0" * 64, fmrs=(1e-2,))[0]
        if isinstance(row, Unsupported) or isinstance(row.claim, Unsupported):
            continue
        claims += 1
        rates = 1 - np.searchsorted(true, [row.threshold, row.measured.threshold]) / true.size
        above_claim += rates[0] > 1e-2
        above_measured += rates[1] > 1e-2
    assert claims > 75
    assert above_claim <= 0.1 * claims
    assert above_measured > 0.25 * claims


def test_independent_scores_keep_a_claim() -> None:
    """Each pair of subjects is compared once with an independent score, so the exact limit is known."""
    rng = np.random.default_rng(5)
    above = 0
    first, second = np.triu_indices(100, 1)
    for _ in range(100):
        scores = rng.normal(0, 0.15, first.size).clip(-1, 1).astype(np.float32)
        order = np.argsort(-scores)
        tagged = AllPairs(np.eye(100, dtype=np.float32), np.arange(100)).with_subjects(-2)
        tagged = type(tagged)(
            tagged.mated,
            tagged.mated_subject,
            scores[order],
            first[order],
            second[order],
            100,
            tagged.images,
            True,
        )
        threshold, claim = claim_at(tagged, tagged.design(), 2e-3)
        assert claim.fmr_limit <= 2e-3
        above += norm.sf(threshold / 0.15) > 2e-3
    assert above <= 8


def test_refusals_count_subjects() -> None:
    rng = np.random.default_rng(1)
    data = population(rng, 20, np.full(20, 4), 0.0)
    tagged = data.with_subjects(-2)
    refusal = claim_at(tagged, tagged.design(), 1e-2)
    assert refusal == Unsupported(
        "claim at FMR 0.01", 25, 20, "FMR 0.01 needs at least 25 subjects, found 20"
    )
    few = population(rng, 9, np.full(9, 20), 0.0).with_subjects(-2)
    assert claim_at(few, few.design(), 0.2).needed == 10


def test_listed_comparisons_need_pairs_of_subjects() -> None:
    """A list with 40 images of 40 subjects but 100 pairs supports no claim that needs 300 pairs."""
    rng = np.random.default_rng(8)
    data = population(rng, 40, np.ones(40, dtype=int), 0.0)
    first, second = np.triu_indices(40, 1)
    kept = rng.permutation(first.size)[:100]
    listed = ListedPairs(data.vectors, data.codes, first[kept], second[kept]).with_subjects(-2)
    refusal = claim_at(listed, listed.design(), 1e-2)
    assert refusal.reason == "FMR 0.01 needs comparisons of at least 300 pairs of subjects, found 100"


def test_equal_scores_do_not_break_a_claim() -> None:
    vectors = np.zeros((60, 4), dtype=np.float32)
    vectors[np.arange(60), np.arange(60) % 4] = 1
    tagged = AllPairs(vectors, np.arange(60) // 2).with_subjects(-2)
    result = claim_at(tagged, tagged.design(), 0.1)
    if isinstance(result, Unsupported):
        assert "count as" in result.reason or "one person under two names" in result.reason
    else:
        threshold, claim = result
        assert threshold > 1
        assert isinstance(claim, Claim)
    numbers = effective_numbers(tagged, tagged.design(), 0.1)
    assert 1 <= numbers.claim <= numbers.interval <= tagged.design().trials


def test_a_high_fmr_keeps_its_effective_comparisons() -> None:
    data = population(np.random.default_rng(6), 30, np.full(30, 3), 0.0)
    tagged = data.with_subjects(-2)
    numbers = effective_numbers(tagged, tagged.design(), 0.7)
    assert 300 < numbers.claim <= numbers.interval <= tagged.design().trials


def test_a_claim_that_rejects_everyone_is_refused() -> None:
    """One person under two names raises the threshold near the fewest subjects above all mated scores."""
    images = np.array([1] * 30 + [2])
    data = population(np.random.default_rng(3), 31, images, 0.0)
    vectors = np.concatenate([data.vectors, data.vectors[:1]])
    codes = np.concatenate([data.codes, [31]])
    copied = AllPairs(vectors, codes)
    row = operating_points(copied, copied.scores(), data_set="d", data_digest="0" * 64, fmrs=(1e-2,))[0]
    assert "one person under two names" in row.claim.reason
    assert row.threshold == row.measured.threshold
