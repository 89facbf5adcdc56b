"""Open-set search compared with results found by hand, and the FMR for a given FPIR."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.identification import (
    cumulative_match,
    fmr_for_fpir,
    point_at_fpir,
    rank_shares,
)
from converters.evaluate.metrics.identification_evidence import IdentificationClaim, IdentificationPoint
from converters.evaluate.metrics.limits import upper_rate_limit
from converters.evaluate.metrics.searches import SearchScores, search
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray
from tests.drawn_embeddings import unit_rows

GALLERY = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0]], np.float32)
SUBJECTS = ["anna", "ben", "anna"]


def miss_rate(searches: SearchScores, threshold: float, *, rank: int) -> float:
    missed = searches.missed(threshold, rank)
    assert missed is not None
    return missed.pooled


def test_search_by_hand() -> None:
    probes = np.array([[1, 0, 0], [0.6, 0.8, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
    searches = search(GALLERY, SUBJECTS, probes, ["anna", "ben", "eve", "eve"])
    # Second probe: anna 0.96 by her second reference, ben 0.8, so ben has rank 2.
    assert searches.mated_scores == pytest.approx([1.0, 0.8])
    assert searches.mated_ranks.tolist() == [1, 2]
    assert searches.non_mated_tops == pytest.approx([0.0, 0.96])
    assert [searches.matches(threshold) for threshold in (0.5, 0.99)] == [1, 0]
    assert [miss_rate(searches, threshold, rank=1) for threshold in (0.5, 0.9)] == [0.5, 0.5]
    assert [miss_rate(searches, threshold, rank=2) for threshold in (0.5, 0.9)] == [0, 0.5]
    assert cumulative_match(searches, max_rank=3).tolist() == [0.5, 1, 1]
    assert (searches.references, searches.subjects) == (3, 2)


def test_failures_are_misses_and_never_alarms() -> None:
    probes = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    searches = search(
        GALLERY, SUBJECTS, probes, ["anna", "carl"], failed_to_enrol={"carl"}, failed_probes=["ben", "eve"]
    )
    assert searches.mated_scores.size == 3  # probes of anna and carl, and ben's failed probe
    assert searches.failures == 2
    assert searches.non_mated_tops.size == 0
    assert miss_rate(searches, -1.0, rank=1) == pytest.approx(2 / 3)
    assert cumulative_match(searches, max_rank=2).tolist() == pytest.approx([1 / 3, 1 / 3])


def test_a_tie_goes_against_the_subject() -> None:
    probe = np.array([[0.6, 0.8, 0]], np.float32)
    gallery = np.array([[1, 0, 0], [1, 0, 0]], np.float32)
    assert search(gallery, ["anna", "ben"], probe, ["anna"]).mated_ranks.tolist() == [2]


def unit(rng: np.random.Generator, rows: int, width: int = 3) -> FloatArray:
    drawn = rng.normal(size=(rows, width))
    return unit_rows(drawn)


def searches_of(strangers: int, each: int, *, enrolled: int = 40, seed: int = 0) -> SearchScores:
    """Search random directions; every subject has one reference and one probe."""
    rng = np.random.default_rng(seed)
    names = [f"s{k}" for k in range(enrolled)]
    gallery = unit(rng, enrolled, 16)
    outside = np.repeat([f"x{k}" for k in range(strangers)], each).tolist()
    probes = np.concatenate([unit(rng, enrolled, 16) * 0.1 + gallery, unit(rng, strangers * each, 16)])
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    return search(gallery, names, probes.astype(np.float32), names + outside)


def test_many_probes_of_five_strangers_are_five_strangers() -> None:
    point = point_at_fpir(searches_of(5, 60), 0.01)
    assert isinstance(point, IdentificationPoint)
    assert not point.claim
    assert isinstance(point.claim, Unsupported)
    assert point.claim.reason == "FPIR 0.01 needs at least 300 strangers, found 5"
    assert (point.claim.needed, point.claim.found) == (300, 5)
    assert (point.strangers, point.non_mated_probes) == (5, 300)
    # The row shows the measured point: 3 of 300 searches.
    assert (point.threshold, point.fpir) == (point.measured.threshold, pytest.approx(3 / 300))
    assert isinstance(point.fpir_interval, Interval)
    assert point.fpir_interval.low < 0.01 < point.fpir_interval.high


def test_fewer_searches_than_the_rule_of_three_have_no_point() -> None:
    refused = point_at_fpir(searches_of(5, 12), 0.01)
    assert isinstance(refused, Unsupported)
    assert refused.reason == "FPIR 0.01 needs at least 300 strangers, found 5"


def test_a_claim_has_the_lowest_threshold_whose_upper_limit_keeps_the_fpir() -> None:
    searches = searches_of(400, 2)
    point = point_at_fpir(searches, 0.05)
    assert isinstance(point, IdentificationPoint)
    claim = point.claim
    assert isinstance(claim, IdentificationClaim)
    effective, searched = claim.effective_searches, point.non_mated_probes
    assert (claim.confidence, point.strangers, searched) == (0.95, 400, 800)
    assert 60 <= effective <= searched
    assert point.false_matches == round(point.fpir * searched)
    limits = [
        upper_rate_limit(errors * effective / searched, effective)
        for errors in (point.false_matches, point.false_matches + 1)
    ]
    assert limits[0] == claim.fpir_limit <= 0.05 < limits[1]
    assert point.measured.threshold < point.threshold
    assert point.measured.fpir == pytest.approx(40 / 800)
    assert point.fnir is not None
    assert point.measured.fnir is not None
    assert point.measured.fnir <= point.fnir


def test_strangers_with_equal_images_do_not_support_a_claim() -> None:
    """Ten images of each stranger are ten copies: effective searches are the strangers, not the images."""
    once = searches_of(60, 1)
    tops = np.repeat(once.non_mated_tops, 10)
    copies = replace(
        once,
        non_mated_tops=tops,
        strangers=np.repeat(once.strangers, 10),
        candidates=np.repeat(once.candidates, 10),
    )
    point = point_at_fpir(copies, 0.02)
    assert isinstance(point, IdentificationPoint)
    assert isinstance(point.claim, Unsupported)
    refused = point_at_fpir(copies, 0.05)
    assert isinstance(refused, IdentificationPoint)
    assert isinstance(refused.claim, Unsupported)
    assert refused.claim.reason.startswith("FPIR 0.05 needs more strangers than 60, about ")
    assert "600 searches count as " in refused.claim.reason
    assert refused.claim.needed > 60 == refused.claim.found


def test_one_stranger_or_one_enrolled_subject_has_no_interval_and_no_claim() -> None:
    single = point_at_fpir(searches_of(1, 100), 0.1)
    assert isinstance(single, IdentificationPoint)
    assert isinstance(single.fpir_interval, Unsupported)
    assert isinstance(single.claim, Unsupported)
    assert single.claim.reason == "FPIR 0.1 needs at least 30 strangers, found 1"
    alone = point_at_fpir(searches_of(100, 2, enrolled=1), 0.1)
    assert isinstance(alone, IdentificationPoint)
    assert isinstance(alone.fpir_interval, Unsupported)
    assert isinstance(alone.measured.fnir_interval, Unsupported)
    assert isinstance(alone.claim, Unsupported)
    assert alone.claim.reason == "FPIR 0.1 in other galleries needs 2 enrolled subjects, found 1"


def test_tied_scores_give_a_threshold_above_all_of_them() -> None:
    searches = searches_of(100, 1)
    tied = replace(searches, non_mated_tops=np.full(100, 0.5, np.float32))
    point = point_at_fpir(tied, 0.1)
    assert isinstance(point, IdentificationPoint)
    assert (point.fpir, point.threshold) == (0.0, float(np.nextafter(np.float32(0.5), np.float32(1))))
    assert isinstance(point.claim, IdentificationClaim)
    assert isinstance(point.fpir_interval, Interval)
    assert point.fpir_interval.low == 0
    assert point.fpir_interval.high == pytest.approx(-math.log(0.025) / 100)


def test_without_mated_probes_the_point_has_no_fnir() -> None:
    rng = np.random.default_rng(4)
    searches = search(unit(rng, 3), ["a", "b", "c"], unit(rng, 90), [f"x{k}" for k in range(90)])
    point = point_at_fpir(searches, 0.1)
    assert isinstance(point, IdentificationPoint)
    assert (point.fnir, point.fnir_pooled, point.fnir_interval) == (None, None, None)
    assert point.measured.fnir_interval is None
    assert isinstance(rank_shares(searches, [1]), Unsupported)
    point.to_json()


def test_each_subject_weighs_alike() -> None:
    probes = np.array([[1, 0, 0]] * 8 + [[1, 0, 0]], np.float32)
    searches = search(GALLERY, SUBJECTS, probes, ["anna"] * 8 + ["ben"], failed_probes=["ben"])
    rows = rank_shares(searches, [1])
    assert not isinstance(rows, Unsupported)
    assert (rows[0].share, rows[0].pooled) == (0.5, pytest.approx(0.8))
    assert searches.mated_subjects.tolist() == [0] * 8 + [1, 1]
    # Two subjects, and one of them is missed: nearly nothing is known about other subjects.
    assert rows[0].interval.low < 0.02
    assert rows[0].interval.high > 0.98


def test_searches_keep_the_stranger_and_the_best_candidate() -> None:
    probes = np.array([[0.6, 0.8, 0], [0, 0, 1], [0, 1, 0]], np.float32)
    searches = search(GALLERY, SUBJECTS, probes, ["eve", "zoe", "eve"])
    assert searches.non_mated_tops == pytest.approx([0, 0.96, 1])
    assert searches.strangers.tolist() == [1, 0, 0]
    assert searches.candidates.tolist() == [0, 0, 1]
    assert searches.stranger_count == 2


def test_block_rows_change_nothing() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(90, 8))
    vectors = unit_rows(drawn)
    labels = [str(k % 20) for k in range(90)]
    labels[60:] = [f"x{k % 7}" for k in range(30)]
    searches = [
        search(vectors[:30], labels[:30], vectors[30:], labels[30:], block_rows=b) for b in (1, 13, 256)
    ]
    arrays = ("mated_scores", "mated_ranks", "mated_subjects", "non_mated_tops", "strangers", "candidates")
    assert len({b"".join(getattr(each, name).tobytes() for name in arrays) for each in searches}) == 1


@given(rate=st.floats(1e-9, 0.999), references=st.integers(1, 10**6))
def test_fmr_for_fpir(rate: float, references: int) -> None:
    fmr = fmr_for_fpir(rate, references=references)
    assert -math.expm1(references * math.log1p(-fmr)) == pytest.approx(rate, rel=1e-9)
    assert fmr_for_fpir(1.0, references=references) == 1


def test_bad_input_is_refused() -> None:
    searches = search(GALLERY, SUBJECTS, GALLERY[:0], [])
    assert searches.missed(0.5, 1) is None
    with pytest.raises(InputError, match="mated probes"):
        cumulative_match(searches)
    with pytest.raises(InputError, match="rank of 1"):
        point_at_fpir(searches, 0.1, rank=0)
    with pytest.raises(InputError, match="references"):
        search(GALLERY[:0], [], GALLERY, SUBJECTS)
    with pytest.raises(InputError, match="one label"):
        search(GALLERY, SUBJECTS, GALLERY, ["anna"])
    with pytest.raises(InputError, match=r"0\.\.1"):
        fmr_for_fpir(1.5, references=3)
    with pytest.raises(InputError, match="at least 1"):
        fmr_for_fpir(0.5, references=0)
