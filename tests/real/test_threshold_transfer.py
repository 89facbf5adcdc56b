"""A gallery of real faces notices that a card's thresholds do not hold for its camera, and raises them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.model.card import InputContract
from edge_sdk.model.non_mated_scores import NonMatedScores
from tools.threshold_transfer import Faces, Row, card_of, embed, measure

pytestmark = [pytest.mark.real, pytest.mark.slow]

AS_PIXELS = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})
FMR = 1e-3
OPTIONS = argparse.Namespace(people=20, templates=1, draws=200, fmr=FMR, seed=1)


def embedded(shared: Path, fault: str) -> Faces:
    model = shared / "zoo" / "mobilefacenet_y1_float32.tflite"
    return embed(model, shared / "faces" / "lfw_calibration_aligned112.tar", fault, AS_PIXELS)


@pytest.fixture(scope="module")
def card(shared: Path) -> tuple[NonMatedScores, float]:
    """Card from one half of the people, captured without a fault."""
    return card_of(embedded(shared, "none").of(np.arange(250)), FMR)


def row(shared: Path, card: tuple[NonMatedScores, float], fault: str) -> Row:
    """Measure galleries of people of the other half."""
    return measure(fault, embedded(shared, fault), *card, options=OPTIONS, people=np.arange(250, 500))


def test_people_and_camera_of_the_card_are_not_reported(
    shared: Path, card: tuple[NonMatedScores, float]
) -> None:
    home = row(shared, card, "none")
    assert home.alarms <= 0.02
    assert home.raised < 0.03


@pytest.mark.parametrize("fault", ["moving", "infrared"])
def test_a_camera_with_other_scores_is_reported_and_its_threshold_repaired(
    shared: Path, card: tuple[NonMatedScores, float], fault: str
) -> None:
    foreign = row(shared, card, fault)
    assert foreign.before > 10
    assert foreign.alarms >= 0.96
    assert foreign.median < 2
