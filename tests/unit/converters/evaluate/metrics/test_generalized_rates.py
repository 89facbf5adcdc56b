"""FRR and FAR with failures to acquire, by hand and compared with the counted attempts."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import EmbeddedSamples, Interval, operating_points, verify_all_pairs
from converters.evaluate.metrics.generalized_rates import failed_strangers, generalized_rates
from converters.evaluate.metrics.protocols import OpenSetList
from converters.evaluate.metrics.subject_scores import ListedPairs
from converters.evaluate.runner.identification import identification_lines, identification_of
from tests.drawn_embeddings import scattered


def embedded(
    subjects: int, each: int, lost: dict[int, int], *, seed: int = 0, noise: float = 1.3
) -> EmbeddedSamples:
    """Draw `each` samples per subject, and add failures: {subject: number}."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(subjects), each)
    return EmbeddedSamples(
        "drawn",
        "ab" * 32,
        tuple(f"p{code:02}/{k}.png" for k, code in enumerate(codes)),
        tuple(f"p{code:02}" for code in codes),
        scattered(rng, subjects, codes, noise),
        tuple((f"p{code:02}/lost{k}.png", "no face") for code, count in lost.items() for k in range(count)),
    )


def test_frr_and_far_by_their_formulas() -> None:
    evidence = verify_all_pairs(
        embedded(20, 4, {0: 2, 3: 1, 25: 17}), fmrs=(1e-1, 1e-2)
    )  # p25 has failures only
    assert evidence.acquisition.rate == 20 / 100
    assert len(evidence.generalized) == 2
    for row, point in zip(evidence.generalized, evidence.points, strict=True):
        assert row.fta == 0.2
        assert row.fnmr == pytest.approx(point.fnmr)
        assert row.frr == pytest.approx(0.2 + 0.8 * row.fnmr)
        assert row.far == pytest.approx(0.8 * point.fmr)
        assert (row.target_fmr, row.threshold) == (point.target_fmr, point.threshold)
        assert isinstance(row.frr_interval, Interval)
        assert row.frr_interval.low < row.frr < row.frr_interval.high
        assert isinstance(row.far_interval, Interval)
        assert row.far_interval.low < row.far < row.far_interval.high < point.fmr_interval.high


def test_failures_of_few_subjects_widen_the_interval() -> None:
    spread = verify_all_pairs(embedded(20, 4, dict.fromkeys(range(20), 1)), fmrs=(1e-1,)).generalized[0]
    single = verify_all_pairs(embedded(20, 4, {7: 20}), fmrs=(1e-1,)).generalized[0]
    assert spread.frr == single.frr

    def width(row: object) -> float:
        return row.frr_interval.high - row.frr_interval.low  # type: ignore[attr-defined, no-any-return]

    assert width(single) > 1.5 * width(spread)


def test_without_failures_the_rates_are_those_of_comparisons() -> None:
    samples = embedded(20, 4, {})
    evidence = verify_all_pairs(samples, fmrs=(1e-1,))
    (row,), (point,) = evidence.generalized, evidence.points
    assert (row.fta, row.frr, row.far) == (0.0, row.fnmr, point.fmr)
    assert (row.far_interval.low, row.far_interval.high) == (point.fmr_interval.low, point.fmr_interval.high)


def test_the_interval_covers_the_rate_of_new_people() -> None:
    """60 data sets of 30 people whose failures differ between people: about 95 % of the intervals cover the mean FRR."""
    rows = []
    for seed in range(60):
        failures = np.random.default_rng(500 + seed).poisson(
            0.8 * np.random.default_rng(900 + seed).gamma(0.7, 1.0, 30)
        )
        lost = {person: int(count) for person, count in enumerate(failures) if count}
        samples = embedded(30, 3, lost, seed=seed)
        pairs = samples.all_pairs()
        points = operating_points(pairs, pairs.scores(), data_set="drawn", data_digest="ab", fmrs=(1e-1,))
        rows.extend(generalized_rates(samples, pairs, pairs.with_subjects(2.0), points))
    truth = float(np.mean([row.frr for row in rows]))
    assert 54 <= sum(row.frr_interval.low <= truth <= row.frr_interval.high for row in rows) <= 60


def test_listed_pairs_join_failures_to_their_subjects() -> None:
    samples = embedded(20, 4, {0: 2, 3: 1, 25: 17})
    pairs = samples.all_pairs()
    first, second = np.triu_indices(80, 1)
    listed = ListedPairs(samples.vectors, samples.subjects, first, second)
    points = verify_all_pairs(samples, fmrs=(1e-1,)).points
    rows = [generalized_rates(samples, c, c.with_subjects(-2.0), points) for c in (pairs, listed)]
    assert rows[0] == rows[1]
    # Only subjects 2..19 are compared: the failures of the others still count.
    some = np.flatnonzero((first >= 8) & (second >= 8))
    part = ListedPairs(samples.vectors, samples.subjects, first[some], second[some])
    (row,) = generalized_rates(samples, part, part.with_subjects(-2.0), points)
    assert row.fta == 0.2


def test_searches_with_and_without_failures() -> None:
    samples = embedded(60, 3, {0: 1, 40: 2, 41: 1}, noise=0.9)  # p00 is enrolled, p40 and p41 are strangers
    enrolled = samples.names[0:60:3]
    probes = tuple(name for name in samples.names if name not in enrolled)
    lost = tuple(name for name, _ in samples.failures)
    listed = OpenSetList(enrolled, probes + lost)
    assert failed_strangers(listed, samples) == 3
    evidence = identification_of(samples, listed, name="drawn", fpirs=(0.2,))
    (point,), (row,) = evidence.points, evidence.with_failures
    assert (point.mated_probes, point.non_mated_probes) == (41, 120)
    assert row.fta == pytest.approx(1 / 41)
    assert row.fnir == point.fnir_pooled == pytest.approx(row.fta + (1 - row.fta) * row.fnir_acquired)
    assert row.stranger_fta == pytest.approx(3 / 123)
    assert row.fpir == pytest.approx((1 - row.stranger_fta) * point.fpir)
    assert row.fpir_acquired == point.fpir
    text = "\n".join(identification_lines(evidence))
    assert "with failures (FTA 2.44 %)" in text
    whole = identification_of(samples, OpenSetList(enrolled, probes), name="drawn", fpirs=(0.2, 0.001))
    (row,) = whole.with_failures
    assert (row.fta, row.stranger_fta, row.fnir) == (0.0, 0.0, row.fnir_acquired)
    assert "with failures" not in "\n".join(identification_lines(whole))
