"""Published block-quantized ONNX files compute the same after their weights are dequantized, and detect faces."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.sources.onnx_dequantize import dequantize_weights
from edge_sdk.vision.candidates import overlap
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.images import read_image

pytestmark = pytest.mark.real

YUNET = "yunet_2023mar_int8bq.onnx"


def use_one_scale(model: Any) -> int:
    """Give biases in one block one scale, which is the same number; onnxruntime refuses the block. Return their number."""
    dims = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "DequantizeLinear" and dims[n.input[1]] == [1]]
    for node in nodes:
        del node.attribute[:]
    return len(nodes)


def run(model: Any, image: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed: dict[str, Any] = {model.graph.input[0].name: image}
    for value in session.get_inputs()[1:]:  # SFace's file lists weights as inputs that no operator reads
        feed[value.name] = np.zeros(value.shape, np.float32)
    return session.run(None, feed)


@pytest.mark.parametrize(
    ("file", "weights", "in_one_block"), [(YUNET, 64, 20), ("sface_2021dec_int8bq.onnx", 29, 0)]
)
def test_weights_and_outputs_are_those_of_the_original_file(
    shared: Path, file: str, weights: int, in_one_block: int
) -> None:
    """The weights have the same bits; the outputs may differ by rounding, because onnxruntime repacks constants."""
    original, plain = (onnx.load(shared / "zoo" / file) for _ in range(2))
    assert use_one_scale(original) == in_one_block
    assert dequantize_weights(plain)[0].endswith(f": {weights}")
    names = [node.output[0] for node in original.graph.node if node.op_type == "DequantizeLinear"]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in plain.graph.initializer}
    outputs = len(original.graph.output)
    for name in names:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, stored[name].shape)
        original.graph.output.append(value)
    shape = [d.dim_value for d in plain.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(2)
    for _ in range(3):
        image = rng.integers(0, 256, size=shape).astype(np.float32)
        values = run(original, image)
        for expected, output in zip(values[:outputs], run(plain, image), strict=True):
            assert np.abs(output - expected).max() <= 2e-6 * np.abs(expected).max()
        for name, value in zip(names, values[outputs:], strict=True):
            np.testing.assert_array_equal(stored[name], value)


@pytest.mark.slow
def test_yunet_finds_the_faces_of_the_float_yunet(shared: Path, tmp_path: Path) -> None:
    """The two files are networks of different training; their boxes differ, but not the faces."""
    detectors = []
    for file in (YUNET, "yunet_n_320_320.onnx"):
        report = convert_auxiliary(AuxiliaryRequest(shared / "zoo" / file, "yunet", tmp_path))
        assert report.agreement < 1e-4
        detectors.append(Detector.open(tmp_path / report.artefacts[0].file))
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        members = [m for m in archive.getmembers() if m.name.endswith(".jpg")][::7][:200]
        images = [read_image(io.BytesIO(archive.extractfile(m).read())) for m in members]
    shares, best = [], []
    for image in images:
        quantized, reference = (detector.detect(image) for detector in detectors)
        boxes = np.array([face.box for face in quantized])
        overlaps = [float(overlap(np.array(face.box), boxes).max()) for face in reference]
        shares += overlaps
        best.append(overlaps[0])
    assert len(best) == 200
    assert min(best) > 0.5
    assert np.mean(np.array(shares) > 0.5) > 0.95
    assert np.median(shares) > 0.88
