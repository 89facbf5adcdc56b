"""Labels depend only on the product's numbers, and siblings look similar."""

import numpy as np
import pytest

from tools.products.catalogue import ASPECTS, FLAVOURS, family, product
from tools.products.icons import ICONS
from tools.products.labels import LABEL_HEIGHT_PX, draw_label

SEED = 7


def _distance(first, second):
    """Return the mean absolute difference of two fronts, scaled to the same small shape."""
    from PIL import Image

    small = [
        np.asarray(Image.fromarray(draw_label(p).front).resize((32, 32), Image.Resampling.BOX), np.float32)
        for p in (first, second)
    ]
    return float(np.abs(small[0] - small[1]).mean())


def test_a_label_is_the_same_pixels_each_time():
    first = draw_label(product(SEED, 3, 1))
    draw_label.cache_clear()
    again = draw_label(product(SEED, 3, 1))
    assert first is not again
    assert np.array_equal(first.front, again.front)
    assert np.array_equal(first.side, again.side)


def test_a_label_has_its_family_s_shape():
    subject = product(SEED, 5, 0)
    front = draw_label(subject).front
    assert front.dtype == np.uint8
    assert front.shape[0] == LABEL_HEIGHT_PX
    assert front.shape[1] / front.shape[0] == pytest.approx(subject.family.aspect, abs=0.02)


def test_every_product_differs_from_every_other():
    products = [product(SEED, index, variant) for index in range(12) for variant in range(4)]
    assert len({draw_label(p).front.tobytes() for p in products}) == len(products)


def test_siblings_are_more_alike_than_strangers():
    siblings = [_distance(product(SEED, index, 0), product(SEED, index, 1)) for index in range(30)]
    strangers = [_distance(product(SEED, index, 0), product(SEED, index + 1, 0)) for index in range(30)]
    assert np.mean(siblings) < 0.6 * np.mean(strangers)


def test_names_are_unique_and_fit_for_folders():
    names = [product(SEED, index, variant).name for index in range(1200) for variant in range(6)]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() and name == name.lower() for name in names)


def test_every_flavour_has_an_icon_and_every_package_is_in_the_catalogue():
    assert {flavour.icon for flavour in FLAVOURS} <= set(ICONS)
    assert {family(SEED, index).package for index in range(300)} == set(ASPECTS)
