"""Check of calibration images: what changes of the network's response mean, and which sets are in doubt."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from converters.analyze.calibration_check import CalibrationCheck, check_calibration, judge_place
from converters.data.calibration import CalibrationSet
from converters.data.image_faults import Finding
from converters.data.image_set import Crops
from edge_sdk.model.array_contract import ArrayContract
from tests.networks import CONTRACT, crops, tiny

#: Changes of aligned faces on MobileFaceNet y1.
GOOD = {
    "turned by 90": -1.8,
    "turned by 180": -1.05,
    "turned by 270": -1.8,
    "enlarged": -0.17,
    "reduced": -0.22,
    "shifted up": -0.48,
    "shifted down": -0.58,
    "shifted left": -0.39,
    "shifted right": 0.12,
}
KEPT = dict.fromkeys(GOOD, 0.0)


def as_set(pixels: np.ndarray) -> CalibrationSet:
    names = tuple(str(number) for number in range(len(pixels)))
    images = Crops(names, pixels, hashlib.sha256(pixels.tobytes()).hexdigest(), 0)
    return CalibrationSet(images, images, images, False, len(pixels))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (GOOD, ""),
        ({}, ""),
        (GOOD | {"turned by 180": 1.1}, "turned"),
        (GOOD | {"enlarged": 0.6}, "size"),
        (GOOD | {"reduced": 0.12}, "size"),
        (GOOD | {"shifted up": 0.5}, "shifted"),
        (KEPT, "kind"),
        (KEPT | {"enlarged": 0.4}, "kind"),
    ],
)
def test_a_change_of_response_names_the_fault(changes: dict[str, float], fault: str) -> None:
    finding = judge_place(changes)
    assert ("" if finding is None else finding.fault) == fault


def test_an_untrained_network_says_nothing_about_the_kind_of_images() -> None:
    assert check_calibration(tiny(), CONTRACT, as_set(crops(120))).findings == ()


def test_arrays_are_only_counted() -> None:
    check = check_calibration(tiny(), ArrayContract((40, 80)), as_set(np.zeros((5, 40, 80), np.float32)))
    assert [finding.fault for finding in check.findings] == ["few"]
    assert check.doubts() == []


def test_a_finding_is_a_note_with_its_cure() -> None:
    check = CalibrationCheck((Finding("blank", "2 of 9 images are blank", "remove them"),))
    assert check.notes() == ["calibration images: 2 of 9 images are blank; remove them"]
