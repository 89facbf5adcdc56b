"""Drawn pictures: the same every time, of every input size and colour, with faces where networks for faces expect them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.data.alignment_check import LookedAt, alignment_note
from converters.data.calibration import draw_calibration
from converters.data.drawn import draw_pictures
from converters.data.image_faults import find_image_faults
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface

FACES = InputContract(112, 96, "rgb", (127.5,) * 3, (128.0,) * 3, arcface(112, 96))
THINGS = replace(FACES, height=64, width=48, alignment=None)


def test_a_seed_gives_the_same_pictures_in_any_part_of_the_series() -> None:
    series = draw_pictures(FACES, seed=1, first=0, count=5)
    assert (draw_pictures(FACES, seed=1, first=3, count=2) == series[3:]).all()
    assert not (draw_pictures(FACES, seed=2, first=0, count=5) == series).all(axis=(1, 2, 3)).any()


def test_drawn_faces_pass_as_aligned_crops_without_faults() -> None:
    pixels = draw_pictures(FACES, seed=3, first=0, count=40)
    assert alignment_note(LookedAt(pixels, 0), FACES) == ""
    assert [finding.fault for finding in find_image_faults(pixels)] == ["few"]


@pytest.mark.parametrize(
    "contract",
    [
        THINGS,
        replace(THINGS, color="bgr", height=224, width=224),
        InputContract(33, 16, "gray", (0.0,), (255.0,)),
        replace(THINGS, height=16, width=16, alignment=arcface(16, 16)),
    ],
)
def test_pictures_fit_every_contract(contract: InputContract) -> None:
    pixels = draw_pictures(contract, seed=0, first=0, count=3)
    assert pixels.shape == (3, *contract.shape)
    assert pixels.dtype == np.uint8
    assert (pixels.std(axis=(1, 2, 3)) > 3).all()


def test_a_drawn_calibration_set_states_its_generator_and_shares_no_picture() -> None:
    images = draw_calibration(replace(THINGS, height=16, width=16), seed=7)
    assert images.drawn == "drawn-pictures/1 seed 7"
    assert images.split
    names = [name for part in (images.ranges, images.held_out, images.selection) for name in part.names]
    assert len(set(names)) == images.available == 240
