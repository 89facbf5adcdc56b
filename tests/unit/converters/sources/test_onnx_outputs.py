"""A network with several outputs keeps each of them, whatever the size of the others."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from converters.errors import SourceError
from converters.sources import from_onnx_outputs, onnx_file
from converters.sources.read import convert_in_child
from converters.sources.source_request import SourceRequest
from edge_sdk.model.card import InputContract

NAMES = ["boxes", "scores"]
_SPEC = importlib.util.spec_from_file_location("onnx_variants", Path(__file__).parent / "onnx_variants.py")
_VARIANTS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_VARIANTS)
Net = _VARIANTS.Net


def detector(scale=1.0):
    """Network of NHWC images with a map of large boxes and one of small scores."""
    net = Net(shape=(None, None, None, 3))
    x = net("Relu", net.conv(net("Transpose", "input", perm=[0, 3, 1, 2]), 3, 8, stride=2))
    boxes = net("Mul", net.conv(x, 8, 4, 1), np.array(300, np.float32))
    scores = net("Sigmoid", net("Mul", net.conv(x, 8, 1, 1), np.array(scale, np.float32)))
    outputs = [net("Transpose", value, perm=[0, 2, 3, 1]) for value in (boxes, scores)]
    for node in net.nodes:
        node.output[:] = [NAMES[outputs.index(n)] if n in outputs else n for n in node.output]
    model = net.model(*NAMES, shapes=False)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model


def test_channels_last_maps_and_a_small_output_beside_a_large_one(tmp_path):
    contract = InputContract(24, 20, "rgb", (0.0,) * 3, (1.0,) * 3)
    images = np.random.default_rng(1).normal(size=(2, 24, 20, 3)).astype(np.float32)
    onnx.save(detector(), tmp_path / "detector.onnx")
    converted = convert_in_child("onnx_outputs", tmp_path / "detector.onnx", contract=contract, inputs=images)
    shapes = from_onnx_outputs._shapes(converted.tflite, NAMES)
    assert shapes == [(1, 12, 10, 4), (1, 12, 10, 1)]

    def is_true(scale):
        onnx.save(detector(scale), tmp_path / "other.onnx")
        request = SourceRequest("onnx", tmp_path / "other.onnx", contract, images, tmp_path)
        model, _ = onnx_file.load(request)
        interface, _ = from_onnx_outputs._fix_image(model, request)
        outputs = from_onnx_outputs._run(model, interface, images)
        return from_onnx_outputs._is_true(converted.tflite, request, interface, outputs, NAMES)

    assert is_true(1.0)
    assert not is_true(1.01)  # scores differ by 0.003, a hundred-thousandth of the largest box


def refusal(model, tmp_path):
    onnx.save(model, tmp_path / "network.onnx")
    contract = InputContract(32, 32, "rgb", (0.0,) * 3, (1.0,) * 3)
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    with pytest.raises(SourceError) as refused:
        onnx_file.load(SourceRequest("onnx", tmp_path / "network.onnx", contract, images, tmp_path))
    return str(refused.value)


def test_functions_that_call_each_other_without_end_are_refused_at_once(tmp_path):
    net = Net()
    model = net.model(net.pooled(net.stem(16), 16))
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]
    for level in range(40):
        inner = f"F{level - 1}"
        body = [
            onnx.helper.make_node(inner, ["a"], ["t"], domain="own"),
            onnx.helper.make_node(inner, ["t"], ["b"], domain="own"),
        ]
        if level == 0:
            body = [onnx.helper.make_node("Identity", ["a"], ["b"])]
        model.functions.append(onnx.helper.make_function("own", f"F{level}", ["a"], ["b"], body, opsets))
    model.opset_import.append(opsets[1])
    model.graph.node.append(onnx.helper.make_node("F39", [model.graph.output[0].name], ["end"], domain="own"))
    model.graph.output[0].name = "end"
    assert "more than 100000 operators" in refusal(model, tmp_path)


@pytest.mark.parametrize(("key", "value"), [("offset", "abc"), ("offset", "-5"), ("length", "1" * 15)])
def test_places_of_external_weights_that_cannot_be(tmp_path, key, value):
    net = Net()
    model = net.model(net.pooled(net.stem(16), 16))
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for entry in ({"key": "location", "value": "weights.bin"}, {"key": key, "value": value}):
        tensor.external_data.add(**entry)
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    request = SourceRequest("onnx", tmp_path / "network.onnx", None, None, tmp_path)
    with pytest.raises(SourceError, match="external weights cannot be read"):
        onnx_file.load(request)
