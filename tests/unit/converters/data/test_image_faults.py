"""Faults of calibration images that pixels show: each seeded fault has its finding, good images have none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from converters.data.drawn import draw_pictures
from converters.data.image_faults import find_image_faults
from edge_sdk.model.card import InputContract

CONTRACT = InputContract(32, 32, "rgb", (127.5,) * 3, (128.0,) * 3)


@pytest.fixture(scope="module")
def good() -> np.ndarray:
    return draw_pictures(CONTRACT, seed=5, first=0, count=120)


def frames(good: np.ndarray) -> np.ndarray:
    """One scene: noise of the sensor, and light that changes."""
    random = np.random.default_rng(2)
    light = random.uniform(0.85, 1.15, (len(good), 1, 1, 1))
    return (good[1] * light + random.normal(0, 4, good.shape)).clip(0, 255).astype(np.uint8)


def with_blank(good: np.ndarray) -> np.ndarray:
    some = good.copy()
    some[::50] = 128
    return some


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "few": lambda good: good[:40],
    "blank": with_blank,
    "copies": frames,
    "colourless": lambda good: np.repeat(good[..., 1:2], 3, axis=3),
    "narrow": lambda good: (good / 255).astype(np.uint8),
}


def test_good_images_have_no_fault(good: np.ndarray) -> None:
    assert find_image_faults(good) == []
    gray = draw_pictures(
        replace(CONTRACT, color="gray", mean=(0.0,), scale=(1.0,)), seed=5, first=0, count=100
    )
    assert find_image_faults(gray) == []


@pytest.mark.parametrize("side", [24, 40, 50])
def test_different_pale_images_of_any_size_are_no_copies(side: int) -> None:
    """Brightness makes no pattern that all images share."""
    pictures = draw_pictures(replace(CONTRACT, height=side, width=side), seed=5, first=0, count=100)
    pale = (200 + pictures / 5).astype(np.uint8)
    assert "copies" not in [finding.fault for finding in find_image_faults(pale)]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_cure(fault: str, good: np.ndarray) -> None:
    findings = {finding.fault: str(finding) for finding in find_image_faults(FAULTS[fault](good))}
    assert fault in findings
    assert "; " in findings[fault]
