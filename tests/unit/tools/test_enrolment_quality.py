"""Drawn disguises change the picture as named, and accepted strangers are counted without mated pairs."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.model.landmark_template import ARCFACE_112
from tools.disguises import DISGUISES
from tools.enrolment_quality import accepted_strangers, half_of

LANDMARKS = np.array(ARCFACE_112) + 60
STYLES = [(kind, style) for kind, disguise in DISGUISES.items() for style in disguise.styles]


@pytest.mark.parametrize(("kind", "style"), STYLES)
def test_a_drawing_keeps_the_shape_and_is_repeatable(kind: str, style: str) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (230, 240, 3)).astype(np.uint8)
    draw = DISGUISES[kind].styles[style]
    drawn = draw(photograph, LANDMARKS, np.random.default_rng(1))
    assert (drawn.shape, drawn.dtype) == (photograph.shape, np.uint8)
    assert np.array_equal(drawn, draw(photograph, LANDMARKS, np.random.default_rng(1)))
    assert (kind == "plain") == np.array_equal(drawn, photograph)


@pytest.mark.parametrize("kind", ["dark glasses", "mask", "mask and dark glasses", "hand over the mouth"])
def test_a_disguise_covers_its_part_of_the_face(kind: str) -> None:
    photograph = np.full((230, 240, 3), 255, np.uint8)
    for draw in DISGUISES[kind].styles.values():
        changed = (draw(photograph, LANDMARKS, np.random.default_rng(1)) != photograph).any(axis=2)
        eyes, mouth = changed[111, [98, 133]], changed[152, [101, 115, 130]]
        assert eyes.all() == ("glasses" in kind)
        assert mouth.all() == ("mask" in kind or "mouth" in kind)


def test_the_rate_counts_strangers_of_all_and_of_the_enrolled() -> None:
    accepted = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]], np.float64)
    rates = accepted_strangers(accepted, np.array([1.0, 1.0, 0.0]))
    assert (rates["accepted"], rates["trials"]) == (1, 6)
    assert (rates["rate"], rates["of_enrolled"]) == (1 / 6, 1 / 4)
    low, high = rates["interval"]
    assert 0 <= low <= 1 / 6 <= high <= 1


def test_the_halves_are_about_equally_large() -> None:
    halves = [half_of(f"subject {number}") for number in range(400)]
    assert 150 < halves.count("choose") < 250
