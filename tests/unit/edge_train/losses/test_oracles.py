"""Losses agree with hand-computed values: a copy of the formulas here, and the files of values beside the checkout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from edge_train.losses import build_loss
from edge_train.losses.choice import adacos_scale, least_cosine_scale, least_l2_softmax_scale
from edge_train.losses.margins import arc, psi

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def oracles(shared: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "training" / "oracles.json").read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="module")
def edge_cases(shared: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "training" / "edge_cases.json").read_text(encoding="utf-8"))
    return values


def _build(name: str, classes: int = 2, **settings: Any) -> Any:
    return build_loss(name, classes=classes, dimension=8, steps=900, settings=settings)


def _head(name: str, own: float, others: list[float], **settings: Any) -> float:
    """Return the loss of an embedding with these cosines to its own centre and to the others."""
    loss = _build(name, classes=1 + len(others), **settings)
    cosines = [own, *others]
    centres = np.zeros((8, len(cosines)), np.float32)
    for place, cosine in enumerate(cosines):
        centres[0, place], centres[1 + place, place] = cosine, math.sqrt(1 - cosine**2)
    loss.centres.assign(centres)
    embedding = np.zeros((1, 8), np.float32)
    embedding[0, 0] = 2.0
    return float(loss(tf.constant(embedding), tf.constant([0]), share=1.0))


def _plane(angles: list[float]) -> Any:
    """Return unit embeddings at angles in a plane."""
    return tf.constant([[math.cos(angle), math.sin(angle)] + [0.0] * 6 for angle in angles], tf.float32)


def _chord(distance: float) -> float:
    return 2 * math.asin(distance / 2)


def test_arcface(oracles: dict[str, Any]) -> None:
    assert float(arc(tf.constant(0.5), 0.5)) == pytest.approx(
        oracles["arcface own cosine 0.5, m 0.5"], rel=1e-5
    )
    key = "arcface loss, own cos 0.5, one other class cos 0, s 64, m 0.5"
    assert _head("arcface", 0.5, [0.0], scale=64.0, margin=0.5) == pytest.approx(oracles[key], rel=1e-4)
    key = "arcface loss, the same, s 16, m 0.3"
    assert _head("arcface", 0.5, [0.0], scale=16.0, margin=0.3) == pytest.approx(oracles[key], rel=1e-4)
    key = "arcface beyond pi-m, own cosine -0.95, m 0.5 (cos - m sin m)"
    assert float(arc(tf.constant(-0.95), 0.5)) == pytest.approx(oracles[key], rel=1e-6)
    low = -math.cos(0.5)
    jump = [float(arc(tf.constant(low + step), 0.5)) for step in (1e-6, -1e-6)]
    assert jump == pytest.approx(oracles["arcface jump at own cosine -cos(m)"], abs=1e-5)
    wrong = oracles["arcface without the repair, -0.95 and -0.99 (rises: wrong)"]
    right = [float(arc(tf.constant(cosine), 0.5)) for cosine in (-0.95, -0.99)]
    assert wrong[1] > wrong[0] > right[0] > right[1]


def test_cosface_and_sphereface(oracles: dict[str, Any]) -> None:
    key = "cosface loss, own 0.5, other 0, s 64, m 0.35"
    assert _head("cosface", 0.5, [0.0], scale=64.0, margin=0.35) == pytest.approx(oracles[key], rel=1e-3)
    degrees = np.array([0, 30, 45, 60, 90, 135, 180])
    values = psi(tf.constant(np.cos(np.radians(degrees)), tf.float32), 4)
    key = "sphereface psi at 0,30,45,60,90,135,180 degrees, m 4"
    np.testing.assert_allclose(values, oracles[key], atol=1e-5)


def test_scales(oracles: dict[str, Any]) -> None:
    key = "adacos fixed scale sqrt2 ln(C-1), C 2,3,10,161,1000,85742"
    assert [adacos_scale(classes) for classes in (2, 3, 10, 161, 1000, 85742)] == pytest.approx(oracles[key])
    key = "normface/cosface least scale (C-1)/C ln((C-1)P/(1-P)), P .9: C 10,161,1000,85742"
    assert [least_cosine_scale(classes) for classes in (10, 161, 1000, 85742)] == pytest.approx(oracles[key])
    key = "l2-softmax least alpha ln(p(C-2)/(1-p)), p .9: C 10,161,1000"
    assert [least_l2_softmax_scale(classes) for classes in (10, 161, 1000)] == pytest.approx(oracles[key])


@pytest.mark.parametrize(("degrees", "place"), [(60, 0), (30, 1)])
def test_dynamic_scale_of_adacos(oracles: dict[str, Any], degrees: int, place: int) -> None:
    loss = _build("adacos", classes=161)
    cosines = np.zeros((4, 161), np.float32)
    cosines[range(4), range(4)] = math.cos(math.radians(degrees))
    key = "adacos dynamic, C 161, all other cosines 0, median angle 60 and 30 deg"
    scale = loss.next_scale(tf.constant(cosines), tf.constant([0, 1, 2, 3]))
    assert float(scale) == pytest.approx(oracles[key][place], rel=1e-5)


def test_contrastive(oracles: dict[str, Any]) -> None:
    # 0 and 1 are mated at .5, 0 and 2 non-mated at .5, and 1 and 2 beyond the margin of .9.
    batch, labels = _plane([0.0, _chord(0.5), -_chord(0.5)]), tf.constant([0, 0, 1])
    assert float(np.linalg.norm(batch[1] - batch[2])) > 0.9
    key = "contrastive, one mated pair d .5, one non-mated d .5, margin 1: PML (plain, mean of non-zero each), Hadsell (half squares, each)"
    plain, half_squares = oracles[key]
    # With a margin of .9 the non-mated pair costs .4 in place of .5, and .4^2 / 2 in place of .5^2 / 2.
    value = float(_build("contrastive", margin=0.9, squared=False)(batch, labels))
    assert value == pytest.approx(plain - 0.1, rel=1e-5)
    value = float(_build("contrastive", margin=0.9, squared=True)(batch, labels))
    assert value == pytest.approx(half_squares - (0.5**2 - 0.4**2) / 2, rel=1e-5)


def _triple() -> Any:
    """Return an anchor, a positive at .8 and a negative at .9 from the anchor, which is at .9 from the positive as well."""
    x = np.zeros((3, 8))
    x[0, 0] = 1
    cosine_p, cosine_n = 1 - 0.8**2 / 2, 1 - 0.9**2 / 2
    x[1, :2] = cosine_p, math.sqrt(1 - cosine_p**2)
    second = (cosine_n - cosine_n * cosine_p) / x[1, 1]
    x[2, :3] = cosine_n, second, math.sqrt(1 - cosine_n**2 - second**2)
    return tf.constant(x, tf.float32)


@pytest.mark.parametrize(("squared", "place"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("name", ["triplet", "batch_hard"])
def test_triplet(oracles: dict[str, Any], name: str, squared: bool, place: int) -> None:
    value = _build(name, margin=0.2, squared=squared)(_triple(), tf.constant([0, 0, 1]))
    key = "triplet d_ap .8 d_an .9 margin .2: plain, squared (FaceNet)"
    assert float(value) == pytest.approx(oracles[key][place], rel=1e-4)


def test_collapsed_batch_hard(oracles: dict[str, Any], edge_cases: dict[str, Any]) -> None:
    batch, labels = tf.ones((4, 8)), tf.constant([0, 0, 1, 1])
    key = "batch-hard soft margin at collapse ln 2; hard margin at collapse = margin"
    assert float(_build("batch_hard", soft=True)(batch, labels)) == pytest.approx(oracles[key])
    assert float(_build("batch_hard", margin=0.2)(batch, labels)) == pytest.approx(
        edge_cases["all embeddings equal: ours batch-hard .2"]["loss"]
    )


@pytest.mark.parametrize(
    ("name", "settings", "case"),
    [
        ("contrastive", {"margin": 1.0, "squared": False}, "contrastive"),
        (
            "multi_similarity",
            {"mated_scale": 2.0, "non_mated_scale": 50.0, "base": 0.5, "mining": 0.1},
            "multi-sim mined",
        ),
        ("supcon", {"temperature": 0.1}, "supcon"),
        ("circle", {"scale": 80.0, "margin": 0.4}, "circle"),
        ("batch_hard", {"soft": True}, "batch-hard soft"),
    ],
)
def test_all_embeddings_equal(
    edge_cases: dict[str, Any], name: str, settings: dict[str, Any], case: str
) -> None:
    batch = tf.constant(np.tile(np.linspace(-1, 1, 8, dtype=np.float32), (4, 1)))
    with tf.GradientTape() as tape:
        tape.watch(batch)
        value = _build(name, **settings)(batch, tf.constant([0, 0, 1, 1]))
    expected = edge_cases[f"all embeddings equal: ours {case}"]
    assert float(value) == pytest.approx(expected["loss"], rel=1e-5)
    assert np.abs(tape.gradient(value, batch)).max() == pytest.approx(expected["max"], abs=1e-4)


def test_margin_loss(oracles: dict[str, Any]) -> None:
    # The anchor is at 1.3 from its positive and at 1.1 from the negative; the positive is far from the negative.
    angles = [0.0, _chord(1.3), -_chord(1.1)]
    loss = build_loss("margin", classes=2, dimension=8, steps=900, settings={"margin": 0.2, "boundary": 1.2})
    key = "margin loss, d_ap 1.3 d_an 1.1 alpha .2 beta 1.2: PML divides by the two active"
    total, mean = oracles[key]
    # Two anchors share the mated pair, so it counts twice; only the first draws the negative.
    value = float(loss(_plane(angles), tf.constant([0, 0, 1])))
    assert value == pytest.approx((total / 2 * 2 + total / 2) / 3, rel=1e-5)
    assert value == pytest.approx(mean, rel=1e-5)


def test_circle_multi_similarity_and_supcon(oracles: dict[str, Any]) -> None:
    # Cosines .8 with the positive and .3 with the negative, for both anchors.
    x = np.zeros((3, 8))
    x[0, 0] = 1
    x[1, :2] = 0.8, 0.6
    x[2, :3] = 0.3, (0.3 - 0.24) / 0.6, 0.0
    x[2, 2] = math.sqrt(1 - x[2] @ x[2])
    batch, labels = tf.constant(x, tf.float32), tf.constant([0, 0, 1])
    key = "circle, one pos .8 one neg .3, m .25 gamma 256"
    assert float(_build("circle", scale=256.0, margin=0.25)(batch, labels)) == pytest.approx(
        oracles[key], rel=1e-4
    )
    key = "multi-similarity, one pos .8 one neg .3 (alpha 2, beta 50, base .5)"
    loss = _build("multi_similarity", mated_scale=2.0, non_mated_scale=50.0, base=0.5, mining=4.0)
    assert float(loss(batch, labels)) == pytest.approx(oracles[key], rel=1e-4)
    mined = _build("multi_similarity", mated_scale=2.0, non_mated_scale=50.0, base=0.5, mining=0.1)
    assert float(mined(batch, labels)) == 0.0
    key = "supcon t .1, anchor with one pos .8 and one neg .3"
    assert float(_build("supcon", temperature=0.1)(batch, labels)) == pytest.approx(oracles[key], rel=1e-3)


def test_proxy_anchor(oracles: dict[str, Any]) -> None:
    key = "proxy-anchor, 2 proxies, one sample, own .8 other .3 (alpha 32, margin .1)"
    assert _head("proxy_anchor", 0.8, [0.3], scale=32.0, margin=0.1) == pytest.approx(oracles[key], rel=1e-5)


def test_own_cosine_of_minus_1(edge_cases: dict[str, Any]) -> None:
    case = edge_cases["torch.float32 own cosine exactly -1: ours"]
    assert _head("arcface", -1.0, [0.0, 0.0, 0.0], scale=64.0, margin=0.5) == pytest.approx(
        case["loss"], rel=1e-5
    )
    assert case["finite"]


def test_own_cosine_of_1(edge_cases: dict[str, Any]) -> None:
    case = edge_cases["torch.float32 own cosine exactly 1: ours arcface clip 1e-7"]
    assert _head("arcface", 1.0, [0.0, 0.0, 0.0], scale=64.0, margin=0.5) == pytest.approx(
        case["loss"], abs=1e-6
    )


def test_zero_embedding(edge_cases: dict[str, Any]) -> None:
    loss = _build("normface", classes=4, scale=16.0)
    case = edge_cases["torch.float32 zero embedding: PML"]
    assert float(loss(tf.zeros((2, 8)), tf.constant([0, 1]))) == pytest.approx(case["loss"])
