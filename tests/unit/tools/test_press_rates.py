"""The tool that measures presses counts what it says, on drawn embeddings."""

from __future__ import annotations

import argparse

import numpy as np

from tests.drawn_embeddings import scattered
from tools.press_rates import (
    EARLY_IMAGES,
    ONE_IMAGE,
    THREE_IMAGES,
    Presses,
    frames_of,
    is_accepted,
    measure,
    table,
)
from tools.threshold_transfer import Faces


def drawn(subjects: int, images: int) -> Presses:
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(subjects), images)
    vectors = scattered(rng, subjects, codes, 0.8, dimension=32).astype(np.float64)
    return Presses(Faces(vectors, codes), np.repeat(vectors[:, np.newaxis], 3, axis=1))


def test_a_stranger_is_accepted_at_the_requested_rate_and_more_attempts_accept_more() -> None:
    options = argparse.Namespace(seed=1, splits=10, people=5, templates=3, fpir=0.05, attempts=4)
    rates = {row.press: row for row in measure(drawn(120, 6), options)}
    single, mean = rates[ONE_IMAGE], rates[THREE_IMAGES]
    assert 0.01 < single.fpir < 0.1
    assert single.strangers == 10 * 2 * 55 and single.mated == 10 * 2 * 5
    assert mean.fnmr <= single.fnmr
    assert rates[EARLY_IMAGES].fnmr <= mean.fnmr
    assert rates["up to 4 attempts of three images"].fpir >= mean.fpir
    assert table(list(rates.values())).count("\n") == 7


def test_frames_of_one_image_differ_a_little() -> None:
    image = np.full((112, 112, 3), 120, np.uint8)
    image[40:70, 40:70] = 200
    frames = frames_of(image, np.random.default_rng(1))
    assert len(frames) == 3 and all(frame.shape == image.shape for frame in frames)
    differences = [np.abs(frame.astype(int) - image).mean() for frame in frames]
    assert all(0 < difference < 20 for difference in differences)


def test_two_frames_accept_early_only_if_both_are_accepted_as_the_same_person() -> None:
    ann, bob, third = np.eye(8)[:3]
    templates = {1: ann[np.newaxis], 2: bob[np.newaxis]}
    both, either = np.stack([ann, ann, third]), np.stack([ann, bob, third])
    assert is_accepted(both[np.newaxis], templates, 0.95, early=True)
    assert not is_accepted(both[np.newaxis], templates, 0.95, early=False)
    assert not is_accepted(either[np.newaxis], templates, 0.95, early=True)
