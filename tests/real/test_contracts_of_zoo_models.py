"""Right and wrong input contracts of real networks: no right one is questioned, wrong scales are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.contracts import checks, parse

pytestmark = pytest.mark.real

MODELS = [
    ("mobilefacenet_y1_float32.tflite:112x112:rgb:0:1", 3),
    ("mobilefacenet_casia_112x96.onnx:112x96:rgb:127.5:128", 3),
    ("sface_2021dec_float.onnx:112x112:rgb:0:1", 3),
]


@pytest.mark.parametrize(("model", "wrong_scales"), MODELS)
def test_the_right_contract_is_named_and_never_questioned(
    shared: Path, model: str, wrong_scales: int
) -> None:
    trained = parse(f"{shared}/zoo/{model}")
    images = shared / "faces" / "lfw_calibration_aligned112.tar"
    results = list(checks(trained, images, 48))
    (right,) = [(candidate, check) for candidate, own, check in results if own]
    assert right[1].status == "agrees"
    scales = [check for candidate, own, check in results if not own and candidate.contract.color == "rgb"]
    assert len(scales) == wrong_scales
    for check in scales:
        assert check.status in ("refused", "doubtful")
        assert check.better_name == right[0].name
