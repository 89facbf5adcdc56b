"""Decoders recover the boxes, landmarks and scores that were encoded in a network's outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import ModelContractError
from edge_sdk.runtime.network import Output
from edge_sdk.vision.blazeface import BlazeFaceDecoder, anchors
from edge_sdk.vision.candidates import MAX_CANDIDATES
from edge_sdk.vision.yunet import STRIDES, YuNetDecoder

POINTS = np.array([[20.0, 30], [40, 30], [30, 40], [22, 50], [38, 50]])
BOX = np.array([10.0, 15, 40, 50])


def yunet_shapes(height: int, width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}_{stride}": (1, (height // stride) * (width // stride), values)
        for stride in STRIDES
        for name, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }


def quiet(shapes: dict[str, tuple[int, ...]], value: float = 0.0) -> dict[str, np.ndarray]:
    return {name: np.full(shape, value, np.float32) for name, shape in shapes.items()}


def left_by_network(outputs: dict[str, np.ndarray]) -> dict[str, Output]:
    return {name: Output(values) for name, values in outputs.items()}


@pytest.mark.parametrize("stride", STRIDES)
def test_yunet_gives_back_the_face_that_a_cell_describes(stride: int) -> None:
    height, width = 96, 160
    shapes = yunet_shapes(height, width)
    outputs = quiet(shapes)
    row, column = 1, 2
    cell = row * (width // stride) + column
    corner = np.array([column, row])
    outputs[f"cls_{stride}"][0, cell] = 0.81
    outputs[f"obj_{stride}"][0, cell] = 1.0
    outputs[f"bbox_{stride}"][0, cell] = [
        *((BOX[:2] + BOX[2:] / 2) / stride - corner),
        *np.log(BOX[2:] / stride),
    ]
    outputs[f"kps_{stride}"][0, cell] = (POINTS / stride - corner).ravel()
    candidates = YuNetDecoder(height, width, shapes).decode(left_by_network(outputs), 0.6)
    assert len(candidates) == 1
    assert candidates.scores[0] == pytest.approx(0.9, abs=1e-6)
    assert candidates.boxes[0] == pytest.approx(BOX, abs=1e-4)
    assert candidates.landmarks[0] == pytest.approx(POINTS, abs=1e-4)


def test_yunets_threshold_is_on_the_geometric_mean() -> None:
    shapes = yunet_shapes(64, 64)
    outputs = quiet(shapes)
    outputs["cls_8"][0, :2, 0] = [0.36, 0.35]
    outputs["obj_8"][0, :2, 0] = 1.0
    assert len(YuNetDecoder(64, 64, shapes).decode(left_by_network(outputs), 0.599)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_what_is_not_finite_is_no_face_and_no_crash(value: float) -> None:
    shapes = yunet_shapes(64, 64)
    with np.errstate(all="ignore"):
        candidates = YuNetDecoder(64, 64, shapes).decode(left_by_network(quiet(shapes, value)), 0.6)
        assert np.isfinite(candidates.boxes).all()
        other = {"regressors": (1, 896, 16), "scores": (1, 896, 1)}
        candidates = BlazeFaceDecoder("blazeface_short_range", 128, 128, other).decode(
            left_by_network(quiet(other, value)), 0.5
        )
        assert np.isfinite(candidates.boxes).all()


@pytest.mark.parametrize("change", ["missing", "size"])
def test_outputs_that_are_not_the_methods_are_refused(change: str) -> None:
    shapes = yunet_shapes(64, 64)
    if change == "missing":
        del shapes["kps_16"]
    else:
        shapes["kps_16"] = (1, 16, 8)
    with pytest.raises(ModelContractError, match="kps_16"):
        YuNetDecoder(64, 64, shapes)
    with pytest.raises(ModelContractError, match="regressors"):
        BlazeFaceDecoder(
            "blazeface_full_range", 192, 192, {"regressors": (1, 896, 16), "scores": (1, 896, 1)}
        )


@pytest.mark.parametrize(
    ("method", "side", "count", "first", "last"),
    [
        ("blazeface_short_range", 128, 896, (4, 4), (120, 120)),
        ("blazeface_full_range", 192, 2304, (2, 2), (190, 190)),
    ],
)
def test_blazefaces_anchors_are_the_centres_of_its_cells(
    method: str, side: int, count: int, first: tuple[float, float], last: tuple[float, float]
) -> None:
    centres = anchors(method, side, side)
    assert centres.shape == (count, 2)
    assert tuple(centres[0]) == first
    assert tuple(centres[-1]) == last


def test_blazeface_gives_back_the_face_and_places_the_mouths_corners() -> None:
    shapes = {"regressors": (1, 896, 16), "scores": (1, 896, 1)}
    outputs = quiet(shapes, -50.0)
    where = anchors("blazeface_short_range", 128, 128)[700]
    eyes_nose_mouth = np.array([[20.0, 30], [40, 30], [30, 40], [30, 50]])
    outputs["regressors"][0, 700, :4] = [*(BOX[:2] + BOX[2:] / 2 - where), *BOX[2:]]
    outputs["regressors"][0, 700, 4:12] = (eyes_nose_mouth - where).ravel()
    outputs["scores"][0, 700] = 3.0
    candidates = BlazeFaceDecoder("blazeface_short_range", 128, 128, shapes).decode(
        left_by_network(outputs), 0.5
    )
    assert candidates.boxes[0] == pytest.approx(BOX, abs=1e-4)
    assert candidates.scores[0] == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert candidates.landmarks[0, :3] == pytest.approx(eyes_nose_mouth[:3], abs=1e-4)
    left, right = candidates.landmarks[0, 3:]
    assert (left + right) / 2 == pytest.approx(eyes_nose_mouth[3], abs=1e-4)
    assert left[1] == right[1]
    assert right[0] - left[0] == pytest.approx(20 * 0.828, abs=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_integers_give_the_faces_that_their_real_values_give(seed: int, min_score: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = yunet_shapes(64, 96)
    integers, real = {}, {}
    for name, shape in shapes.items():
        scale, zero_point = (1 / 256, -128) if name[:3] in ("cls", "obj") else (rng.uniform(0.01, 0.05), -20)
        integers[name] = Output(rng.integers(-128, 128, shape).astype(np.int8), scale, zero_point)
        real[name] = Output(integers[name].real())
    decoder = YuNetDecoder(64, 96, shapes)
    from_integers, from_real = decoder.decode(integers, min_score), decoder.decode(real, min_score)
    assert np.array_equal(from_integers.boxes, from_real.boxes)
    assert np.array_equal(from_integers.landmarks, from_real.landmarks)
    assert np.array_equal(from_integers.scores, from_real.scores)
    likely = [
        real[f"cls_{stride}"].values.clip(0, 1) * real[f"obj_{stride}"].values.clip(0, 1)
        for stride in STRIDES
    ]
    reached = sum(np.count_nonzero(np.float32(min_score**2) <= shares) for shares in likely)
    assert len(from_integers) == min(reached, MAX_CANDIDATES)


@given(st.floats(-8, 8), st.floats(0.001, 1))
def test_blazeface_finds_what_the_logistic_function_lets_through(logit: float, min_score: float) -> None:
    shapes = {"regressors": (1, 896, 16), "scores": (1, 896, 1)}
    outputs = quiet(shapes, 1.0)
    outputs["scores"][:] = np.linspace(logit - 1e-3, logit + 1e-3, 896, dtype=np.float32)[:, None]
    candidates = BlazeFaceDecoder("blazeface_short_range", 128, 128, shapes).decode(
        left_by_network(outputs), min_score
    )
    scores = 1 / (1 + np.exp(-outputs["scores"].astype(np.float64)))
    assert len(candidates) == np.count_nonzero(scores >= min_score)
