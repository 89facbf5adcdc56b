"""MiniFASNet accepts the person and rejects the two pictures of people in its authors' samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.faces import largest
from edge_sdk.vision.images import read_image
from edge_sdk.vision.liveness import MiniFasNet

pytestmark = pytest.mark.real

NETWORKS = {"minifasnet_v2_scale2.7": 2.7, "minifasnet_v1se_scale4.0": 4.0}


@pytest.fixture(scope="module")
def detector(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> MiniFasNet:
    folder = tmp_path_factory.mktemp("pad")
    for name, scale in NETWORKS.items():
        source = shared / "zoo" / f"{name}.onnx"
        convert_auxiliary(AuxiliaryRequest(source, "minifasnet", folder, parameters={"crop_scale": scale}))
    return MiniFasNet.open(*(folder / f"{name}.float32.tflite" for name in NETWORKS))


@pytest.mark.parametrize(
    ("sample", "bona_fide"), [("live_1", True), ("attack_1", False), ("attack_2", False)]
)
@pytest.mark.parametrize("faces", ["blazeface_short_range", "blazeface_full_range"])
def test_a_person_is_one_and_a_picture_is_none(
    shared: Path, detector: MiniFasNet, faces: str, sample: str, bona_fide: bool
) -> None:
    frame = read_image(shared / "pad_samples" / f"{sample}.jpg")
    face = largest(Detector.open(shared / "zoo" / f"{faces}.tflite").detect(frame))
    assert face is not None
    presentation = detector.assess(frame, face)
    assert presentation.bona_fide == bona_fide
    assert len(presentation.parts) == 2
    assert presentation.score > 0.95 if bona_fide else presentation.score < 0.45
