"""Tables of the comparison of losses, one-shot tasks, and one small training on drawn products."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.compare_losses.cells import Cell, measure_cell, one_shot
from tools.compare_losses.cli import main, stored_rows
from tools.compare_losses.datasets import HELD_OUT_ALPHABETS, omniglot, products
from tools.compare_losses.tables import budget_sentence, draw, markdown


def row(loss: str, steps: int, seed: int, eer: float) -> dict[str, Any]:
    rates = {"eer": eer, "tar": [1 - eer, 0.5], "intervals": [[0.4, 0.9], None], "one_shot": 0.8}
    return {
        "data_set": "omniglot",
        "loss": loss,
        "steps": steps,
        "seed": seed,
        "cpu_s": 20.0,
        "wall_s": 12.0,
        "float": rates,
    }


def test_one_shot_is_perfect_for_equal_embeddings_of_a_subject_and_at_chance_for_random_ones() -> None:
    subjects = [f"s{i}" for i in range(30) for _ in range(3)]
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(30, 64)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    assert one_shot(np.repeat(centres, 3, axis=0), subjects) == 1.0
    noise = rng.normal(size=(90, 64)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert 0.03 < one_shot(noise, subjects) < 0.08  # 1 of 20


def test_a_table_states_mean_and_range_of_the_seeds_and_orders_by_error() -> None:
    rows = [row("weak", 600, 0, 0.30), row("good", 600, 0, 0.10), row("good", 600, 1, 0.14)]
    lines = markdown(rows).splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["good", "weak"]
    assert "12.0 (10.0..14.0)" in lines[4]
    assert lines[4].rstrip().endswith("| 2 |")


def test_a_failed_training_is_named_in_the_table() -> None:
    failed = {
        "data_set": "omniglot",
        "loss": "quadruplet",
        "steps": 600,
        "seed": 0,
        "error": "collapsed\nhint",
    }
    text = markdown([row("good", 600, 0, 0.1), failed])
    assert "| quadruplet | collapsed |" in text


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.1, "matters more than"), (0.001, "does not matter more than")]
)
def test_the_sentence_compares_budget_and_loss(gain: float, verdict: str) -> None:
    eers = {"a": 0.10, "b": 0.11, "c": 0.12, "d": 0.13}
    rows = [row(loss, 600, 0, eer) for loss, eer in eers.items()]
    rows += [row(loss, 150, 0, eer + gain) for loss, eer in eers.items()]
    assert verdict in budget_sentence(rows, 150, 600)


def test_the_picture_has_a_panel_per_data_set(tmp_path: Path) -> None:
    rows = [row("a", 150, 0, 0.2), row("a", 600, 0, 0.1), row("b", 600, 0, 0.15)]
    draw(rows + [{**item, "data_set": "products"} for item in rows], tmp_path / "losses.svg")
    picture = (tmp_path / "losses.svg").read_text()
    assert picture.count('id="axes_') == 2


def test_a_row_that_a_kill_cut_off_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert stored_rows(path) == []
    whole = json.dumps(row("a", 150, 0, 0.2)) + "\n"
    path.write_text(whole + whole[:40])
    assert [Cell.of(item) for item in stored_rows(path)] == [Cell("omniglot", "a", 150, 0)]
    assert path.read_text() == whole


def test_results_of_another_learning_rate_are_not_used() -> None:
    assert Cell.of(row("a", 150, 0, 0.2)) != Cell("omniglot", "a", 150, 0, 5e-3)


def test_an_unknown_loss_is_refused_before_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path), "--losses", "arcfase"]) == 3
    assert "found 'arcfase'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cell_trains_measures_and_converts(tmp_path: Path) -> None:
    data = products(tmp_path)
    cell = measure_cell(Cell("products", "arcface", 40, 0), data, work=tmp_path, int8=True)
    assert cell["float"]["eer"] < 0.42
    assert cell["int8"]["cosine"] > 0.9
    json.dumps(cell)


@pytest.mark.real
def test_the_alphabets_of_training_and_measurement_differ(tmp_path: Path, shared: Path) -> None:
    data = omniglot(shared / "omniglot", tmp_path)
    trained = {path.name for path in data.training.iterdir()}
    measured = {path.name for path in data.held_out.iterdir()}
    assert (len(trained), len(measured)) == (161, 81)
    assert {name.split(".")[0] for name in measured} == set(HELD_OUT_ALPHABETS)
    assert not {name.split(".")[0] for name in trained} & set(HELD_OUT_ALPHABETS)
