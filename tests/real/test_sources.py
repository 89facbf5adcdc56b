"""Real ONNX and .tflite networks are read as sources, and give the original embeddings on real crops."""

import io
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from converters.sources.read import read_source
from edge_sdk.model.card import InputContract
from tests.conftest import lacking

pytestmark = pytest.mark.real
SHARED = Path(__file__).resolve().parents[3] / "shared"
CROPS = SHARED / "faces" / "lfw_calibration_aligned112.tar"
RAW = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3)
NARROW = InputContract(112, 96, "rgb", (127.5,) * 3, (128.0,) * 3)
CENTRED = InputContract(112, 112, "rgb", (127.5,) * 3, (128.0,) * 3)


def shared(path):
    """Return a file of the shared folder. If it is missing, the test is skipped, or fails in CI."""
    if not path.exists():
        lacking(f"{path.name} is not in the shared folder")
    return path


@pytest.fixture(scope="module")
def crops():
    """Read sixteen aligned crops, shape (16, 112, 112, 3), uint8."""
    from PIL import Image

    pixels = []
    with tarfile.open(shared(CROPS)) as archive:
        for member in archive:
            if member.isfile() and len(pixels) < 16:
                data = io.BytesIO(archive.extractfile(member).read())
                with Image.open(data, formats=["JPEG", "PNG"]) as image:
                    pixels.append(np.asarray(image.convert("RGB")))
    return np.stack(pixels)


def images(crops, contract):
    left = (crops.shape[2] - contract.width) // 2
    pixels = crops[:, :, left : left + contract.width]
    return ((pixels - np.array(contract.mean)) / np.array(contract.scale)).astype(np.float32)


def read(name, contract, crops):
    return read_source(shared(SHARED / "zoo" / name), contract=contract, inputs=images(crops, contract))


def operators(tflite):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=tflite, experimental_op_resolver_type=plain)
    return Counter(operator["op_name"] for operator in interpreter._get_ops_details())


def least_cosine(source, inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=source.network.data, num_threads=1)
    image, embedding = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert list(image["shape_signature"]) == [1, *inputs.shape[1:]]
    interpreter.allocate_tensors()
    least = 1.0
    for sample, expected in zip(inputs, source.witness, strict=True):
        interpreter.set_tensor(image["index"], sample[None])
        interpreter.invoke()
        output = interpreter.get_tensor(embedding["index"])[0]
        least = min(least, output @ expected / np.linalg.norm(output) / np.linalg.norm(expected))
    return least


def test_y1_keeps_its_prelu_and_gets_no_transpose(crops):
    source = read("mobilefacenet_y1.onnx", RAW, crops)
    counts = operators(source.network.data)
    assert counts["PRELU"] == 33
    assert counts["TRANSPOSE"] == 0
    assert source.notes == ()
    assert source.witness.shape == (16, 128)
    assert least_cosine(source, images(crops, RAW)) >= 0.99999


def test_y1_as_tflite_answers_as_the_onnx_file(crops):
    from onnxruntime import InferenceSession

    source = read("mobilefacenet_y1_float32.tflite", RAW, crops)
    session = InferenceSession(SHARED / "zoo" / "mobilefacenet_y1.onnx", providers=["CPUExecutionProvider"])
    for image, row in zip(images(crops, RAW)[:4], source.witness[:4], strict=True):
        (expected,) = session.run(None, {"data": image.transpose(2, 0, 1)[None]})
        np.testing.assert_allclose(row, expected[0], atol=1e-3 * np.abs(expected).max())


def test_a_batch_of_two(crops):
    source = read("mobilefacenet_192d_batch2.tflite", CENTRED, crops)
    assert source.witness.shape == (16, 192)
    assert source.notes == ("the batch of the file is 2",)


@pytest.mark.slow
def test_a_network_that_is_not_square(crops):
    source = read("mobilefacenet_casia_112x96.onnx", NARROW, crops)
    assert operators(source.network.data)["PRELU"] == 33
    assert least_cosine(source, images(crops, NARROW)) >= 0.99999


@pytest.mark.slow
def test_sface_and_its_block_quantized_file_are_one_network(crops):
    plain = read("sface_2021dec_float.onnx", RAW, crops)
    blocks = read("sface_2021dec_int8bq.onnx", RAW, crops)
    assert "integer weights of the ONNX file, dequantized to float32: 29" in blocks.notes
    assert "graph inputs that no operator reads, dropped: 29" in blocks.notes
    np.testing.assert_allclose(plain.witness, blocks.witness, atol=1e-3)
    for source in (plain, blocks):
        assert least_cosine(source, images(crops, RAW)) >= 0.99999
