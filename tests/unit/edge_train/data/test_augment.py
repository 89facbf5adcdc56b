"""Augmentations: reproducible, within range, different for each image, and each change alone does what it states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_train.data.augment import SETS, Ranges, make_augment
from edge_train.errors import PlanError


def pictures(count: int = 8, side: int = 48, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    blocks = rng.integers(20, 236, (count, side // 8, side // 8, channels)).astype(np.float32)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


def changed(pixels: np.ndarray, ranges: Ranges, seed: tuple[int, int] = (3, 5)) -> np.ndarray:
    import tensorflow as tf

    from edge_train.data.augment.pipeline import augment_batch

    return np.asarray(augment_batch(tf.constant(pixels), tf.constant(seed, tf.int32), ranges))


@pytest.mark.parametrize("name", [name for name in SETS if name != "none"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_compiled_step_depends_only_on_its_seed(name: str, channels: int) -> None:
    import tensorflow as tf

    augment = make_augment(name)
    assert augment is not None
    compiled = tf.function(augment, reduce_retracing=True)
    pixels = tf.constant(pictures(channels=channels))

    def run(seed: int, step: int) -> np.ndarray:
        return np.asarray(compiled(pixels, tf.constant([seed, step], tf.int32)))

    first = run(1, 7)
    assert first.shape == pixels.shape
    assert first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 255
    assert np.isfinite(first).all()
    assert (first == run(1, 7)).all()
    assert np.abs(first - run(1, 8)).mean() > 2
    assert np.abs(first - run(2, 7)).mean() > 2
    # Equal images of a batch get different changes.
    same = tf.constant(np.repeat(pixels[:1], 6, axis=0))
    versions = np.asarray(compiled(same, tf.constant([1, 7], tf.int32)))
    assert all(np.abs(versions[0] - versions[k]).mean() > 0.5 for k in range(1, 6))


@pytest.mark.parametrize("shape", [(16, 16, 1), (64, 32, 3), (23, 37, 3)])
def test_any_size_keeps_its_shape(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(1).uniform(0, 255, (3, *shape)).astype(np.float32)
    for name, ranges in SETS.items():
        assert changed(pixels, ranges).shape == pixels.shape, name


def test_no_width_changes_nothing() -> None:
    pixels = pictures()
    assert (changed(pixels, Ranges()) == pixels).all()
    assert make_augment("none") is None
    assert make_augment("faces", strength=0) is None


def test_strength_scales_the_change() -> None:
    import tensorflow as tf

    pixels = tf.constant(pictures(16))
    seed = tf.constant([0, 0], tf.int32)
    differences = []
    for strength in (0.3, 1.0, 3.0):
        augment = make_augment("products", strength=strength)
        assert augment is not None
        differences.append(float(np.abs(np.asarray(augment(pixels, seed)) - pixels).mean()))
    assert differences == sorted(differences)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError, match="found 'product'") as error:
        make_augment("product")
    assert error.value.hint == "did you mean 'products'?"
    with pytest.raises(PlanError, match=r"0\.\.3, found 4"):
        make_augment("faces", strength=4)


def test_a_flip_mirrors_some_images_exactly() -> None:
    pixels = pictures(16)
    flipped = changed(pixels, Ranges(flip=True))
    mirrored = [np.abs(a - b[:, ::-1]).max() < 0.1 for a, b in zip(flipped, pixels, strict=True)]
    kept = [np.abs(a - b).max() < 0.1 for a, b in zip(flipped, pixels, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 2 < sum(mirrored) < 14


def test_a_shift_moves_the_image() -> None:
    pixels = np.zeros((12, 40, 40, 1), np.float32)
    pixels[:, 19:21, 19:21] = 255
    moved = changed(pixels, Ranges(shift=0.2))
    places = [np.argwhere(image[..., 0] > 20).mean(axis=0) - 19.5 for image in moved]
    assert np.abs(places).max() <= 0.2 * 40 + 1
    assert np.abs(places).mean() > 2


@pytest.mark.parametrize(
    ("ranges", "direction"), [(Ranges(scale=0.3), 0), (Ranges(rotation=0.5), 1), (Ranges(perspective=0.3), 2)]
)
def test_the_middle_stays_in_place(ranges: Ranges, direction: int) -> None:
    pixels = np.zeros((8, 41, 41, 1), np.float32)
    pixels[:, 19:22, 19:22] = 255
    for image in changed(pixels, ranges):
        assert np.abs(np.argwhere(image[..., 0] > 60).mean(axis=0) - 20).max() < 1


def test_exposure_and_temperature_change_channels_by_factors() -> None:
    pixels = np.full((16, 16, 16, 3), 60, np.float32)
    lit = changed(pixels, Ranges(exposure=0.5, temperature=0.2))
    gains = lit[:, 0, 0] / 60
    assert (np.abs(lit - lit[:, :1, :1]) < 1e-3).all()
    assert gains.min() > np.exp(-0.8) and gains.max() < np.exp(0.8)
    warmth = gains[:, 0] / gains[:, 2]
    assert warmth.min() < 0.95 < 1.05 < warmth.max()


def test_noise_has_the_stated_deviation() -> None:
    pixels = np.full((64, 32, 32, 1), 100, np.float32)
    noisy = changed(pixels, Ranges(noisy=1.0, read_noise=6.0))
    deviations = noisy.std(axis=(1, 2, 3))
    assert deviations.max() < 6.3
    assert 2.4 < deviations.mean() < 3.6
    assert abs(noisy.mean() - 100) < 0.2


def test_blur_keeps_brightness_and_lowers_contrast() -> None:
    pixels = pictures(16)
    blurred = changed(pixels, Ranges(blurred=1.0, defocus=3.0, motion=3.0))
    assert np.abs(blurred.mean(axis=(1, 2, 3)) - pixels.mean(axis=(1, 2, 3))).max() < 3
    assert (blurred.std(axis=(1, 2, 3)) < pixels.std(axis=(1, 2, 3)) + 0.1).all()
    sharpness = np.abs(np.diff(blurred, axis=2)).max(axis=(1, 2, 3)) / np.abs(np.diff(pixels, axis=2)).max(
        axis=(1, 2, 3)
    )
    assert sharpness.mean() < 0.8


def test_a_share_of_the_images_is_covered() -> None:
    pixels = np.full((40, 32, 32, 3), 128, np.float32)
    covered = changed(pixels, Ranges(occluded=0.5, erased_area=0.3, bar_width=0.2))
    areas = (np.abs(covered - 128).max(axis=3) > 1).mean(axis=(1, 2))
    assert 10 <= (areas > 0).sum() <= 20
    assert areas.max() <= 0.5


def test_compression_is_that_of_the_codec() -> None:
    import io

    from PIL import Image

    pixels = np.clip(pictures(2) + np.random.default_rng(2).normal(0, 12, (2, 48, 48, 3)), 0, 255)
    compressed = changed(pixels.astype(np.float32), Ranges(jpeg=1.0, jpeg_quality=94))
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels[0]).astype(np.uint8)).save(file, "JPEG", quality=94)
    reference = np.asarray(Image.open(file), np.float32)
    assert np.abs(compressed[0] - reference).mean() < 1.5
    low = changed(pixels.astype(np.float32), Ranges(jpeg=1.0, jpeg_quality=1))
    assert np.abs(low - pixels).mean() > np.abs(compressed - pixels).mean()


def test_strokes_become_thicker_and_thinner() -> None:
    pixels = np.full((24, 28, 28, 1), 255, np.float32)
    pixels[:, 12:14, 4:24] = 0
    ink = (255 - changed(pixels, Ranges(strokes=1.0, stroke_change=1.0))).sum(axis=(1, 2, 3)) / 255
    before = (255 - pixels).sum(axis=(1, 2, 3)) / 255
    assert (ink > before + 4).any()
    assert (ink < before - 2).any()


def test_ranges_keep_to_their_limits_at_any_strength() -> None:
    values: dict[str, Any] = vars(SETS["products"].times(3.0))
    assert values["gradient"] <= 0.45
    assert values["gamma"] <= 0.9
    assert values["occluded"] == SETS["products"].occluded
