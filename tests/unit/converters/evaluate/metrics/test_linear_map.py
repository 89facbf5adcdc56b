"""The fitted map finds a rotation between two spaces, and its error rates are those of all comparisons."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from converters.evaluate.metrics.linear_map import fit_linear_map, measure_map
from edge_sdk.errors import InputError


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(
    count: int, each: int, *, noise: float = 0.4, dimension: int = 16, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(count, dimension)), each, axis=0)
    rows = unit(centres + noise * rng.normal(size=centres.shape))
    return rows, [f"s{index // each}" for index in range(len(rows))]


ROTATION = np.linalg.qr(np.random.default_rng(9).normal(size=(24, 16)))[0]


@pytest.mark.parametrize("variants", [1, 4])
def test_a_rotation_into_another_dimension_is_found(variants: int) -> None:
    source, _ = people(60, variants, noise=0.05, seed=1)
    target = unit(source @ ROTATION.T)
    fitted = fit_linear_map(source, target, variants)
    fresh, _ = people(20, 1, seed=2)
    assert np.allclose(np.sum(fitted.apply(fresh) * unit(fresh @ ROTATION.T), axis=1), 1, atol=1e-3)


def test_too_few_images_are_refused() -> None:
    rows, _ = people(49, 2)
    with pytest.raises(InputError, match="expected 50 calibration images or more, found 49"):
        fit_linear_map(rows, rows, 2)


def test_the_rates_are_those_of_all_comparisons_with_other_images() -> None:
    probes, subjects = people(80, 3)
    mapped = unit(probes + 0.25 * np.random.default_rng(4).normal(size=probes.shape))
    rates = measure_map(probes, mapped, probes, subjects, fmr=1e-2)
    assert (rates.mated, rates.non_mated, rates.subjects) == (80 * 6, 240 * 237, 80)
    for templates, fnmr in ((probes, rates.native_fnmr), (mapped, rates.mapped_fnmr)):
        non_mated, mated = [], {name: [] for name in subjects}
        for i, j in itertools.permutations(range(240), 2):
            score = float(probes[i] @ templates[j])
            if subjects[i] == subjects[j]:
                mated[subjects[i]].append(score)
            else:
                non_mated.append(score)
        threshold = np.sort(non_mated)[::-1][int(1e-2 * len(non_mated))]
        missed = [np.mean(np.array(scores) <= threshold) for scores in mated.values()]
        assert fnmr == pytest.approx(np.mean(missed), abs=1e-6)
    low, high = rates.loss_interval
    assert low <= rates.mapped_fnmr - rates.native_fnmr <= high
    assert rates.mapped_fnmr > rates.native_fnmr
    same = measure_map(probes, probes, probes, subjects, fmr=1e-2)
    assert same.loss_interval == (0, 0)
    assert same.fmr_at_native_threshold <= 1e-2
    assert same.fnmr_at_native_threshold == same.native_fnmr


def test_too_few_subjects_and_comparisons_are_refused() -> None:
    rows, subjects = people(9, 2)
    with pytest.raises(InputError, match="expected 10 subjects or more"):
        measure_map(rows, rows, rows, subjects, fmr=1e-2)
    rows, subjects = people(10, 2)
    with pytest.raises(InputError, match="expected 3000 non-mated comparisons or more"):
        measure_map(rows, rows, rows, subjects, fmr=1e-3)
