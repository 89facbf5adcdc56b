"""Warnings and reports of the commands if the card's thresholds do not hold for the gallery's own subjects."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.gallery import Gallery, KeyFile
from edge_sdk.model.model_file import ModelFile
from edge_sdk.model.non_mated_scores import NonMatedScores

Run = Callable[..., Any]
SCORES = NonMatedScores(0.0, 0.15, 0.25, 0.01, comparisons=400_000, subjects=1000, data_set="faces")


@pytest.fixture
def files(
    tmp_path: Path, make_model: Callable[..., bytes], make_evidence: Callable[..., Any], edge_sdk: Run
) -> list[Any]:
    """A gallery with the policy of a card that has non-mated scores."""
    claim = {"fmr_confidence": 0.95, "subjects": 3000}
    points = [
        make_evidence(
            threshold=0.5,
            fmr=fmr,
            fmr_measured=fmr / 2,
            fmr_interval=(0.0, fmr),
            non_mated_trials=4_000_000,
            effective_comparisons=3_500_000.0,
            **claim,
        )
        for fmr in (1e-2, 1e-5)
    ]
    model = tmp_path / "measured.tflite"
    model.write_bytes(make_model(operating_points=tuple(points), non_mated_scores=SCORES))
    own = ["--gallery", tmp_path / "door.gallery", "--key", tmp_path / "door.key"]
    assert edge_sdk("gallery", "create", "--model", model, *own).code == 0
    done = edge_sdk("gallery", "policy", "--model", model, "--fpir", "0.01", *own)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[1:] == [
        "operating points: claimed by the upper confidence limit of the FMR",
        "own subjects: too few subjects to compare with the card: 0, at least 10 are needed",
        "of 100 strangers who press the button once, at most about 1 gets in (with 95 % confidence, for people like those of"
        " the evidence)",
    ]
    return ["--model", model, *own]


def fill(files: list[Any], count: int, *, alike: float) -> None:
    """Enrol random embeddings with a mean cosine."""
    model = ModelFile.open(files[1])
    gallery = Gallery.open(files[3], key=KeyFile(files[5]), model_id=model.model_id)
    rng = np.random.default_rng(1)
    own = rng.normal(size=(count, model.card.dimension)) / model.card.dimension**0.5
    rows = (1 - alike) ** 0.5 * own
    rows[:, 0] += alike**0.5
    with gallery.transaction() as t:
        for number, row in enumerate(rows.astype(np.float32)):
            t.enrol(f"s{number}", row, allow_duplicate=True)


def test_an_enrolment_prints_that_thresholds_do_not_hold(
    edge_sdk: Run, files: list[Any], products: list[Any]
) -> None:
    fill(files, 9, alike=0.4)
    done = edge_sdk("enrol", "alice", products[0].enrol, *files)
    assert done.code == 0
    line, hint = done.err.splitlines()
    assert line.startswith("edge-sdk: warning: ")
    assert (
        "of 45 pairs of different subjects match at cosine 0.2500, the card states 0.45: the card's" in line
    )
    assert hint.startswith("edge-sdk: hint: measure the model with images of this camera")
    assert hint.endswith("raise the thresholds with edge-sdk gallery policy --adapt-threshold")
    # The problem is known, so the next enrolment does not repeat it.
    assert edge_sdk("enrol", "bob", products[1].enrol, *files, "--allow-duplicate").err == ""
    verified = edge_sdk("gallery", "verify", *files[2:])
    assert (verified.code, "problem: " in verified.out) == (1, True)
    status = json.loads(edge_sdk("gallery", "status", *files[2:], "--json").out)
    assert status["transfer"]["state"] == "too many matches"
    assert status["transfer"]["pairs"] == 55
    assert status["transfer"]["p_value"] < 1e-3
    text = edge_sdk("gallery", "status", *files[2:]).out
    assert "own_scores" in text
    assert "threshold     0.5000\n" in text
    assert not any(line.endswith(" -") for line in text.splitlines())
    assert "not_protected strangers: " in text
    policy = edge_sdk("gallery", "policy", *files, "--fpir", "0.01").out
    assert "; it holds for the card's people only, not here" in policy
    assert "the evidence); it does not hold for this camera or these people" in policy
    doctor = edge_sdk("doctor", *files)
    assert doctor.code == 1
    assert "fail  gallery's thresholds" in doctor.out


def test_the_threshold_is_raised_if_the_policy_adapts(edge_sdk: Run, files: list[Any]) -> None:
    with pytest.warns(UserWarning, match="do not hold"):
        fill(files, 20, alike=0.4)
    done = edge_sdk("gallery", "policy", *files, "--fpir", "0.01", "--adapt-threshold")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "raised from 0.5000 for the gallery's own subjects" in lines
    assert float(lines[0].split()[1]) > 0.7
    assert edge_sdk("gallery", "verify", *files[2:]).code == 0
    doctor = edge_sdk("doctor", *files, "--json")
    (finding,) = (f for f in json.loads(doctor.out)["findings"] if f["check"] == "gallery's thresholds")
    assert finding["status"] == "warn"
    assert "the threshold is raised: 0.5000 -> 0." in finding["found"]
    assert "no subject has two different templates" in finding["found"]
    assert "improve the light, the focus and the distance" in finding["advice"]
    value = json.loads(
        edge_sdk("gallery", "policy", *files, "--fpir", "0.01", "--adapt-threshold", "--json").out
    )
    assert value["threshold"] > value["card_threshold"] == 0.5
    assert value["adapts"] is True
    assert "kind" not in edge_sdk("gallery", "audit", *files[2:]).out
    # Another FPIR leaves it on.
    assert not edge_sdk("gallery", "policy", *files, "--fpir", "0.02").out.startswith("threshold 0.5000 ")
    # If it is turned off, the card's threshold applies again, and the command prints what that means.
    done = edge_sdk("gallery", "policy", *files, "--fpir", "0.01", "--no-adapt-threshold")
    assert done.out.startswith("threshold 0.5000 ")
    assert "the card's thresholds do not hold" in done.err


def test_doctor_asks_to_renew_evidence_of_the_earlier_rule(
    edge_sdk: Run, tmp_path: Path, model_with_evidence: Path, products: list[Any]
) -> None:
    own = ["--gallery", tmp_path / "p.gallery", "--key", tmp_path / "p.key"]
    assert edge_sdk("enrol", "alice", products[0].enrol, "--model", model_with_evidence, *own).code == 0
    assert edge_sdk("gallery", "policy", "--model", model_with_evidence, *own, "--fpir", "0.01").code == 0
    findings = json.loads(edge_sdk("doctor", *own, "--json").out)["findings"]
    (finding,) = (f for f in findings if f["check"] == "gallery's thresholds")
    assert finding["status"] == "warn"
    assert "operating points claimed by the earlier rule" in finding["found"]
    # The parts of a long message have a line each.
    lines = [line.strip() for line in edge_sdk("doctor", *own).out.splitlines()]
    assert "without the card's non-mated scores" in lines
    assert "not compared with the card: no non-mated scores of the card are stored" in lines
    assert "edge-sdk gallery policy --model FILE --fpir 0.01" in finding["advice"]
