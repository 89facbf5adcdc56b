"""An operating point is refused if its evidence does not support its claim."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from edge_sdk.errors import ModelCardError
from edge_sdk.model.operating_point import OperatingPoint, subjects_needed

Make = Callable[..., Any]


def test_a_claim_with_too_few_comparisons_is_refused_and_says_how_many_it_needs(make_evidence: Make) -> None:
    with pytest.raises(ModelCardError, match=r"FMR 0.0007 needs 4286 non-mated comparisons .*, found 4285"):
        make_evidence(fmr=7e-4, non_mated_trials=4285)
    assert make_evidence(fmr=7e-4, non_mated_trials=4286)


@pytest.mark.parametrize("trials", [3, 47, 98, 1000, 4_999, 1_198_000, 10**9])
def test_three_over_n_is_what_n_comparisons_support(make_evidence: Make, trials: int) -> None:
    assert make_evidence(fmr=3 / trials, non_mated_trials=trials)
    with pytest.raises(ModelCardError, match="rule of three"):
        make_evidence(fmr=3 / trials, non_mated_trials=trials - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"fmr": 0.0},
        {"fmr": -1e-3},
        {"fmr": 1.5},
        {"fmr": float("nan")},
        {"fmr": 1e-320},
        {"fnmr": -0.1},
        {"fnmr": 1.1},
        {"fnmr": float("nan")},
        {"threshold": 1.01},
        {"threshold": float("nan")},
        {"mated_trials": -1},
        {"fnmr_interval": (0.3, 0.2)},
        {"fnmr_interval": (0.0, float("nan"))},
        {"fnmr_interval": (-0.1, 0.2)},
        {"fmr_interval": (0.2, 0.1)},
        {"fmr_interval": (0.1, 1.1)},
        {"fmr_measured": 0.5},
        {"fmr_measured": -0.1},
    ],
)
def test_a_rate_that_is_none_is_refused(make_evidence: Make, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelCardError, match="operating point: expected"):
        make_evidence(**changes)


def test_it_comes_back_from_json_as_it_was(make_evidence: Make) -> None:
    point = make_evidence(fnmr_interval=(0.01, 0.04), data_set_sha256="00" * 32)
    assert OperatingPoint.from_json({**point.to_json(), "later": 1}) == point


@pytest.mark.parametrize("field", ["threshold", "fmr", "fnmr", "mated_trials", "non_mated_trials"])
def test_a_missing_field_is_named(make_evidence: Make, field: str) -> None:
    value = make_evidence().to_json()
    del value[field]
    with pytest.raises(ModelCardError, match=field):
        OperatingPoint.from_json(value)


@pytest.mark.parametrize("interval", [[], [0.1], [0.1, 0.2, 0.3], "ab", 3, {"low": 0.1}, [None, 1]])
def test_a_malformed_interval_is_refused(make_evidence: Make, interval: Any) -> None:
    with pytest.raises(ModelCardError, match="operating point"):
        OperatingPoint.from_json({**make_evidence().to_json(), "fnmr_interval": interval})


def test_the_card_of_a_file_cannot_hold_a_claim_without_evidence(
    make_card: Make, make_evidence: Make
) -> None:
    card = make_card(operating_points=(make_evidence(),))
    edited = card.to_bytes().replace(b'"non_mated_trials": 3000', b'"non_mated_trials": 2999')
    with pytest.raises(ModelCardError, match="rule of three"):
        type(card).from_bytes(edited)


def test_the_ends_of_the_interval_go_through_the_same_arithmetic(make_evidence: Make) -> None:
    point = make_evidence(fmr=1e-3, fmr_interval=(0.0, 2e-3))
    assert point.fpir_interval(100) == (0.0, pytest.approx(1 - (1 - 2e-3) ** 100))
    assert make_evidence(fmr=1e-3, fmr_interval=(1e-3, 1.0)).fpir_interval(7) == (
        make_evidence(fmr=1e-3).fpir(7),
        1.0,
    )
    assert make_evidence().fpir_interval(100) is None
    with pytest.raises(ModelCardError, match="references"):
        point.fpir_interval(-1)


def points(make_evidence: Make) -> list[OperatingPoint]:
    return [
        make_evidence(threshold=threshold, fmr=fmr, non_mated_trials=10**7)
        for threshold, fmr in ((0.3, 1e-2), (0.4, 1e-3), (0.5, 1e-4), (0.6, 1e-5))
    ]


@pytest.mark.parametrize(("references", "fmr"), [(1, 1e-2), (9, 1e-3), (50, 1e-4), (100, 1e-4), (1000, 1e-5)])
def test_identification_uses_the_least_strict_point_that_keeps_the_fpir(
    make_evidence: Make, references: int, fmr: float
) -> None:
    point = OperatingPoint.for_identification(points(make_evidence), fpir=1e-2, references=references)
    assert point.fmr == fmr
    assert point.fpir(references) <= 1e-2
    less_strict = [p for p in points(make_evidence) if p.fmr > fmr]
    assert all(p.fpir(references) > 1e-2 for p in less_strict)


def test_identification_without_evidence_is_refused_with_the_evidence_needed(make_evidence: Make) -> None:
    with pytest.raises(ModelCardError, match=r"an operating point at FMR 1.01e-06 or less") as caught:
        OperatingPoint.for_identification(points(make_evidence), fpir=1e-2, references=10_000)
    assert caught.value.hint is not None
    assert "--fmr 1e-06" in caught.value.hint
    assert "2450 or more subjects" in caught.value.hint
    with pytest.raises(ModelCardError, match="found none"):
        OperatingPoint.for_identification([], fpir=1e-2, references=10)
    with pytest.raises(ModelCardError, match="1 or more references"):
        OperatingPoint.for_identification(points(make_evidence), fpir=1e-2, references=0)


def test_fpir_of_a_search(make_evidence: Make) -> None:
    point = make_evidence(fmr=1e-4, non_mated_trials=10**6)
    assert point.fpir(0) == 0
    assert point.fpir(50) == pytest.approx(1 - (1 - 1e-4) ** 50)


@pytest.mark.parametrize(
    ("fmr", "subjects"), [(1e-1, 9), (1e-2, 25), (1e-3, 78), (1e-4, 246), (1e-5, 776), (1e-6, 2450), (1.0, 3)]
)
def test_the_subjects_needed_are_the_least_with_three_pairs_per_expected_false_match(
    fmr: float, subjects: int
) -> None:
    assert subjects_needed(fmr) == subjects
    assert subjects * (subjects - 1) / 2 >= 3 / fmr * (1 - 1e-12) > (subjects - 1) * (subjects - 2) / 2


def claimed(make_evidence: Make, **values: Any) -> OperatingPoint:
    """Make a point claimed by the upper limit of the FMR: 80 subjects, 3,160 pairs."""
    evidence = {
        "threshold": 0.5,
        "fmr": 1e-3,
        "non_mated_trials": 50_000,
        "fmr_interval": (1e-4, 1.1e-3),
        "fmr_confidence": 0.95,
        "subjects": 80,
        "effective_comparisons": 12_000.0,
        "fnmr_pooled": 0.0,
        "measured_threshold": 0.45,
        "measured_fnmr": 0.0,
    }
    return make_evidence(**(evidence | values))


def test_a_claim_by_the_upper_limit_is_the_limit(make_evidence: Make) -> None:
    point = claimed(make_evidence)
    assert OperatingPoint.from_json(json.loads(json.dumps(point.to_json()))) == point
    assert point.fmr_limit == 1e-3
    earlier = make_evidence(fmr=1e-3, fmr_interval=(5e-4, 1.6e-3))
    assert earlier.fmr_limit == 1.6e-3
    assert make_evidence(fmr=1e-3).fmr_limit == 1e-3
    assert not set(earlier.to_json()) & {"fmr_confidence", "subjects", "effective_comparisons", "fnmr_pooled"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"subjects": 77}, "3000 pairs of subjects"),
        ({"subjects": 0}, "found 0 subjects"),
        ({"effective_comparisons": 2_999.0}, "effective comparisons, found 80 subjects"),
        ({"effective_comparisons": None}, "None effective"),
        ({"effective_comparisons": math.nan}, "nan effective"),
        ({"effective_comparisons": 50_001.0}, "50001.0 effective"),
        ({"fmr_interval": None}, "expected an FMR interval"),
        ({"fmr_confidence": 1.0}, "a confidence above 0 and under 1"),
        ({"measured_threshold": 0.51}, "a measured threshold"),
        ({"measured_fnmr": 1.5}, "measured FNMR in 0..1"),
        ({"fnmr_pooled": -0.1}, "pooled FNMR in 0..1"),
    ],
)
def test_a_claim_without_its_evidence_is_refused(
    make_evidence: Make, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelCardError, match=message):
        claimed(make_evidence, **values)


def test_identification_uses_the_limit_of_an_earlier_claim(make_evidence: Make) -> None:
    earlier = make_evidence(fmr=1e-3, threshold=0.4, fmr_interval=(5e-4, 2e-3))
    stricter = make_evidence(fmr=1e-4, threshold=0.5, non_mated_trials=10**6)
    chosen = OperatingPoint.for_identification([earlier, stricter], fpir=1e-2, references=10)
    assert chosen is stricter
