"""The verdict of a conversion follows the noise of scores, and says when the images cannot tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converters.analyze.collapse import CollapseCheck
from converters.evaluate.metrics import Interval, ScoreNoise, SmoothedDifference
from converters.results import ConversionResult
from tests import report_samples as samples


def noise(relative: float, *, images: int = 100, limit: float = 1.05) -> ScoreNoise:
    spread, pairs = 0.1, images * (images - 1) // 2
    return ScoreNoise(
        relative * spread,
        limit * relative * spread,
        0.001,
        0.002 if pairs >= 3000 else None,
        pairs,
        images,
        0.02,
        spread,
    )


def result(
    measured: ScoreNoise | None, *, held_out: bool = True, precision: str = "int8", cosine: float = 0.999
) -> ConversionResult:
    report = samples.report(cosine=cosine)
    changed = replace(report.artefacts[1], noise=measured, held_out=held_out, precision=precision)
    return replace(report, artefacts=(report.artefacts[0], changed))


@pytest.mark.parametrize(("relative", "level"), [(0.1, "good"), (0.2, "caution"), (0.4, "bad")])
def test_the_noise_relative_to_the_spread_decides_and_not_the_cosine(relative: float, level: str) -> None:
    assert result(noise(relative)).judge().level == level
    assert f"changes scores by {100 * relative:.0f} % of the spread" in result(noise(relative)).verdict()


def test_a_limit_above_the_bound_is_not_called_close() -> None:
    assert result(noise(0.14, limit=1.02)).judge().level == "good"
    assert result(noise(0.14, limit=1.2)).judge().level == "caution"


def test_few_images_or_images_of_calibration_cannot_tell() -> None:
    for few in (result(noise(0.02, images=5)), result(noise(0.02, images=20), held_out=False)):
        verdict = few.judge()
        assert verdict.level == "open"
        assert "cannot tell if it is close" in verdict.sentence and "90 or more" in verdict.sentence
    assert result(noise(0.6, images=5)).judge().level == "bad"


def test_a_dynamic_file_is_judged_like_the_others_and_the_worst_file_decides() -> None:
    assert result(noise(0.4), precision="dynamic").judge().level == "bad"
    good = result(noise(0.05))
    bad = replace(good.artefacts[1], file="door.dynamic_range.tflite", precision="dynamic", noise=noise(0.2))
    both = replace(good, artefacts=(*good.artefacts, bad))
    assert both.judge().level == "caution"
    assert both.verdict().startswith("door.dynamic_range.tflite changes scores by 20 %")


def test_a_collapsed_network_that_was_allowed_is_bad() -> None:
    collapse = CollapseCheck(64, 0.99999, 1e-7, 1e-6, 0.004, 0.01, allowed=True)
    verdict = replace(result(noise(0.05)), collapse=collapse).judge()
    assert verdict.level == "bad" and "allowed by the user" in verdict.sentence


def test_the_text_states_the_noise_of_scores_and_the_image_that_was_not_seen() -> None:
    text = result(noise(0.1)).to_text()
    assert (
        "scores of door.cpu_int8.tflite: noise 0.0100, 10 % of the spread 0.1000 between different images; mean moved by"
        " +0.0010, their highest 0.1 % by +0.0020"
    ) in text
    assert "about 1 in 101 further images is worse than the least" in text


def test_figures_pass_through_a_card_and_earlier_cards_have_none() -> None:
    for value in (noise(0.1), noise(0.1, images=5), replace(noise(0.1), sd_limit=None)):
        assert ScoreNoise.of_figures(value.figures()) == value
    assert ScoreNoise.of_figures(None) is None
    assert ScoreNoise.of_figures({"sd": 0.1}) is None


def test_a_proven_loss_on_labelled_images_outranks_the_noise() -> None:
    def row(low: float, high: float) -> SmoothedDifference:
        middle = (low + high) / 2
        interval = Interval(low, high, 0.95, 200, "jackknife")
        return SmoothedDifference(1e-4, 1e-2, 0.95, 0.95 + middle, middle, 0.002, interval, 300, 0.02, 0.02)

    good = result(noise(0.05))
    assert replace(good, differences={"cpu_int8": row(-0.002, 0.001)}).judge().level == "good"
    worse = replace(good, differences={"cpu_int8": row(-0.02, -0.01)})
    assert worse.verdict() == (
        "cpu_int8 on the labelled images of its search: worse than float by more than 0.3 points of TAR"
    )
    assert "cpu_int8, on the images that chose the recipe: verdict: worse" in worse.to_text()
