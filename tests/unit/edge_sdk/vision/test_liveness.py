"""Presentation attack detection crops and scores faces, and rejects invalid scores."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import InputError, ModelCardError, ModelContractError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.network import Network
from edge_sdk.testing import FakeNetwork
from edge_sdk.vision.faces import Face
from edge_sdk.vision.liveness import MiniFasNet, Presentation, surroundings
from edge_sdk.vision.resize import resize_bilinear

POINTS = np.array(ARCFACE_112)
FLOAT = np.dtype(np.float32)


def network(logits: object, *, classes: int = 3, **changes: object) -> Network:
    values = {
        "name": "pad",
        "task": "presentation attack detector",
        "method": "minifasnet",
        "precision": "float32",
        "input": InputContract(80, 80, "bgr", (0.0,) * 3, (1.0,) * 3),
        "outputs": ("logits",),
        "network_sha256": "",
        "parameters": {"crop_scale": 2.7},
        **changes,
    }
    backend = FakeNetwork(
        logits if callable(logits) else lambda _: [np.array([logits], np.float32)],
        input=TensorInfo((1, 80, 80, 3), FLOAT),
        outputs=[TensorInfo((1, classes), FLOAT)],
    )
    return Network(backend, NetworkCard(**values))


FRAME = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
FACE = Face((130.0, 90.0, 50.0, 60.0), POINTS, 0.9)


def test_the_score_is_the_mean_of_the_networks_live_shares() -> None:
    sure, unsure = network([0.0, 50.0, 0.0]), network([0.0, 0.0, 0.0])
    result = MiniFasNet([sure, unsure]).assess(FRAME, FACE)
    assert result.parts == pytest.approx((1.0, 1 / 3))
    assert result.score == pytest.approx(2 / 3)
    assert result.bona_fide
    assert not MiniFasNet([sure, unsure], threshold=0.7).assess(FRAME, FACE).bona_fide


@pytest.mark.parametrize("logits", [[np.nan] * 3, [0.0, np.inf, 0.0], [0.0, np.nan, 0.0]])
def test_a_network_that_answers_no_number_sees_no_person(logits: list[float]) -> None:
    assert MiniFasNet([network(logits)]).assess(FRAME, FACE).score == 0.0
    assert not Presentation(float("nan"), 0.5).bona_fide


def test_the_network_sees_the_surroundings_in_its_own_channel_order() -> None:
    seen: list[np.ndarray] = []

    def look(image: np.ndarray) -> list[np.ndarray]:
        seen.append(image[0].copy())
        return [np.zeros((1, 3), np.float32)]

    MiniFasNet([network(look)]).assess(FRAME, FACE)
    expected = resize_bilinear(surroundings(FRAME, FACE, 2.7), 80, 80)
    assert np.array_equal(seen[0], expected[..., ::-1].astype(np.float32))


@given(
    st.floats(-30, 310),
    st.floats(-30, 230),
    st.floats(1, 330),
    st.floats(1, 250),
    st.sampled_from([1.0, 2.7, 4.0]),
)
def test_surroundings_lie_in_the_frame_and_keep_the_boxs_shape(
    left: float, top: float, width: float, height: float, scale: float
) -> None:
    box = (left, top, width, height)
    if left + width <= 0 or top + height <= 0:
        return
    part = surroundings(FRAME, Face(box, POINTS, 0.9), scale)
    fits = min(scale, 319 / width, 239 / height)
    assert part.shape[0] == pytest.approx(height * fits, abs=2)
    assert part.shape[1] == pytest.approx(width * fits, abs=2)
    assert part.base is FRAME


@pytest.mark.parametrize(
    "box",
    [(0.0, 0.0, 0.0, 10.0), (400.0, 0.0, 10.0, 10.0), (0.0, -20.0, 10.0, 10.0), (np.nan, 0.0, 10.0, 10.0)],
)
def test_a_box_that_shows_nothing_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="box"):
        MiniFasNet([network([0.0, 9.0, 0.0])]).assess(FRAME, Face(box, POINTS, 0.9))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: MiniFasNet([]), InputError),
        (lambda: MiniFasNet([network([0.0] * 3)], threshold=0.0), InputError),
        (lambda: MiniFasNet([network([0.0] * 3)], threshold=float("nan")), InputError),
        (lambda: MiniFasNet([network([0.0] * 3, method="other")]), ModelCardError),
        (lambda: MiniFasNet([network([0.0] * 3, parameters={})]), ModelCardError),
        (lambda: MiniFasNet([network([0.0] * 3, parameters={"crop_scale": 99.0})]), ModelCardError),
        (lambda: MiniFasNet([network([0.0] * 2, classes=2)]), ModelContractError),
    ],
)
def test_what_cannot_judge_cannot_be_made(make: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("target", [(80, 80), (300, 200), (17, 400)])
def test_bilinear_is_opencvs(target: tuple[int, int]) -> None:
    expected = cv2.resize(FRAME, target[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(resize_bilinear(FRAME, *target) - expected).max() <= 3
