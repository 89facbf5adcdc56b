"""ONNX networks with several outputs are converted to files for the device, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.cli import main
from converters.errors import ConversionError, SourceError
from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.pipeline.auxiliary_int8 import mosaics
from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.runtime.network import Network
from edge_sdk.vision.detector import Detector

SIDE = 32


def write_onnx(path: Path, *, side: int = SIDE, inputs: int = 1) -> Path:
    """Write a tiny network with two maps as outputs, which are not in the order of their names."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "w": (rng.normal(size=(4, 3, 3, 3)) / 255).astype(np.float32),
        "wz": rng.normal(size=(1, 4, 1, 1)).astype(np.float32),
        "wa": rng.normal(size=(2, 4, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["x"], strides=[8, 8], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Conv", ["y", "wz"], ["zm"]),
        helper.make_node("Sigmoid", ["zm"], ["zebra"]),
        helper.make_node("Conv", ["y", "wa"], ["apple"]),
    ]
    image = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])
        for name in ["image", "mask"][:inputs]
    ]
    if inputs == 2:
        nodes.insert(0, helper.make_node("Identity", ["mask"], ["unused"]))
    outputs = [
        helper.make_tensor_value_info("zebra", TensorProto.FLOAT, [1, 1, side // 8, side // 8]),
        helper.make_tensor_value_info("apple", TensorProto.FLOAT, [1, 2, side // 8, side // 8]),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", image, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, products_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("auxiliary")
    code = main(
        [
            "auxiliary",
            str(write_onnx(folder / "tiny.onnx")),
            "--method",
            "minifasnet",
            "--crop-scale",
            "2.7",
            "--size",
            f"{SIDE}x{SIDE}",
            "--calibration",
            str(products_folder),
            "--output",
            str(folder / "out"),
        ]
    )
    assert code == 0
    return folder


@pytest.fixture(scope="module")
def products_folder() -> Path:
    return Path(__file__).parents[4] / "samples" / "products"


def onnx_outputs(file: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    bgr = image[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(None, {"image": bgr}), strict=True))
    return {name: value.transpose(0, 2, 3, 1) for name, value in values.items()}


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("cpu_int8", 0.1)])
def test_every_output_equals_the_output_of_that_name_in_the_onnx_file(
    converted: Path, precision: str, tolerance: float
) -> None:
    network = Network.open(
        converted / "out" / f"tiny.{precision}.tflite", task="presentation attack detector"
    )
    assert network.card.outputs == ("apple", "zebra")
    assert network.card.parameters == {"crop_scale": 2.7}
    assert network.card.input.color == "rgb"  # the source takes BGR
    image = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    expected = onnx_outputs(converted / "tiny.onnx", image)
    outputs = network.run(image)
    for name, value in expected.items():
        assert outputs[name].reshape(-1) == pytest.approx(
            value.reshape(-1), abs=tolerance * float(np.abs(value).max())
        )


def test_the_report_contains_the_source_and_the_errors_of_int8(converted: Path) -> None:
    report = json.loads((converted / "out" / "tiny.report.json").read_text())
    assert report["source"]["kind"] == "onnx"
    assert report["agreement"] < 1e-4
    integer = report["artefacts"][1]
    assert integer["precision"] == "int8"
    assert set(integer["errors"]) == {"apple", "zebra"}
    assert 0 < max(integer["errors"].values()) < 0.2


def quantize_apple(source: Path, path: Path, *, block: int) -> Path:
    """Store the weights of the output "apple" as int8 with a bias; a block size of 0 means one scale for all."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source)
    rng = np.random.default_rng(5)
    sides = {"wa": (2, 1, 1, 1), "ba": (1,)} if block else {"wa": (), "ba": ()}
    shapes = {"wa": (2, 4, 1, 1), "ba": (2,)}
    stored = [tensor for tensor in model.graph.initializer if tensor.name != "wa"]
    for name, axis in (("wa", 1), ("ba", 0)):
        values = {
            f"{name}_int8": rng.integers(-128, 128, size=shapes[name]).astype(np.int8),
            f"{name}_scale": np.full(sides[name], 0.013, np.float32),
            f"{name}_zero": np.full(sides[name], 3, np.int8),
        }
        stored += [numpy_helper.from_array(value, key) for key, value in values.items()]
        blocks = {"axis": axis, "block_size": block} if block else {}
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", list(values), [name], **blocks))
    model.graph.node[-1].input.append("ba")
    del model.graph.initializer[:]
    model.graph.initializer.extend(stored)
    model.opset_import[0].version = 21
    model.ir_version = 10
    onnx.save(model, path)
    return path


def test_block_quantized_weights_and_biases_become_floats(tmp_path: Path) -> None:
    """onnxruntime refuses the bias in one block, but computes the same numbers with one scale."""
    plain = write_onnx(tmp_path / "plain.onnx")
    source = quantize_apple(plain, tmp_path / "blocks.onnx", block=4)
    report = convert_auxiliary(
        AuxiliaryRequest(
            source, "minifasnet", tmp_path / "out", size=(SIDE, SIDE), parameters={"crop_scale": 2.7}
        )
    )
    assert report.agreement < 1e-4
    network = Network.open(tmp_path / "out" / report.artefacts[0].file, task="presentation attack detector")
    image = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    expected = onnx_outputs(quantize_apple(plain, tmp_path / "scalar.onnx", block=0), image)
    outputs = network.run(image)
    for name, value in expected.items():
        tolerance = 1e-4 * float(np.abs(value).max())
        assert outputs[name].reshape(-1) == pytest.approx(value.reshape(-1), abs=tolerance)


def test_a_file_for_another_task_is_refused(converted: Path) -> None:
    file = converted / "out" / "tiny.float32.tflite"
    with pytest.raises(
        ModelCardError, match="expected a face detector, found a presentation attack detector"
    ):
        Detector.open(file)


def test_an_altered_network_is_refused(converted: Path, tmp_path: Path) -> None:
    data = bytearray((converted / "out" / "tiny.float32.tflite").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "altered.tflite").write_bytes(data)
    with pytest.raises(ModelError):
        Network.open(tmp_path / "altered.tflite", task="presentation attack detector")


def test_a_convolutional_network_takes_another_size_than_it_was_exported_with(tmp_path: Path) -> None:
    request = AuxiliaryRequest(
        write_onnx(tmp_path / "tiny.onnx", side=64),
        "minifasnet",
        tmp_path / "out",
        size=(SIDE, SIDE),
        parameters={"crop_scale": 4.0},
    )
    report = convert_auxiliary(request)
    assert any("1x3x64x64 and is 32x32 now" in note for note in report.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "scrfd"}, "yunet, minifasnet"),
        ({"parameters": {}}, "crop_scale"),
        ({"name": "../x"}, "name"),
    ],
)
def test_wrong_options_are_refused_before_any_work(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {"method": "minifasnet", "parameters": {"crop_scale": 2.7}, **change}
    with pytest.raises(ConversionError, match=message):
        convert_auxiliary(AuxiliaryRequest(tmp_path / "missing.onnx", output=tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"no network"), "expected"),
        (lambda path: write_onnx(path, inputs=2), "converted|one input|dropped"),
    ],
)
def test_a_refused_source_leaves_nothing(tmp_path: Path, write: Callable[[Path], Any], message: str) -> None:
    file = tmp_path / "source.onnx"
    write(file)
    request = AuxiliaryRequest(
        file, "minifasnet", tmp_path / "out", size=(SIDE, SIDE), parameters={"crop_scale": 2.7}
    )
    with pytest.raises(SourceError, match=message):
        convert_auxiliary(request)
    assert not (tmp_path / "out").exists()


def test_mosaics_show_faces_of_several_sizes() -> None:
    levels = np.arange(16, dtype=np.uint8) * 10 + 5
    pixels = np.broadcast_to(levels[:, None, None, None], (16, 40, 40, 3)).copy()
    frames = mosaics(pixels)
    assert frames.shape == (16 + 4 + 1, 40, 40, 3)
    assert np.array_equal(frames[:16], pixels)
    assert np.array_equal(np.unique(frames[16]), levels[:4])
    assert np.array_equal(np.unique(frames[-1]), levels)
    assert frames[-1][0, 0, 0] == levels[0]
    assert frames[-1][39, 39, 0] == levels[15]


def replayed(converted: Path, output: Path, recipe: Path, *options: str) -> int:
    source = str(converted / "tiny.onnx")
    base = ["auxiliary", source, "--method", "minifasnet", "--crop-scale", "2.7", "--output", str(output)]
    return main([*base, "--recipe", str(recipe), *options])


def test_the_recipe_of_an_int8_file_is_replayed_without_images(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = converted / "out" / "tiny.cpu_int8.recipe.json"
    capsys.readouterr()
    assert replayed(converted, tmp_path / "again", recipe) == 0
    assert "tiny.cpu_int8.tflite replayed: same bytes as recorded" in capsys.readouterr().out
    for name in ("tiny.cpu_int8.tflite", "tiny.cpu_int8.recipe.json"):
        assert (tmp_path / "again" / name).read_bytes() == (converted / "out" / name).read_bytes()
    report = json.loads((tmp_path / "again" / "tiny.report.json").read_text())
    assert report["artefacts"][1]["replay"]["same_bytes"] is True


def test_a_recipe_that_cannot_make_the_int8_file_is_refused(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = converted / "out" / "tiny.cpu_int8.recipe.json"
    assert replayed(converted, tmp_path / "o", recipe, "--size", "64x64") == 3
    assert "expected the input size of the recipe, 32x32, found 64x64" in capsys.readouterr().err
    value = json.loads(recipe.read_text())
    edited = tmp_path / "x.recipe.json"
    for changes, message in (
        ({"statistics": None}, "expected a recipe with statistics, but this recipe has no statistics"),
        ({"name": "cpu_int8"}, "expected a recipe named 'auxiliary_int8' for cpu int8, found 'cpu_int8'"),
        (
            {"target": "../../x"},
            "expected a recipe named 'auxiliary_int8' for cpu int8, found 'auxiliary_int8' for ../../x",
        ),
    ):
        changed = {key: item for key, item in {**value, **changes}.items() if item is not None}
        edited.write_text(json.dumps(changed))
        assert replayed(converted, tmp_path / "o", edited) == 3
        assert message in capsys.readouterr().err
    statistics = value["statistics"]
    outputs = {
        name: {**output, "zero_point": 255, "scale": 1e6} for name, output in statistics["outputs"].items()
    }
    edited.write_text(json.dumps({**value, "statistics": {**statistics, "outputs": outputs}}))
    assert replayed(converted, tmp_path / "o", edited) == 3
    assert "expected recorded outputs of an int8 network" in capsys.readouterr().err
    # Ranges 40 times as wide leave few codes for the values.
    wide = {name: [40 * low, 40 * high] for name, (low, high) in statistics["ranges"].items()}
    edited.write_text(json.dumps({**value, "statistics": {**statistics, "ranges": wide}}))
    assert replayed(converted, tmp_path / "o", edited) == 1
    assert (
        "expected a replayed network like the recorded one; on 4 generated inputs" in capsys.readouterr().err
    )
    assert not (tmp_path / "o").exists()
