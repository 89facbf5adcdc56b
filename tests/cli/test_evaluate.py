"""Transcripts of ``edge-convert evaluate`` and ``edge-convert compare``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.cli import main
from edge_sdk.model.model_file import ModelFile, split
from tests.conftest import Outcome, in_process
from tests.labelled_images import contents, photo, png, write
from tests.networks import NetworkBuilder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "edge-sdk" / "embeddings"


@pytest.fixture
def edge_convert(capsys: pytest.CaptureFixture[str], cache: Path) -> Callable[..., Outcome]:
    def run(*arguments: Any) -> Outcome:
        return in_process(main, arguments, capsys)

    return run


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "people", contents(30, 4, noise=80))


@pytest.fixture
def model(tmp_path: Path, model_bytes: bytes) -> Path:
    path = tmp_path / "door.cpu_int8.tflite"
    path.write_bytes(model_bytes)
    return path


def test_the_text_has_a_table_of_operating_points(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, cache: Path
) -> None:
    outcome = edge_convert("evaluate", model, "--images", people)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith("door.cpu_int8.tflite: pooled-colours, int8, 32 values, 96x96 rgb")
    assert "people: 120 images of 30 subjects, all pairs" in lines
    assert any(line.split()[:1] == ["0.001"] and ".." in line for line in lines)
    assert "  no claim: FMR 0.001 needs at least 78 subjects, found 30" in lines
    assert "  no claim: FMR 0.0001 needs at least 246 subjects, found 30" in lines
    assert "A claim is a one-sided 95 % limit of the FMR; the intervals of TAR are two-sided." in lines
    assert str(cache) in outcome.err
    assert "biometric data" in outcome.err
    assert len(list(cache.rglob("*.embeddings"))) > 10


def test_a_second_run_gives_the_same_output(
    edge_convert: Callable[..., Outcome], model: Path, people: Path
) -> None:
    first = edge_convert("evaluate", model, "--images", people, "--json")
    second = edge_convert("evaluate", model, "--images", people, "--json")
    third = edge_convert("evaluate", model, "--images", people, "--json", "--no-cache")
    assert first.out == second.out == third.out
    assert all(line.startswith("edge-convert: [") for line in third.err.splitlines())
    value = json.loads(first.out)
    assert value["schema"] == "edge-sdk/evaluation/1"
    assert value["verification"]["data_set"] == "people"


def test_two_processes_give_the_same_output(
    edge_convert: Callable[..., Outcome], model: Path, people: Path
) -> None:
    here = edge_convert("evaluate", model, "--images", people, "--json", "--no-cache")
    there = edge_convert("evaluate", model, "--images", people, "--json", "--no-cache", "--workers", 2)
    assert there.code == 0
    assert there.out == here.out


def test_repeated_fmr_options_are_joined(
    edge_convert: Callable[..., Outcome], model: Path, people: Path
) -> None:
    done = edge_convert(
        "evaluate", model, "--images", people, "--json", "--fmr", "5e-3", "--fmr", "0.1", "--fmr", "0.1"
    )
    assert done.code == 0
    assert [point["target_fmr"] for point in json.loads(done.out)["verification"]["points"]] == [0.1, 5e-3]


def test_fmrs_and_data_set_name_of_options(
    edge_convert: Callable[..., Outcome], model: Path, people: Path
) -> None:
    outcome = edge_convert(
        "evaluate", model, "--images", people, "--json", "--fmr", "5e-3,0.1", "--data-set", "drawn"
    )
    value = json.loads(outcome.out)["verification"]
    assert [point["target_fmr"] for point in value["points"]] == [0.1, 5e-3]
    assert value["data_set"] == "drawn"


def test_writing_the_card(edge_convert: Callable[..., Outcome], model: Path, people: Path) -> None:
    outcome = edge_convert("evaluate", model, "--images", people, "--write-card", "--json")
    assert outcome.code == 0
    written = json.loads(outcome.out)["written"]
    file = ModelFile.open(model)
    assert written["sha256"] == file.sha256 != written["sha256_before"]
    assert [point.fmr for point in file.card.operating_points] == [1e-2]
    assert {point.data_set for point in file.card.operating_points} == {"people"}
    text = edge_convert("evaluate", model, "--images", people, "--write-card").out
    assert "galleries made with the earlier file keep their subjects" in text


def test_the_device_decides_by_the_written_operating_point(
    edge_convert: Callable[..., Outcome],
    model: Path,
    people: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edge_sdk.cli import main as device

    edge_convert("evaluate", model, "--images", people, "--write-card")
    flags = ["--model", model, "--gallery", tmp_path / "g.gallery", "--key", tmp_path / "k.key"]

    def run(*words: Any) -> int:
        return device([str(word) for word in (*words, *flags)])

    assert run("enrol", "s00", people / "s00" / "s00_0001.png") == 0
    assert run("verify", "s00", people / "s00" / "s00_0001.png", "--fmr", "1e-2") == 0
    assert run("verify", "s00", people / "s01" / "s01_0001.png", "--fmr", "1e-2") == 1
    capsys.readouterr()


def test_failures_to_acquire_count_in_frr(
    edge_convert: Callable[..., Outcome], model: Path, tmp_path: Path
) -> None:
    images = contents(30, 4, noise=80) | {f"s{k:02}/broken.png": b"no image" for k in range(6)}
    folder, page = write(tmp_path / "people", images), tmp_path / "page.html"
    outcome = edge_convert("evaluate", model, "--images", folder, "--report", page)
    assert outcome.code == 0
    assert "with failures to acquire counted (FTA 4.76 %): FRR = FTA + (1 - FTA) FNMR" in outcome.out
    assert "Failures to acquire counted: 4.76" in page.read_text()
    value = json.loads(edge_convert("evaluate", model, "--images", folder, "--json").out)["verification"]
    for row in value["generalized"]:
        assert row["frr"] == pytest.approx(6 / 126 + 120 / 126 * row["fnmr"])
        assert row["frr_interval"]["low"] < row["frr"] < row["frr_interval"]["high"]


def test_probabilities_state_their_prior(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    outcome = edge_convert("evaluate", model, "--images", people, "--prior", "0.01", "--report", page)
    assert outcome.code == 0
    assert "probability of one subject at prior 0.01: 1 / (1 + exp(-(" in outcome.out
    assert "cross-validated by subject, 10 folds" in outcome.out
    assert "<strong>prior 0.01</strong>" in page.read_text()
    value = json.loads(edge_convert("evaluate", model, "--images", people, "--json", "--write-card").out)
    assert value["probability"]["platt"]["prior"] == 0.5
    card = ModelFile.open(model).card.probability
    assert (card["prior"], card["method"]) == (0.5, value["probability"]["platt"]["method"])
    assert card["cllr"] == value["probability"]["cllr"] > value["probability"]["min_cllr"]
    for wrong, message in (("1", "expected a prior in"), ("nan", "expected a prior in"), ("x", "a number")):
        refused = edge_convert("evaluate", model, "--images", people, "--prior", wrong)
        assert refused.code == 2
        assert message in refused.err


def test_identification(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path
) -> None:
    split = edge_convert("evaluate", model, "--images", people, "--enrolled-share", 0.5, "--fpir", "0.1")
    heading = " ".join(split.out[split.out.index("1:N, ") :].split())
    assert heading.startswith(
        "1:N, 0.5 of the 30 subjects with 2 or more images, drawn with seed 0, the first image of each enrolled:"
        " 15 references of 15 subjects, 45 mated and 60 non-mated probes of 15 strangers"
    )
    enrol = write(tmp_path / "enrol", {f"s{k:02d}.png": png(photo(k, 1, noise=80)) for k in range(10)})
    folders = edge_convert("evaluate", model, "--enrol", enrol, "--probes", people, "--json")
    value = json.loads(folders.out)["identification"]
    assert (value["references"], value["mated_probes"], value["non_mated_probes"]) == (10, 40, 80)
    listed = tmp_path / "list.txt"
    listed.write_text("enrol\ts00/s00_0001.png\nprobe\ts00/s00_0002.png\nprobe\ts01/s01_0001.png\n")
    outcome = edge_convert("evaluate", model, "--images", people, "--open-set", listed)
    assert (
        "1:N, list list.txt: 1 reference of 1 subject, 1 mated and 1 non-mated probe of 1 stranger"
        in outcome.out
    )


def test_errors_and_page(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    outcome = edge_convert(
        "evaluate", model, "--images", people, "--errors", 2, "--report", page, "--thumbnails"
    )
    assert outcome.code == 0
    assert "errors at FMR 0.001" in outcome.out
    assert outcome.err.splitlines()[-1] == f"edge-convert: report written to {page}"
    assert "worst false non-matches:" in outcome.out
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_the_page_of_an_evaluation_shows_where_the_network_looks(
    edge_convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    people = write(tmp_path / "people", contents(6, 2, noise=80))
    page = tmp_path / "page.html"
    net = NetworkBuilder((1, 96, 96, 3))
    late = NetworkBuilder((1, 96, 96, 3))
    for path, builder in (("linear.tflite", net), ("late.tflite", late)):
        x = builder.unary("RELU", builder.conv(builder.conv(builder.conv(builder.input, 4), 8), 8))
        y = builder.embedding(x, 16)
        (tmp_path / path).write_bytes(
            builder.finish(builder.unary("RELU", y) if path[:2] == "la" else y).data
        )
    contract = ("--size", "96x96", "--color", "rgb", "--mean", 127.5, "--scale", 128)
    shown = ("evaluate", tmp_path / "linear.tflite", "--images", people, *contract, "--attention", 1)
    assert edge_convert(*shown, "--report", page).code == 0
    text = page.read_text()
    assert text.count('class="study"') == 2 and text.count("Remainder: at most") == 2
    assert "one subject: cosine" in text and "different subjects: cosine" in text
    late_page = ("evaluate", tmp_path / "late.tflite", *shown[2:], "--report", page)
    assert edge_convert(*late_page).code == 0
    assert "Shares of positions are not available: expected a network that is linear" in page.read_text()
    outcome = edge_convert(*shown)
    assert outcome.code == 3
    assert "expected --report" in outcome.err


def test_comparison(
    edge_convert: Callable[..., Outcome], model: Path, float_model_path: Path, people: Path
) -> None:
    outcome = edge_convert("compare", float_model_path, model, float_model_path, "--images", people)
    assert outcome.code == 0
    assert "95 % interval of the difference" in outcome.out
    assert "  no claim: FMR 1e-06 needs at least 2,450 subjects, found 30" in outcome.out.splitlines()
    assert "non-mated comparisons or more" not in outcome.out, "one reason for the same row"
    assert outcome.out.count("this: ") == 2
    value = json.loads(edge_convert("compare", float_model_path, model, "--images", people, "--json").out)
    assert {"cosine_mean", "cosine_min", "worst", "candidates"} <= set(value)
    (candidate,) = value["candidates"]
    for rows in (
        candidate["differences"],
        candidate["fidelity"]["drifts"],
        candidate["verification"]["points"],
    ):
        assert rows[-1]["reason"] == "FMR 1e-06 needs at least 2,450 subjects, found 30"


def test_the_page_of_a_comparison_shows_tensor_errors_and_occlusion_maps(
    edge_convert: Callable[..., Outcome], model: Path, float_model_path: Path, people: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    shown = ("compare", float_model_path, model, "--images", people, "--attention", 2)
    assert edge_convert(*shown, "--report", page).code == 0
    text = page.read_text()
    assert "Quantization error by operator" in text
    assert text.count("Occlusion maps") >= 1
    assert edge_convert("compare", float_model_path, model, "--images", people, "--report", page).code == 0
    assert "Occlusion maps" not in page.read_text(), "pictures of people are shown on request only"
    outcome = edge_convert(*shown)
    assert outcome.code == 3
    assert "expected --report" in outcome.err


def test_comparison_of_loose_images(
    edge_convert: Callable[..., Outcome], model: Path, float_model_path: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path / "crops", {f"{k}.png": png(photo(k, 0)) for k in range(3)})
    outcome = edge_convert("compare", float_model_path, model, "--images", folder)
    assert outcome.code == 0
    assert "embeddings alone are compared" in outcome.out
    assert "FMR" not in outcome.out


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected images"),
        (contents(1, 3), "two or more subjects"),
        (contents(3, 1), "two or more images of a subject"),
        ({"a/1.png": b"no", "b/1.png": b"no"}, "2 failures to acquire"),
        ({f"{s}/{k}.png": png(photo(0, 0)) for s in "ab" for k in "12"}, "one and the same for all 4"),
    ],
)
def test_data_that_cannot_be_measured_are_one_error(
    edge_convert: Callable[..., Outcome], model: Path, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    outcome = edge_convert("evaluate", model, "--images", write(folder, files), "--no-cache")
    assert (outcome.code, outcome.out) == (3, "")
    errors = [line for line in outcome.err.splitlines() if line.startswith("edge-convert: error: ")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\ns00\t1\n s00\t1\ts01\t1\n", "line 2: expected a mated pair"),
        ("1\ns00\t1\t2\ns00\t1\ts00\t2\n", "line 3: expected a non-mated pair"),
        ("2\ns00\t1\t2\n", "expected 4 pairs after the first line"),
        ("1\nzz\t1\t2\nzz\t1\tyy\t1\n", "found none of its 2 comparisons"),
        ("", "an empty file"),
    ],
)
def test_bad_pairs_files_are_one_error(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path, text: str, message: str
) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text(text)
    outcome = edge_convert("evaluate", model, "--images", people, "--pairs", pairs)
    assert (outcome.code, outcome.out) == (3, "")
    assert message in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected labelled images, or images to enrol and probes, found neither"),
        (["--enrol", "x"], "expected both images to enrol and probes"),
        (["--images", "x", "--fmr", "2"], "expected rates above 0 and under 1"),
        (
            ["--images", "x", "--workers", "2", "--scheduler", "tcp://x:1"],
            "a number of workers or a scheduler, found both",
        ),
        (
            ["--images", "x", "--open-set", "y", "--enrolled-share", "0.5"],
            "one selection of enrolled subjects",
        ),
        (["--enrol", "x", "--probes", "y", "--pairs", "z"], "expected labelled images for the pairs file"),
    ],
)
def test_contradictory_flags_are_usage_errors(
    edge_convert: Callable[..., Outcome], model: Path, arguments: list[str], message: str
) -> None:
    outcome = edge_convert("evaluate", model, *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_card_cannot_be_written_to_a_file_not_made_by_this_sdk(
    edge_convert: Callable[..., Outcome], model_bytes: bytes, tmp_path: Path, people: Path
) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(split(model_bytes)[0])
    contract = ["--size", "96x96", "--color", "rgb", "--mean", "127.5", "--scale", "128"]
    assert edge_convert("evaluate", other, "--images", people, *contract).code == 0
    outcome = edge_convert("evaluate", other, "--images", people, *contract, "--write-card")
    assert outcome.code == 3
    assert "no" in outcome.err
    assert "card" in outcome.err
    without = edge_convert("evaluate", other, "--images", people)
    assert without.code == 3
    assert "--size" in without.err


def test_a_missing_package_is_an_error_that_names_the_extra(tmp_path: Path) -> None:
    """Run the command without the packages of a workstation, as on a device."""
    program = (
        "import sys; sys.modules['flatbuffers'] = None; from converters.cli import main;"
        " sys.exit(main(['evaluate', 'face.tflite', '--images', 'people']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [
        "edge-convert: error: flatbuffers is not installed",
        "edge-convert: hint: pip install 'edge-embedding-sdk[convert]'",
    ]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "groups.csv"
    lines = [f"s{number:02},{'left' if number % 2 else 'right'}" for number in range(30)]
    path.write_text("subject,camera\n" + "\n".join(lines) + "\n")
    return path


def test_error_rates_by_group_are_printed_and_written_to_the_page(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, groups: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    outcome = edge_convert("evaluate", model, "--images", people, "--groups", groups, "--report", page)
    assert outcome.code == 0
    assert "groups of groups.csv, labels as given by the user" in outcome.out
    assert "camera: left, right" in outcome.out
    assert (
        "the claim FMR 0.01 needs at least 25 subjects in the group: left has 15, right has 15" in outcome.out
    )
    assert "FMR within and across groups" in page.read_text()
    values = json.loads(edge_convert("evaluate", model, "--images", people, "--groups", groups, "--json").out)
    assert [group["images"] for group in values["groups"]["covariates"]] == [[60, 60]]


def test_cameras_hold_for_groups_and_the_card_too(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, groups: Path, tmp_path: Path
) -> None:
    """Images 1 and 2 of each subject are from one camera, images 3 and 4 from another."""
    cameras, page = tmp_path / "cameras.csv", tmp_path / "page.html"
    rows = [f"{file.parent.name}/{file.name},{int(file.stem[-1]) > 2}" for file in people.rglob("*.png")]
    cameras.write_text("\n".join(["image,camera", *sorted(rows)]) + "\n")
    arguments = [
        "evaluate",
        model,
        "--images",
        people,
        "--cameras",
        cameras,
        "--groups",
        groups,
        "--write-card",
    ]
    outcome = edge_convert(*arguments, "--report", page, "--json")
    assert outcome.code == 0
    value = json.loads(outcome.out)
    assert value["verification"]["mated_trials"] == 30 * 4
    assert value["verification"]["non_mated_trials"] == 120 * 119 // 2 - 30 * 6
    assert (value["cameras"]["probes"], value["cameras"]["cameras"]) == (120, 2)
    within = value["groups"]["covariates"][0]["points"][0]["within"]
    assert sum(group["mated_trials"] for group in within) == 30 * 4
    assert ModelFile.open(model).card.operating_points[0].mated_trials == 30 * 4
    match = value["cameras"]["cumulative_match"]
    assert match[0] == value["cameras"]["rank_1"] and match == sorted(match) and len(match) == 20
    assert "pairs across cameras" in page.read_text() and "Mean average precision" in page.read_text()
    assert "Cumulative match across cameras" in page.read_text()
    text = edge_convert("evaluate", model, "--images", people, "--cameras", cameras)
    assert "people: 120 images of 30 subjects, pairs across cameras" in text.out and "rank 5" in text.out
    searched = edge_convert(*arguments[:6], "--enrolled-share", "0.5")
    assert searched.code == 2 and "or cameras, found both" in searched.err
    cameras.write_text("\n".join(["image,camera", *rows[1:]]) + "\n")
    partial = edge_convert("evaluate", model, "--images", people, "--cameras", cameras)
    assert partial.code == 3 and "expected a camera of each image in cameras.csv" in partial.err


def test_the_change_of_each_group_is_printed(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, groups: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    outcome = edge_convert("compare", model, model, "--images", people, "--groups", groups, "--report", page)
    assert outcome.code == 0
    assert "change of each group of camera from float at FMR 0.01" in outcome.out
    assert "no group changes more than the others beyond chance" in outcome.out
    assert "Change of FNMR by camera" in page.read_text()


def test_groups_that_do_not_fit_the_images_are_refused(
    edge_convert: Callable[..., Outcome], model: Path, people: Path, tmp_path: Path
) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("subject,camera\ns00,left\nnobody,right\n")
    outcome = edge_convert("evaluate", model, "--images", people, "--groups", path)
    assert outcome.code == 3
    assert "expected subjects of the data set in groups.csv, found 1 unknown: nobody" in outcome.err
