"""Figures of a training and the map of embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from edge_train.pages.curves import loss_curve, moving_mean, rate_curves
from edge_train.pages.embedding_map import embedding_map, principal_components, shown_subjects


def test_the_moving_mean_uses_the_values_before() -> None:
    assert moving_mean(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [1.0, 1.5, 2.5, 4.5]


def test_a_figure_has_the_same_bytes_each_time() -> None:
    curve = [(10, {"eer": 0.4, "tar": 0.2}), (20, {"eer": 0.2})]
    assert rate_curves(curve) == rate_curves(curve)
    assert "EER 20.0 %" in rate_curves(curve)
    assert "TAR 20.0 %" in rate_curves(curve)
    assert loss_curve([3.0, 2.0, 1.0]).startswith("<svg")


def test_a_rate_that_the_images_do_not_support_is_left_out() -> None:
    assert "TAR" not in rate_curves([(10, {"eer": 0.4})])


def test_principal_components_of_points_on_a_plane_keep_their_distances() -> None:
    rng = np.random.default_rng(1)
    plane = np.linalg.qr(rng.normal(size=(8, 2)))[0]
    vectors = (rng.normal(size=(20, 2)) @ plane.T).astype(np.float32)
    result = principal_components(vectors)
    assert result.share == pytest.approx(1.0)
    before = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    after = np.linalg.norm(result.places[:, None] - result.places[None], axis=2)
    assert np.allclose(before, after, atol=1e-5)


def test_subjects_of_errors_come_first_on_the_map_and_the_others_are_spread() -> None:
    subjects = [f"s{number:02d}" for number in range(40)]
    shown = shown_subjects(subjects, ["s39", "s00", "s39"])
    assert shown[:2] == ("s39", "s00")
    assert len(shown) == len(set(shown)) == 16
    assert shown_subjects(["b", "a", "b"]) == ("a", "b")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_map_shows_pictures_or_names(channels: int) -> None:
    vectors = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    subjects = ["a", "a", "b", "b", "c", "c"]
    pictures = {"a": np.zeros((20, 10, channels), np.uint8)}
    svg = embedding_map(principal_components(vectors), subjects, ("a", "b"), pictures)
    assert svg.count("<image") == 1
    assert "b</text>" in svg
