"""Open-set search compared with results found by hand, and the FMR for a given FPIR."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluate.metrics.evidence import IdentificationPoint, Unsupported
from converters.evaluate.metrics.identification import (
    cumulative_match,
    fmr_for_fpir,
    fnir_at,
    fpir_at,
    point_at_fpir,
    search,
)
from edge_sdk.errors import InputError

GALLERY = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0]], np.float32)
SUBJECTS = ["anna", "ben", "anna"]


def test_search_by_hand() -> None:
    probes = np.array([[1, 0, 0], [0.6, 0.8, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
    searches = search(GALLERY, SUBJECTS, probes, ["anna", "ben", "eve", "eve"])
    # Second probe: anna 0.96 by her second reference, ben 0.8, so ben has rank 2.
    assert searches.mated_scores == pytest.approx([1.0, 0.8])
    assert searches.mated_ranks.tolist() == [1, 2]
    assert searches.non_mated_tops == pytest.approx([0.0, 0.96])
    assert fpir_at(searches, np.array([0.5, 0.99])).tolist() == [0.5, 0]
    assert fnir_at(searches, np.array([0.5, 0.9])).tolist() == [0.5, 0.5]
    assert fnir_at(searches, np.array([0.5, 0.9]), rank=2).tolist() == [0, 0.5]
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
    assert fnir_at(searches, np.array([-1.0]))[0] == pytest.approx(2 / 3)
    assert cumulative_match(searches, max_rank=2).tolist() == pytest.approx([1 / 3, 1 / 3])


def test_a_tie_goes_against_the_subject() -> None:
    probe = np.array([[0.6, 0.8, 0]], np.float32)
    gallery = np.array([[1, 0, 0], [1, 0, 0]], np.float32)
    assert search(gallery, ["anna", "ben"], probe, ["anna"]).mated_ranks.tolist() == [2]


def test_point_keeps_the_rule_of_three() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(61, 3))
    probes = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    searches = search(GALLERY, SUBJECTS, probes, ["anna"] + ["eve"] * 60, block_rows=7)
    point = point_at_fpir(searches, 0.05)
    assert isinstance(point, IdentificationPoint)
    assert point.fpir == pytest.approx(3 / 60)
    refused = point_at_fpir(searches, 0.04)
    assert isinstance(refused, Unsupported)
    assert (refused.needed, refused.found) == (75, 60)


def test_block_rows_change_nothing() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(90, 8))
    vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    labels = [str(k % 20) for k in range(90)]
    searches = [
        search(vectors[:30], labels[:30], vectors[30:], labels[30:], block_rows=b) for b in (1, 13, 256)
    ]
    assert len({each.mated_scores.tobytes() + each.mated_ranks.tobytes() for each in searches}) == 1


@given(rate=st.floats(1e-9, 0.999), references=st.integers(1, 10**6))
def test_fmr_for_fpir(rate: float, references: int) -> None:
    fmr = fmr_for_fpir(rate, references=references)
    assert -math.expm1(references * math.log1p(-fmr)) == pytest.approx(rate, rel=1e-9)
    assert fmr_for_fpir(1.0, references=references) == 1


def test_bad_input_is_refused() -> None:
    searches = search(GALLERY, SUBJECTS, GALLERY[:0], [])
    with pytest.raises(InputError, match="non-mated probes"):
        fpir_at(searches, np.array([0.5]))
    with pytest.raises(InputError, match="mated probes"):
        fnir_at(searches, np.array([0.5]))
    with pytest.raises(InputError, match="references"):
        search(GALLERY[:0], [], GALLERY, SUBJECTS)
    with pytest.raises(InputError, match="one label"):
        search(GALLERY, SUBJECTS, GALLERY, ["anna"])
    with pytest.raises(InputError, match=r"0\.\.1"):
        fmr_for_fpir(1.5, references=3)
    with pytest.raises(InputError, match="at least 1"):
        fmr_for_fpir(0.5, references=0)
