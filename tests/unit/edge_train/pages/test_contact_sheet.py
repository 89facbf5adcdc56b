"""The contact sheet shows the original and different versions of each image."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from edge_train.data.augment import make_augment
from edge_train.pages.contact_sheet import draw_contact_sheet
from tests.labelled_images import photo


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_sheet_shows_originals_and_versions() -> None:
    images = [photo(subject, 0) for subject in range(3)]
    augment = make_augment("products")
    content = draw_contact_sheet(images, augment, title="products", names=["a", "b", "c"], versions=4, seed=2)
    again = draw_contact_sheet(images, augment, title="products", names=["a", "b", "c"], versions=4, seed=2)
    assert content == again
    sheet = opened(content)
    plain = opened(draw_contact_sheet(images, None, title="products", names=["a", "b", "c"], versions=4))
    assert sheet.shape == plain.shape
    differences = np.abs(sheet.astype(int) - plain).max(axis=(0, 2))
    # The column of the originals is the same; those of the versions are not.
    assert differences[:120].max() == 0
    assert (differences[140:].reshape(-1) > 30).mean() > 0.8


def test_gray_and_tall_images_keep_their_aspect_ratio() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 1)).astype(np.uint8)
    sheet = opened(draw_contact_sheet([image] * 2, make_augment("drawings"), title="x", versions=2))
    assert sheet.shape[0] > sheet.shape[1]


def test_a_name_of_several_lines_is_drawn_on_one() -> None:
    image = photo(0, 0)
    first = draw_contact_sheet([image], None, title="x", names=["two\nlines$"], versions=1)
    assert (
        opened(first).shape
        == opened(draw_contact_sheet([image], None, title="x", names=["a"], versions=1)).shape
    )
