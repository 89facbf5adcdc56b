"""Networks of arrays take the path of networks of images: convert, evaluate, compare, replay, enrol and identify."""

import json
from pathlib import Path

import numpy as np
import pytest

from converters import ConversionOptions, convert
from converters.cli import main
from converters.errors import CalibrationError
from converters.results import ConversionResult
from edge_sdk import ArrayContract, Embedder, InputError
from edge_sdk.cli import main as device
from edge_sdk.model.model_file import ModelFile
from tests.networks import NetworkBuilder

CONTRACT = ArrayContract((32, 3), low=-40.0, high=40.0)
TARGETS = ("cpu", "mobile", "edgetpu", "ethos-u", "microcontroller")


def window(subject: int, draw: np.random.Generator) -> np.ndarray:
    """Return one window of a sensor with three axes: a motion of the subject, and noise."""
    own = np.random.default_rng(1000 + subject)
    rates, phases, sizes = own.uniform(1, 6, 3), own.uniform(0, 6.3, 3), own.uniform(0.5, 2, 3)
    time = np.linspace(0, 1, 32)[:, None]
    return np.asarray(sizes * np.sin(6.3 * rates * time + phases) + draw.normal(0, 0.2, (32, 3)), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of sensor windows, windows of 60 subjects, and their conversion for every target."""
    folder = tmp_path_factory.mktemp("arrays")
    draw = np.random.default_rng(0)
    for kind, subjects in (("calibration", range(20)), ("labelled", range(20, 60))):
        for subject in subjects:
            (folder / kind / f"s{subject}").mkdir(parents=True)
            for number in range(3):
                np.save(folder / kind / f"s{subject}" / f"{number}.npy", window(subject, draw))
    net = NetworkBuilder((1, 32, 3))
    inner = net.unary("RELU", net.conv(net.reshape(net.input, (1, 1, 32, 3)), 24, size=5))
    network = net.finish(net.dense(net.reshape(inner, (1, 16 * 24)), 24))
    (folder / "sensor.tflite").write_bytes(network.data)
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> ConversionResult:
    return convert(
        ConversionOptions(
            folder / "sensor.tflite", CONTRACT, folder / "calibration", folder / "out", targets=TARGETS
        )
    )


def artefact(folder: Path, name: str = "cpu_int8") -> str:
    return str(folder / "out" / f"sensor.{name}.tflite")


def test_every_target_takes_arrays(folder: Path, result: ConversionResult) -> None:
    assert result.passed
    assert not result.refused
    assert all(item.cosine_mean > 0.999 for item in result.artefacts)
    card = ModelFile.open(artefact(folder)).card
    assert card.input == CONTRACT
    assert card.golden is not None
    assert card.golden.generator == "smooth-arrays/1"
    constants = (folder / "out" / "sensor_microcontroller_int8_constants.h").read_text()
    assert "kInputShape[kInputAxes] = {32, 3};" in constants
    assert "kInputHigh = 40" in constants
    golden = json.loads((folder / "out" / "sensor.mobile_int8.golden.json").read_text())
    assert golden["input"] == {"shape": [32, 3], "order": "rows of float32, little-endian"}


def test_the_input_has_the_range_of_the_calibration(folder: Path, result: ConversionResult) -> None:
    from edge_sdk.runtime.backends.litert import LiteRtBackend

    tensor = LiteRtBackend(ModelFile.open(artefact(folder)).data).input
    assert tensor.dtype == np.int8
    assert 255 * tensor.scale < 8  # the contract's range is 80


def test_the_device_embeds_as_the_float_network(folder: Path, result: ConversionResult) -> None:
    sample = np.load(folder / "labelled" / "s20" / "0.npy")
    embedder = Embedder.open(artefact(folder))
    first, second = (
        item.embed_array(sample) for item in (embedder, Embedder.open(artefact(folder, "float32")))
    )
    assert first @ second > 0.999
    with pytest.raises(InputError, match=r"expected values in -40\.\.40, found "):
        embedder.embed_array(sample * 100)
    # Inside the contract's range, but outside the calibrated one.
    assert np.isfinite(embedder.embed_array(sample * 10)).all()


def test_a_recipe_gives_the_same_bytes_without_samples(folder: Path, result: ConversionResult) -> None:
    recipe = folder / "out" / "sensor.cpu_int8.recipe.json"
    command = ["convert", str(folder / "sensor.tflite"), "--recipe", str(recipe)]
    assert main([*command, "--output", str(folder / "again")]) == 0
    assert (folder / "again" / "sensor.cpu_int8.tflite").read_bytes() == Path(artefact(folder)).read_bytes()


def test_rates_are_measured_and_people_recognized(
    folder: Path, result: ConversionResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(folder / "labelled")
    page = str(tmp_path / "page.html")
    command = ["evaluate", artefact(folder), "--images", images, "--no-cache", "--errors", "2", "--json"]
    assert main([*command, "--fmr", "0.05", "--write-card", "--report", page]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["verification"]["mated_trials"] == 120
    assert evaluation["errors"] is None or "ceilings" in evaluation["errors"]
    pair = [artefact(folder, "float32"), artefact(folder)]
    page = str(tmp_path / "comparison.html")
    assert main(["compare", *pair, "--images", images, "--no-cache", "--report", page]) == 0

    def recognize(*words: str) -> int:
        files = ["--model", artefact(folder), "--gallery", str(tmp_path / "g"), "--key", str(tmp_path / "k")]
        return device([*words, *files])

    for subject in ("s20", "s21"):
        files = [f"{images}/{subject}/{number}.npy" for number in (0, 1)]
        assert recognize("enrol", subject, *files) == 0
    capsys.readouterr()
    assert recognize("identify", f"{images}/s21/2.npy", "--threshold", "0.6") == 0
    assert "accepted as s21" in capsys.readouterr().out
    assert recognize("verify", "s20", f"{images}/s20/2.npy", "--fmr", "0.05") == 0
    assert recognize("verify", "s20", f"{images}/s30/2.npy", "--fmr", "0.05") == 1
    assert recognize("verify", "s20", str(folder / "sensor.tflite"), "--fmr", "0.05") == 3
    assert "expected a .npy file" in capsys.readouterr().err


def test_kinds_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.ppm").write_bytes(b"P6 16 16 255 " + bytes(768))
    options = (folder / "sensor.tflite", CONTRACT, tmp_path / "images", tmp_path / "out")
    with pytest.raises(CalibrationError, match=r"expected arrays \(\.npy\), found 1 images"):
        convert(ConversionOptions(*options))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shape", "32x3", "--color", "rgb"], "--shape describes arrays and --color describes images"),
        (["--dtype", "int16", "--size", "32x3"], "--dtype describes arrays and --size describes images"),
        (["--shape", "32x3"], "a contract of arrays needs --shape and --range"),
        (["--shape", "32,3"], "expected AxB such as 160x40"),
    ],
)
def test_contradicting_options_are_usage_errors(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", "x.tflite", "--calibration", str(tmp_path), "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as caught:
        main([*command, *flags])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_array_network_needs_its_shape(folder: Path, tmp_path: Path) -> None:
    from converters.errors import SourceError

    other = ArrayContract((3, 32), low=-40.0, high=40.0)
    with pytest.raises(SourceError, match="graph input is 32x3, expected 3x32 as in the contract"):
        convert(
            ConversionOptions(folder / "sensor.tflite", other, _transposed(folder, tmp_path), tmp_path / "o")
        )


def _transposed(folder: Path, to: Path) -> Path:
    for number, file in enumerate(sorted((folder / "calibration").rglob("*.npy"))):
        np.save(to / f"{number}.npy", np.load(file).T)
    return to
