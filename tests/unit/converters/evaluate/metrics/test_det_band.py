"""Bands of DET curves compared with the limits of single thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import det_curve, verify_all_pairs
from converters.evaluate.metrics.claims import effective_numbers
from converters.evaluate.metrics.det_band import MAX_ROWS, band_floor, det_band
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.limits import rate_limits, share_limits
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from tests.drawn_embeddings import scattered


def people(subjects: int, each: int, *, seed: int = 0, noise: float = 1.2) -> AllPairs:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(subjects), each)
    return AllPairs(scattered(rng, subjects, codes, noise), codes)


def test_limits_are_those_of_single_thresholds() -> None:
    pairs = people(30, 4)
    scores, tagged = pairs.scores(), pairs.with_subjects(-2.0)
    # Effective numbers are computed at 30..1740 false matches in four equal ratios, and interpolated between them.
    thresholds = np.sort([float(tagged.non_mated[round(30 * 58 ** (k / 4)) - 1]) for k in (1, 2, 3)])
    rows = det_band(scores, tagged, thresholds)
    assert [row[0] for row in rows] == thresholds.tolist()
    for threshold, fmr, *of_fmr, fnmr, low, high in rows:
        shares = np.array(
            [(tagged.mated[tagged.mated_subject == subject] < threshold).mean() for subject in range(30)]
        )
        assert fnmr == pytest.approx(shares.mean())
        expected = share_limits(shares.mean(), shares.var(ddof=1) / 30, trials=180, clusters=30)
        assert (low, high) == pytest.approx(expected)
        number = effective_numbers(tagged, tagged.design(), fmr).interval
        assert of_fmr == pytest.approx(rate_limits(fmr * number, number), rel=1e-6)
        assert low <= fnmr <= high
        assert of_fmr[0] <= fmr <= of_fmr[1]


def test_subjects_weigh_alike_in_the_fnmr_by_hand() -> None:
    # Subject 0 has three mated comparisons of which two are rejected, subject 1 has one, accepted: mean 1/3, pooled 1/2.
    angles = np.array([0.0, 0.1, 1.2, 3.0, 3.1])
    pairs = AllPairs(
        np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), np.array([0, 0, 0, 1, 1])
    )
    (row,) = det_band(pairs.scores(), pairs.with_subjects(-2.0), np.array([0.9]))
    assert row[4] == pytest.approx(1 / 3)
    assert row[5:] == (None, None)
    assert row[2:4] == (None, None)


def test_listed_and_all_pairs_agree() -> None:
    pairs = people(15, 3)
    first, second = np.triu_indices(45, 1)
    listed = ListedPairs(pairs.vectors, pairs.labels, first, second)
    at = np.linspace(0.1, 0.6, 9)
    rows = [det_band(c.scores(), c.with_subjects(-2.0), at) for c in (pairs, listed)]
    assert np.array(rows[0]) == pytest.approx(np.array(rows[1]))


def test_a_band_has_few_rows_and_all_its_limits() -> None:
    pairs = people(40, 3)
    scores = pairs.scores()
    curve = det_curve(scores)
    rows = det_band(scores, pairs.with_subjects(band_floor(scores)), curve.thresholds)
    assert len(rows) == MAX_ROWS
    table = np.array(rows, dtype=float)
    assert np.isfinite(table).all()
    assert (np.diff(table[:, 0]) > 0).all()
    assert (np.diff(table[:, 1]) <= 0).all()
    assert (np.diff(table[:, 4]) >= 0).all()


def test_fmr_without_the_subjects_of_its_matches_has_no_limits() -> None:
    pairs = people(20, 3)
    scores = pairs.scores()
    floor = scores.score_at_rank(50)
    tagged = pairs.with_subjects(floor)
    below, above = det_band(scores, tagged, np.array([floor - 0.05, floor + 0.01]))
    assert below[2:4] == (None, None)
    assert below[5] is not None
    assert above[2] is not None


def test_verification_has_the_band_beside_the_curve() -> None:
    pairs = people(20, 3)
    names = tuple(f"p{code:02}/{k}.png" for k, code in enumerate(pairs.codes))
    subjects = tuple(f"p{code:02}" for code in pairs.codes)
    embedded = EmbeddedSamples("drawn", "ab" * 32, names, subjects, pairs.vectors)
    evidence = verify_all_pairs(embedded, fmrs=(1e-1,))
    value = evidence.to_json()
    assert len(value["det"]) > len(value["det_band"]) == MAX_ROWS  # type: ignore[arg-type]
    assert all(len(row) == 7 for row in value["det_band"])  # type: ignore[union-attr, arg-type]
    assert verify_all_pairs(embedded, fmrs=(1e-1,), replicates=0).det_band == ()
