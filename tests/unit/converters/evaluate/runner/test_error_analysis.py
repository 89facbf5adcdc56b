"""Wrong decisions at a threshold, their causes in the images, and the ceilings of the causes."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import AllPairs, ListedPairs, Unsupported
from converters.evaluate.runner.error_analysis import (
    ErrorAnalysis,
    ImageMeasures,
    analyse_errors,
    errors_lines,
    measure,
)
from edge_sdk.errors import InputError

RNG = np.random.default_rng(3)


def smooth(image: np.ndarray) -> np.ndarray:
    wide = image.astype(np.float32)
    for axis in (0, 1):
        wide = (np.roll(wide, 1, axis) + 2 * wide + np.roll(wide, -1, axis)) / 4
    return wide.astype(np.uint8)


def test_measures_reflect_changes_of_an_image() -> None:
    image = RNG.integers(60, 200, (64, 80, 3)).astype(np.uint8)
    plain = measure(image, height=64, width=80)
    assert (plain.height, plain.width) == (64, 80)
    assert measure(smooth(image), height=64, width=80).sharpness < plain.sharpness / 4
    assert measure(image // 3, height=64, width=80).brightness == pytest.approx(plain.brightness / 3, abs=1)
    flat = (image // 4 + 90).astype(np.uint8)
    assert measure(flat, height=64, width=80).contrast < plain.contrast / 3
    overexposed = image.copy()
    overexposed[:16] = 255
    assert measure(overexposed, height=64, width=80).saturation == pytest.approx(0.25)


def test_sharpness_is_the_variance_of_the_laplacian_by_hand() -> None:
    grey = np.zeros((4, 4, 1), np.uint8)
    grey[1, 1] = 10
    # The kernel (0 1 0, 1 -4 1, 0 1 0) on the four inner pixels.
    assert measure(grey, height=4, width=4).sharpness == np.var([-40, 10, 10, 0])


def test_measures_are_taken_on_what_the_network_sees() -> None:
    image = RNG.integers(0, 255, (200, 200, 3)).astype(np.uint8)
    small = measure(image, height=50, width=50)
    assert (small.height, small.width) == (200, 200)
    assert small.sharpness < measure(image, height=200, width=200).sharpness


def drawn(bad: int) -> tuple[list[str], AllPairs, dict[str, ImageMeasures]]:
    """Draw 60 subjects with two images; one image of each of the first `bad` subjects is dark and matches no subject."""
    names, rows, labels, measures = [], [], [], {}
    rng = np.random.default_rng(0)
    for subject in range(60):
        centre = rng.normal(size=64)
        for number in range(2):
            dark = subject < bad and number == 1
            vector = rng.normal(size=64) if dark else centre + 0.1 * rng.normal(size=64)
            names.append(f"s{subject:02d}/{number}.png")
            rows.append(vector / np.linalg.norm(vector))
            labels.append(f"s{subject:02d}")
            measures[names[-1]] = ImageMeasures(
                96, 96, 100 + rng.normal(), 20.0 if dark else 120 + rng.normal(), 50 + rng.normal(), 0.0
            )
    return names, AllPairs(np.array(rows, np.float32), labels), measures


def test_the_ceiling_of_the_cause_is_the_whole_loss() -> None:
    names, comparisons, measures = drawn(bad=6)
    analysis = analyse_errors(names, comparisons, measures, worst=3)
    assert isinstance(analysis, ErrorAnalysis)
    assert (analysis.target_fmr, analysis.false_non_matches) == (1e-3, 6)
    best = analysis.ceilings[0]
    assert best.cause == "dark"
    assert (best.refused, best.errors_with_cause) == (6, 6)
    assert best.tar == pytest.approx(54 / 60)
    assert best.tar_without == 1
    assert all(row.tar_without is not None and row.tar_without < 1 for row in analysis.ceilings[1:])
    lines = errors_lines(analysis)
    assert "dark       TAR 90.00 % -> 100.00 %, 6 images (5.0%) refused, in 6" in "\n".join(lines)
    # A cause whose removal lowers the TAR has no row.
    gains = [row.cause for row in analysis.ceilings if row.gains]
    assert [row.split()[0] for row in lines if " TAR " in row and "refused" in row] == gains
    losses = [row for row in analysis.ceilings if row.tar_without is not None and row.tar_without <= row.tar]
    assert losses
    assert lines[-1] == (
        f"no gain from refusing the worst images of: {', '.join(row.cause for row in losses)}"
    )


def test_the_worst_errors_are_named_with_their_causes() -> None:
    names, comparisons, measures = drawn(bad=6)
    analysis = analyse_errors(names, comparisons, measures, worst=3)
    assert isinstance(analysis, ErrorAnalysis)
    rows = analysis.worst_false_non_matches
    assert [row.score for row in rows] == sorted(row.score for row in rows)
    for row in rows:
        assert row.first[:3] == row.second[:3]
        assert any(cause.startswith("dark: brightness 20") for cause in row.second_causes)
        assert not any(cause.startswith("dark") for cause in row.first_causes)
    assert len(analysis.worst_false_matches) == 3
    scores = [row.score for row in analysis.worst_false_matches]
    assert scores == sorted(scores, reverse=True)
    assert all(row.first[:3] != row.second[:3] for row in analysis.worst_false_matches)


def test_listed_pairs_are_analysed_like_all_pairs() -> None:
    names, every, measures = drawn(bad=6)
    first, second = np.triu_indices(len(names), 1)
    listed = ListedPairs(every.vectors, every.labels, first.astype(np.int64), second.astype(np.int64))
    assert analyse_errors(names, listed, measures, worst=3) == analyse_errors(names, every, measures, worst=3)


def test_additional_causes_such_as_pose() -> None:
    names, comparisons, measures = drawn(bad=6)
    same = {name: ImageMeasures(96, 96, 1.0, 1.0, 1.0, 0.0) for name in measures}
    yaw = {f"s{subject:02d}/1.png": 60.0 + subject for subject in range(6)}
    analysis = analyse_errors(names, comparisons, same, worst=1, further={"turned": yaw})
    assert isinstance(analysis, ErrorAnalysis)
    assert [row.cause for row in analysis.ceilings] == ["turned"]  # a measure that does not vary is no cause
    assert analysis.ceilings[0].tar_without == 1
    assert analysis.worst_false_non_matches[0].second_causes[0].startswith("turned: value 6")


def test_too_few_comparisons_give_no_analysis() -> None:
    names, comparisons, measures = drawn(bad=0)
    few = AllPairs(comparisons.vectors[:6], comparisons.codes[:6])
    analysis = analyse_errors(names[:6], few, measures, worst=1)
    assert isinstance(analysis, Unsupported)
    assert errors_lines(analysis)[0].startswith(
        "errors not analysed: FMR 0.1 is measured from 30 non-mated comparisons"
    )
    with pytest.raises(InputError, match="1 or more errors"):
        analyse_errors(names, comparisons, measures, worst=0)
