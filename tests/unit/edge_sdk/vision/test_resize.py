"""`resize_fast` agrees with OpenCV within a few levels, `fit` with Pillow within one."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_sdk.vision.resize import fit, resize_fast


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("source", "target"), [((250, 250), (320, 320)), ((48, 64), (240, 320)), ((33, 17), (64, 41))]
)
def test_enlarging_is_bilinear(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = photograph(*source)
    expected = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(resize_fast(image, *target).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shrinking_by_a_whole_number_is_the_mean(factor: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (60 * factor, 80 * factor, 3)).astype(np.uint8)
    expected = cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(resize_fast(image, 60, 80).astype(int) - expected).max() <= 2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (50, 33), (240, 320)])
def test_half_is_the_mean_of_two_rows_and_of_two_columns_rounded_up(height: int, width: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (2 * height, 2 * width, 3)).astype(np.uint8)
    rows = (image[0::2].astype(int) + image[1::2] + 1) // 2
    assert np.array_equal(resize_fast(image, height, width), (rows[:, 0::2] + rows[:, 1::2] + 1) // 2)


@pytest.mark.parametrize("source", [(250, 250), (480, 640), (240, 160), (1080, 1920), (1000, 777)])
def test_the_result_can_be_put_into_a_part_of_a_larger_image(source: tuple[int, int]) -> None:
    image, canvas = photograph(*source), np.full((300, 200, 3), 7, np.uint8)
    place = canvas[:240, 10:170]
    assert resize_fast(image, 240, 160, out=place) is place
    assert np.array_equal(place, resize_fast(image, 240, 160))
    assert (np.delete(canvas.reshape(300, -1), slice(30, 510), axis=1) == 7).all()
    assert (canvas[240:] == 7).all()


@pytest.mark.parametrize("source", [(480, 640), (720, 1280), (1080, 1920), (1000, 777), (4000, 6000)])
def test_smooth_photographs_shrink_as_by_area(source: tuple[int, int]) -> None:
    image = photograph(*source)
    expected = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    difference = np.abs(resize_fast(image, 120, 160).astype(int) - expected)
    assert difference.mean() < 1
    assert difference.max() <= 8


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
def test_any_size_becomes_any_size_and_a_plain_image_stays_plain(
    rows: int, columns: int, height: int, width: int, level: int
) -> None:
    result = resize_fast(np.full((rows, columns, 3), level, np.uint8), height, width)
    assert result.shape == (height, width, 3)
    assert result.dtype == np.uint8
    assert (result == level).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_no_value_leaves_the_range_of_the_image(seed: int, height: int, width: int) -> None:
    image = np.random.default_rng(seed).integers(40, 200, (37, 53, 3)).astype(np.uint8)
    result = resize_fast(image, height, width)
    assert result.min() >= image.min()
    assert result.max() <= image.max()


def test_a_view_into_a_frame_will_do() -> None:
    frame = photograph(200, 300)
    view = frame[20:120, 30:190]
    assert np.array_equal(resize_fast(view, 64, 64), resize_fast(view.copy(), 64, 64))


def photo(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    """Create smooth colours with some structure, similar to a photograph."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / rng.uniform(3, 9) + columns / rng.uniform(3, 9)) for _ in range(3)]
    noise = rng.normal(0, 8, (height, width, 3))
    return np.clip(127 + 90 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def test_an_image_of_the_right_size_is_not_copied() -> None:
    image = photo()
    assert fit(image, 40, 48) is image


def test_an_arcface_crop_gives_its_middle() -> None:
    crop = photo(112, 112)
    fitted = fit(crop, 112, 96)
    np.testing.assert_array_equal(fitted, crop[:, 8:104])
    assert np.shares_memory(fitted, crop)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((40, 48), (80, 96)),
        ((16, 16), (112, 112)),
        ((200, 240), (100, 120)),
        ((250, 250), (96, 96)),
        ((97, 97), (96, 96)),
        ((96, 96), (97, 97)),
        ((300, 150), (30, 15)),
        ((32, 100), (64, 200)),
    ],
)
def test_resizing_equals_pillows_antialiased_bilinear(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    image = photo(*source, seed=source[0])
    expected = Image.fromarray(image).resize(target[::-1], Image.Resampling.BILINEAR)
    difference = np.abs(fit(image, *target).astype(int) - np.asarray(expected).astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 0.35  # Pillow rounds between its two passes


@pytest.mark.parametrize(
    ("source", "target", "part"),
    [
        ((112, 112), (56, 48), (slice(None), slice(8, 104))),
        ((100, 200), (50, 50), (slice(None), slice(50, 150))),
        ((200, 100), (50, 50), (slice(50, 150), slice(None))),
        ((480, 640), (96, 96), (slice(None), slice(80, 560))),
        ((640, 480), (112, 112), (slice(80, 560), slice(None))),
    ],
)
def test_another_aspect_is_cut_around_the_centre_and_never_stretched(
    source: tuple[int, int], target: tuple[int, int], part: tuple[slice, slice]
) -> None:
    image = photo(*source)
    np.testing.assert_array_equal(fit(image, *target), fit(np.ascontiguousarray(image[part]), *target))


@pytest.mark.parametrize("source", [(16, 16), (16, 500), (500, 16), (97, 31), (1024, 17)])
@pytest.mark.parametrize("target", [(112, 96), (8, 8), (8, 128), (128, 8)])
def test_every_size_becomes_the_wanted_one(source: tuple[int, int], target: tuple[int, int]) -> None:
    for channels in (1, 3):
        image = np.full((*source, channels), 201, np.uint8)
        fitted = fit(image, *target)
        assert fitted.shape == (*target, channels)
        assert fitted.dtype == np.uint8
        assert (fitted == 201).all()


def test_grey_is_resized_as_each_colour_is() -> None:
    image = photo(64, 64)
    np.testing.assert_array_equal(fit(image, 40, 40)[..., 1:2], fit(image[..., 1:2], 40, 40))


def test_a_large_photo_is_made_small_in_little_memory_and_as_a_small_one_would_be() -> None:
    image = np.kron(photo(30, 40), np.ones((60, 60, 1), np.uint8))
    tracemalloc.start()
    try:
        fitted = fit(image, 96, 128)
        assert tracemalloc.get_traced_memory()[1] < 48 << 20
    finally:
        tracemalloc.stop()
    expected = Image.fromarray(image).resize((128, 96), Image.Resampling.BILINEAR)
    assert np.abs(fitted.astype(int) - np.asarray(expected).astype(int)).max() <= 1
