"""The best candidates are selected, and overlapping ones are suppressed."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_sdk.vision.candidates import MAX_CANDIDATES, Candidates, merge, overlap, valid_candidates


def candidates(boxes: object, scores: object) -> Candidates:
    placed = np.asarray(boxes, np.float64).reshape(-1, 4)
    points = placed[:, None, :2] + placed[:, None, 2:] * np.linspace(0.2, 0.8, 5)[None, :, None]
    return Candidates(placed, points, np.asarray(scores, np.float64))


@pytest.mark.parametrize(
    ("other", "share"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 10, 10), 1 / 3),
        ((10, 0, 10, 10), 0.0),
        ((2, 2, 5, 5), 0.25),
        ((0, 0, 0, 0), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(other: tuple[float, ...], share: float) -> None:
    assert overlap(np.array([0.0, 0, 10, 10]), np.array([other], np.float64))[0] == pytest.approx(share)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0.1, 0.3, 0.5, 0.7]))
def test_the_same_boxes_are_kept_as_opencv_keeps(seed: int, count: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.integers(0, 60, (count, 2)), rng.integers(5, 40, (count, 2))], axis=1)
    scores = rng.permutation(count) / count + 0.1
    shares = np.array([overlap(box, boxes.astype(np.float64)) for box in boxes.astype(np.float64)])
    assume(np.abs(shares - share).min() > 1e-5)  # exactly at the limit OpenCV's float32 may decide either way
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, share)
    kept_candidates = merge(valid_candidates(candidates(boxes, scores)), share, blend=False)
    assert np.array_equal(kept_candidates.boxes, boxes[np.asarray(kept).ravel()])


def test_blending_is_the_mean_by_score_and_keeps_the_best_score() -> None:
    kept_candidates = merge(
        candidates([[0, 0, 10, 10], [2, 0, 10, 10], [50, 50, 10, 10]], [0.9, 0.3, 0.5]), 0.3, blend=True
    )
    assert kept_candidates.boxes.tolist() == [pytest.approx([0.5, 0, 10, 10]), [50, 50, 10, 10]]
    assert kept_candidates.scores.tolist() == [0.9, 0.5]


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_after_merging_nothing_is_left_to_merge_and_nothing_comes_from_nowhere(
    seed: int, blend: bool
) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 60, (30, 2)), rng.uniform(5, 40, (30, 2))], axis=1)
    before = valid_candidates(candidates(boxes, rng.uniform(0.1, 1, 30)))
    after = merge(before, 0.3, blend=blend)
    assert 1 <= len(after) <= 30
    assert after.scores[0] == before.scores[0]
    if not blend:
        assert all(
            overlap(after.boxes[i], after.boxes[i + 1 :]).max(initial=0) <= 0.3 for i in range(len(after))
        )


def test_broken_numbers_are_no_candidates() -> None:
    boxes = [[0, 0, 5, 5], [np.nan, 0, 5, 5], [0, 0, np.inf, 5], [0, 0, 0, 5], [0, 0, -1, 5], [1, 1, 5, 5]]
    kept_candidates = valid_candidates(candidates(boxes, [0.5, 0.9, 0.9, 0.9, 0.9, 0.7]))
    assert kept_candidates.scores.tolist() == [0.7, 0.5]
    assert len(valid_candidates(candidates([[0, 0, 5, 5]], [np.nan]))) == 0


def test_their_number_is_bounded_and_the_best_stay() -> None:
    count = MAX_CANDIDATES * 3
    kept_candidates = valid_candidates(
        candidates(np.tile([0, 0, 5, 5], (count, 1)), np.arange(count) / count)
    )
    assert len(kept_candidates) == MAX_CANDIDATES
    assert kept_candidates.scores[0] == (count - 1) / count
