"""Options that are out of range or contradict each other are refused, in Python and on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.cli import main
from converters.errors import ConversionError, OptionsError
from converters.pipeline.convert import convert
from converters.pipeline.options import (
    ConversionOptions,
    Distillation,
    ErrorRateLimit,
    Plain,
    Replay,
    Search,
)
from converters.quantize.budget import CosineBudget
from converters.quantize.recipe import shipped
from edge_sdk.model.card import InputContract
from tests.networks import CONTRACT, to_convert
from tests.patience import PATIENCE_S

IMAGES = Path("people")
ABOVE_0 = "expected a number above 0, found"
SHARE = "expected a number in 0..1, found"


def options(**values: Any) -> ConversionOptions:
    return ConversionOptions(Path("net.tflite"), CONTRACT, Path("crops"), Path("out"), **values)


@pytest.mark.parametrize(
    ("flags", "make", "message"),
    [
        (["--recover", "0"], lambda: Distillation(0.0), ABOVE_0),
        (["--recover", "inf"], lambda: Distillation(float("inf")), ABOVE_0),
        (["--leaky-relu", "2", "--recover", "1"], lambda: Distillation(1, 2), SHARE),
        (["--min-cosine", "-0.5"], lambda: options(min_cosine=-0.5), SHARE),
        (["--min-cosine", "nan"], lambda: Search(CosineBudget(float("nan"))), SHARE),
        (["--max-fnmr-loss", "1.5"], lambda: ErrorRateLimit(IMAGES, 1.5), SHARE),
        (["--at-fmr", "-1"], lambda: ErrorRateLimit(IMAGES, 0.01, -1), SHARE),
        (["--max-time-ratio", "0"], lambda: Search(max_time_ratio=0.0), ABOVE_0),
        (
            ["--recipe", "auto", "--images", "people", "--max-fnmr-loss", "0"],
            lambda: ErrorRateLimit(IMAGES, 0.0),
            f"max_fnmr_loss: {ABOVE_0} 0.0",
        ),
        (
            ["--recipe", "auto", "--max-time-ratio", "0.8", "--target", "edgetpu"],
            lambda: options(quantization=Search(max_time_ratio=0.8), targets=("edgetpu",)),
            "max_time_ratio: expected a target that runs on this machine, such as cpu, found edgetpu",
        ),
        (["--target", "npu"], lambda: options(targets=("npu",)), "expected a target of cpu, edgetpu"),
    ],
)
def test_the_library_makes_every_check_of_the_command_line(
    flags: list[str], make: Callable[[], Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]
    with pytest.raises(SystemExit) as usage:
        main(["convert", "net.tflite", "--calibration", "crops", "--output", "out", *contract, *flags])
    assert usage.value.code == 2 and message in capsys.readouterr().err
    with pytest.raises(ConversionError) as refused:
        make()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plain(max_time_ratio=0.5),  # type: ignore[call-arg]
        lambda: Replay(Path("x.recipe.json"), budget=CosineBudget()),  # type: ignore[call-arg]
        lambda: ErrorRateLimit(IMAGES),  # type: ignore[call-arg]
        lambda: ErrorRateLimit(max_fnmr_loss=0.01),  # type: ignore[call-arg]
        lambda: Distillation(leaky_share=0.5),  # type: ignore[call-arg]
    ],
)
def test_flags_that_take_another_flag_cannot_be_written_alone(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="argument"):
        make()


def test_a_search_may_not_end_below_the_least_cosine() -> None:
    with pytest.raises(OptionsError, match=r"at least min_cosine, 0\.999, found a cosine of 0\.995"):
        options(min_cosine=0.999, quantization=Search())
    assert options(min_cosine=0.999, quantization=Search(CosineBudget(0.999)))
    assert options(min_cosine=0.999, quantization=Search(ErrorRateLimit(IMAGES, 0.01)))


def test_a_missing_folder_of_labelled_images_is_an_error(tmp_path: Path) -> None:
    model, crops = to_convert(tmp_path)
    search = Search(ErrorRateLimit(tmp_path / "missing", 0.01), max_time_ratio=0.01)
    with pytest.raises(ConversionError, match="missing"):
        convert(ConversionOptions(model, CONTRACT, crops, tmp_path / "out", quantization=search))
    assert not (tmp_path / "out").exists()


def test_a_distilled_recipe_is_replayed_without_minutes(tmp_path: Path) -> None:
    path = tmp_path / "x.recipe.json"
    text = {**shipped("cpu_int8").to_json(), "recovery_steps": 7}
    path.write_text(json.dumps(text))
    with pytest.raises(OptionsError, match="the recipe sets 7 steps; found 2 minutes"):
        convert(options(quantization=Replay(path), distillation=Distillation(2)))


def test_the_package_offers_convert_and_imports_nothing_heavy_for_it() -> None:
    script = (
        "import sys, converters\n"
        "assert not {'ai_edge_litert', 'flatbuffers', 'converters.pipeline'} & set(sys.modules)\n"
        "from converters import ConversionOptions, convert\n"
        "assert convert.__module__ == 'converters.pipeline.convert'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantization": "auto"}, "quantization: expected Plain or Replay or Search, found str"),
        ({"targets": "cpu"}, "targets: expected a sequence of names, found the text 'cpu'"),
        ({"contract": {}}, "contract: expected InputContract or ArrayContract or None, found dict"),
        ({"model": None}, "model: expected Path or str, found NoneType"),
        ({"min_cosine": "0.9"}, "min_cosine: expected int or float, found str"),
        ({"distillation": 10}, "distillation: expected Distillation or None, found int"),
        ({"version": 2}, "version: expected str, found int"),
    ],
)
def test_a_value_of_another_type_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    contract = InputContract(16, 16, "rgb", (0.0,) * 3, (1.0,) * 3)
    values = {"model": tmp_path, "contract": contract, "calibration": tmp_path, "output": tmp_path}
    with pytest.raises(OptionsError, match=re.escape(message)):
        ConversionOptions(**{**values, **changes})
    with pytest.raises(OptionsError, match="budget: expected CosineBudget or ErrorRateLimit, found float"):
        Search(0.99)  # type: ignore[arg-type]


def test_text_becomes_a_path(tmp_path: Path) -> None:
    contract = InputContract(16, 16, "rgb", (0.0,) * 3, (1.0,) * 3)
    options = ConversionOptions(f"{tmp_path}/face.onnx", contract, str(tmp_path), str(tmp_path))  # type: ignore[arg-type]
    assert options.model_name == "face" and options.output == tmp_path
