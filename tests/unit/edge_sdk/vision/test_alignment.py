"""Alignment: the transform is the least-squares solution, and the warp agrees with OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from edge_sdk.errors import AcquisitionError, InputError, ModelCardError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112, arcface
from edge_sdk.vision.alignment import align, similarity, template_of, warp

TEMPLATE = np.array(ARCFACE_112)
CONTRACT = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3, ARCFACE_112)

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.2, 8)
shifts = st.floats(-500, 500)


def moved(points: np.ndarray, angle: float, scale: float, x: float, y: float) -> np.ndarray:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + [x, y]


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@given(angles, scales, shifts, shifts)
def test_a_moved_template_comes_back(angle: float, scale: float, x: float, y: float) -> None:
    points = moved(TEMPLATE, angle, scale, x, y)
    matrix = similarity(points, TEMPLATE)
    assert points @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE, abs=1e-6)
    assert np.hypot(matrix[0, 0], matrix[1, 0]) == pytest.approx(1 / scale)


@given(st.integers(0, 2**32 - 1))
def test_no_other_similarity_comes_nearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = moved(TEMPLATE, rng.uniform(-1, 1), rng.uniform(0.5, 3), 50, 80) + rng.normal(0, 4, (5, 2))

    def misses(parameters: np.ndarray) -> np.ndarray:
        a, b, x, y = parameters
        return (points @ np.array([[a, b], [-b, a]]) + [x, y] - TEMPLATE).ravel()

    matrix = similarity(points, TEMPLATE)
    best = least_squares(misses, [1.0, 0, 0, 0], x_scale=[1, 1, 100, 100], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    ours = misses(np.array([matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2]]))
    assert (ours**2).sum() <= 2 * best.cost + 1e-6


def umeyama(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Compute the transform by singular values, as in the paper (Umeyama 1991, equations 40 to 43)."""
    source, target = points - points.mean(axis=0), template - template.mean(axis=0)
    u, d, vt = np.linalg.svd(target.T @ source / len(points))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / (source**2).sum() * len(points)
    return np.column_stack([scale * rotation, template.mean(axis=0) - scale * rotation @ points.mean(axis=0)])


@given(st.integers(0, 2**32 - 1))
def test_it_is_the_papers_form_even_for_a_mirrored_face(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = TEMPLATE * [rng.choice([-1, 1]), 1] * 2 + rng.normal(0, 5, (5, 2))
    assert similarity(points, TEMPLATE) == pytest.approx(umeyama(points, TEMPLATE), abs=1e-6)


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), 1e200) * np.arange(5)[:, None]])
def test_landmarks_that_are_no_face_are_a_failure_to_acquire(points: np.ndarray) -> None:
    with np.errstate(all="ignore"), pytest.raises(AcquisitionError) as error:
        similarity(points, TEMPLATE)
    assert error.value.reason == "landmarks"


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((4, 2)),
        np.zeros((5, 3)),
        np.zeros(5),
        [[1, 2], [3]],
        "points",
        np.full((5, 2), np.nan),
        [[np.inf, 0]] * 5,
        np.zeros((1, 2)),
    ],
)
def test_what_are_no_five_points_is_refused(points: object) -> None:
    with pytest.raises(InputError, match="expected"):
        similarity(points, TEMPLATE)  # type: ignore[arg-type]


@given(st.floats(-1, 1), st.floats(0.5, 2), st.floats(-60, 60), st.floats(-60, 60), st.integers(0, 9))
def test_the_warp_is_opencvs_within_two_levels(
    angle: float, scale: float, x: float, y: float, seed: int
) -> None:
    image = photograph(160, 200, seed)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, x], [sine, cosine, y]])
    expected = cv2.warpAffine(image, matrix, (96, 112), flags=cv2.INTER_LINEAR).astype(int)
    warped = warp(image, matrix, 112, 96)
    # At the image's edge OpenCV's steps of 1/32 pixel and our steps of 1/128 pixel differ by more.
    inside = cv2.erode(cv2.warpAffine(np.full((160, 200), 255, np.uint8), matrix, (96, 112)), np.ones((5, 5)))
    difference = np.abs(warped - expected)[inside == 255]
    assert difference.max(initial=0) <= 3
    assert difference.size == 0 or difference.mean() < 0.3


def test_a_warp_that_moves_nothing_changes_nothing() -> None:
    image = photograph(64, 48)
    assert np.array_equal(warp(image, np.eye(2, 3), 64, 48), image)


@given(st.floats(-np.pi, np.pi), st.floats(0.3, 3), st.floats(-150, 150), st.floats(-150, 150))
def test_around_the_image_it_is_as_if_the_image_had_a_black_border(
    angle: float, scale: float, x: float, y: float
) -> None:
    image, border = photograph(48, 64), 200
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, x], [sine, cosine, y]])
    inside = np.array([[1.0, 0, -border], [0, 1, -border], [0, 0, 1]])
    padded = np.pad(image, ((border, border), (border, border), (0, 0)))
    difference = warp(image, matrix, 40, 56).astype(int) - warp(padded, matrix @ inside, 40, 56)
    # A position between two steps of 1/128 may be rounded either way.
    assert np.count_nonzero(difference) <= 4


def test_outside_the_image_is_black() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    result = warp(image, np.array([[1.0, 0, 10], [0, 1, 10]]), 60, 60)
    assert (result[10:50, 10:50] == 200).all()
    assert (result[:9] == 0).all()
    assert (result[51:] == 0).all()


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((2, 3)),
        np.full((2, 3), np.nan),
        np.array([[1.0, 1, 0], [1, 1, 0]]),
        np.array([[1e200, 0, 0], [0, 1e200, 0]]),
        np.array([[1.0, 0, np.inf], [0, 1, 0]]),
    ],
)
def test_a_transform_that_flattens_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(InputError, match="can be inverted"):
        warp(photograph(32, 32), matrix, 16, 16)


@pytest.mark.parametrize(("height", "width"), [(112, 112), (112, 96), (128, 128), (160, 160)])
def test_landmarks_lie_on_the_template_after_alignment(height: int, width: int) -> None:
    contract = InputContract(height, width, "rgb", (0.0,) * 3, (1.0,) * 3)
    points = moved(TEMPLATE, 0.3, 1.7, 100, 20)
    frame = np.zeros((400, 400, 3), np.uint8)
    for x, y in points:
        cv2.circle(frame, (round(x), round(y)), 6, (255, 255, 255), -1)
    crop = align(frame, points, contract)
    assert crop.shape == (height, width, 3)
    for x, y in template_of(contract):
        assert crop[round(y), round(x)].mean() > 200


@pytest.mark.parametrize("scale", [2.0, 3.3, 7.9, 20.0])
def test_a_large_face_is_shrunk_by_means_and_lies_in_the_same_place(scale: float) -> None:
    points = moved(TEMPLATE, 0.2, scale, 15.0 * scale, 5.0 * scale)
    coarse = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    frame = cv2.resize(coarse, (int(150 * scale),) * 2, interpolation=cv2.INTER_CUBIC)
    expected = warp(frame, similarity(points, TEMPLATE), 112, 112).astype(int)
    # An offset of a quarter of a pixel would give a difference of 3.
    assert np.abs(align(frame, points, CONTRACT) - expected).mean() < 1


def test_fine_noise_does_not_become_a_pattern_in_a_large_face() -> None:
    points = moved(TEMPLATE, 0.0, 6.0, 0, 0)
    checks = np.indices((700, 700)).sum(axis=0) % 2 * 255
    frame = np.repeat(checks[..., None], 3, axis=-1).astype(np.uint8)
    assert np.ptp(align(frame, points, CONTRACT)[4:100, 4:100]) <= 40


@given(st.integers(0, 2**32 - 1))
def test_any_five_finite_points_give_a_crop_or_a_failure_to_acquire(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = photograph(64, 96)
    points = rng.normal(0, 10.0 ** rng.uniform(-3, 8), (5, 2)) + rng.uniform(-200, 200, 2)
    try:
        crop = align(frame, points, CONTRACT)
    except AcquisitionError:
        return
    assert crop.shape == (112, 112, 3)


def test_the_template_of_a_112x96_network_is_the_square_one_cut_at_both_sides() -> None:
    assert np.allclose(arcface(112, 96), TEMPLATE - [8, 0])
    assert arcface(112, 112) == ARCFACE_112


def test_a_contract_can_name_the_template() -> None:
    contract = {"size": [112, 96], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
    assert InputContract.from_json(contract).alignment == arcface(112, 96)
    with pytest.raises(ModelCardError, match="height"):
        InputContract.from_json({**contract, "size": ["a", 96]})
    with pytest.raises(ModelCardError, match="alignment"):
        InputContract.from_json({**contract, "alignment": "other"})
