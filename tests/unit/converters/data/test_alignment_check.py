"""Notice photographs where a network expects aligned crops."""

from __future__ import annotations

import numpy as np
import pytest

from converters.data.alignment_check import LookedAt, alignment_note, face_correlation
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface
from edge_sdk.vision.faces import Face

ALIGNED = InputContract(112, 112, "rgb", (127.5,) * 3, (128.0,) * 3, arcface(112, 112))
NO_TEMPLATE = InputContract(112, 112, "rgb", (127.5,) * 3, (128.0,) * 3)
CURE = "edge-sdk face align PHOTOGRAPHS --output CROPS --detector FILE"


def drawn_faces(count: int, *, size: float = 1.0, seed: int = 1) -> np.ndarray:
    """Draw faces of dark eyes and mouths on bright skin.

    Args:
        size: Size as a share of an aligned face; smaller faces are anywhere in the image, as in photographs.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:112, 0:112]
    faces = []
    for _ in range(count):
        points = (np.array(arcface(112, 112)) - 56) * size + 56 + random.normal(0, 1.0, (5, 2))
        points += random.uniform(-50, 50, 2) * (1 - size)
        image = np.full((112, 112), 110.0)
        middle = points.mean(axis=0)
        image += 60 * np.exp(-(((x - middle[0]) / (30 * size)) ** 2 + ((y - middle[1]) / (40 * size)) ** 2))
        for place, across in ((points[0], 6), (points[1], 6), ((points[3] + points[4]) / 2, 10)):
            image -= 60 * np.exp(
                -(((x - place[0]) / (across * size)) ** 2 + ((y - place[1]) / (4 * size)) ** 2)
            )
        image += random.normal(0, 8, image.shape)
        faces.append(np.repeat(image.clip(0, 255)[..., None], 3, axis=2).astype(np.uint8))
    return np.stack(faces)


class OneFace:
    """Detector that finds one face at the given landmarks in every frame, or none."""

    def __init__(self, landmarks: np.ndarray | None) -> None:
        self._landmarks = landmarks

    def detect(self, frame: np.ndarray) -> tuple[Face, ...]:
        return () if self._landmarks is None else (Face((0, 0, 50, 50), self._landmarks, 0.9),)


def test_aligned_crops_give_no_warning_and_small_faces_do() -> None:
    aligned, small = drawn_faces(32), drawn_faces(32, size=0.45)
    assert face_correlation(aligned, ALIGNED) > 0.3
    assert alignment_note(LookedAt(aligned, 0), ALIGNED) == ""
    note = alignment_note(LookedAt(small, 32), ALIGNED)
    assert note.startswith("the images do not look like aligned crops")
    assert CURE in note


@pytest.mark.parametrize(
    ("move", "aligned"),
    [
        (lambda p: p, True),
        (lambda p: p + 5, True),
        (lambda p: (p - 56) * 0.5 + 56, False),
        (lambda p: p + 25, False),
        (lambda p: (p - 56) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 56, False),
    ],
)
def test_a_detector_compares_faces_with_the_template(move: object, aligned: bool) -> None:
    landmarks = move(np.array(arcface(112, 112)))  # type: ignore[operator]
    images = LookedAt(np.zeros((20, 112, 112, 3), np.uint8), 0)
    for contract in (ALIGNED, NO_TEMPLATE):
        note = alignment_note(images, contract, OneFace(landmarks))
        assert (note == "") == aligned
        assert aligned or note.startswith("20 of 20 images show no face at the place of an aligned crop")


def test_images_without_faces_are_questioned_only_if_the_contract_has_a_template() -> None:
    images = LookedAt(np.zeros((20, 112, 112, 3), np.uint8), 0)
    assert "20 of 20 images" in alignment_note(images, ALIGNED, OneFace(None))
    assert alignment_note(images, NO_TEMPLATE, OneFace(None)) == ""


def test_without_a_template_large_files_are_mentioned() -> None:
    pixels = drawn_faces(20, size=0.45)
    note = alignment_note(LookedAt(pixels, 20), NO_TEMPLATE)
    assert note.startswith("20 of 20 images are larger than 112x112; if the network expects aligned faces")
    assert alignment_note(LookedAt(pixels, 0), NO_TEMPLATE) == ""


def test_networks_for_other_things_and_few_images_are_not_judged() -> None:
    products = InputContract(96, 96, "rgb", (127.5,) * 3, (128.0,) * 3)
    noise = np.random.default_rng(0).integers(0, 255, (20, 96, 96, 3)).astype(np.uint8)
    assert alignment_note(LookedAt(noise, 20), products, OneFace(None)) == ""
    assert alignment_note(LookedAt(drawn_faces(4, size=0.45), 4), ALIGNED) == ""
