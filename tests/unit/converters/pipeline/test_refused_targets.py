"""A refused target does not discard the files of the others; a written file that misses its budget is exit 1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.analyze.gates import check
from converters.cli import main
from converters.errors import AccuracyGateError, OptionsError, TargetError
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay, Search
from converters.quantize.budget import CosineBudget
from converters.quantize.int8 import quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.statistics import channel_statistics
from edge_sdk.model.model_file import ModelFile
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny

FLAGS = ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refused")
    (folder / "crops").mkdir()
    for number, pixels in enumerate(crops(36)):
        Image.fromarray(pixels).save(folder / "crops" / f"{number:02}.png")
    (folder / "net.tflite").write_bytes(with_sine().data)
    (folder / "tiny.tflite").write_bytes(tiny().data)
    (folder / "scaled.tflite").write_bytes(layer_scaled().data)
    return folder


def with_sine() -> Network:
    """Build a network with an operator that LiteRT runs and no NPU has."""
    net = NetworkBuilder()
    return net.finish(net.embedding(net.conv(net.unary("SIN", net.conv(net.input, 8)), 16)))


def layer_scaled() -> Network:
    """Build a network with residual branches scaled to 1e-5, as in ConvNeXt, whose int8 additions XNNPACK does not run."""
    net = NetworkBuilder()
    x = net.conv(net.input, 8)
    for _ in range(2):
        branch = net.binary("MUL", net.conv(x, 8, stride=1), net.constant(np.full(8, 1e-5, np.float32)))
        x = net.binary("ADD", x, branch)
    return net.finish(net.embedding(net.conv(x, 16)))


def request(workplace: Path, output: Path, *targets: str, model: str = "net.tflite") -> ConversionOptions:
    return ConversionOptions(workplace / model, CONTRACT, workplace / "crops", output, targets)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_target_refused_by_a_rule_leaves_the_files_of_the_others(workplace: Path, tmp_path: Path) -> None:
    result = convert(request(workplace, tmp_path / "both", "edgetpu", "cpu"))
    convert(request(workplace, tmp_path / "alone", "cpu"))
    (refused,) = result.refused
    assert refused.name == "edgetpu" and "breaks the rule an-int8-form: 1 SIN" in refused.error
    assert "--allow an-int8-form" in refused.hint and "nothing was written" not in refused.error
    assert not result.passed and not result.missed
    assert [section.target for section in result.targets] == ["cpu"]
    assert names(tmp_path / "both") == names(tmp_path / "alone")
    for path in (tmp_path / "alone").glob("*.tflite"):
        assert path.read_bytes() == (tmp_path / "both" / path.name).read_bytes()
    saved = json.loads((tmp_path / "both" / "net.report.json").read_text())
    assert saved["refused"][0]["name"] == "edgetpu"
    page = (tmp_path / "both" / "net.report.html").read_text()
    assert "refused, no files written" in page and "1 SIN" in page


def test_if_every_target_is_refused_the_first_error_is_raised_and_nothing_is_written(
    workplace: Path, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match=r"^edgetpu: .*; also refused: ethos-u; nothing was written$"):
        convert(request(workplace, tmp_path / "out", "edgetpu", "ethos-u"))
    assert not list(tmp_path.iterdir())


def test_the_command_exits_with_1_and_lists_what_was_refused(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--calibration", str(workplace / "crops"), "--output", str(tmp_path / "out")]
    arguments = ["convert", str(workplace / "net.tflite"), "--target", "cpu,edgetpu", *FLAGS, *places]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "edgetpu was refused, so it has no files: edgetpu: float network breaks" in out
    assert "edge-convert: error: edgetpu: float network breaks" in err and "hint: " in err
    assert main([*arguments, "--json"]) == 1
    out = capsys.readouterr().out
    assert [target["name"] for target in json.loads(out)["refused"]] == ["edgetpu"]


def test_a_failed_gate_on_partitions_can_be_allowed(workplace: Path, tmp_path: Path) -> None:
    options = request(workplace, tmp_path / "out", "cpu", "microcontroller", model="scaled.tflite")
    (refused,) = convert(options).refused
    assert refused.name == "cpu" and "found 3 partitions, outside: ADD" in refused.error
    assert "--allow partitions" in refused.hint
    allowed = convert(replace(options, targets=("cpu",), allow=("partitions",), output=tmp_path / "allowed"))
    (gate,) = (gate for artefact in allowed.artefacts for gate in artefact.gates if not gate.passed)
    assert gate.name == "partitions" and gate.allowed and not allowed.refused
    assert any("scaled.cpu_int8.tflite: gate partitions failed and was allowed" in n for n in allowed.notes)
    card = ModelFile.open(tmp_path / "allowed" / "scaled.cpu_int8.tflite").card
    assert card.source["allowed_gates"] == {"partitions": "3 partitions, outside: ADD"}
    assert "allowed_gates" not in ModelFile.open(tmp_path / "allowed" / "scaled.float32.tflite").card.source


@pytest.mark.parametrize("gate", ["finite", "stateless", "static"])
def test_a_gate_without_which_a_file_is_useless_cannot_be_allowed(tmp_path: Path, gate: str) -> None:
    with pytest.raises(OptionsError, match=f"the gate '{gate}' cannot be allowed"):
        replace(request(tmp_path, tmp_path / "out", "cpu"), allow=(gate,))


def test_a_float_operator_can_be_allowed_but_not_a_float_input() -> None:
    """The gate for integers is strict at the network's input and output, because the device reads them."""
    strict = Recipe("npu_int8", "npu", "int8")
    float_input = check(tiny(), strict, CONTRACT, crops(3), allow=("integer",))
    assert [gate.name for gate in float_input if not gate.passed] == ["integer"]
    assert not any(gate.allowed or gate.allowable for gate in float_input)
    pixels = crops(20)
    statistics = channel_statistics(tiny(), CONTRACT, pixels)
    quantized = quantize_int8(tiny(), shipped("cpu_int8"), statistics, CONTRACT, pixels).network
    outcomes = check(quantized, strict, CONTRACT, crops(3), allow=("integer",))
    integer = next(gate for gate in outcomes if gate.name == "integer")
    assert integer.allowed and "PRELU" in integer.found and outcomes[-1].name == "partitions"


def test_a_file_below_the_least_cosine_is_refused_alone_and_its_target_if_it_has_no_other(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = request(workplace, tmp_path / "out", "cpu", "microcontroller", model="tiny.tflite")
    plain = convert(options)
    cosines = {a.recipe: a.cosine_mean for a in plain.artefacts if a.precision not in ("float32", "float16")}
    assert plain.passed and max(cosines.values()) < 0.99999
    arguments = [
        "convert",
        str(workplace / "tiny.tflite"),
        "--target",
        "cpu,microcontroller",
        *FLAGS,
        "--json",
    ]
    arguments += ["--calibration", str(workplace / "crops"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--min-cosine", "0.99999"]) == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert [artefact["recipe"] for artefact in result["artefacts"]] == ["float32", "float16"]
    assert [target["name"] for target in result["refused"]] == ["microcontroller"]
    refused = {file["file"] for file in result["refused_files"]}
    assert refused == {"tiny.dynamic_range.tflite", "tiny.cpu_int8.tflite"}
    assert "expected at least 0.99999; tiny.cpu_int8.tflite was not written" in err
    assert any("tiny.cpu_int8.tflite in the output folder is of an earlier" in n for n in result["notes"])
    page = (tmp_path / "out" / "tiny.report.html").read_text()
    assert '<header class="verdict caution">' in page
    assert "microcontroller was refused and has no files; tiny.dynamic_range.tflite was refused" in page
    between = sorted(cosines.values())[1] - 1e-9
    (worst,) = (name for name, cosine in cosines.items() if cosine < between)
    fresh = convert(replace(options, output=tmp_path / "fresh", min_cosine=between))
    written = {f"{name}" for name in cosines if f"tiny.{name}.tflite" in names(tmp_path / "fresh")}
    assert written == set(cosines) - {worst} and not any("earlier" in note for note in fresh.notes)
    with pytest.raises(AccuracyGateError, match="nothing was written"):
        convert(replace(options, targets=("microcontroller",), output=tmp_path / "none", min_cosine=0.99999))
    assert not (tmp_path / "none").exists()


def test_a_missed_budget_of_a_written_file_is_exit_1(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = Search(CosineBudget(0.99999))
    result = convert(
        replace(
            request(workplace, tmp_path / "out", "cpu", "mobile", model="tiny.tflite"), quantization=budget
        )
    )
    missed = {artefact.recipe for artefact in result.missed}
    assert {"cpu_int8", "mobile_int8", "dynamic_range"} <= missed and "float32" not in missed
    assert list(result.searches) == ["cpu_int8"]
    assert {a.recipe for a in result.artefacts if a.search == "cpu_int8"} == {"cpu_int8", "mobile_int8"}
    assert "cpu_int8, mobile_int8: searched for a mean cosine of 0.99999" in result.to_text()
    assert "misses its budget" in (tmp_path / "out" / "tiny.report.html").read_text()


def test_a_replay_that_does_not_fit_refuses_its_target(workplace: Path, tmp_path: Path) -> None:
    first = request(workplace, tmp_path / "first", "cpu", "microcontroller", model="tiny.tflite")
    convert(first)
    recipes = [tmp_path / "first" / f"tiny.{name}_int8.recipe.json" for name in ("cpu", "microcontroller")]
    value = json.loads(recipes[1].read_text())
    ranges = value["statistics"]["ranges"]
    value["statistics"]["ranges"] = dict(list(ranges.items())[1:]) if isinstance(ranges, dict) else ranges[1:]
    edited = tmp_path / "edited.recipe.json"
    edited.write_text(json.dumps(value))
    result = convert(
        replace(
            first,
            contract=None,
            calibration=None,
            output=tmp_path / "again",
            quantization=Replay([recipes[0], edited]),
        )
    )
    assert [target.name for target in result.refused] == ["microcontroller"]
    assert list(result.replays) == ["cpu_int8"]
    same = "tiny.cpu_int8.tflite"
    assert (tmp_path / "again" / same).read_bytes() == (tmp_path / "first" / same).read_bytes()
    assert not list((tmp_path / "again").glob("*microcontroller*"))
    assert np.isfinite(result.artefacts[0].cosine_mean)
