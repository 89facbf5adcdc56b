"""Frames shrink and grow as OpenCV shrinks and grows them, a level or two apart."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.vision.resize import resize


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("source", "target"), [((250, 250), (320, 320)), ((48, 64), (240, 320)), ((33, 17), (64, 41))]
)
def test_enlarging_is_bilinear(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = photograph(*source)
    wanted = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(resize(image, *target).astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shrinking_by_a_whole_number_is_the_mean(factor: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (60 * factor, 80 * factor, 3)).astype(np.uint8)
    wanted = cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(resize(image, 60, 80).astype(int) - wanted).max() <= 2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (50, 33), (240, 320)])
def test_half_is_the_mean_of_two_rows_and_of_two_columns_rounded_up(height: int, width: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (2 * height, 2 * width, 3)).astype(np.uint8)
    rows = (image[0::2].astype(int) + image[1::2] + 1) // 2
    assert np.array_equal(resize(image, height, width), (rows[:, 0::2] + rows[:, 1::2] + 1) // 2)


@pytest.mark.parametrize("source", [(250, 250), (480, 640), (240, 160), (1080, 1920), (1000, 777)])
def test_the_result_can_be_put_into_a_part_of_a_larger_image(source: tuple[int, int]) -> None:
    image, canvas = photograph(*source), np.full((300, 200, 3), 7, np.uint8)
    place = canvas[:240, 10:170]
    assert resize(image, 240, 160, out=place) is place
    assert np.array_equal(place, resize(image, 240, 160))
    assert (np.delete(canvas.reshape(300, -1), slice(30, 510), axis=1) == 7).all()
    assert (canvas[240:] == 7).all()


@pytest.mark.parametrize("source", [(480, 640), (720, 1280), (1080, 1920), (1000, 777), (4000, 6000)])
def test_smooth_photographs_shrink_as_by_area(source: tuple[int, int]) -> None:
    image = photograph(*source)
    wanted = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    difference = np.abs(resize(image, 120, 160).astype(int) - wanted)
    assert difference.mean() < 1
    assert difference.max() <= 8


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
def test_any_size_becomes_any_size_and_a_plain_image_stays_plain(
    rows: int, columns: int, height: int, width: int, level: int
) -> None:
    result = resize(np.full((rows, columns, 3), level, np.uint8), height, width)
    assert result.shape == (height, width, 3)
    assert result.dtype == np.uint8
    assert (result == level).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_no_value_leaves_the_range_of_the_image(seed: int, height: int, width: int) -> None:
    image = np.random.default_rng(seed).integers(40, 200, (37, 53, 3)).astype(np.uint8)
    result = resize(image, height, width)
    assert result.min() >= image.min()
    assert result.max() <= image.max()


def test_a_view_into_a_frame_will_do() -> None:
    frame = photograph(200, 300)
    view = frame[20:120, 30:190]
    assert np.array_equal(resize(view, 64, 64), resize(view.copy(), 64, 64))
