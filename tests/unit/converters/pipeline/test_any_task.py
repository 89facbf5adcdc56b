"""Networks of other tasks are converted with an error for each output, or refused with one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.cli import main
from converters.errors import SourceError
from converters.graph.network import Network as TfliteNetwork
from converters.pipeline.any_task import convert_any_task
from converters.pipeline.options import ConversionOptions
from converters.quantize.float16 import to_float16
from edge_sdk.model.card import InputContract
from edge_sdk.model.golden import smooth_field
from edge_sdk.runtime.network import Network
from tests.integer_networks import IntegerNetwork
from tests.networks import NetworkBuilder

PRODUCTS = Path(__file__).parents[4] / "samples" / "products"
CONTRACT = InputContract(32, 32, "rgb", (127.5,) * 3, (127.5,) * 3)


def pose_like() -> TfliteNetwork:
    """Make a network with heatmaps, offsets and a score that other operators read too, without a signature."""
    net = NetworkBuilder((1, 32, 32, 3), seed=4)
    features = net.unary("RELU6", net.conv(net.unary("RELU", net.conv(net.input, 8)), 16))
    heatmaps = net.unary("LOGISTIC", net.conv(features, 5, size=1, stride=1))
    offsets = net.conv(features, 10, size=1, stride=1)
    score = net.binary("ADD", net.conv(heatmaps, 5, size=1, stride=1), heatmaps)
    return net.finish(score, heatmaps, offsets, signature=False)


def options_for(model: Path, output: Path, **changes: object) -> ConversionOptions:
    values: dict[str, object] = {"contract": CONTRACT, "calibration": PRODUCTS, "task": "none", **changes}
    return ConversionOptions(model=model, output=output, **values)  # type: ignore[arg-type]


def command(model: str | Path, output: Path, *more: str) -> list[str]:
    """Return a command line with the contract's size and color."""
    contract = ["--size", "32x32", "--color", "rgb"]
    return ["convert", str(model), "--task", "none", *contract, "--output", str(output), *more]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any_task")
    (folder / "pose.tflite").write_bytes(to_float16(pose_like()).data)
    more = ["--range=-1..1", "--calibration", str(PRODUCTS)]
    targets = ["--target", "cpu,edgetpu,ethos-u,mobile,microcontroller"]
    assert main(command(folder / "pose.tflite", folder / "out", *more, *targets)) == 1
    return folder


def source_outputs(image: np.ndarray) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=to_float16(pose_like()).data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], (image[None].astype(np.float32) - 127.5) / 127.5
    )
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


@pytest.mark.parametrize(
    ("artefact", "tolerance"),
    [
        ("float32", 1e-5),
        ("float16", 0.01),
        ("dynamic_range", 0.1),
        ("cpu_int8", 0.1),
        ("edgetpu_int8", 0.1),
        ("ethos_u_int8", 0.1),
        ("mobile_int8", 0.1),
    ],
)
def test_a_file_computes_every_output_of_its_source(converted: Path, artefact: str, tolerance: float) -> None:
    network = Network.open(converted / "out" / f"pose.{artefact}.tflite", task="none")
    image = smooth_field((32, 32, 3), 5)
    expected = source_outputs(image)
    outputs = network.run(image)
    assert len(outputs) == 3
    for value in expected:
        nearest = min(
            float(np.abs(output - value).max()) for output in outputs.values() if output.shape == value.shape
        )
        assert nearest <= tolerance * float(np.abs(value).max())
    checks = network.check_golden()
    assert set(checks) == set(network.card.outputs)
    assert all(check.right for check in checks.values())


def test_the_report_states_the_error_of_each_output_and_the_refused_target(converted: Path) -> None:
    report = json.loads((converted / "out" / "pose.report.json").read_text())
    int8 = next(item for item in report["artefacts"] if item["file"] == "pose.cpu_int8.tflite")
    assert set(int8["errors"]) == set(
        Network.open(converted / "out" / "pose.cpu_int8.tflite", task="none").card.outputs
    )
    assert all(0 < error < 0.1 for error in int8["errors"].values())
    card = Network.open(converted / "out" / "pose.cpu_int8.tflite", task="none").card
    used = (
        card.recipe["name"],
        card.recipe["equalize"],
        card.recipe["ranges"],
        card.recipe["bias_correction"],
    )
    assert used == ("cpu_int8", "all", "mse", True), "the card names the recipe that was better"
    assert [section["target"] for section in report["targets"]] == ["cpu", "edgetpu", "ethos-u", "mobile"]
    assert [target["name"] for target in report["refused"]] == ["microcontroller"]


def test_targets_with_the_same_file_write_and_list_it_once(converted: Path) -> None:
    report = json.loads((converted / "out" / "pose.report.json").read_text())
    files = [artefact["file"] for artefact in report["artefacts"]]
    assert files.count("pose.float16.tflite") == 1 and len(set(files)) == len(files)
    assert report["inaccurate"] == {}


def key_points() -> TfliteNetwork:
    """Make a network whose outputs move by less than a step of int8, at places that lie far apart."""
    net = NetworkBuilder((1, 32, 32, 3), seed=4)
    features = net.mean(net.unary("RELU", net.conv(net.input, 8)))
    moved = net.binary("MUL", net.dense(features, 8), net.constant(np.full(8, 1e-3, np.float32)))
    return net.finish(net.binary("ADD", moved, net.constant(np.arange(8, dtype=np.float32))))


def test_an_output_with_an_error_like_its_variation_between_images_is_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "points.tflite").write_bytes(key_points().data)
    more = ["--range=-1..1", "--calibration", str(PRODUCTS), "--json"]
    assert main(command(tmp_path / "points.tflite", tmp_path / "out", *more)) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    int8 = next(item for item in report["artefacts"] if item["file"] == "points.cpu_int8.tflite")
    ((name, error),) = int8["errors"].items()
    assert error < 0.01 and error > 0.5 * int8["variation"][name]
    assert list(report["inaccurate"]) == ["points.cpu_int8.tflite"]
    assert "points.cpu_int8.tflite was written, but is too inaccurate: the error of output" in err
    fidelity = Network.open(tmp_path / "out" / "points.cpu_int8.tflite", task="none").card.fidelity
    assert fidelity["variation_share"] == int8["variation"]


def test_golden_vectors_notice_another_network(converted: Path, tmp_path: Path) -> None:
    network = Network.open(converted / "out" / "pose.float32.tflite", task="none")
    other = Network.open(converted / "out" / "pose.cpu_int8.tflite", task="none")
    swapped = Network(network._backend, other.card)
    assert not any(check.right for check in swapped.check_golden().values())


def two_inputs() -> TfliteNetwork:
    net = NetworkBuilder((1, 32, 32, 3))
    mask = net.graph.add_tensor("mask", (1, 32, 32, 3), np.float32)
    net.graph.model.subgraphs[0].inputs = [net.input, mask]
    return net.finish(net.binary("ADD", net.input, mask))


def batch_of_two() -> TfliteNetwork:
    net = NetworkBuilder((2, 32, 32, 3))
    return net.finish(net.conv(net.input, 4))


def integer() -> TfliteNetwork:
    net = IntegerNetwork((1, 32, 32, 3))
    return net.finish(net.convolution(net.input))


def custom() -> TfliteNetwork:
    net = NetworkBuilder((1, 32, 32, 3))
    out = net.conv(net.input, 4)
    network = net.finish(net.unary("RELU", out))
    graph = network.edit()
    code = graph.model.operatorCodes[graph.operators[-1].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"PosenetDecoderOp"
    return TfliteNetwork.of(graph)


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (two_inputs, "expected one input, an image, found 2", "make the other inputs constant"),
        (batch_of_two, "the batch is 2, expected 1", "batch of 1"),
        (integer, "already quantized", "edge-convert lint FILE"),
        (custom, "custom operators: PosenetDecoderOp", "save the network without them"),
    ],
)
def test_a_network_that_does_not_fit_is_one_error(
    tmp_path: Path, make: Callable[[], TfliteNetwork], message: str, hint: str
) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(make().data)
    with pytest.raises(SourceError, match=message) as error:
        convert_any_task(options_for(model, tmp_path / "out"))
    assert hint in (error.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_options_that_need_an_embedding_are_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--range", "0..1", "--calibration", "x", "--min-cosine", "0.9"]
    with pytest.raises(SystemExit) as code:
        main(command("net.tflite", tmp_path / "out", *more))
    assert code.value.code == 2
    assert "min_cosine: expected no recipe, search, training or cosine" in capsys.readouterr().err
