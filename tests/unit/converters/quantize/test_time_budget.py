"""A search with a time limit: it continues after a candidate over the limit, and prefers candidates within it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.cli import main
from converters.errors import CalibrationError
from converters.graph.latency import time_ratio
from converters.graph.network import Network
from converters.quantize.budget import Candidate, CosineBudget
from converters.quantize.recipe import shipped
from converters.quantize.search import SearchResult, search
from converters.quantize.time_budget import TimedBudget
from converters.sources.float_model import FloatModel
from tests.networks import CONTRACT, crops, tiny
from tests.unit.converters.quantize.test_int8_quality import PLAIN, _set, uneven


def run_search(budget: TimedBudget | CosineBudget, plain=PLAIN) -> SearchResult:
    model = FloatModel(uneven(), CONTRACT, 16, {}, (), 1.0)
    return search(model, _set(crops(90)), plain, budget=budget)


def float_depthwise(network: Network) -> bool:
    graph = network.edit()
    return any(
        graph.op_name(op) == "DEPTHWISE_CONV_2D" and graph.dtype_name(op.outputs[0]) == "float32"
        for op in graph.operators
    )


def test_a_search_continues_to_a_faster_candidate() -> None:
    """A small network can be faster with depthwise convolutions in float, because conversions are slow."""
    cosine = CosineBudget(0.9)
    assert [trial.met for trial in run_search(cosine).trials] == [True, True]
    result = run_search(TimedBudget(cosine, 0.7, lambda network: 0.69 if float_depthwise(network) else 0.77))
    assert result.met and result.trials[-2].what == "leave depthwise convolutions in float"
    assert result.best.over == 0 and "0.69 of the float network's time" in result.best.measured
    assert all(trial.over == pytest.approx(0.07) and not trial.met for trial in result.trials[:-2])
    assert (
        result.budget["goal"] == "a mean cosine of 0.9 to float, in at most 0.7 of the float network's time"
    )


def test_a_slow_candidate_is_not_the_result_even_if_close_to_float() -> None:
    result = run_search(
        TimedBudget(CosineBudget(0.99999), 0.7, lambda network: 1.2 if float_depthwise(network) else 0.6)
    )
    assert not result.met and result.best.over == 0
    assert not any(trial.kept for trial in result.trials if trial.over > 0)
    assert not float_depthwise(result.quantized.network)
    assert "(too slow) leave depthwise convolutions in float" in result.explain_failure()


def test_a_search_with_only_slow_candidates_reports_it() -> None:
    result = run_search(TimedBudget(CosineBudget(0.9), 0.5, lambda _: 0.8))
    assert not result.met and result.best.over == pytest.approx(0.3)


def test_the_time_limit_is_a_share_above_zero() -> None:
    for most in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(CalibrationError, match="expected a time ratio above 0"):
            TimedBudget.of(CosineBudget(0.9), most, tiny(), CONTRACT, crops(1)[0])


def test_time_is_measured_against_the_float_network() -> None:
    network, crop = uneven(), crops(1)[0]
    ratio = time_ratio(network, network, CONTRACT, crop, settled=lambda _: True)
    assert 0 < ratio.low <= ratio.value <= ratio.high
    verdict = TimedBudget.of(CosineBudget(0.9), 100, network, CONTRACT, crop).check(
        Candidate(network, np.ones(4))
    )
    assert verdict.met and verdict.over == 0 and "of the float network's time" in verdict.measured


def test_a_search_for_full_int8_leaves_nothing_in_float() -> None:
    result = run_search(CosineBudget(0.99999), shipped("full_int8"))
    assert not result.met and result.recipe.quantizer == "integer" and not result.recipe.keep_float
    assert all(trial.float_share == 0 for trial in result.trials)
    recipes = [trial.what for trial in result.trials]
    assert recipes[-2:] == ["choose ranges with the least rounding and clipping error", "correct biases"]
    assert len(recipes) == len(set(recipes)) and result.recipe.equalize
    graph = result.quantized.network.edit()
    assert "float32" not in {graph.dtype_name(i) for i in range(len(graph.tensors))}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "net.tflite").write_bytes(uneven().data)
    (tmp_path / "crops").mkdir()
    for number, pixels in enumerate(crops(60)):
        Image.fromarray(pixels).save(tmp_path / "crops" / f"{number:02}.png")
    return tmp_path


def test_a_missed_time_limit_is_exit_1_and_nothing_is_written(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]
    files = ["--calibration", str(workplace / "crops"), "--output", str(workplace / "out")]
    convert = ["convert", str(workplace / "net.tflite"), *flags, *files, "--max-time-ratio", "0.001"]
    assert main([*convert, "--recipe", "auto"]) == 1
    message = capsys.readouterr().err
    assert (
        "in at most 0.001 of the float network's time" in message
        and "(too slow)" in message
        and "nothing was written" in message
    )
    assert not (workplace / "out").exists()
    assert main([*convert[:-1], "100", "--recipe", "auto"]) == 0
    assert "of the float network's time" in capsys.readouterr().out
    assert "of the float network&#39;s time" in (workplace / "out" / "net.report.html").read_text()
    with pytest.raises(SystemExit) as usage:
        main(convert)
    assert usage.value.code == 2 and "--max-time-ratio requires --recipe auto" in capsys.readouterr().err
