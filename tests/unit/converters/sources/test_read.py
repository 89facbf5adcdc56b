"""Every kind of source becomes a float network that computes the same embeddings as the source's own runtime."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from converters.errors import SourceError
from converters.sources.read import read_source
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract

SIDE = 32


def embeddings(tflite, images, batch=1):
    """Run LiteRT on one image at a time and return the embeddings."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite, num_threads=1)
    image, embedding = (
        d["index"] for d in interpreter.get_input_details() + interpreter.get_output_details()
    )
    interpreter.resize_tensor_input(image, (batch, *images.shape[1:]))
    interpreter.allocate_tensors()
    rows = []
    for sample in images:
        interpreter.set_tensor(image, np.repeat(sample[None], batch, axis=0))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(embedding).reshape(batch, -1)[0])
    return np.stack(rows)


def least_cosine(a, b):
    return ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()


def assert_true_to_source(source, images, batch=1):
    assert source.witness.shape == (len(images), 16)
    assert source.witness.dtype == np.float32
    assert least_cosine(embeddings(source.network.data, images, batch), source.witness) >= 0.99999


def signature(tflite):
    from ai_edge_litert.interpreter import Interpreter

    return list(Interpreter(model_content=tflite).get_input_details()[0]["shape_signature"])


def refusal(path, contract, images, **options):
    with pytest.raises(SourceError) as refused:
        read_source(path, contract=contract, inputs=images, **options)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert "Traceback" not in message
    assert "\n" not in message
    return message, refused.value.hint or ""


# --- what can be read


def test_keras_with_an_open_size_and_a_private_loss_under_a_wrong_name(models, contract, images, tmp_path):
    path = tmp_path / "renamed.onnx"
    path.write_bytes((models / "open_size.keras").read_bytes())
    source = read_source(path, contract=contract, inputs=images)
    assert source.kind == "keras"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(source.tools) == {"keras", "tensorflow"}
    assert source.notes == ("renamed.onnx is named .onnx and is a Keras file by its content",)
    assert signature(source.network.data) == [1, SIDE, SIDE, 3]
    assert_true_to_source(source, images)


def test_keras_in_mixed_precision_is_converted_in_float32(models, contract, images):
    source = read_source(models / "mixed.keras", contract=contract, inputs=images)
    assert source.notes == ("the Keras model computes in float16 and is converted in float32",)
    assert_true_to_source(source, images)


def test_hdf5_that_only_keras_2_reads(models, contract, images):
    source = read_source(models / "keras2.h5", contract=contract, inputs=images)
    assert set(source.tools) == {"tf_keras", "tensorflow"}
    assert any("Keras 2" in note for note in source.notes)
    assert_true_to_source(source, images)


@pytest.mark.parametrize("name", ["exported", "plain"])
def test_saved_model(models, contract, images, name):
    source = read_source(models / name, contract=contract, inputs=images)
    assert source.kind == "saved_model"
    assert len(source.sha256) == 64
    assert signature(source.network.data) == [1, SIDE, SIDE, 3]
    assert_true_to_source(source, images)


def test_onnx_channels_last_with_open_shape_and_block_quantized_weights(models, contract, images):
    source = read_source(models / "channels_last.onnx", contract=contract, inputs=images)
    assert source.notes == (
        "integer weights of the ONNX file, dequantized to float32: 2",
        "graph inputs that no operator reads, dropped: 1",
        "the batch of the ONNX file was dynamic and is 1 now",
        "the image size of the ONNX file was open and is the contract's now",
    )
    assert signature(source.network.data) == [1, SIDE, SIDE, 3]
    assert "onnx2tf" in source.tools  # recipes of earlier versions contain the names of its tensors
    assert_true_to_source(source, images)


def test_onnx_gray_with_a_batch_of_two(models, gray, images):
    images = np.ascontiguousarray(images[..., :1])
    source = read_source(models / "gray_batch2.onnx", contract=gray, inputs=images)
    assert source.notes == ("the batch of the ONNX file was 2 and is 1 now",)
    assert signature(source.network.data) == [1, SIDE, SIDE, 1]
    assert_true_to_source(source, images)


@pytest.mark.parametrize(("name", "batch", "note"), [("dynamic", 1, "dynamic"), ("batch2", 2, "2")])
def test_tflite_is_passed_on_untouched(models, contract, images, name, batch, note):
    path = models / f"{name}.tflite"
    source = read_source(path, contract=contract, inputs=images)
    assert source.kind == "tflite"
    assert source.network.data == path.read_bytes()
    assert source.notes == (f"the batch of the file is {note}",)
    assert_true_to_source(source, images, batch)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("two_outputs.onnx", "embedding"),
        ("classifier.onnx", "features"),
        ("two_outputs.keras", "dense"),
        ("two_outputs.tflite", "output_0"),
    ],
)
def test_an_output_is_chosen_by_its_name(models, contract, images, name, output):
    source = read_source(models / name, contract=contract, inputs=images, output_name=output)
    assert source.output_name == output
    assert_true_to_source(source, images)


@pytest.mark.parametrize("name", ["two_outputs.onnx", "two_outputs.tflite"])
def test_an_output_that_does_not_exist(models, contract, images, name):
    error, hint = refusal(models / name, contract, images, output_name="embeding")
    assert "found 'embeding'; its outputs are" in error
    assert "embedding" in hint or "output_0" in error


# --- what is refused


@pytest.mark.parametrize(
    ("name", "message", "advice"),
    [
        ("cut.tflite", "not a whole TFLite file", "again"),
        ("softmax.tflite", "class probabilities", "up to the embedding"),
        ("map.tflite", "found a map", "up to the embedding"),
        ("scalar.tflite", "expected an embedding", "up to the embedding"),
        ("two_outputs.tflite", "expected one output, found 2", "--output-name"),
        ("flex.tflite", "TensorFlow operators: FlexMatrixInverse", "SELECT_TF_OPS"),
        ("integer_weights.tflite", "already quantized", "float file"),
        ("constant.tflite", "the same for every image", "contract"),
        ("nan.tflite", "NaN", "mean and scale"),
        ("cut.onnx", "cut short", "again"),
        ("quantized.onnx", "already quantized (DequantizeLinear, QuantizeLinear)", "float model"),
        (
            "two_outputs.onnx",
            "expected one output, found 2: embedding 1x16, pool 1x8x1x1",
            "--output-name embedding",
        ),
        (
            "classifier.onnx",
            "'embedding' is class probabilities (Softmax 'embedding')",
            "--output-name features takes the layer before the classes",
        ),
        ("nonstandard_operator.onnx", "com.microsoft.Conv", "exporter's file"),
        ("unknown_operator.onnx", "no TFLite form for MaxRoiPool 'embedding'", "--output-name"),
        ("clipped_gru.onnx", ": GRU 'states' has no TFLite form: clip", "--output-name"),
        ("newer.onnx", "opset 99", "older opset"),
        ("external.onnx", "'weights.bin', which is not in its folder", "one folder"),
        ("lambda.keras", "layer 'twice' is a Lambda", "SavedModel"),
        ("custom.keras", "custom class 'Doubled'", "SavedModel"),
        ("face.weights.h5", "without the network", "whole model"),
    ],
)
def test_bad_files(models, contract, images, name, message, advice):
    error, hint = refusal(models / name, contract, images)
    assert message in error
    assert advice in hint


@pytest.mark.parametrize(
    ("name", "message", "advice"),
    [
        ("training.keras", "expected one input, found 2", "margin head"),
        ("bytes", "input is uint8", "normalized image"),
    ],
)
def test_bad_files_that_only_tensorflow_detects(models, contract, images, name, message, advice):
    error, hint = refusal(models / name, contract, images)
    assert message in error
    assert advice in hint


@pytest.mark.parametrize(("name", "keep"), [("face.h5", 0.5), ("face.h5", 0.99), ("face.keras", 0.7)])
def test_cut_keras_files(models, contract, images, tmp_path, name, keep):
    data = (models / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * keep)])
    assert "damaged" in refusal(path, contract, images)[0]


def test_cut_tflite_files(models, contract, images, tmp_path):
    data = (models / "dynamic.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    for length in (9, len(data) // 2, len(data) - 4):
        path.write_bytes(data[:length])
        assert "not a whole TFLite file" in refusal(path, contract, images)[0]


@pytest.mark.parametrize("name", ["whole.onnx", "dynamic.tflite"])
def test_another_size_than_the_contract(models, images, name):
    contract = InputContract(SIDE, 24, "rgb", (0.0,) * 3, (1.0,) * 3)
    message, hint = refusal(models / name, contract, np.ascontiguousarray(images[:, :, :24]))
    assert "graph input is 32x32x3, expected 32x24 rgb as in the contract" in message
    assert hint == "use --size 32x32"


def test_inputs_must_be_what_the_contract_says(models, contract, images):
    for inputs in (images[:0], images[0], images[..., :1], images.astype(np.float64), images * np.inf):
        with pytest.raises(InputError, match="inputs: expected"), np.errstate(invalid="ignore"):
            read_source(models / "dynamic.tflite", contract=contract, inputs=inputs)


# --- the child process


def fake_package(folder, monkeypatch, code):
    """Install a fake interpreter module that the child process imports instead of the real one."""
    package = folder / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_missing_package_says_what_to_install(models, contract, images, tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, "raise ModuleNotFoundError(name='ai_edge_litert')")
    message, hint = refusal(models / "dynamic.tflite", contract, images)
    assert "ai_edge_litert is not installed" in message
    assert hint == "pip install 'edge-embedding-sdk[convert]'"


def test_a_crash_of_the_interpreter_stays_in_the_child(models, contract, images, tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    message, _ = refusal(models / "dynamic.tflite", contract, images)
    assert "the interpreter crashed (SIGSEGV)" in message


def test_a_library_that_exits_is_quoted(models, contract, images, tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, "import sys; print('cannot go on'); sys.exit(1)")
    assert "exited without a result: cannot go on" in refusal(models / "dynamic.tflite", contract, images)[0]


def test_the_parent_loads_no_framework(models):
    code = (
        "import sys, numpy as np\n"
        "from converters.sources.read import read_source\n"
        "from edge_sdk.model.card import InputContract\n"
        "contract = InputContract(32, 32, 'rgb', (0.0,) * 3, (1.0,) * 3)\n"
        "inputs = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)\n"
        f"read_source({str(models / 'dynamic.tflite')!r}, contract=contract, inputs=inputs)\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'onnx', 'onnxruntime', 'ai_edge_litert', 'h5py'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == ""
