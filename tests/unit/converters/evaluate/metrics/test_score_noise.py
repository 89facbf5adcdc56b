"""Noise of scores, against direct computation and against the spread of repeated samples."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import score_noise
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray


def unit(rows: np.ndarray) -> FloatArray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def noisy(vectors: FloatArray, size: float, seed: int) -> FloatArray:
    drawn = np.random.default_rng(seed).standard_normal(vectors.shape) / np.sqrt(vectors.shape[1])
    return unit(vectors + size * drawn)


def people(count: int, *, seed: int = 1, dimension: int = 64, common: float = 0.0) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    rows[:, 0] += common
    return unit(rows)


def test_the_figures_are_those_of_the_scores_of_all_pairs() -> None:
    reference = people(120)
    changed = noisy(reference, 0.1, 2)
    noise = score_noise(reference, changed)
    upper = np.triu_indices(120, 1)
    before = (reference.astype(float) @ reference.T.astype(float))[upper]
    after = (changed.astype(float) @ changed.T.astype(float))[upper]
    assert noise.pairs == before.size == 7140
    assert noise.sd == pytest.approx((after - before).std(), abs=1e-7)
    assert noise.mean_shift == pytest.approx((after - before).mean(), abs=1e-7)
    assert noise.spread == pytest.approx(before.std(), abs=1e-7)
    assert noise.relative == pytest.approx(noise.sd / noise.spread)
    assert noise.tail_shift == pytest.approx(np.sort(after)[-8] - np.sort(before)[-8], abs=1e-7)
    assert noise == score_noise(reference, changed)


def test_equal_networks_have_no_noise_and_few_pairs_have_no_tail() -> None:
    reference = people(20)
    same = score_noise(reference, reference)
    assert (same.sd, same.sd_limit, same.mean_shift, same.tail_shift) == (0.0, 0.0, 0.0, None)
    alike = np.repeat(reference[:1], 5, axis=0)
    assert score_noise(alike, noisy(alike, 0.1, 3)).relative > 1000
    assert score_noise(alike[:3], noisy(alike[:3], 0.1, 3)).relative_limit is None


def test_a_common_direction_is_a_shift_and_not_noise() -> None:
    reference = people(300, dimension=256)
    rows = reference.astype(float).copy()
    rows[:, 0] += 0.5
    noise = score_noise(reference, unit(rows))
    assert noise.mean_shift == pytest.approx(0.2, abs=0.02)
    assert noise.sd < noise.mean_shift / 4


def test_pairs_of_one_subject_are_left_out_if_subjects_are_given() -> None:
    reference = np.repeat(people(40), 2, axis=0)
    labels = [f"s{i // 2}" for i in range(80)]
    assert score_noise(reference, reference, subjects=labels).pairs == 80 * 79 // 2 - 40
    with pytest.raises(InputError, match="images of different subjects"):
        score_noise(reference, reference, subjects=["one"] * 80)
    with pytest.raises(InputError, match="two or more, found 80 and 79"):
        score_noise(reference, reference[1:])


@pytest.mark.parametrize("images", [12, 40])
def test_the_limit_exceeds_the_noise_of_a_large_sample_about_as_often_as_it_claims(images: int) -> None:
    """Images differ in how much they are disturbed; few images show a smaller noise than many about half of the time."""
    everybody = people(1200, seed=5)
    sizes = np.random.default_rng(6).gamma(2.0, 0.05, len(everybody))
    drawn = np.random.default_rng(7).standard_normal(everybody.shape) / 8
    changed = unit(everybody + sizes[:, None] * drawn)
    true = score_noise(everybody, changed).sd
    samples = [
        score_noise(everybody[start : start + images], changed[start : start + images])
        for start in range(0, 1200, images)
    ]
    covered = np.mean([sample.sd_limit is not None and sample.sd_limit >= true for sample in samples])
    below = np.mean([sample.sd < true for sample in samples])
    assert covered >= 0.85
    assert 0.3 <= below <= 0.9
    assert np.median([(sample.sd_limit or 0.0) / true for sample in samples]) < 2.0
