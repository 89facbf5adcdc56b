"""The dyadic variance against its definition, and effective numbers of comparisons against simulation."""

import itertools

import numpy as np
import pytest

from converters.evaluate.metrics.dyadic import PairDesign, dyadic_variance, effective_comparisons


def brute_force(images: np.ndarray, hits: np.ndarray) -> float:
    """Sum the products of residuals over all pairs of dyads that share a subject, with weights by leverage."""
    subjects = images.size
    dyads = list(itertools.combinations(range(subjects), 2))
    trials = sum(images[a] * images[b] for a, b in dyads)
    rate = sum(hits[a, b] for a, b in dyads) / trials
    residual = {(a, b): hits[a, b] - rate * images[a] * images[b] for a, b in dyads}
    share = np.array([images[s] * (images.sum() - images[s]) for s in range(subjects)]) / trials
    total = sum(
        (sum(residual[min(s, t), max(s, t)] for t in range(subjects) if t != s) / (1 - share[s])) ** 2
        for s in range(subjects)
    )
    within = sum(value**2 for value in residual.values())
    weighted = sum(value**2 / (1 - share[a]) / (1 - share[b]) for (a, b), value in residual.items())
    return max(total - within, weighted) / trials**2


@pytest.mark.parametrize("seed", range(5))
def test_sparse_sums_equal_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 7, size=12)
    hits = np.zeros((12, 12))
    first, second = [], []
    for a, b in itertools.combinations(range(12), 2):
        count = rng.binomial(images[a] * images[b], 0.1 + 0.3 * (a == 0))
        hits[a, b] = count
        swap = rng.random() < 0.5
        first += [b if swap else a] * count
        second += [a if swap else b] * count
    expected = brute_force(images, hits)
    of_images = dyadic_variance(PairDesign.of_images(images), np.array(first), np.array(second))
    assert of_images.value == pytest.approx(expected, rel=1e-9)
    assert 1 <= of_images.degrees <= 11
    left, right = [], []
    for a, b in itertools.combinations(range(12), 2):
        left += [a] * int(images[a] * images[b])
        right += [b] * int(images[a] * images[b])
    listed = PairDesign.of_pairs(np.array(left), np.array(right), 12)
    assert dyadic_variance(listed, np.array(first), np.array(second)).value == pytest.approx(
        expected, rel=1e-9
    )
    assert (listed.trials, listed.dyads) == (PairDesign.of_images(images).trials, 66)


def test_independent_matches_count_nearly_as_their_number() -> None:
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(200, 1)
    design = PairDesign.of_images(np.ones(200, dtype=int))
    numbers = []
    for _ in range(20):
        chosen = rng.random(first.size) < 0.02
        numbers.append(effective_comparisons(design, first[chosen], second[chosen]))
    assert 0.6 * first.size < np.median(numbers) <= first.size


def test_matches_of_one_subject_count_as_few() -> None:
    design = PairDesign.of_images(np.ones(200, dtype=int))
    wolf = effective_comparisons(design, np.zeros(150, dtype=int), np.arange(1, 151))
    assert wolf < 60  # 150 matches count as fewer than one
    lamb = effective_comparisons(design, np.arange(0, 150), np.arange(1, 151) + 48)
    assert lamb > 100 * wolf


def test_the_effective_number_follows_the_variance_of_repeated_draws() -> None:
    """Draw sets of subjects, some of whom match often; compare with the variance of the rate over the sets."""
    rng = np.random.default_rng(7)
    rates, numbers = [], []
    first, second = np.triu_indices(60, 1)
    design = PairDesign.of_images(np.full(60, 3))
    for _ in range(150):
        own = np.exp(rng.normal(0, 0.8, size=60))
        chance = np.minimum(0.01 * own[first] * own[second], 1)
        hits = rng.binomial(9, chance)
        rates.append(hits.sum() / design.trials)
        numbers.append(effective_comparisons(design, np.repeat(first, hits), np.repeat(second, hits)))
    mean = float(np.mean(rates))
    actual = mean * (1 - mean) / np.var(rates)
    assert 0.5 * actual < np.median(numbers) < 1.5 * actual


def test_two_subjects_have_no_variance_between_subjects() -> None:
    design = PairDesign.of_images(np.array([5, 5]))
    assert effective_comparisons(design, np.array([0, 0]), np.array([1, 1])) == 1
