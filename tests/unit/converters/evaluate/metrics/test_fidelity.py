"""Two artefacts on the same images: shifts of scores, drift of thresholds and changed decisions."""

import numpy as np
import pytest

from converters.evaluate.metrics.cosines import listed_scores
from converters.evaluate.metrics.difference_evidence import ThresholdDrift
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.fidelity import compare_artefacts, embedding_cosines, flipped_pairs
from converters.evaluate.metrics.subject_scores import AllPairs, ListedPairs
from edge_sdk.errors import InputError
from tests.drawn_embeddings import scattered, unit_rows

NAMES = tuple(f"s/{k}.jpg" for k in range(200))


@pytest.fixture(scope="module")
def pair() -> tuple[AllPairs, AllPairs]:
    rng = np.random.default_rng(0)
    labels = np.arange(200) // 4
    vectors = scattered(rng, 50, labels, 0.9)
    common = np.full(32, 0.08)  # int8 typically shifts embeddings toward a common direction
    moved = unit_rows(vectors + common + 0.03 * rng.normal(size=vectors.shape))
    return AllPairs(vectors, labels), AllPairs(moved, labels)


def test_shifts_and_worst_images(pair: tuple[AllPairs, AllPairs]) -> None:
    fidelity = compare_artefacts(*pair, names=NAMES, fmrs=(1e-1, 1e-2, 1e-6), worst=3)
    cosines = embedding_cosines(pair[0].vectors, pair[1].vectors)
    assert fidelity.cosine_mean == pytest.approx(cosines.mean())
    assert fidelity.cosine_min == cosines.min() == fidelity.worst[0][1]
    assert fidelity.worst[0][0] == NAMES[int(cosines.argmin())]
    assert [share for share, _ in fidelity.cosine_percentiles] == sorted(
        s for s, _ in fidelity.cosine_percentiles
    )
    assert fidelity.non_mated_mean_shift > 0.1
    before, after = (np.sort(side.scores().tail)[::-1] for side in pair)
    assert fidelity.tail_shift == pytest.approx(after[before.size // 1000] - before[before.size // 1000])
    assert isinstance(fidelity.drifts[2], Unsupported)
    assert fidelity.to_json()["drifts"][0]["drift"] == fidelity.drifts[0].drift


def test_flips_against_counting(pair: tuple[AllPairs, AllPairs]) -> None:
    first, second = np.triu_indices(200, 1)
    scores = [listed_scores(side.vectors, first, second) for side in pair]
    mated = pair[0].codes[first] == pair[0].codes[second]
    fidelity = compare_artefacts(*pair, names=NAMES, fmrs=(1e-1, 1e-2))
    for row in fidelity.drifts:
        assert isinstance(row, ThresholdDrift)
        for flips in (row.own, row.kept):
            was, now = scores[0] >= flips.baseline_threshold, scores[1] >= flips.candidate_threshold
            assert flips.mated_lost == (mated & was & ~now).sum()
            assert flips.mated_won == (mated & now & ~was).sum()
            assert flips.non_mated_lost == (~mated & now & ~was).sum()
            assert flips.non_mated_won == (~mated & was & ~now).sum()
        assert row.kept.candidate_threshold == row.baseline_threshold
        assert row.fmr_at_baseline_threshold == (scores[1][~mated] >= row.baseline_threshold).mean()
        assert row.drift == row.candidate_threshold - row.baseline_threshold
    listed = tuple(ListedPairs(side.vectors, side.codes, first, second) for side in pair)
    assert compare_artefacts(*listed, names=NAMES, fmrs=(1e-1, 1e-2)).drifts == fidelity.drifts


def test_flipped_pairs_are_listed_largest_first(pair: tuple[AllPairs, AllPairs]) -> None:
    rows = flipped_pairs(*pair, baseline_threshold=0.4, candidate_threshold=0.4, limit=12)
    assert len(rows) == 12
    changes = [abs(row.candidate_score - row.baseline_score) for row in rows]
    assert changes == sorted(changes, reverse=True)
    for row in rows:
        assert (row.baseline_score >= 0.4) != (row.candidate_score >= 0.4)
        assert row.mated == (row.first // 4 == row.second // 4)


def test_an_artefact_with_itself(pair: tuple[AllPairs, AllPairs]) -> None:
    fidelity = compare_artefacts(pair[0], pair[0], names=NAMES, fmrs=(1e-2,))
    assert fidelity.cosine_min == pytest.approx(1, abs=1e-12)
    assert (fidelity.non_mated_mean_shift, fidelity.tail_shift, fidelity.drifts[0].drift) == (0, 0, 0)
    own = fidelity.drifts[0].own
    assert own.mated_lost == own.mated_won == own.non_mated_lost == own.non_mated_won == 0
    assert flipped_pairs(pair[0], pair[0], baseline_threshold=0.3, candidate_threshold=0.3) == ()


def test_data_without_non_mated_comparisons() -> None:
    vectors = unit_rows(np.random.default_rng(1).normal(size=(5, 8)))
    alone = AllPairs(vectors, ["anna"] * 5)
    fidelity = compare_artefacts(alone, alone, names=NAMES[:5])
    assert isinstance(fidelity.non_mated_mean_shift, Unsupported)
    assert isinstance(fidelity.tail_shift, Unsupported)
    assert all(isinstance(row, Unsupported) for row in fidelity.drifts)
    assert fidelity.to_json()


def test_other_images_are_refused(pair: tuple[AllPairs, AllPairs]) -> None:
    with pytest.raises(InputError, match="same images"):
        compare_artefacts(pair[0], AllPairs(pair[1].vectors, np.arange(200)), names=NAMES)
    with pytest.raises(InputError, match="names"):
        compare_artefacts(*pair, names=NAMES[:3])
    with pytest.raises(InputError, match="dimension"):
        embedding_cosines(pair[0].vectors, unit_rows(np.ones((200, 3))))
