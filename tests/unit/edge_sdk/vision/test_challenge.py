"""Turning the head: what passes, and all that does not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from edge_sdk.errors import InputError
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.vision.challenge import Progress, TurnHead, TurnLimits
from edge_sdk.vision.faces import Face
from edge_sdk.vision.pose import mean_face

LEFT, RIGHT = 35.0, -35.0  # as the image shows a turn to the person's own left and right


def face(yaw: float, *, x: float = 100, scale: float = 40, points: np.ndarray | None = None) -> Face:
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    seen = (mean_face() @ turn.T)[:, :2] if points is None else points
    return Face((x - 40, 60.0, 80.0, 100.0), seen * scale + [x, 100], 0.9)


def play(challenge: TurnHead, faces: Iterable[Face | None], *, step_s: float = 0.1) -> Progress:
    result = Progress.WAITING
    for number, seen in enumerate(faces):
        result = challenge.observe(seen, number * step_s)
    return result


def turn(to: float) -> list[Face | None]:
    return [face(yaw) for yaw in (0, 0, 0, to / 2, to, to, to, to / 2, 0, 0, 0)]


@pytest.mark.parametrize(("side", "to"), [("left", LEFT), ("right", RIGHT)])
def test_the_right_turn_passes_and_stays_passed(side: str, to: float) -> None:
    challenge = TurnHead(side=side)
    assert f"to your {side}" in challenge.prompt
    assert play(challenge, turn(to)) is Progress.PASSED
    assert challenge.observe(None, 99.0) is Progress.PASSED


@pytest.mark.parametrize(("side", "to"), [("left", RIGHT), ("right", LEFT)])
def test_the_wrong_side_fails_for_good(side: str, to: float) -> None:
    challenge = TurnHead(side=side)
    assert play(challenge, turn(to)) is Progress.FAILED
    assert challenge.observe(face(0), 2.0) is Progress.FAILED


def test_a_picture_held_still_or_turned_never_passes() -> None:
    flat = np.array(ARCFACE_112) / 35 - np.array(ARCFACE_112).mean(axis=0) / 35
    still = [face(0, points=flat)] * 60
    assert play(TurnHead(side="left"), still) is Progress.WAITING
    angles = np.radians(np.concatenate([np.zeros(5), np.linspace(0, 65, 20), np.linspace(65, 0, 20)]))
    for side in ("left", "right"):
        turned = [face(0, points=flat * [np.cos(a), 1]) for a in angles]
        assert play(TurnHead(side=side), turned) is not Progress.PASSED


@pytest.mark.parametrize(
    "faces",
    [
        [face(LEFT)] * 30,
        [face(0)] * 30,
        [face(0), face(LEFT), face(0), face(LEFT), face(0), face(LEFT), face(0)],
        [None] * 30,
        [],
    ],
    ids=["never frontal", "never turned", "never twice", "nobody", "no frame"],
)
def test_less_than_the_whole_movement_does_not_pass(faces: list[Face | None]) -> None:
    assert play(TurnHead(side="left"), faces) is not Progress.PASSED


def test_too_slow_fails() -> None:
    assert play(TurnHead(side="left"), turn(LEFT), step_s=1.0) is Progress.FAILED


@pytest.mark.parametrize(
    "swap",
    [
        [None] * 8,
        [face(0, x=300)],
        [face(0, scale=100)],
    ],
    ids=["away", "elsewhere", "larger"],
)
def test_who_may_have_changed_places_fails(swap: list[Face | None]) -> None:
    assert play(TurnHead(side="left"), [face(0), face(0), *swap, *turn(LEFT)]) is Progress.FAILED


def test_a_frame_without_the_face_is_borne() -> None:
    frames = turn(LEFT)
    frames.insert(4, None)
    assert play(TurnHead(side="left"), frames) is Progress.PASSED


def test_a_clock_that_runs_back_fails() -> None:
    challenge = TurnHead(side="left")
    challenge.observe(face(0), 5.0)
    assert challenge.observe(face(0), 4.9) is Progress.FAILED
    assert TurnHead(side="left").observe(face(0), float("nan")) is not Progress.PASSED


def test_the_side_is_drawn_and_both_come() -> None:
    assert {TurnHead().side for _ in range(64)} == {"left", "right"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: TurnHead(side="up"),
        lambda: TurnHead(limits=TurnLimits(frontal_deg=30, turned_deg=20)),
        lambda: TurnHead(limits=TurnLimits(frames=0)),
        lambda: TurnHead(limits=TurnLimits(timeout_s=0)),
    ],
)
def test_a_challenge_that_cannot_be_met_cannot_be_made(make: object) -> None:
    with pytest.raises(InputError, match="expected"):
        make()  # type: ignore[operator]
