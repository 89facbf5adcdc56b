"""Check of the input contract: the network's own normalization, embeddings under the usual contracts, the refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from converters.analyze.contract import check_contract, raise_if_refused
from converters.analyze.contract_evidence import same_values, stronger, swapped, usual_candidates
from converters.analyze.input_normalization import read_normalization
from converters.analyze.inspection import inspect
from converters.cli import main
from converters.errors import ContractRefusedError
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import ModelFile
from tests.conftest import in_process
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny

RAW = replace(CONTRACT, mean=(0.0,) * 3, scale=(1.0,) * 3)
UNIT = replace(CONTRACT, mean=(0.0,) * 3, scale=(255.0,) * 3)


def centred(*, normalizes: bool = False, gain: float = 1.0, bias: float = 0.0) -> Network:
    """Build a network that embeds values around 0: means of 4x4 px, projected to 24 values.

    Args:
        normalizes: The network begins with (input - 127.5) / 128.
        gain: Factor of the projection.
        bias: Bias of every value of the embedding.
    """
    net = NetworkBuilder()
    x = net.input
    if normalizes:
        x = net.binary("SUB", x, net.constant(np.full((1, 1, 1, 3), 127.5, np.float32)))
        x = net.binary("MUL", x, net.constant(np.array(1 / 128, np.float32)))
    options = schema.Pool2DOptionsT()
    options.padding, options.strideH, options.strideW = 1, 4, 4
    options.filterHeight, options.filterWidth = 4, 4
    x = net.reshape(net.op("AVERAGE_POOL_2D", [x], (1, 4, 4, 3), options), (1, 48))
    weights = np.linalg.qr(net.random.normal(size=(48, 24)))[0].T * gain
    operands = [x, net.constant(weights.astype(np.float32)), net.constant(np.full(24, bias, np.float32))]
    return net.finish(net.op("FULLY_CONNECTED", operands, (1, 24), schema.FullyConnectedOptionsT()))


def begins_with(*steps: tuple[str, object], reverse: bool = False) -> Network:
    net = NetworkBuilder()
    x = net.input
    for kind, value in steps:
        constant = net.constant(np.asarray(value, np.float32))
        x = net.binary(kind, constant, x) if reverse else net.binary(kind, x, constant)
    return net.finish(net.embedding(net.conv(x, 8)))


@pytest.mark.parametrize(
    ("steps", "formula"),
    [
        ((("SUB", 127.5), ("MUL", 0.0078125)), "(input - 127.5) * 0.0078125"),
        ((("MUL", 0.0078125), ("ADD", -0.99609375)), "(input - 127.5) * 0.0078125"),
        ((("DIV", 255.0),), "input * 0.00392157"),
        ((("SUB", [[[123.0, 116.0, 103.0]]]),), "(input - [123, 116, 103])"),
        ((("SUB", [[[0.5, 0.5, 0.5]]]), ("DIV", [[[0.5, 0.5, 0.5]]])), "(input - 0.5) * 2"),
    ],
)
def test_the_normalization_of_a_network_is_read(steps: tuple[tuple[str, object], ...], formula: str) -> None:
    normalization = read_normalization(begins_with(*steps).graph)
    assert normalization is not None
    assert normalization.describe() == formula


def test_a_constant_minus_the_image_is_read_and_a_constant_over_the_image_is_not() -> None:
    negative = read_normalization(begins_with(("SUB", 255.0), reverse=True).graph)
    assert negative is not None
    assert negative.range_of(RAW) == (255.0, 0.0)
    assert read_normalization(begins_with(("DIV", 255.0), reverse=True).graph) is None


def test_a_network_without_normalization_has_none() -> None:
    assert read_normalization(tiny().graph) is None


@pytest.mark.parametrize(
    ("steps", "right", "far"),
    [
        ((("SUB", 127.5), ("MUL", 1 / 128)), "pixels 0..255", ["(pixel - 127.5) / 128", "0..1"]),
        ((("MUL", 1 / 255),), "pixels 0..255", ["(pixel - 127.5) / 128", "0..1"]),
        ((("SUB", 127.5),), "pixels 0..255", ["(pixel - 127.5) / 128", "0..1"]),
        ((("SUB", 0.5), ("DIV", 0.5)), "0..1", ["pixels 0..255"]),
        ((("SUB", 0.45), ("DIV", 0.226)), "0..1", ["pixels 0..255"]),
    ],
)
def test_the_normalization_of_a_network_names_its_contract(
    steps: tuple[tuple[str, object], ...], right: str, far: list[str]
) -> None:
    normalization = read_normalization(begins_with(*steps).graph)
    assert normalization is not None
    fitting = [item.name for item in usual_candidates(RAW) if normalization.fits(item.contract)]
    assert fitting[0] == right
    for item in usual_candidates(RAW):
        assert normalization.far_from(item.contract) or item.name not in far


def test_candidates_are_the_given_contract_and_the_usual_ones_once() -> None:
    given = replace(CONTRACT, scale=(127.5,) * 3)
    names = [item.name for item in usual_candidates(given)]
    assert names == ["(pixel - 127.5) / 128", "pixels 0..255", "0..1", "ImageNet mean and deviation"]
    assert same_values(given, CONTRACT)
    own = replace(CONTRACT, mean=(60.0,) * 3)
    assert [item.name for item in usual_candidates(own)][:2] == ["(pixel - 60) / 128", "pixels 0..255"]
    assert len(usual_candidates(InputContract(16, 16, "gray", (0.0,), (1.0,)))) == 4


def test_options_give_the_contract_back() -> None:
    bgr = replace(CONTRACT, color="bgr")
    options = [item.options for item in usual_candidates(bgr)]
    assert options == [
        "--color bgr --mean 127.5 --scale 128",
        "--color bgr --range 0..255",
        "--color bgr --range 0..1",
        "--color bgr --mean 103.53,116.28,123.675 --scale 57.375,57.12,58.395",
    ]
    turned = swapped(usual_candidates(bgr)[3])
    assert turned is not None
    assert turned.options == "--color rgb --mean 123.675,116.28,103.53 --scale 58.395,57.12,57.375"
    assert stronger(usual_candidates(UNIT)[0]).contract.real_range == pytest.approx((-0.5, 1.5))


@pytest.mark.parametrize("contract", [RAW, UNIT])
def test_a_wrong_scale_is_questioned_and_the_right_contract_named(contract: InputContract) -> None:
    check = check_contract(centred(), contract, crops(40))
    assert check.status in ("refused", "doubtful")
    assert check.better == "--color rgb --mean 127.5 --scale 128"
    assert check.candidates[0].given


def test_the_right_contract_is_not_questioned() -> None:
    check = check_contract(centred(), CONTRACT, crops(40))
    assert (check.status, check.reason, check.images) == ("agrees", "", 40)
    assert check_contract(centred(normalizes=True), RAW, crops(40)).status == "agrees"


def test_double_normalization_is_refused() -> None:
    check = check_contract(centred(normalizes=True), CONTRACT, crops(40))
    assert check.status == "refused"
    assert check.better == "--color rgb --range 0..255"
    assert "the network itself computes (input - 127.5) * 0.0078125" in check.reason
    assert check.graph == "(input - 127.5) * 0.0078125"


def test_double_normalization_is_refused_with_too_few_images_to_compare() -> None:
    check = check_contract(centred(normalizes=True), CONTRACT, crops(2))
    assert (check.status, check.better) == ("refused", "--color rgb --range 0..255")
    assert check.candidates == ()


def test_a_collapsed_network_is_refused_without_a_better_contract() -> None:
    check = check_contract(centred(gain=1e-6, bias=1.0), CONTRACT, crops(40))
    assert (check.status, check.better) == ("refused", "")
    assert "collapsed" in check.reason


@pytest.mark.parametrize("seed", range(4))
def test_an_untrained_network_is_not_refused(seed: int) -> None:
    assert check_contract(tiny(seed=seed), CONTRACT, crops(40)).status in ("agrees", "undecided")


def test_allow_marks_a_refused_contract() -> None:
    check = check_contract(centred(normalizes=True), CONTRACT, crops(12))
    with pytest.raises(ContractRefusedError, match="the network itself computes") as refusal:
        raise_if_refused(check, ())
    assert refusal.value.hint is not None
    assert refusal.value.hint.startswith("give --color rgb --range 0..255; --allow contract")
    allowed = raise_if_refused(check, ("contract",))
    assert allowed.status == "allowed"
    assert allowed.note().startswith("the input contract was refused and allowed by the user")


@pytest.fixture
def twice(tmp_path: Path) -> tuple[Path, Path]:
    """A network that normalizes, and calibration images."""
    model, images = tmp_path / "net.tflite", tmp_path / "crops"
    model.write_bytes(centred(normalizes=True).data)
    images.mkdir()
    for number, pixels in enumerate(crops(12)):
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    return model, images


def test_a_conversion_that_normalizes_twice_writes_nothing(
    twice: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = twice
    options = ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]
    command = ["convert", model, *options, "--calibration", images, "--output", tmp_path / "out"]
    outcome = in_process(main, command, capsys)
    assert outcome.code == 1
    assert "edge-convert: error: input contract: the network itself computes" in outcome.err
    assert "give --color rgb --range 0..255" in outcome.err
    assert not (tmp_path / "out").exists()


def test_the_report_and_the_card_record_an_allowed_contract(twice: tuple[Path, Path], tmp_path: Path) -> None:
    model, images = twice
    out = tmp_path / "out"
    result = convert(ConversionOptions(model, CONTRACT, images, out, allow=("contract",)))
    assert result.verdict().startswith("the input contract was refused and allowed by the user")
    report = json.loads((out / "net.report.json").read_text())
    assert report["contract_check"]["status"] == "allowed"
    assert report["contract_check"]["candidates"][0]["given"]
    card = ModelFile.open(out / "net.float32.tflite").card
    assert card.source["input_contract"]["status"] == "allowed"
    assert card.source["input_contract"]["better"] == "--color rgb --range 0..255"
    page = (out / "net.report.html").read_text()
    assert "Refused, and allowed by the user" in page
    assert "Mean cosine of different images" in page


def test_inspect_shows_the_normalization_and_the_contract_that_it_suggests(
    twice: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = in_process(main, ["inspect", twice[0]], capsys)
    assert outcome.code == 0
    line = "normalizes (input - 127.5) * 0.0078125; this suggests the contract --range 0..255"
    assert line in outcome.out.splitlines()
    values = json.loads(in_process(main, ["inspect", twice[0], "--json"], capsys).out)
    assert values["suggested_contract"] == "--range 0..255"


def test_inspect_shows_long_parts_of_a_card_in_short_lines(
    twice: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    inspection = inspect(twice[0])
    operators = [f"OPERATOR_{number}" for number in range(40)]
    bins = [{"low": 0.1 * number, "high": 0.1 * number + 0.1, "count": 3} for number in range(10)]
    card = {
        "recipe": {"float_operators": operators},
        "probability": {"reliability": bins, "slope": 26.24684321987},
    }
    text = replace(inspection, card=card).to_text()
    assert "reliability: 10 rows (--json shows them)" in text
    assert "slope: 26.2468\n" in f"{text}\n"
    assert "OPERATOR_39" in text
    assert all(len(line) <= 110 for line in text.splitlines())
