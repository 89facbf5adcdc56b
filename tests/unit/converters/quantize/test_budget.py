"""Budgets on a cosine or on error rates, the number of images they need, and searches that stop when one is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.cli import main
from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.data.image_set import Crops
from converters.errors import CalibrationError
from converters.evaluate.metrics import AllPairs, SmoothedDifference, smoothed_differences
from converters.graph.multiplications import multiplications
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, ErrorRateLimit, Search
from converters.quantize.budget import BudgetVerdict, Candidate, CosineBudget
from converters.quantize.error_rate_budget import (
    ErrorRateBudget,
    LabelledCrops,
    check_support,
    measure_fnmr,
    read_labelled,
)
from converters.quantize.recipe import shipped
from converters.quantize.search import search
from converters.sources.float_model import FloatModel
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny
from tests.unit.converters.quantize.test_int8_quality import uneven

CONTRACT_FLAGS = ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]


def labelled(subjects: int = 60, each: int = 2, *, noise: float = 12.0) -> LabelledCrops:
    """Return images of synthetic subjects: a smooth pattern per subject, with different noise in each image."""
    random = np.random.default_rng(11)
    patterns = crops(subjects, seed=7).astype(np.float64).repeat(each, axis=0)
    pixels = np.clip(patterns + random.normal(0, noise, patterns.shape), 0, 255).astype(np.uint8)
    names = tuple(f"s{subject:02}" for subject in range(subjects) for _ in range(each))
    return LabelledCrops("drawn", "0" * 64, pixels, names)


def calibration() -> CalibrationSet:
    pixels = crops(60)

    def part(chosen: np.ndarray) -> Crops:
        return Crops(tuple(map(str, range(len(chosen)))), chosen, "", 0)

    return CalibrationSet(part(pixels[::3]), part(pixels[1::3]), part(pixels[2::3]), True, len(pixels))


MODEL = FloatModel(uneven(), CONTRACT, 16, {}, (), 1.0)


def test_a_cosine_budget_requires_a_greater_margin_of_few_images() -> None:
    values = np.tile(np.array([0.996, 0.998], np.float32), 30)
    many, few = (CosineBudget(0.9).check(Candidate(Network(b""), part)) for part in (values, values[:4]))
    error = float(values[:4].std(ddof=1)) / 2
    assert 0.997 - few.margin - 0.9 == pytest.approx(1.2 * error, rel=0.02)
    assert 0.997 - many.margin - 0.9 == pytest.approx(0.001 / 59**0.5, rel=0.02)
    assert not CosineBudget(0.9).check(Candidate(Network(b""), values[:1])).met


def test_a_cosine_budget_requires_a_margin_of_one_standard_error() -> None:
    steady = Candidate(Network(b""), np.full(50, 0.996, np.float32))
    shaky = Candidate(Network(b""), np.tile(np.array([0.996 - 0.02, 0.996 + 0.004], np.float32), 25))
    budget = CosineBudget(0.995)
    assert budget.check(steady).met
    assert budget.check(steady).margin == pytest.approx(0.001, abs=1e-6)
    assert float(shaky.cosines.mean()) < 0.995
    assert not budget.check(shaky).met
    just = Candidate(Network(b""), np.tile(np.array([0.985, 1.006], np.float32), 25))
    assert float(just.cosines.mean()) > 0.995
    assert not budget.check(just).met


def test_too_few_subjects_for_the_claim_are_rejected_with_the_required_number() -> None:
    subjects = labelled().subjects
    check_support(subjects, fmr=1e-2, max_loss=0.05)
    with pytest.raises(CalibrationError, match=r"FMR 1e-05 needs at least 776 subjects, found 60$"):
        check_support(subjects, fmr=1e-5, max_loss=0.05)
    with pytest.raises(
        CalibrationError,
        match=r"loss of 0.001 needs at least 3000 subjects with two or more images each, found 60",
    ):
        check_support(subjects, fmr=1e-2, max_loss=0.001)
    with pytest.raises(CalibrationError, match=r"loss of 0.05 needs at least 60 subjects with .*, found 59"):
        check_support([*subjects[:-2], "single"], fmr=1e-2, max_loss=0.05)
    with pytest.raises(CalibrationError, match=r"FMR 0.01 needs at least 25 subjects, found 1"):
        check_support(["one"] * 9, fmr=1e-2, max_loss=0.1)
    with pytest.raises(CalibrationError, match="expected FMR of at least 1e-15 and under 1, found 0"):
        check_support(subjects, fmr=0.0, max_loss=0.05)


def test_fnmr_is_measured_at_the_threshold_of_each_network() -> None:
    """Adding the same number to all scores of a network changes no decision and so no FNMR."""
    random = np.random.default_rng(2)
    subjects = [f"s{i // 4}" for i in range(96)]
    centres = random.normal(0, 1, (24, 8)).repeat(4, axis=0)
    near = centres + random.normal(0, 0.5, centres.shape)

    def unit(rows: np.ndarray) -> np.ndarray:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    vectors = unit(near)
    shifted = np.concatenate([vectors, np.full((96, 1), 1.0, np.float32)], axis=1)
    assert measure_fnmr(vectors, subjects, 1e-2) == measure_fnmr(unit(shifted), subjects, 1e-2)
    assert measure_fnmr(unit(random.normal(0, 1, near.shape)), subjects, 1e-2) > 0.9


def test_an_error_rate_budget_measures_against_the_float_network() -> None:
    images = labelled()
    budget = ErrorRateBudget.of(MODEL.network, CONTRACT, images, fmr=1e-2, max_loss=0.05)
    same = budget.check(Candidate(MODEL.network, np.ones(1, np.float32)))
    assert (same.met, same.margin) == (True, 0.05)
    assert same.measured == (
        "smoothed FNMR +0.00 points relative to float, standard error 0.00;"
        f" counted FNMR {100 * budget.float_fnmr:.2f} %, +0.00 points"
    )
    network = tiny(values=16, seed=9)
    other = budget.check(Candidate(network, np.ones(1, np.float32)))
    pairs = AllPairs(embed_crops(network, CONTRACT, images.pixels), images.subjects)
    (row,) = smoothed_differences(budget.reference, pairs, fmrs=[1e-2])
    assert isinstance(row, SmoothedDifference)
    assert other.margin == pytest.approx(0.05 + row.difference - row.standard_error)
    assert other.met == (other.margin >= 0)
    value = budget.to_json()
    assert value["images"] == 120 and value["data_set"] == "drawn" and "FMR 0.01" in value["goal"]


@dataclass
class Scripted:
    """A budget that returns the given margins, trial by trial, to control when a search stops."""

    margins: list[float]
    candidates: list[Candidate] = field(default_factory=list)
    goal: str = "the given margins"

    def check(self, candidate: Candidate) -> BudgetVerdict:
        self.candidates.append(candidate)
        margin = self.margins[min(len(self.candidates), len(self.margins)) - 1]
        return BudgetVerdict(margin >= 0, margin, "as given")

    def to_json(self) -> dict[str, Any]:
        return {"goal": self.goal, "kind": "script"}


def test_a_search_stops_at_the_first_recipe_that_keeps_the_budget() -> None:
    budget = Scripted([-0.3, -0.2, 0.0, 0.5])
    result = search(MODEL, calibration(), shipped("cpu_int8"), budget=budget)
    assert result.met and len(result.trials) == len(budget.candidates) == 4
    assert result.trials[2].met and result.trials[3].what == "correct biases"
    assert result.trials[3].kept == (result.trials[3].cosine_mean > result.trials[2].cosine_mean)
    assert result.best is result.trials[3 if result.trials[3].kept else 2]
    assert result.quantized.network == budget.candidates[result.trials.index(result.best)].network


def test_corrected_biases_that_miss_the_budget_are_dropped() -> None:
    budget = Scripted([-0.3, 0.0, -0.1])
    result = search(MODEL, calibration(), shipped("cpu_int8"), budget=budget)
    assert result.met and result.best is result.trials[1]
    assert not result.recipe.bias_correction
    assert result.quantized.network == budget.candidates[1].network


def test_a_search_that_fails_gives_the_kept_recipe_that_came_nearest_and_says_what_holds_it_back() -> None:
    budget = Scripted([-0.3, -0.1] + [-0.2] * 40)
    result = search(MODEL, calibration(), shipped("cpu_int8"), budget=budget)
    assert not result.met
    assert result.best is result.trials[1]
    assert result.quantized.network == budget.candidates[1].network
    assert result.sensitive == tuple(sorted(result.sensitive, key=lambda pair: -pair[1]))
    assert repr(result.sensitive[0][0]) in result.explain_failure()
    for trial in result.trials:
        assert trial.what in result.explain_failure()
    json.dumps(result.to_json(), allow_nan=False)


def test_a_step_that_gives_an_earlier_network_is_reported_and_not_measured() -> None:
    """The network has no PReLU and no depthwise convolution."""
    net = NetworkBuilder(seed=4)
    x = net.unary("TANH", net.conv(net.input, 8))
    network = net.finish(net.embedding(net.conv(x, 8), 16))
    budget = Scripted([-1.0])
    result = search(
        FloatModel(network, CONTRACT, 16, {}, (), 1.0), calibration(), shipped("cpu_int8"), budget=budget
    )
    assert result.trials[0].effect == ""
    assert len(budget.candidates) == len(result.trials)
    assert [what.split()[0] for what in result.unchanged[:3]] == ["equalize", "equalize", "mirror"]
    assert "leave depthwise convolutions in float" in result.unchanged
    groups = search(MODEL, calibration(), shipped("cpu_int8"), budget=Scripted([-1.0])).trials[1].effect
    assert groups == "1 group of 2 tensors, 16 channels"


def test_no_recipe_leaves_much_of_the_work_or_the_output_in_float() -> None:
    result = search(MODEL, calibration(), shipped("cpu_int8"), budget=Scripted([-1.0]))
    assert max(trial.float_share for trial in result.trials) <= 0.3
    graph = MODEL.network.edit()
    output = graph.name(graph.outputs[0])
    assert output not in result.recipe.keep_float
    assert output not in dict(result.sensitive)


def test_multiplications_are_counted_by_output_value() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 8)
    graph = net.finish(net.dense(net.mean(x), 5)).edit()
    assert list(multiplications(graph).values()) == [8 * 8 * 8 * 27, 5 * 8]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workplace = tmp_path_factory.mktemp("budget")
    (workplace / "net.tflite").write_bytes(uneven().data)
    (workplace / "crops").mkdir()
    for number, pixels in enumerate(crops(60)):
        Image.fromarray(pixels).save(workplace / "crops" / f"{number:02}.png")
    images = labelled()
    for number, (subject, pixels) in enumerate(zip(images.subjects, images.pixels, strict=True)):
        folder = workplace / "people" / subject
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return workplace


def options(workplace: Path, *, at_fmr: float = 1e-2, **changes: Any) -> ConversionOptions:
    limit = ErrorRateLimit(workplace / "people", 0.05, at_fmr)
    values = {"model": workplace / "net.tflite", "output": workplace / "out", "quantization": Search(limit)}
    return ConversionOptions(contract=CONTRACT, calibration=workplace / "crops", **{**values, **changes})


def test_labelled_images_are_read_with_their_subjects(workplace: Path) -> None:
    images = read_labelled(workplace / "people", CONTRACT)
    assert images.subjects == labelled().subjects
    assert images.pixels.shape == (120, 16, 16, 3)
    with pytest.raises(CalibrationError, match="expected images as subject/image"):
        read_labelled(workplace / "crops", CONTRACT)


def test_too_many_crops_are_rejected_before_reading(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    for number in range(700):
        (tmp_path / "s1" / f"{number}.png").touch()
    with pytest.raises(
        CalibrationError, match=r"at most 2 GiB of crops, found 700 images that take 2\.1 GiB"
    ):
        read_labelled(tmp_path, replace(CONTRACT, height=1024, width=1024))


def test_an_unusable_image_is_rejected_by_name(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    Image.new("RGB", (8, 40)).save(tmp_path / "s1" / "thin.png")
    with pytest.raises(CalibrationError, match=r"s1/thin\.png: expected at least 16x16 px, found 40x8"):
        read_labelled(tmp_path, CONTRACT)
    (tmp_path / "s1" / "thin.png").write_bytes(b"no image")
    with pytest.raises(CalibrationError, match=r"labelled images: s1/thin\.png"):
        read_labelled(tmp_path, CONTRACT)


def test_a_conversion_by_error_rate_reports_the_budget_and_its_images(
    workplace: Path, tmp_path: Path
) -> None:
    report = convert(options(workplace, output=tmp_path / "out"))
    search_report = report.searches["cpu_int8"]
    assert search_report["met"] and search_report["budget"]["kind"] == "error rate"
    text = report.to_text()
    assert "searched for an FNMR at most 5 points above float's" in text
    assert "the recipe was chosen on the 120 images of people: measure the file on other images" in text
    assert "points relative to float" in text
    assert set(report.differences) == {"cpu_int8", "dynamic_range"}
    assert "cpu_int8, on the images that chose the recipe: difference of TAR, smoothed, FMR" in text
    assert "cpu_int8, on the images that chose the recipe: verdict: " in text
    page = (tmp_path / "out" / "net.report.html").read_text()
    assert "The recipe was chosen on these images" in page


def test_images_of_a_budget_are_rejected_before_any_work(workplace: Path) -> None:
    with pytest.raises(CalibrationError, match="FMR 1e-05 needs at least 776 subjects, found 60"):
        convert(options(workplace, model=workplace / "no such model", at_fmr=1e-5))


def run(workplace: Path, *flags: str) -> int:
    paths = [
        str(workplace / "net.tflite"),
        "--calibration",
        str(workplace / "crops"),
        "--output",
        str(workplace / "made"),
    ]
    return main(["convert", *paths, *CONTRACT_FLAGS, *flags])


def test_a_missed_budget_is_exit_1_with_an_explanation(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ErrorRateBudget, "check", lambda self, candidate: BudgetVerdict(False, -0.01, "FNMR too high")
    )
    budget = ["--max-fnmr-loss", "0.05", "--at-fmr", "1e-2", "--images", str(workplace / "people")]
    assert run(workplace, "--recipe", "auto", *budget) == 1
    message = capsys.readouterr().err
    assert "searched for an FNMR at most 5 points above" in message and "has FNMR too high" in message
    assert "hint: most sensitive operators: '" in message and "plain: true min/max ranges" in message
    assert not (workplace / "made").exists()
    assert run(workplace, "--recipe", "auto", "--min-cosine", "0.99999") == 1
    assert "hint: most sensitive operators: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe", "auto", "--max-fnmr-loss", "0.01"], "expected both --max-fnmr-loss and --images"),
        (["--recipe", "auto", "--images", "people"], "expected both --max-fnmr-loss and --images"),
        (["--max-fnmr-loss", "0.01", "--images", "people"], "--max-fnmr-loss requires --recipe auto"),
    ],
)
def test_half_a_budget_is_a_usage_error(
    workplace: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(workplace, *flags)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_ablation_measures_every_step_on_labelled_images(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools.ablation import STEPS
    from tools.ablation import main as ablation

    arguments = ["--models", str(workplace / "net.tflite"), "--calibration", str(workplace / "crops")]
    arguments += [
        "--images",
        str(workplace / "people"),
        "--min-cosine",
        "0.9",
        *CONTRACT_FLAGS,
    ]
    assert ablation([*arguments, "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    steps = [what for what, _, _ in STEPS]
    assert [row["what"] for row in model["rows"]][: len(steps) + 1] == [*steps, "search"]
    plain, equalized = model["rows"][0], model["rows"][steps.index("equalize all (E)")]
    assert equalized["cosine_mean"] > plain["cosine_mean"]
    assert equalized["difference"]["interval"]["low"] <= equalized["difference"]["difference"]
    assert ablation([*arguments, "--no-search"]) == 0
    assert "E, F, bias" in capsys.readouterr().out
