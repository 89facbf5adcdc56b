"""Pairs of one subject from one camera do not count, in 1:1 figures and in searches."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.cross_camera import Cameras, cross_camera_pairs, search_across_cameras
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from edge_sdk.errors import InputError


def embedded(*samples: tuple[str, float]) -> EmbeddedSamples:
    """Make embeddings in a plane: (name, angle in degrees)."""
    angles = np.deg2rad([angle for _, angle in samples])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    names = tuple(name for name, _ in samples)
    return EmbeddedSamples("people", "0" * 64, names, tuple(name.split("/")[0] for name in names), vectors)


PEOPLE = embedded(
    ("a/a_c1s1_1_00.jpg", 0),
    ("a/a_c1s1_2_00.jpg", 1),  # the nearest image of the first one, from the same camera
    ("a/a_c2s1_1_00.jpg", 40),
    ("b/b_c1s1_1_00.jpg", 20),
    ("b/b_c2s1_1_00.jpg", 90),
    ("c/c_c2s1_1_00.jpg", 180),
)
CAMERAS = Cameras.of_names(PEOPLE.names)


def test_pairs_of_one_subject_from_one_camera_are_left_out() -> None:
    pairs = cross_camera_pairs(PEOPLE, CAMERAS)
    listed = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert (0, 1) not in listed
    assert listed == {(i, j) for i in range(6) for j in range(i + 1, 6)} - {(0, 1)}


def test_ranks_and_average_precision_are_those_computed_by_hand() -> None:
    result = search_across_cameras(PEOPLE, CAMERAS)
    assert (result.cameras, result.probes, result.without_match) == (2, 5, 1)
    # First mated places: a1 2, a2 2, a3 2 (b1, a2, a1), b1 4 (a2, a1 and a3 are nearer), b2 2 (a3 is nearest).
    assert (result.rank_1, result.rank_5) == (0.0, 1.0)
    assert result.cumulative_match[:5] == (0.0, 0.8, 0.8, 1.0, 1.0) and len(result.cumulative_match) == 20
    order_of_b2 = [2, 3]
    precisions = [1 / 2, 1 / 2, (1 / 2 + 2 / 3) / 2, 1 / 4, 1 / (order_of_b2.index(3) + 1)]
    assert result.mean_average_precision == pytest.approx(np.mean(precisions))


def test_a_csv_file_gives_the_same_cameras() -> None:
    rows = {name: (camera, "x") for name, camera in CAMERAS.camera_of.items()}
    table = Covariates("cameras.csv", "1" * 64, True, ("camera", "light"), rows)
    assert Cameras.of_covariates(table).camera_of == CAMERAS.camera_of


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/a_1.jpg", "b/b_c1s1_1.jpg"], "expected a camera in each file name"),
        (["a/a_c1_1.jpg", "b/b_c1_1.jpg"], "expected two or more cameras"),
        (["a/a_c1_1.jpg", "b/b_c2_1.jpg"], "expected a subject with images from two cameras"),
    ],
)
def test_cameras_that_give_no_comparison_are_one_error(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        search_across_cameras(
            embedded(*((name, float(i)) for i, name in enumerate(names))), Cameras.of_names(names)
        )


def test_a_table_of_subjects_has_no_cameras() -> None:
    with pytest.raises(InputError, match="expected the columns image and camera, found subject and camera"):
        Cameras.of_covariates(Covariates("x.csv", "1" * 64, False, ("camera",), {"a": ("1",)}))
