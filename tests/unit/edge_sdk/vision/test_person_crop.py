"""A person's box becomes a crop in the network's aspect ratio, whole and not stretched."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.errors import InputError
from edge_sdk.vision.person_crop import person_crop

PICTURE = np.zeros((400, 300, 3), np.uint8)
PICTURE[100:300, 120:180] = (200, 100, 50)


@pytest.mark.parametrize(
    "box", [(120, 100, 180, 300), (100, 150, 200, 250), (-20, 100, 100, 300), (200, 300, 330, 450)]
)
def test_the_crop_has_the_networks_size(box: tuple[float, float, float, float]) -> None:
    assert person_crop(PICTURE, box).shape == (256, 128, 3)
    assert person_crop(PICTURE, box, height=128, width=64).shape == (128, 64, 3)


def test_the_person_is_whole_and_keeps_its_shape() -> None:
    crop = person_crop(PICTURE, (120, 100, 180, 300))
    person = crop[..., 0] > 100
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    assert (rows[0], rows[-1]) == (0, 255)
    assert (columns[-1] - columns[0] + 1) / 256 == pytest.approx(60 / 200, abs=0.02)


@pytest.mark.parametrize(
    "box", [(0, 0, 10, 100), (290, 0, 400, 100), (50, 50, 50, 50), (float("nan"), 0, 50, 50)]
)
def test_a_box_outside_the_picture_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="expected a box"):
        person_crop(PICTURE, box)


def test_another_array_is_refused() -> None:
    with pytest.raises(InputError, match="expected a picture"):
        person_crop(PICTURE[..., 0], (0, 0, 50, 50))
