"""Aligned photographs agree with those of OpenCV's face recognizer."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sdk.model.card import InputContract
from edge_sdk.vision.alignment import align
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.images import read_image

pytestmark = pytest.mark.real

CONTRACT = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3)


def test_crops_are_those_of_opencvs_face_recognizer(shared: Path) -> None:
    peer = cv2.FaceRecognizerSF.create(str(shared / "zoo" / "sface_2021dec_float.onnx"), "")
    detector = Detector.open(shared / "zoo" / "blazeface_short_range.tflite")
    differences = []
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        for member in [m for m in archive.getmembers() if m.name.endswith(".jpg")][::50]:
            photograph = read_image(io.BytesIO(archive.extractfile(member).read()))
            for face in detector.detect(photograph):
                row = np.array([[*face.box, *face.landmarks.ravel(), face.score]], np.float32)
                expected = peer.alignCrop(np.ascontiguousarray(photograph[..., ::-1]), row)[..., ::-1]
                differences.append(
                    np.abs(align(photograph, face.landmarks, CONTRACT) - expected.astype(int)).mean()
                )
    assert len(differences) >= 30
    assert np.median(differences) < 0.5
    assert np.max(differences) < 2
