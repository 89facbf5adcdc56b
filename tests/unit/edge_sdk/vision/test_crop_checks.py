"""Crops without a detector are judged by their detail, at the places of the contract's landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_sdk.errors import AcquisitionError
from edge_sdk.model.landmark_template import arcface
from edge_sdk.types import UInt8Array
from edge_sdk.vision.crop_checks import check_crops
from edge_sdk.vision.quality import Limits
from tests.conftest import contract

LIMITS = Limits.enrolment()


def textured(side: int = 112) -> UInt8Array:
    """Create a crop with texture everywhere."""
    noise = np.random.default_rng(0).normal(0, 60, (112, 112, 1))
    crop = (np.full((112, 112, 3), 130.0) + cv2.GaussianBlur(noise, (0, 0), 1)[..., None]).clip(0, 255)
    return np.asarray(cv2.resize(crop.astype(np.uint8), (side, side)), np.uint8)


def covered_eyes() -> UInt8Array:
    crop = textured()
    crop[40:64, 20:92] = 20
    return crop


@pytest.mark.parametrize(("height", "width"), [(112, 112), (112, 96), (160, 160)])
def test_a_crop_with_detail_is_not_refused(height: int, width: int) -> None:
    check_crops(
        [("a", textured())],
        contract(height=height, width=width, alignment=arcface(height, width)),
        LIMITS,
    )


def test_all_refused_crops_are_listed_in_one_error() -> None:
    blurred = np.full((112, 112, 3), 120, np.uint8)
    faces = contract(height=112, width=112, alignment=arcface(112, 112))
    with pytest.raises(AcquisitionError, match=r"b\.jpg: eyes_covered.*; c\.jpg: blurred") as refused:
        check_crops([("a.jpg", textured()), ("b.jpg", covered_eyes()), ("c.jpg", blurred)], faces, LIMITS)
    assert "a.jpg" not in str(refused.value)
    assert refused.value.hint is not None
    assert "take off dark glasses" in refused.value.hint
    assert "uncover mouth and nose" in refused.value.hint


def test_crops_that_are_not_aligned_faces_are_not_judged() -> None:
    check_crops([("a", covered_eyes())], contract(height=112, width=112), LIMITS)
    faces = contract(height=112, width=112, alignment=arcface(112, 112))
    check_crops([("a", covered_eyes())], faces, Limits.enrolment(allow=["eyes_covered"]))
