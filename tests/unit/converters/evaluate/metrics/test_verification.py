"""Evidence from embeddings: complete data sets, data with one kind of comparison, and JSON."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from converters.evaluate import metrics
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.protocols import ListedPair, PairsList
from converters.evaluate.metrics.verification import verify_all_pairs, verify_pairs
from converters.evaluate.metrics.verification_evidence import (
    Claim,
    OperatingPointEvidence,
    VerificationEvidence,
)
from edge_sdk.errors import InputError, ModelCardError
from tests.drawn_embeddings import scattered


def embedded(subjects: list[str], noise: float = 1.0, seed: int = 0) -> EmbeddedSamples:
    rng = np.random.default_rng(seed)
    _, codes = np.unique(subjects, return_inverse=True)
    vectors = scattered(rng, codes.max() + 1, codes, noise, dimension=24)
    counts: dict[str, int] = {}
    names = []
    for subject in subjects:
        counts[subject] = counts.get(subject, 0) + 1
        names.append(f"{subject}/{subject}_{counts[subject]:04d}.jpg")
    return EmbeddedSamples("drawn", "ab" * 32, tuple(names), tuple(subjects), vectors)


SUBJECTS = [f"s{k // 4}" for k in range(240)]


@pytest.fixture(scope="module")
def evidence() -> VerificationEvidence:
    return verify_all_pairs(embedded(SUBJECTS), fmrs=(1e-1, 1e-3, 1e-6))


def test_points_carry_their_evidence(evidence: VerificationEvidence) -> None:
    point, low, refused = evidence.points
    assert isinstance(point, OperatingPointEvidence)
    assert point.fmr == point.false_matches / point.non_mated_trials
    assert point.fnmr_pooled == point.false_non_matches / 360
    assert (point.mated_trials, point.non_mated_trials, point.subjects) == (360, 28320, 60)
    assert (point.data_set, point.data_digest) == ("drawn", "ab" * 32)
    for row in (point, low):
        measured = row.measured
        assert measured.fmr <= row.target_fmr < measured.fmr + 1 / row.non_mated_trials
        for bounds, value in (
            (row.fmr_interval, row.fmr),
            (row.fnmr_interval, row.fnmr),
            (row.tar_interval, measured.tar),
        ):
            assert isinstance(bounds, Interval)
            assert bounds.low <= value <= bounds.high
            assert bounds.replicates == 0
    assert isinstance(refused, Unsupported)
    assert (refused.needed, refused.found) == (2450, 60)


def test_a_claim_is_stricter_than_the_measured_point(evidence: VerificationEvidence) -> None:
    point, low, _ = evidence.points
    assert isinstance(point.claim, Claim)
    assert point.claim.fmr_limit <= 0.1 < point.measured.fmr + 0.01
    assert 30 <= point.claim.effective_comparisons <= point.non_mated_trials
    assert point.threshold > point.measured.threshold
    assert point.fmr < point.measured.fmr
    assert point.fnmr >= point.measured.fnmr
    assert low.claim == Unsupported(
        "claim at FMR 0.001", 78, 60, "FMR 0.001 needs at least 78 subjects, found 60"
    )
    assert (low.threshold, low.fmr) == (low.measured.threshold, low.measured.fmr)


def test_each_subject_weighs_alike() -> None:
    """Compare a subject of many images, all missed, with many subjects of two images, none missed."""
    rng = np.random.default_rng(4)
    base = rng.normal(size=(40, 64))
    own = np.repeat(base, 2, axis=0) + 0.05 * rng.normal(size=(80, 64))
    vectors = np.concatenate([own, rng.normal(size=(20, 64))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    subjects = tuple(f"s{k // 2}" for k in range(80)) + ("goat",) * 20
    names = tuple(f"{subject}/{k}.jpg" for k, subject in enumerate(subjects))
    data = EmbeddedSamples("drawn", "ab" * 32, names, subjects, vectors.astype(np.float32))
    point = verify_all_pairs(data, fmrs=(0.01,)).points[0]
    assert point.fnmr == pytest.approx(1 / 41, abs=2e-3)
    assert point.fnmr_pooled == pytest.approx(190 / 230, abs=2e-2)


def test_json_is_deterministic_and_without_nan(evidence: VerificationEvidence) -> None:
    again = verify_all_pairs(embedded(SUBJECTS), fmrs=(1e-1, 1e-3, 1e-6))
    assert again == evidence
    assert again.to_json() == evidence.to_json()
    read = json.loads(json.dumps(evidence.to_json()), parse_constant=pytest.fail)
    assert read["points"][2]["kind"] == "Unsupported"
    assert sum(read["non_mated_counts"]) == 28320
    with pytest.raises(dataclasses.FrozenInstanceError):
        evidence.images = 3  # type: ignore[misc]


def test_nan_never_reaches_json() -> None:
    with pytest.raises(InputError, match=r"EqualErrorRate\.rate"):
        metrics.EqualErrorRate(rate=float("nan"), threshold=0.5).to_json()


def test_one_subject_has_no_non_mated_comparisons() -> None:
    evidence = verify_all_pairs(embedded(["anna"] * 6), fmrs=(0.1,))
    assert (evidence.mated_trials, evidence.non_mated_trials) == (15, 0)
    assert evidence.mated_mean is not None
    assert evidence.non_mated_mean is None
    assert isinstance(evidence.points[0], Unsupported)
    assert isinstance(evidence.eer, Unsupported)
    assert "one subject" in evidence.eer.reason
    assert evidence.to_json()["non_mated_mean"] is None


def test_one_image_each_has_thresholds_and_no_fnmr() -> None:
    evidence = verify_all_pairs(embedded([f"s{k}" for k in range(40)]), fmrs=(0.1,))
    point = evidence.points[0]
    assert isinstance(point, OperatingPointEvidence)
    assert point.fnmr is None
    assert point.tar is None
    assert point.fnmr_interval is None
    assert isinstance(point.claim, Claim)
    assert isinstance(evidence.d_prime, Unsupported)
    assert evidence.det == ()
    assert evidence.to_json()


def test_one_image_is_an_error() -> None:
    with pytest.raises(InputError, match="at least two"):
        verify_all_pairs(embedded(["anna"]))


def test_few_subjects_have_points_without_intervals() -> None:
    evidence = verify_all_pairs(embedded([f"s{k % 5}" for k in range(50)]), fmrs=(0.1,))
    point = evidence.points[0]
    assert isinstance(point, OperatingPointEvidence)
    assert isinstance(point.tar_interval, Unsupported)
    assert "10 subjects" in point.tar_interval.reason


def test_perfect_separation_is_not_stated_as_certain() -> None:
    evidence = verify_all_pairs(embedded([f"s{k // 3}" for k in range(60)], noise=0.05), fmrs=(0.1,))
    point = evidence.points[0]
    assert isinstance(point, OperatingPointEvidence)
    assert point.fnmr == 0
    assert point.fnmr_interval.high == pytest.approx(1 - 0.05 ** (1 / 20))
    assert point.tar_interval.low == pytest.approx(0.05 ** (1 / 20))


def test_pairs_file() -> None:
    data = embedded([f"s{k // 2}" for k in range(60)])
    pairs = tuple(ListedPair((f"s{k}", 1), (f"s{k}", 2), 0) for k in range(30)) + tuple(
        ListedPair((f"s{k}", 1), (f"s{(k + 7) % 30}", 2), 0) for k in range(30)
    )
    lost = ListedPair(("s0", 1), ("nobody", 1), 0)
    evidence = verify_pairs(
        data, PairsList("pairs.txt", "cd" * 32, (*pairs, lost)), fmrs=(0.1, 0.01), replicates=50
    )
    assert (evidence.mated_trials, evidence.non_mated_trials) == (30, 30)
    assert evidence.comparisons_lost.failures == 1
    assert evidence.accuracy[0] > 0.8
    assert isinstance(evidence.points[0], OperatingPointEvidence)
    assert isinstance(evidence.points[1], Unsupported)


def test_import_loads_numpy_only() -> None:
    code = (
        "import sys, converters.evaluate.metrics;"
        "print([m for m in ('PIL', 'scipy', 'sklearn', 'ai_edge_litert', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    assert all(getattr(metrics, name).__doc__ for name in metrics.__all__)


def test_a_claim_goes_into_a_card_and_a_measured_point_does_not(evidence: VerificationEvidence) -> None:
    row, unclaimed, _ = evidence.points
    card = row.operating_point()
    assert (card.threshold, card.fnmr, card.data_set) == (row.threshold, row.fnmr, "drawn")
    assert (card.fmr, card.fmr_measured, card.fmr_limit) == (row.target_fmr, row.fmr, row.target_fmr)
    assert card.fnmr_interval == (row.fnmr_interval.low, row.fnmr_interval.high)
    assert (card.measured_threshold, card.measured_fnmr) == (row.measured.threshold, row.measured.fnmr)
    with pytest.raises(InputError, match=r"FMR 0\.001 needs at least 78 subjects, found 60"):
        unclaimed.operating_point()


def test_many_images_of_few_subjects_support_no_claim() -> None:
    """4,800 comparisons of three subjects are three pairs of subjects."""
    data = embedded([f"s{k // 40}" for k in range(120)])
    point = verify_all_pairs(data, fmrs=(1e-3,)).points[0]
    assert point.non_mated_trials == 4800
    assert point.claim.needed == 78
    assert isinstance(point.fmr_interval, Unsupported)
    with pytest.raises(InputError, match="needs at least 78 subjects, found 3"):
        point.operating_point()


def test_alike_subjects_support_no_claim() -> None:
    """Subjects of a few families count as few subjects although their pairs are many."""
    rng = np.random.default_rng(9)
    families = rng.normal(size=(6, 24))
    own = families[np.arange(30) % 6] + 0.7 * rng.normal(size=(30, 24))
    vectors = np.repeat(own, 4, axis=0) + 0.05 * rng.normal(size=(120, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    subjects = tuple(f"s{k // 4}" for k in range(120))
    names = tuple(f"{s}/{k}.jpg" for k, s in enumerate(subjects))
    data = EmbeddedSamples("drawn", "ab" * 32, names, subjects, vectors.astype(np.float32))
    point = verify_all_pairs(data, fmrs=(1e-2,)).points[0]
    assert "count as" in point.claim.reason
    assert point.claim.needed > 30


def test_no_intervals_give_no_card() -> None:
    point = verify_all_pairs(embedded(SUBJECTS), fmrs=(1e-1,), replicates=0).points[0]
    assert point.fmr_interval is None
    with pytest.raises(ModelCardError, match="expected an FMR interval"):
        point.operating_point()


def test_a_point_without_fnmr_goes_into_no_card() -> None:
    point = verify_all_pairs(embedded([f"s{k}" for k in range(40)]), fmrs=(0.1,)).points[0]
    with pytest.raises(InputError, match="measured FNMR"):
        point.operating_point()
