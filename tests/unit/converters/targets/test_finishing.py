"""By-products generated again: equal for the same file, different for a new card, written completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from converters.cli import main
from converters.errors import ConversionError, TargetError
from converters.graph.attach_card import card_behind, with_card
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.targets.finishing import finish_file, stale_by_products
from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import ModelFile, split
from edge_sdk.model.operating_point import OperatingPoint
from tests.integer_networks import IntegerNetwork
from tests.networks import CONTRACT, to_convert

SOURCES = "tiny_microcontroller_int8_"
PARTS = ("constants.h", "golden.cc", "golden.h", "model_data.cc", "model_data.h", "operators.h")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finishing")
    network, images = to_convert(folder)
    targets = ("microcontroller", "ethos-u", "mobile")
    convert(ConversionOptions(network, CONTRACT, images, folder / "out", targets=targets))
    return folder / "out"


@pytest.fixture
def folder(tmp_path: Path, converted: Path) -> Path:
    """A copy of the converted files that a test may change."""
    for path in converted.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def with_threshold(path: Path, point: OperatingPoint) -> str:
    """Write a threshold into a file's card and return the file's new SHA-256."""
    file = ModelFile.open(path)
    path.write_bytes(card_behind(split(file.data)[0], replace(file.card, operating_points=(point,))))
    return ModelFile.open(path).sha256


def test_an_unchanged_file_gives_the_sources_of_its_conversion(converted: Path, tmp_path: Path) -> None:
    report = finish_file(converted / "tiny.microcontroller_int8.tflite", output=tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [SOURCES + part for part in PARTS]
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (converted / path.name).read_bytes(), path.name
    assert "Arena" in report.section.parts[0].figures


def test_compiled_files_and_assets_are_made_again_too(converted: Path, tmp_path: Path) -> None:
    for artefact, by_product in (
        ("ethos_u_int8", "tiny.ethos-u55-128.tflite"),
        ("mobile_int8", "tiny.mobile_int8.card.json"),
    ):
        finish_file(converted / f"tiny.{artefact}.tflite", output=tmp_path)
        assert (tmp_path / by_product).read_bytes() == (converted / by_product).read_bytes()


def test_a_new_threshold_reaches_the_sources(
    folder: Path, make_evidence: Callable[..., OperatingPoint]
) -> None:
    file = folder / "tiny.microcontroller_int8.tflite"
    before = {part: (folder / f"{SOURCES}{part}").read_bytes() for part in PARTS}
    assert b"kHasThreshold = false" in before["constants.h"]
    digest = with_threshold(file, make_evidence(threshold=0.75))
    bytes_before = file.read_bytes()
    finish_file(file)
    constants = (folder / f"{SOURCES}constants.h").read_text()
    assert "kHasThreshold = true" in constants
    assert "kThreshold = 0.75F" in constants
    assert digest in constants
    numbers = constants.split("kModelId[32] = {")[1].split("}")[0]
    assert bytes(int(n) for n in numbers.split(",")).hex() == digest
    assert file.read_bytes() == bytes_before
    changed = [part for part in PARTS if (folder / f"{SOURCES}{part}").read_bytes() != before[part]]
    assert changed == ["constants.h"]


def test_by_products_are_stale_from_a_new_card_until_they_are_generated_again(
    folder: Path, make_evidence: Callable[..., OperatingPoint]
) -> None:
    by_products = {
        "microcontroller": ("tiny.microcontroller_int8.tflite", f"{SOURCES}constants.h"),
        "ethos-u": ("tiny.ethos_u_int8.tflite", "tiny.ethos-u55-128.tflite"),
        "mobile": ("tiny.mobile_int8.tflite", "tiny.mobile_int8.golden.json"),
    }
    for target, (name, by_product) in by_products.items():
        path = folder / name
        assert stale_by_products(path, ModelFile.open(path).sha256) == {}
        digest = with_threshold(path, make_evidence())
        assert stale_by_products(path, digest) == {target: (by_product,)}
        finish_file(path)
        assert stale_by_products(path, digest) == {}


def test_a_file_of_another_target_is_finished_where_it_keeps_the_rules(
    folder: Path, make_card: Callable[..., ModelCard]
) -> None:
    net = IntegerNetwork((1, 16, 16, 3))
    path = folder / "lock.tflite"
    path.write_bytes(
        with_card(net.finish(net.reduced(net.convolution(net.input))), make_card(input=CONTRACT, dimension=8))
    )
    with pytest.raises(ConversionError, match="no files are generated from an artefact for cpu") as raised:
        finish_file(path)
    assert "microcontroller" in str(raised.value.hint)
    finish_file(path, target="microcontroller")
    assert (folder / "lock_model_data.cc").is_file()


def test_what_breaks_a_rule_writes_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="breaks the rule integers-throughout"):
        finish_file(folder / "tiny.float16.tflite", target="microcontroller", output=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_compiled_file_is_not_compiled_again(folder: Path) -> None:
    origin = ModelFile.open(folder / "tiny.ethos_u_int8.tflite").sha256
    with pytest.raises(ConversionError, match="found a compiled file") as raised:
        finish_file(folder / "tiny.ethos-u55-128.tflite")
    assert origin[:12] in str(raised.value.hint)


def test_a_file_without_a_card_is_refused(folder: Path) -> None:
    path = folder / "bare.tflite"
    path.write_bytes(split((folder / "tiny.microcontroller_int8.tflite").read_bytes())[0])
    with pytest.raises(ModelCardError, match="found none"):
        finish_file(path, target="microcontroller")


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "tiny.microcontroller_int8.tflite"
    assert main(["finish", str(file), "--output", str(folder / "firmware"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["schema"] == "edge-sdk/finishing/1"
    assert value["sha256"] == ModelFile.open(file).sha256
    assert sorted(value["parts"][0]["files"]) == [SOURCES + part for part in PARTS]
    assert str(folder) not in json.dumps(value)
    assert main(["finish", str(folder / "tiny.float16.tflite"), "--target", "microcontroller"]) == 1
    assert "edge-convert: error: microcontroller: tiny.float16.tflite breaks" in capsys.readouterr().err
    for target, words in (("toaster", "found 'toaster'"), ("cpu,mobile", "expected one target")):
        with pytest.raises(SystemExit, match="2"):
            main(["finish", str(file), "--target", target])
        assert words in capsys.readouterr().err
