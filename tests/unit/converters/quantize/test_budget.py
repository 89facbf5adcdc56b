"""A budget is the user's: a cosine, or an error rate that the images can support; a search stops where it is kept."""

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
from converters.graph.multiplications import multiplications
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, ErrorRateLimit, Search
from converters.quantize.budget import (
    BudgetVerdict,
    Candidate,
    CosineBudget,
    ErrorRateBudget,
    LabelledCrops,
    check_support,
    fnmr_at,
    read_labelled,
)
from converters.quantize.recipe import shipped
from converters.quantize.search import search
from converters.sources.float_model import FloatModel
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny
from tests.unit.converters.quantize.test_int8_quality import uneven

CONTRACT_FLAGS = ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]


def labelled(subjects: int = 24, each: int = 4, *, noise: float = 12.0) -> LabelledCrops:
    """Images of drawn subjects: each a smooth pattern, each image of it the pattern with noise."""
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


def test_a_cosine_budget_wants_one_standard_error_to_spare() -> None:
    steady = Candidate(Network(b""), np.full(50, 0.996, np.float32))
    shaky = Candidate(Network(b""), np.tile(np.array([0.996 - 0.02, 0.996 + 0.004], np.float32), 25))
    budget = CosineBudget(0.995)
    assert budget.keeps(steady).met
    assert budget.keeps(steady).margin == pytest.approx(0.001, abs=1e-6)
    assert float(shaky.cosines.mean()) < 0.995
    assert not budget.keeps(shaky).met
    just = Candidate(Network(b""), np.tile(np.array([0.985, 1.006], np.float32), 25))
    assert float(just.cosines.mean()) > 0.995
    assert not budget.keeps(just).met


def test_what_the_images_cannot_support_is_refused_with_how_many_it_takes() -> None:
    subjects = labelled().subjects
    check_support(subjects, fmr=1e-2, max_loss=0.05)
    with pytest.raises(
        CalibrationError, match=r"takes 300000 non-mated comparisons \(rule of three\), found 4416"
    ):
        check_support(subjects, fmr=1e-5, max_loss=0.05)
    with pytest.raises(CalibrationError, match=r"loss of 0.001 takes 3000 mated comparisons .*, found 144"):
        check_support(subjects, fmr=1e-2, max_loss=0.001)
    with pytest.raises(CalibrationError, match="non-mated"):
        check_support(["one"] * 9, fmr=1e-2, max_loss=0.1)
    with pytest.raises(CalibrationError, match="expected FMR above 0 and under 1, found 0"):
        check_support(subjects, fmr=0.0, max_loss=0.05)


def test_fnmr_is_taken_at_the_networks_own_threshold() -> None:
    """A score that is moved for all pairs alike changes no decision."""
    random = np.random.default_rng(2)
    subjects = [f"s{i // 4}" for i in range(96)]
    centres = random.normal(0, 1, (24, 8)).repeat(4, axis=0)
    near = centres + random.normal(0, 0.5, centres.shape)

    def unit(rows: np.ndarray) -> np.ndarray:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    vectors = unit(near)
    shifted = np.concatenate([vectors, np.full((96, 1), 1.0, np.float32)], axis=1)
    assert fnmr_at(vectors, subjects, 1e-2) == fnmr_at(unit(shifted), subjects, 1e-2)
    assert fnmr_at(unit(random.normal(0, 1, near.shape)), subjects, 1e-2) > 0.9


def test_an_error_rate_budget_measures_against_the_float_network() -> None:
    images = labelled()
    budget = ErrorRateBudget.of(MODEL.network, CONTRACT, images, fmr=1e-2, max_loss=0.05)
    same = budget.keeps(Candidate(MODEL.network, np.ones(1, np.float32)))
    assert same == BudgetVerdict(True, 0.05, f"FNMR {100 * budget.float_fnmr:.2f} %, +0.00 points to float")
    other = budget.keeps(Candidate(tiny(values=16, seed=9), np.ones(1, np.float32)))
    vectors = embed_crops(tiny(values=16, seed=9), CONTRACT, images.pixels)
    loss = fnmr_at(vectors, images.subjects, 1e-2) - budget.float_fnmr
    assert other.margin == pytest.approx(0.05 - loss)
    assert other.met == (loss <= 0.05)
    told = budget.to_json()
    assert told["images"] == 96 and told["data_set"] == "drawn" and "FMR 0.01" in told["goal"]


@dataclass
class Scripted:
    """A budget that says what it is told, trial by trial."""

    margins: list[float]
    asked: list[Candidate] = field(default_factory=list)
    goal: str = "what the script says"

    def keeps(self, candidate: Candidate) -> BudgetVerdict:
        self.asked.append(candidate)
        place = min(len(self.asked), len(self.margins)) - 1
        return BudgetVerdict(self.margins[place] >= 0, self.margins[place], "as told")

    def to_json(self) -> dict[str, Any]:
        return {"goal": self.goal, "kind": "script"}


def test_a_search_stops_at_the_first_recipe_that_keeps_the_budget() -> None:
    budget = Scripted([-0.3, -0.2, 0.0, 0.5])
    found = search(MODEL, calibration(), shipped("cpu_int8"), budget=budget)
    assert found.met and len(found.trials) == len(budget.asked) == 3
    assert found.network == budget.asked[2].network
    assert found.best is found.trials[2] and found.best.kept


def test_a_search_that_fails_gives_the_kept_recipe_that_came_nearest_and_says_what_holds_it_back() -> None:
    budget = Scripted([-0.3, -0.1] + [-0.2] * 40)
    found = search(MODEL, calibration(), shipped("cpu_int8"), budget=budget)
    assert not found.met
    assert found.best is found.trials[1]
    assert found.network == budget.asked[1].network
    assert found.sensitive == tuple(sorted(found.sensitive, key=lambda pair: -pair[1]))
    assert repr(found.sensitive[0][0]) in found.held_back()
    for trial in found.trials:
        assert trial.what in found.held_back()
    json.dumps(found.to_json(), allow_nan=False)


def test_no_recipe_leaves_much_of_the_work_or_the_output_in_float() -> None:
    found = search(MODEL, calibration(), shipped("cpu_int8"), budget=Scripted([-1.0]))
    assert max(trial.float_share for trial in found.trials) <= 0.3
    graph = MODEL.network.edit()
    edge = graph.name(graph.outputs[0])
    assert edge not in found.recipe.keep_float
    assert edge not in dict(found.sensitive)


def test_multiplications_are_counted_by_output_value() -> None:
    net = NetworkBuilder()
    x = net.conv(net.input, 8)
    graph = net.finish(net.dense(net.mean(x), 5)).edit()
    assert list(multiplications(graph).values()) == [8 * 8 * 8 * 27, 5 * 8]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("budget")
    (place / "net.tflite").write_bytes(uneven().data)
    (place / "crops").mkdir()
    for number, pixels in enumerate(crops(60)):
        Image.fromarray(pixels).save(place / "crops" / f"{number:02}.png")
    images = labelled()
    for number, (subject, pixels) in enumerate(zip(images.subjects, images.pixels, strict=True)):
        folder = place / "people" / subject
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return place


def options(place: Path, *, at_fmr: float = 1e-2, **changes: Any) -> ConversionOptions:
    limit = ErrorRateLimit(place / "people", 0.05, at_fmr)
    values = {"model": place / "net.tflite", "output": place / "out", "quantization": Search(limit)}
    return ConversionOptions(contract=CONTRACT, calibration=place / "crops", **{**values, **changes})


def test_labelled_images_are_read_with_their_subjects(place: Path) -> None:
    found = read_labelled(place / "people", CONTRACT)
    assert found.subjects == labelled().subjects
    assert found.pixels.shape == (96, 16, 16, 3)
    with pytest.raises(CalibrationError, match="expected images as subject/image"):
        read_labelled(place / "crops", CONTRACT)


def test_more_crops_than_fit_are_refused_before_any_is_read(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    for number in range(700):
        (tmp_path / "s1" / f"{number}.png").touch()
    with pytest.raises(
        CalibrationError, match=r"at most 2 GiB of crops, found 700 images that take 2\.1 GiB"
    ):
        read_labelled(tmp_path, replace(CONTRACT, height=1024, width=1024))


def test_an_image_that_is_no_crop_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    Image.new("RGB", (8, 40)).save(tmp_path / "s1" / "thin.png")
    with pytest.raises(CalibrationError, match=r"s1/thin\.png: expected at least 16x16 px, found 40x8"):
        read_labelled(tmp_path, CONTRACT)
    (tmp_path / "s1" / "thin.png").write_bytes(b"no image")
    with pytest.raises(CalibrationError, match=r"labelled images: s1/thin\.png"):
        read_labelled(tmp_path, CONTRACT)


def test_a_conversion_by_error_rate_says_so_and_names_the_images(place: Path, tmp_path: Path) -> None:
    report = convert(options(place, output=tmp_path / "out"))
    found = report.searches["cpu_int8"]
    assert found["met"] and found["budget"]["kind"] == "error rate"
    text = report.to_text()
    assert "searched for an FNMR at most 5 points above float's" in text
    assert "the recipe was chosen on the 96 images of people: measure the file on others" in text
    assert "points to float" in text
    page = (tmp_path / "out" / "net.report.html").read_text()
    assert "The recipe was chosen on these images" in page


def test_images_of_a_budget_are_refused_before_any_work(place: Path) -> None:
    with pytest.raises(CalibrationError, match="takes 300000 non-mated"):
        convert(options(place, model=place / "no such model", at_fmr=1e-5))


def run(place: Path, *flags: str) -> int:
    paths = [
        str(place / "net.tflite"),
        "--calibration",
        str(place / "crops"),
        "--output",
        str(place / "made"),
    ]
    return main(["convert", *paths, *CONTRACT_FLAGS, *flags])


def test_a_budget_that_cannot_be_met_is_exit_1_with_what_holds_it_back(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ErrorRateBudget, "keeps", lambda self, candidate: BudgetVerdict(False, -0.01, "FNMR too high")
    )
    budget = ["--max-fnmr-loss", "0.05", "--at-fmr", "1e-2", "--images", str(place / "people")]
    assert run(place, "--recipe", "auto", *budget) == 1
    said = capsys.readouterr().err
    assert "searched for an FNMR at most 5 points above" in said and "has FNMR too high" in said
    assert "hint: most sensitive operators: '" in said and "plain: true min/max ranges" in said
    assert not (place / "made").exists()
    assert run(place, "--recipe", "auto", "--min-cosine", "0.99999") == 1
    assert "hint: most sensitive operators: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe", "auto", "--max-fnmr-loss", "0.01"], "--max-fnmr-loss and --images belong together"),
        (["--recipe", "auto", "--images", "people"], "--max-fnmr-loss and --images belong together"),
        (["--max-fnmr-loss", "0.01", "--images", "people"], "--max-fnmr-loss takes --recipe auto"),
    ],
)
def test_half_a_budget_is_a_usage_error(
    place: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(place, *flags)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_the_ablation_measures_every_step_on_labelled_images(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools.ablation import STEPS
    from tools.ablation import main as ablation

    arguments = ["--models", str(place / "net.tflite"), "--calibration", str(place / "crops")]
    arguments += ["--images", str(place / "people"), "--fmr", "1e-2", "--min-cosine", "0.9", *CONTRACT_FLAGS]
    arguments += ["--replicates", "60"]
    assert ablation([*arguments, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["models"]
    steps = [what for what, _, _ in STEPS]
    assert [row["what"] for row in told["rows"]] == [*steps, "search"]
    plain, equalized = told["rows"][0], told["rows"][steps.index("equalize all (E)")]
    assert equalized["cosine_mean"] > plain["cosine_mean"]
    assert equalized["difference"]["interval"]["low"] <= equalized["difference"]["difference"]
    assert ablation([*arguments, "--no-search"]) == 0
    assert "E, F, bias" in capsys.readouterr().out
