"""Conversion for several targets, lint, and the generated page about targets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.cli import main
from converters.errors import ConversionError, TargetError
from converters.graph.network import Network
from converters.pipeline.build import recipes_of
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Replay, Search, known_targets
from converters.targets import page, targets
from converters.targets.rule import name_of, statement_of
from edge_sdk.model.model_file import ModelFile, split
from tests.integer_networks import IntegerNetwork
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny
from tests.operator_networks import OPERATORS, one_operator

ROOT = Path(__file__).parents[4]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for number, pixels in enumerate(crops(36)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def request(tmp_path: Path, images: Path, network: Network, *targets: str) -> ConversionOptions:
    source = tmp_path / "tiny.tflite"
    source.write_bytes(network.data)
    return ConversionOptions(source, CONTRACT, images, tmp_path / "out", targets=targets)


def absolute() -> Network:
    net = NetworkBuilder()
    return net.finish(net.embedding(net.unary("ABS", net.conv(net.input, 8))))


def flatbuffer(path: Path) -> Network:
    graph = Network(split(path.read_bytes())[0]).edit()
    graph.drop_metadata()
    graph.prune()
    return Network.of(graph)


# Conversion


def test_each_target_gets_a_file_of_its_own_and_a_section(tmp_path: Path, images: Path) -> None:
    report = convert(request(tmp_path, images, tiny(), "cpu", "edgetpu", "mobile"))
    recipes = ["float32", "float16", "dynamic_range", "cpu_int8", "edgetpu_int8", "mobile_int8"]
    assert [artefact.recipe for artefact in report.artefacts] == recipes
    assert [section.target for section in report.targets] == ["cpu", "edgetpu", "mobile"]
    assert not any(section.refused for section in report.targets)
    for recipe in recipes[3:]:
        card = ModelFile.open(tmp_path / "out" / f"tiny.{recipe}.tflite").card
        assert card is not None and card.target == recipe.removesuffix("_int8")
    text = report.to_text()
    assert "tiny.edgetpu_int8.tflite: 11 rules, none broken" in text
    assert (
        json.loads((tmp_path / "out" / "tiny.report.json").read_text())["targets"][1]["target"] == "edgetpu"
    )


def test_a_full_int8_file_has_no_float_tensor(tmp_path: Path, images: Path) -> None:
    convert(request(tmp_path, images, tiny(), "edgetpu"))
    graph = flatbuffer(tmp_path / "out" / "tiny.edgetpu_int8.tflite").edit()
    assert {graph.dtype_name(i) for i in range(len(graph.tensors))} <= {"int8", "int32"}


def test_recipes_that_differ_in_their_name_alone_are_quantized_once(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.pipeline import build

    names = []
    quantize_int8 = build.quantize_int8

    def counted(network, recipe, *arguments, **extra):  # type: ignore[no-untyped-def]
        names.append(recipe.name)
        return quantize_int8(network, recipe, *arguments, **extra)

    monkeypatch.setattr(build, "quantize_int8", counted)
    convert(request(tmp_path, images, tiny(), "cpu", "mobile"))
    assert names == ["cpu_int8"]


def test_one_target_makes_what_it_makes_beside_others(tmp_path: Path, images: Path) -> None:
    for folder, names in (("a", ["edgetpu"]), ("b", ["cpu", "edgetpu"])):
        (tmp_path / folder).mkdir()
        convert(request(tmp_path / folder, images, tiny(), *names))
    alone, together = (flatbuffer(tmp_path / folder / "out" / "tiny.edgetpu_int8.tflite") for folder in "ab")
    assert alone == together


def test_a_refused_network_is_said_before_the_long_work(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "absolute.tflite"
    source.write_bytes(absolute().data)
    arguments = [
        "--size",
        "16x16",
        "--color",
        "rgb",
        "--mean",
        "127.5",
        "--scale",
        "128",
        "--calibration",
        str(images),
    ]
    code = main(
        ["convert", str(source), "--target", "cpu,edgetpu", *arguments, "--output", str(tmp_path / "out")]
    )
    message = capsys.readouterr().err
    assert code == 1
    assert "edgetpu: float network breaks the rule an-int8-form: 1 ABS" in message
    assert "hint: replace the layer" in message and "--allow an-int8-form" in message
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "absolute.cpu_int8.tflite" in written and not any("edgetpu" in name for name in written)


def test_an_allowed_refusal_stays_in_the_report(tmp_path: Path, images: Path) -> None:
    options = request(tmp_path, images, absolute(), "edgetpu")
    with pytest.raises(TargetError):
        convert(options)
    rules = ("an-int8-form", "operators-it-has", "nothing-on-the-cpu")
    report = convert(replace(options, allow=rules))
    assert {finding.rule for finding in report.targets[0].refused} == set(rules)


def test_a_saved_recipe_is_for_its_own_target(tmp_path: Path, images: Path) -> None:
    first = request(tmp_path, images, tiny(), "edgetpu")
    convert(first)
    saved = tmp_path / "out" / "tiny.edgetpu_int8.recipe.json"
    again = convert(
        replace(first, targets=("cpu", "edgetpu"), quantization=Replay(saved), output=tmp_path / "again")
    )
    assert [artefact.recipe for artefact in again.artefacts][-2:] == ["cpu_int8", "edgetpu_int8"]
    with pytest.raises(ConversionError, match="expected a recipe for cpu int8, found edgetpu int8"):
        convert(replace(first, targets=("cpu",), quantization=Replay(saved)))


def test_a_search_works_for_a_target_of_full_int8(tmp_path: Path, images: Path) -> None:
    report = convert(replace(request(tmp_path, images, tiny(), "edgetpu", "mobile"), quantization=Search()))
    assert set(report.searches) == {"edgetpu_int8", "mobile_int8"}
    assert not any(section.refused for section in report.targets)


def test_an_unknown_target_names_the_known_ones() -> None:
    with pytest.raises(ConversionError, match=r"expected a target of cpu, edgetpu, .*, found 'npu'"):
        known_targets(["cpu", "npu"])


@pytest.mark.parametrize("command", ["convert", "lint"])
def test_an_unknown_target_is_a_usage_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "missing.tflite", "--target", "cpu,gpu"])
    assert stopped.value.code == 2
    assert "expected a target of cpu, edgetpu" in capsys.readouterr().err


def test_an_unknown_setting_is_refused_before_the_work(tmp_path: Path, images: Path) -> None:
    options = request(tmp_path, images, tiny(), "cpu")
    with pytest.raises(ConversionError, match="cpu: expected no options, found 'cores'"):
        replace(options, settings={"cpu.cores": "4"})


def test_an_artefact_name_has_one_recipe() -> None:
    recipes = recipes_of(list(targets().values()))
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    sources = {name: source for target in targets().values() for name, source in target.recipes.items()}
    assert all(
        target.recipes[name] == sources[name] for target in targets().values() for name in target.recipes
    )


# Lint


def written(tmp_path: Path, network: Network) -> str:
    path = tmp_path / "network.tflite"
    path.write_bytes(network.data)
    return str(path)


def test_lint_says_what_is_slow_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["lint", written(tmp_path, one_operator("prelu", np.int8)), "--target", "cpu"])
    out = capsys.readouterr().out
    assert code == 0
    assert "integer network, checked as it is" in out
    assert "1 int8 PRELU run on LiteRT's own kernel" in out
    assert "convert the float model with --target cpu" in out


def test_lint_exits_with_1_where_a_target_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, one_operator("hard_swish", np.int8))
    assert main(["lint", path, "--target", "edgetpu", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["refused"] and report["integer"]
    findings = report["sections"][0]["parts"][0]["findings"]
    assert {finding["rule"] for finding in findings} >= {"operators-it-has"}
    assert main(["lint", path, "--target", "cpu"]) == 0


def test_lint_looks_at_a_float_network_as_it_would_convert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = NetworkBuilder(
        (2, 16, 16, 3)
    )  # batch 2, and a PReLU decomposed into four operators: conversion removes both
    x = net.conv(net.input, 8)
    slopes = net.constant(np.full((1, 1, 1, 8), 0.25, np.float32))
    zero = net.constant(np.zeros((1, 1, 1, 8), np.float32))
    left = net.binary("MUL", net.binary("MINIMUM", x, zero), slopes)
    x = net.binary("ADD", net.binary("MAXIMUM", x, zero), left)
    path = written(tmp_path, net.finish(net.embedding(x)))
    assert main(["lint", path, "--target", "cpu,edgetpu,mobile"]) == 0
    assert "float network, checked as input of a conversion" in capsys.readouterr().out


def test_lint_of_a_broken_file_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", written(tmp_path, Network(tiny().data[:200]))]) == 3
    assert capsys.readouterr().err.startswith("edge-convert: error: ")


def test_lint_checks_every_operator(tmp_path: Path) -> None:
    from converters.targets.lint import lint

    targets = known_targets(["cpu", "edgetpu", "mobile"])
    for name in OPERATORS:
        for dtype in (np.float32, np.int8):
            report = lint(written(tmp_path, one_operator(name, dtype)), targets)
            assert len(report.sections) == len(targets)


def test_what_litert_does_not_load_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", written(tmp_path, one_operator("square", np.int8)), "--target", "cpu"]) == 1
    assert "refused (loads): LiteRT cannot load the file: " in capsys.readouterr().out


def test_lint_accepts_a_network_of_arrays(tmp_path: Path) -> None:
    from converters.targets.lint import lint

    net = IntegerNetwork((1, 8), dtype=np.float32)
    report = lint(written(tmp_path, net.finish(net.fully_connected(net.input))), [targets()["mobile"]])
    assert not report.refused


# The page


def test_the_page_says_what_the_rules_say() -> None:
    text = (ROOT / "docs" / "reference" / "targets.md").read_text(encoding="utf-8")
    assert text == page.to_markdown(targets().values()), (
        "edge-convert targets --markdown > docs/reference/targets.md"
    )


def test_every_rule_is_stated() -> None:
    for target in targets().values():
        for rule in (*target.network_rules, *target.file_rules):
            assert statement_of(rule).endswith("."), name_of(rule)


def test_targets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(targets())
    assert main(["targets", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(targets())


# Dynamic range


def test_dynamic_range_halves_nothing_but_the_weights(tmp_path: Path, images: Path) -> None:
    report = convert(request(tmp_path, images, tiny(values=64), "cpu"))
    dynamic = next(artefact for artefact in report.artefacts if artefact.recipe == "dynamic_range")
    integer = next(artefact for artefact in report.artefacts if artefact.recipe == "cpu_int8")
    assert dynamic.partitions == 1
    assert dynamic.cosine_min > max(0.999, integer.cosine_min)
    graph = flatbuffer(tmp_path / "out" / "tiny.dynamic_range.tflite").edit()
    types = {graph.dtype_name(i) for i in range(len(graph.tensors)) if graph.constant(i) is not None}
    assert "int8" in types
    assert {graph.dtype_name(i) for i in graph.computed()} == {"float32"}
