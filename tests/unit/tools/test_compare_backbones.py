"""Tables of backbones and widths, the fit of times, and whole comparisons of small networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_train.errors import FolderError, PlanError
from edge_train.search.budget import MACS, Budget
from tools import compare_backbones, compare_widths
from tools.compare_backbones import Precision, Row, table, time_models
from tools.short_training import error_rates, split_by_prefix


def pictures(folder: Path, subjects: int) -> Path:
    """Draw noisy patterns of subjects ``a00``, ``a01`` and so on, and of five subjects ``z``."""
    rng = np.random.default_rng(1)
    for name in [f"a{number:02}" for number in range(subjects)] + [f"z{number}" for number in range(5)]:
        pattern = rng.integers(0, 256, (16, 16))
        (folder / name).mkdir(parents=True)
        for place in range(6):
            noisy = np.clip(pattern + rng.normal(0, 30, (16, 16)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / name / f"{place}.png")
    return folder


def row(name: str, macs: float) -> Row:
    times = {"float32": 1e-7 * macs + 0.01, "cpu_int8": 0.5e-7 * macs + 0.01, "full_int8": 0.4e-7 * macs}
    precisions = {
        recipe: Precision(bytes=4000, eer=0.1, tar=0.8, cosine=0.99, ms=time, ratio=0.5)
        for recipe, time in times.items()
    }
    terms = {"convolution": macs, "pointwise": 0.0, "depthwise": 0.0, "value": 0.0, "layer": 1.0}
    return Row(name, 1000, int(macs), 12.0, precisions, 0.25, 3, terms)


def test_times_of_a_network_left_out_are_predicted() -> None:
    models = time_models([row("n", macs) for macs in (1e6, 2e6, 5e6, 8e6, 1e7, 2e7)])
    assert set(models) == {"float32", "cpu_int8", "full_int8", "npu"}
    assert models["float32"]["largest_error"] < 0.01
    assert models["float32"]["rates"]["multiplication"]["convolution"] == pytest.approx(1e-7, rel=0.01)


def test_the_table_states_unreliable_times_and_operators_outside_the_npu() -> None:
    text = table([row("quantized 1", 1e6)])
    assert "| quantized 1 | 1,000 | 1.0 M |" in text
    assert "0.25, 3 operators on the CPU" in text
    assert "EER int8" in text
    assert "EER int8" not in table([row("quantized 1", 1e6)], accuracy=False)


def test_rates_of_a_target_are_read_from_the_comparison(tmp_path: Path) -> None:
    models = time_models([row("n", macs) for macs in (1e6, 2e6, 5e6)])
    file = tmp_path / "backbones.json"
    file.write_text(json.dumps({"time_models": models}), encoding="utf-8")
    rates = compare_widths._rates(f"{file}:full_int8")
    assert rates is not None
    assert rates.of_terms(row("n", 3e6).work) == pytest.approx(0.12, rel=0.01)
    with pytest.raises(PlanError, match="expected FILE:TARGET"):
        compare_widths._rates(f"{file}:tpu")


def test_error_rates_need_pairs_of_both_kinds() -> None:
    vectors = np.eye(4, dtype=np.float32)
    with pytest.raises(FolderError, match="expected more evaluation pictures"):
        error_rates(vectors, np.arange(4, dtype=np.int64))


def test_subjects_are_held_out_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    training, evaluation = split_by_prefix(pictures(tmp_path / "p", 3), ["z"])
    assert training.names == ("a00", "a01", "a02")
    assert evaluation.names == ("z0", "z1", "z2", "z3", "z4")
    with pytest.raises(FolderError, match="found 8 and 0"):
        split_by_prefix(tmp_path / "p", ["none"])


def test_the_table_of_widths_has_each_seed_and_the_means() -> None:
    part = {"cost": 1e6, "parameters": 10, "eer": 0.2, "tar": 0.5, "seconds": 1.0}
    rows: list[dict[str, Any]] = [
        {"seed": seed, "uniform": part, "searched": {**part, "eer": 0.1 * seed}} for seed in (1, 2)
    ]
    text = compare_widths.table(rows, Budget(1e6, MACS))
    assert "| 2 | searched | 1,000,000 | 10 | 0.2000 |" in text
    assert "| mean of 2 | searched | | | 0.1500 (0.1000 .. 0.2000) |" in text


@pytest.mark.slow
def test_widths_are_compared_at_the_same_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "p", 8)
    arguments = f"--images {folder} --held-out z --size 16x16 --color gray --range=-1..1 --backbone quantized --width 0.5"
    options = "--budget macs=1e6 --steps 4 --seeds 1 --dimension 8 --no-longer --json"
    assert compare_widths.main([*arguments.split(), *options.split()]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[0]["searched"]["cost"] <= 1e6
    assert rows[0]["uniform"]["cost"] <= 1e6


@pytest.mark.slow
def test_a_backbone_is_trained_converted_and_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "p", 8)
    arguments = f"--output {tmp_path / 'out'} --images {folder} --held-out z --size 16 --color gray --steps 4"
    assert compare_backbones.main([*arguments.split(), "--networks", "quantized:0.25"]) == 0
    assert "| quantized 0.25 |" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "backbones.json").read_text(encoding="utf-8"))
    assert result["rows"][0]["precisions"]["cpu_int8"]["cosine"] > 0.9
    assert result["rows"][0]["npu_cpu_operators"] == 0
