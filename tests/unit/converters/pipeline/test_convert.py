"""Conversion of a network to artefacts: ranges, int8, float16, gates, cards, atomic output."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from converters.analyze.gates import check
from converters.cli import main
from converters.data.calibration import read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.data.image_set import ImageSet
from converters.errors import AccuracyGateError, CalibrationError, ConversionError, SourceError
from converters.graph.attach_card import with_card
from converters.graph.canonical import run_float
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay
from converters.quantize.ai_edge_quantizer import quantize_static
from converters.quantize.float16 import to_float16
from converters.quantize.int8 import quantize_int8
from converters.quantize.ranges import find_ranges
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.statistics import channel_statistics
from edge_sdk import Embedder
from edge_sdk.matching import cosine
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import ModelFile
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for number, pixels in enumerate(crops(36)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny().data)
    return path


def ranges_of(network: Network, pixels: np.ndarray, contract: InputContract = CONTRACT) -> dict:
    statistics = channel_statistics(network, contract, pixels)
    return find_ranges(network, "min_max", contract, statistics, pixels)


def flags(*extra: str) -> list[str]:
    return ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128", *extra]


# Calibration


def test_ranges_are_the_true_extremes_and_hold_no_constant() -> None:
    network = tiny()
    pixels = crops()
    ranges = ranges_of(network, pixels)
    outputs = run_float(network, real_inputs(pixels, CONTRACT))
    graph = network.edit()
    output = ranges[graph.name(graph.outputs[0])]
    assert (output.low, output.high) == pytest.approx((outputs.min(), outputs.max()), rel=1e-5)
    constants = {graph.name(i) for i in range(len(graph.tensors)) if graph.constant(i) is not None}
    assert constants and not constants & set(ranges)


def test_the_input_range_is_the_contracts_not_the_images() -> None:
    dark = np.minimum(crops(), 90)
    ranges = ranges_of(tiny(), dark)
    assert (ranges["image"].low, ranges["image"].high) == (-127.5 / 128, 127.5 / 128)


def test_held_out_images_are_not_calibrated_on(images: Path) -> None:
    calibration = read_calibration(str(images), CONTRACT)
    assert calibration.split
    parts = [set(part.names) for part in (calibration.ranges, calibration.held_out, calibration.selection)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 36


def test_the_digest_follows_content_and_names(images: Path) -> None:
    before = ImageSet.open(images).crops(CONTRACT).sha256
    assert before == ImageSet.open(images).crops(CONTRACT).sha256
    (images / "00.png").rename(images / "99.png")
    assert ImageSet.open(images).crops(CONTRACT).sha256 != before


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_an_archive_reads_like_its_folder(images: Path, tmp_path: Path, suffix: str) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "packed"), suffix, images)
    assert np.array_equal(
        ImageSet.open(archive).crops(CONTRACT).pixels, ImageSet.open(images).crops(CONTRACT).pixels
    )


def test_copies_of_one_image_are_no_calibration_set(images: Path) -> None:
    first = (images / "00.png").read_bytes()
    for path in images.iterdir():
        path.write_bytes(first)
    with pytest.raises(CalibrationError, match="copies of one"):
        read_calibration(str(images), CONTRACT)


# int8 and float16


def test_int8_keeps_integers_at_the_edge_and_follows_float() -> None:
    network, pixels = tiny(), crops(40)
    quantized = quantize_static(network, ranges_of(network, pixels))
    graph = quantized.edit()
    assert [graph.dtype_name(i) for i in [*graph.inputs, *graph.outputs]] == ["int8", "int8"]
    weights = [
        t
        for t in graph.tensors
        if t.quantization is not None and t.quantization.scale is not None and len(t.quantization.scale) > 1
    ]
    assert weights, "convolution weights are quantized per channel"
    cosines = cosine(embed_crops(network, CONTRACT, pixels), embed_crops(quantized, CONTRACT, pixels))
    assert cosines.mean() > 0.99


def test_int8_is_the_same_every_time() -> None:
    ranges = ranges_of(tiny(), crops())
    assert quantize_static(tiny(), ranges) == quantize_static(tiny(), ranges)


def test_every_pixel_value_keeps_its_own_code() -> None:
    network = quantize_static(tiny(), ranges_of(tiny(), crops()))
    graph = network.edit()
    quantization = graph.tensors[graph.inputs[0]].quantization
    assert quantization.scale[0] == pytest.approx(1 / 128, rel=1e-6)


def test_float16_halves_the_weights_and_stays_in_one_partition() -> None:
    network, pixels = tiny(), crops(20)
    half = to_float16(network)
    graph = half.edit()
    assert sum(t.type == schema.TensorType.FLOAT16 for t in graph.tensors) >= 5
    assert xnnpack_partitions(half).count == 1
    assert cosine(embed_crops(network, CONTRACT, pixels), embed_crops(half, CONTRACT, pixels)).min() > 0.9999


def test_a_constant_that_float16_cannot_hold_stays_float32() -> None:
    net = NetworkBuilder()
    scale = np.full(4, 1e6, np.float32)
    huge = net.binary("MUL", net.conv(net.input, 4), net.constant(scale))
    network, pixels = net.finish(net.embedding(huge)), crops(4)
    half = to_float16(network)
    stored = [half.graph.constant(i) for i in range(len(half.graph.tensors))]
    assert any(value is not None and np.array_equal(value, scale) for value in stored)
    assert cosine(embed_crops(network, CONTRACT, pixels), embed_crops(half, CONTRACT, pixels)).min() > 0.9999


def int8_of(network: Network, recipe: Recipe | None = None) -> Network:
    pixels = crops(20)
    statistics = channel_statistics(network, CONTRACT, pixels)
    return quantize_int8(network, recipe or shipped("cpu_int8"), statistics, CONTRACT, pixels).network


def average_pool(net: NetworkBuilder, x: int) -> int:
    options = schema.Pool2DOptionsT()
    options.padding, options.filterHeight, options.filterWidth = schema.Padding.VALID, 2, 2
    options.strideH = options.strideW = 2
    return net.op("AVERAGE_POOL_2D", [x], (1, 4, 4, 8), options)


@pytest.mark.parametrize(
    "layer",
    [
        lambda net, x: net.unary("HARD_SWISH", x),
        lambda net, x: net.unary("GELU", x),
        lambda net, x: net.binary("ADD", net.unary("RELU", x), net.unary("LOGISTIC", x)),
        lambda net, x: net.binary("DIV", x, net.constant(np.float32(0.7))),
        lambda net, x: net.binary("MAXIMUM", x, net.unary("LOGISTIC", x)),
        average_pool,
    ],
    ids=["hard swish", "gelu", "separate relu", "division", "maximum", "average pooling"],
)
def test_operators_without_an_integer_kernel_stay_in_float_in_one_partition(
    layer: Callable[[NetworkBuilder, int], int],
) -> None:
    net = NetworkBuilder()
    network = net.finish(net.embedding(net.conv(layer(net, net.conv(net.input, 8)), 16)))
    quantized = int8_of(network)
    assert [
        gate.name for gate in check(quantized, shipped("cpu_int8"), CONTRACT, crops(3)) if not gate.passed
    ] == []
    pixels = crops(20)
    cosines = cosine(embed_crops(network, CONTRACT, pixels), embed_crops(quantized, CONTRACT, pixels))
    assert cosines.mean() > 0.99


def decomposed_elu(net: NetworkBuilder, x: int) -> int:
    """Build max(x, 0) + min(exp(x) - 1, 0): for large x, the range of exp(x) - 1 is too wide for eight bits."""
    less = net.binary("SUB", net.unary("EXP", x), net.constant(np.float32(1)))
    below = net.binary("MINIMUM", less, net.constant(np.float32(0)))
    return net.binary("ADD", net.unary("RELU", x), below)


def test_operators_between_float_operators_stay_in_float() -> None:
    net = NetworkBuilder()
    x = net.binary("MUL", net.conv(net.input, 8), net.constant(np.float32(6)))
    network = net.finish(net.embedding(net.conv(decomposed_elu(net, x), 16)))
    quantized = int8_of(network)
    graph = quantized.edit()
    subtraction = next(op for op in graph.operators if graph.op_name(op) == "SUB")
    assert graph.dtype_name(int(subtraction.outputs[0])) == "float32"
    assert gate(quantized, "integer", "cpu_int8")[0]
    pixels = crops(20)
    cosines = cosine(embed_crops(network, CONTRACT, pixels), embed_crops(quantized, CONTRACT, pixels))
    assert cosines.mean() > 0.995


def test_a_residual_addition_between_float_activations_stays_an_integer() -> None:
    net = NetworkBuilder()
    x = net.prelu(net.conv(net.input, 8), [0.2] * 8)
    y = net.prelu(net.conv(x, 8, stride=1), [0.2] * 8)
    network = net.finish(net.embedding(net.conv(net.prelu(net.binary("ADD", x, y), [0.2] * 8), 8)))
    graph = int8_of(network).edit()
    addition = next(op for op in graph.operators if graph.op_name(op) == "ADD")
    assert graph.dtype_name(int(addition.outputs[0])) == "int8"


# Gates


def gate(network: Network, name: str, recipe: str = "float32") -> tuple[bool, str]:
    gates = {g.name: g for g in check(network, shipped(recipe), CONTRACT, crops(3))}
    return gates[name].passed, gates[name].found


def test_a_whole_network_passes_every_gate() -> None:
    assert all(g.passed for g in check(tiny(), shipped("float32"), CONTRACT, crops(3)))


def test_a_dynamic_shape_is_caught() -> None:
    graph = tiny().edit()
    graph.tensors[graph.inputs[0]].shapeSignature = [-1, 16, 16, 3]
    assert gate(Network.of(graph), "static")[0] is False


def test_a_float_network_is_not_int8() -> None:
    passed, result = gate(tiny(), "integer", "cpu_int8")
    assert not passed
    assert "CONV_2D" in result


def test_an_operator_left_in_float_is_caught_unless_the_recipe_allows_it() -> None:
    network = quantize_static(tiny(), ranges_of(tiny(), crops()))
    assert gate(network, "integer", "cpu_int8")[0]
    strict = Recipe("npu_int8", "npu", "int8")
    integer = {g.name: g for g in check(network, strict, CONTRACT, crops(3))}["integer"]
    assert not integer.passed
    assert "PRELU" in integer.found


def test_a_network_that_answers_the_same_for_every_image_is_caught() -> None:
    net = NetworkBuilder()
    nothing = net.binary("MUL", net.conv(net.input, 4), net.constant(np.float32(0)))
    bias = net.binary("ADD", nothing, net.constant(np.ones(4, np.float32)))
    passed, result = gate(net.finish(net.embedding(bias)), "finite")
    assert not passed
    assert "same embedding" in result


def test_nan_is_caught() -> None:
    net = NetworkBuilder()
    broken = net.binary("MUL", net.conv(net.input, 4), net.constant(np.float32("nan")))
    assert gate(net.finish(net.embedding(broken)), "finite")[0] is False


def test_an_operator_that_xnnpack_does_not_support_is_named() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 4)
    floor = net.unary("ROUND", x)
    network = net.finish(
        net.embedding(
            net.conv(
                net.op("CUMSUM", [floor, net.constant(np.int32(1))], net.shape(x), schema.CumsumOptionsT()), 4
            )
        )
    )
    assert "CUMSUM" in xnnpack_partitions(network).outside
    assert gate(network, "partitions")[0] is False


def decomposed_selu(net: NetworkBuilder) -> Network:
    """Build a network with GREATER and SELECT_V2, which XNNPACK supports neither in float nor in integers."""
    x = net.conv(net.input, 4)
    zero = net.constant(np.float32(0))
    above = net.op("GREATER", [x, zero], net.shape(x), schema.GreaterOptionsT(), dtype=np.bool_)
    y = net.op("SELECT_V2", [above, x, net.unary("LOGISTIC", x)], net.shape(x), schema.SelectV2OptionsT())
    return net.finish(net.embedding(net.conv(y, 8)))


def test_operators_that_xnnpack_does_not_support_are_converted_and_reported(
    images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "selu.tflite"
    path.write_bytes(decomposed_selu(NetworkBuilder()).data)
    report = convert(ConversionOptions(path, CONTRACT, images, tmp_path / "out"))
    recipes = {artefact.recipe for artefact in report.artefacts}
    assert recipes == {"float32", "float16", "dynamic_range", "cpu_int8"}
    assert all(gate.passed for artefact in report.artefacts for gate in artefact.gates)
    assert any("XNNPACK does not run GREATER, SELECT_V2" in note for note in report.notes)


# Complete conversions


def test_convert_writes_files_with_cards_recipes_and_a_report(
    source: Path, images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    report = convert(ConversionOptions(source, CONTRACT, images, output, licence="CC0-1.0"))
    made = {path.name for path in output.iterdir()}
    for recipe in ("float32", "float16", "cpu_int8"):
        assert {f"tiny.{recipe}.tflite", f"tiny.{recipe}.recipe.json"} <= made
    file = ModelFile.open(output / "tiny.cpu_int8.tflite")
    assert (file.card.licence, file.card.precision, file.card.dimension) == ("CC0-1.0", "int8", 8)
    assert file.card.calibration["images"] == 24
    assert file.card.fidelity["held_out"] is True
    saved = json.loads((output / "tiny.report.json").read_text())
    assert saved["verdict"] == report.verdict()
    assert [a["file"] for a in saved["artefacts"]] == [
        f"tiny.{r}.tflite" for r in ("float32", "float16", "dynamic_range", "cpu_int8")
    ]
    embedder = Embedder.open(output / "tiny.cpu_int8.tflite")
    assert np.linalg.norm(embedder.embed(crops(1)[0])) == pytest.approx(1, abs=1e-5)


def test_converting_twice_gives_the_same_bytes(source: Path, images: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert(ConversionOptions(source, CONTRACT, images, tmp_path / name))
    for path in (tmp_path / "a").glob("*.tflite"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_missed_accuracy_leaves_nothing_behind(source: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(AccuracyGateError, match="cosine to float"):
        convert(
            ConversionOptions(
                source, CONTRACT, images, tmp_path / "out", ("microcontroller",), min_cosine=0.999999
            )
        )
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".out")]


def test_an_earlier_output_survives_a_failure(source: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    convert(ConversionOptions(source, CONTRACT, images, output))
    before = {p.name: p.read_bytes() for p in output.iterdir()}
    source.write_bytes(tiny().data[:500])
    with pytest.raises(SourceError):
        convert(ConversionOptions(source, CONTRACT, images, output))
    assert {p.name: p.read_bytes() for p in output.iterdir()} == before


def test_the_metadata_of_the_source_does_not_leak_into_the_artefact(tmp_path: Path, images: Path) -> None:
    graph = tiny().edit()
    graph.set_metadata("SOMETHING", b"about the old file")
    path = tmp_path / "old.tflite"
    path.write_bytes(graph.to_bytes())
    convert(ConversionOptions(path, CONTRACT, images, tmp_path / "out"))
    assert b"about the old file" not in (tmp_path / "out" / "old.float32.tflite").read_bytes()


def test_an_artefact_is_a_source_too(source: Path, images: Path, tmp_path: Path) -> None:
    convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out"))
    again = convert(
        ConversionOptions(
            tmp_path / "out" / "tiny.float32.tflite", CONTRACT, images, tmp_path / "again", name="tiny"
        )
    )
    assert again.artefacts[2].cosine_mean > 0.99


# The command line


def test_convert_prints_the_report_and_where_it_is(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["convert", str(source), *flags("--calibration", str(images), "--output", str(tmp_path / "out"))]
    )
    out, err = capsys.readouterr()
    assert code == 0
    assert "verdict:" in out
    assert "tiny.cpu_int8.tflite" in out
    assert "note: calibration images: 24 used for activation ranges" in out
    steps = [
        line for line in err.splitlines() if re.fullmatch(r"edge-convert: \[\d+ s\] .+: \d+\.\d s", line)
    ]
    assert steps == err.splitlines() and any("] calibrate: " in line for line in steps)


def test_json_is_all_there_is_on_stdout(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out")
    assert (
        main(["convert", str(source), "--json", *flags("--calibration", str(images), "--output", output)])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"


def test_inspect_shows_card_operators_and_partitions(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out"))
    assert main(["inspect", str(tmp_path / "out" / "tiny.cpu_int8.tflite"), "--json"]) == 0
    inspection = json.loads(capsys.readouterr().out)
    assert inspection["card"]["target"] == "cpu"
    assert inspection["partitions"] == 1
    assert inspection["operators"]["CONV_2D"] == 2
    assert main(["inspect", str(source)]) == 0
    assert "card       none" in capsys.readouterr().out


def test_a_damaged_card_is_not_shown_as_true(source: Path, images: Path, tmp_path: Path) -> None:
    convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out"))
    path = tmp_path / "out" / "tiny.cpu_int8.tflite"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "never guessed"),
        (["--range", "0..255", "--target", "toaster"], "found 'toaster'"),
    ],
    ids=["no contract", "an unknown target"],
)
def test_a_usage_error_names_the_valid_values(
    given: list[str],
    message: str,
    source: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = ["--calibration", str(images), "--output", str(tmp_path / "o")]
    with pytest.raises(SystemExit) as exit_:
        main(["convert", str(source), "--size", "16x16", *places, *given])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


BAD = {
    "missing model": (["nothing.onnx"], "nothing.onnx"),
    "size against the graph": (["MODEL", "--size", "24x24"], "24x24"),
    "one channel against the graph": (["MODEL", "--color", "gray"], "gray"),
    "range and mean": (["MODEL", "--range", "0..255"], "range"),
    "no images": (["MODEL", "--calibration", "EMPTY"], "found none"),
    "a text file for images": (["MODEL", "--calibration", "TEXT"], "folder"),
    "missing images": (["MODEL", "--calibration", "nowhere"], "nothing there"),
    "a damaged image": (["MODEL", "--calibration", "DAMAGED"], "decoding failed"),
    "tiny images": (["MODEL", "--calibration", "SMALL"], "at least 16x16"),
    "transparent images": (["MODEL", "--calibration", "RGBA"], "found transparent pixels"),
    "output is a file": (["MODEL", "--output", "TEXT"], "found a file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_error(
    case: str,
    source: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {
        "MODEL": str(source),
        "EMPTY": "empty",
        "TEXT": "text.txt",
        "DAMAGED": "damaged",
        "SMALL": "small",
        "RGBA": "rgba",
    }
    for name in ("empty", "damaged", "small", "rgba"):
        Path(name).mkdir()
    Path("text.txt").write_text("not images")
    Path("damaged/a.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    Image.new("RGB", (8, 8)).save("small/a.png")
    Image.new("RGBA", (32, 32)).save("rgba/a.png")
    before = sorted(p.name for p in tmp_path.iterdir())
    given, message = BAD[case]
    arguments = ["convert", *[places.get(a, a) for a in given]]
    for flag, value in (("--size", "16x16"), ("--color", "rgb"), ("--mean", "127.5"), ("--scale", "128")):
        if flag not in given:
            arguments += [flag, value]
    if "--calibration" not in given:
        arguments += ["--calibration", str(images)]
    if "--output" not in given:
        arguments += ["--output", "out"]
    assert main(arguments) == 3
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("edge-convert: [")]
    assert out == ""
    assert lines[0].startswith("edge-convert: error: ")
    assert message in err
    assert not lines[0].endswith(".")
    assert len(lines) <= 2
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_full_disk_leaves_nothing_half_written(source: Path, images: Path, tmp_path: Path) -> None:
    """Simulate a full disk by a limit on file size: with both, write() fails in the middle of a file."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from converters.cli import main;"
        "import ai_edge_quantizer.quantizer, converters.pipeline.convert;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); sys.exit(main(sys.argv[1:]))"
    )
    command = [
        "convert",
        str(source),
        *flags("--calibration", str(images), "--output", str(tmp_path / "out")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4000
    assert done.returncode == 3, done.stderr
    assert "\nedge-convert: error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_compare_needs_one_contract(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(source), str(source), "--images", str(images)]) == 3
    assert "found no card" in capsys.readouterr().err
    assert main(["compare", str(source), str(source), "--images", str(images), "--json", *flags()]) == 0
    assert json.loads(capsys.readouterr().out)["cosine_min"] == pytest.approx(1)


def test_a_gray_network_converts(tmp_path: Path) -> None:
    net = NetworkBuilder((1, 16, 16, 1))
    path = tmp_path / "gray.tflite"
    path.write_bytes(net.finish(net.embedding(net.conv(net.input, 4))).data)
    folder = tmp_path / "crops"
    folder.mkdir()
    for number, pixels in enumerate(crops(12, (16, 16, 1))):
        Image.fromarray(pixels[..., 0]).save(folder / f"{number}.png")
    contract = InputContract(16, 16, "gray", (127.5,), (128.0,))
    report = convert(ConversionOptions(path, contract, folder, tmp_path / "out"))
    assert report.artefacts[2].cosine_mean > 0.98
    card = ModelFile.open(tmp_path / "out" / "gray.cpu_int8.tflite").card
    assert with_card(tiny(), card)[4:8] == b"TFL3"


def test_bgr_and_per_channel_scaling_are_the_networks_own_order(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(tiny().data)
    rgb = InputContract(16, 16, "rgb", (100.0, 120.0, 140.0), (50.0, 60.0, 70.0))
    bgr = InputContract(16, 16, "bgr", (100.0, 120.0, 140.0), (50.0, 60.0, 70.0))
    for name, contract in (("rgb", rgb), ("bgr", bgr)):
        convert(ConversionOptions(path, contract, images, tmp_path / name))
    picture = crops(1)[0]
    for recipe in ("float32", "cpu_int8"):
        first = Embedder.open(tmp_path / "rgb" / f"net.{recipe}.tflite").embed(picture)
        second = Embedder.open(tmp_path / "bgr" / f"net.{recipe}.tflite").embed(
            np.ascontiguousarray(picture[..., ::-1])
        )
        assert float(first @ second) > 0.97


# Names, texts and broken JSON


@pytest.mark.parametrize(
    "name",
    ["../elsewhere", "a/b", "..", ".hidden", "two\nlines", "x" * 300, "\udcff", " ", "right\u202eleft"],
)
def test_a_name_that_is_no_file_name_is_refused_before_the_work(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    output = tmp_path / "folder" / "out"
    arguments = ["--calibration", str(images), "--output", str(output), f"--name={name}"]
    assert main(["convert", str(source), *flags(*arguments)]) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert "the model's name: expected" in error
    assert "--name" in hint
    assert {path.name for path in tmp_path.iterdir()} == {"crops", "tiny.tflite"}


def test_a_file_that_is_not_named_in_utf8_is_converted_under_another_name(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tflite"))
    odd.write_bytes(source.read_bytes())
    arguments = flags("--calibration", str(images), "--output", str(tmp_path / "out"))
    assert main(["convert", str(odd), *arguments]) == 3
    assert "hint: --name" in capsys.readouterr().err
    assert main(["convert", str(odd), *arguments, "--name", "cafe"]) == 0
    assert ModelFile.open(tmp_path / "out" / "cafe.float32.tflite").card.source["file"] == "caf\ufffd.tflite"


def test_text_that_is_not_utf8_is_refused(source: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="description: expected UTF-8"):
        convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out", description="\udcff"))


def test_an_image_name_that_is_not_utf8_is_refused(source: Path, images: Path, tmp_path: Path) -> None:
    (images / "00.png").rename(os.fsdecode(os.fsencode(images) + b"/caf\xe9.png"))
    with pytest.raises(CalibrationError, match="UTF-8"):
        convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out"))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"size": [16, 16], "color": "rgb", "range": [0, 1], "name": 3}']
)
def test_a_malformed_contract_file_is_refused(
    source: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(text)
    arguments = ["--contract", str(contract), "--calibration", str(images), "--output", str(tmp_path / "out")]
    assert main(["convert", str(source), *arguments]) == 3
    assert "contract.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema": "edge-sdk/recipe/1", "precision": "int8", "partitions": 1e999}', "{}"]
)
def test_a_malformed_recipe_is_refused_before_the_source_is_read(
    images: Path, tmp_path: Path, text: str
) -> None:
    recipe = tmp_path / "some.recipe.json"
    recipe.write_text(text)
    with pytest.raises(ConversionError, match="recipe"):
        convert(
            ConversionOptions(
                tmp_path / "missing.onnx", CONTRACT, images, tmp_path / "out", quantization=Replay(recipe)
            )
        )


def test_a_folder_with_the_name_of_a_file_is_refused_and_nothing_is_written(
    source: Path, images: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "out" / "tiny.report.html"
    blocked.mkdir(parents=True)
    with pytest.raises(ConversionError, match=r"tiny\.report\.html: expected a file or nothing"):
        convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == [blocked]


def test_a_recipe_found_for_another_network_is_refused(source: Path, images: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "other.recipe.json"
    recipe.write_text(json.dumps({**shipped("cpu_int8").to_json(), "keep_float": ["block_7/conv", "head"]}))
    with pytest.raises(ConversionError, match="'block_7/conv', but no operator of this network has it"):
        convert(ConversionOptions(source, CONTRACT, images, tmp_path / "out", quantization=Replay(recipe)))


def test_a_conversion_without_images_says_so_everywhere_and_gives_the_same_bytes(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--size",
        "16x16",
        "--color",
        "rgb",
        "--mean",
        "127.5",
        "--scale",
        "128",
        "--calibration",
        "none",
    ]
    for output in ("first", "second"):
        assert main(["convert", str(source), *flags, "--output", str(tmp_path / output)]) == 0
    text = capsys.readouterr().out
    assert "note: calibrated without images" in text
    assert "drawn pictures, not on photographs" in text
    assert "verdict: " in text
    assert "calibrated without images and measured on drawn pictures" in text.split("verdict: ")[1]
    first, second = (tmp_path / output / "tiny.cpu_int8.tflite" for output in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    card = ModelFile.open(first).card
    assert card is not None
    assert card.calibration["drawn"] == "drawn-pictures/1 seed 1"
    assert card.fidelity["generated"] is True
    recipe = json.loads((tmp_path / "first" / "tiny.cpu_int8.recipe.json").read_text())
    assert recipe["calibration"]["drawn"] == "drawn-pictures/1 seed 1"
    replayed = tmp_path / "again"
    saved = tmp_path / "first" / "tiny.cpu_int8.recipe.json"
    assert main(["convert", str(source), "--recipe", str(saved), "--output", str(replayed)]) == 0
    assert (replayed / "tiny.cpu_int8.tflite").read_bytes() == first.read_bytes()
    assert "calibrated without images" in capsys.readouterr().out.split("verdict: ")[1]
