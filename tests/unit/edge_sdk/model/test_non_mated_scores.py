"""Tests of the distribution of non-mated scores in a card."""

import json
from dataclasses import replace
from typing import Any

import pytest

from edge_sdk.errors import ModelCardError
from edge_sdk.model.non_mated_scores import NonMatedScores

SCORES = NonMatedScores(0.02, 0.1, 0.27, 0.0099, 190, 20, "faces", "0" * 64)


def test_json_keeps_the_values() -> None:
    assert NonMatedScores.from_json(json.loads(json.dumps(SCORES.to_json()))) == SCORES


@pytest.mark.parametrize(
    "values",
    [
        {"mean": 1.5},
        {"mean": float("nan")},
        {"sd": 0.0},
        {"sd": float("inf")},
        {"threshold": -2.0},
        {"fmr": 0.0},
        {"fmr": 1.0},
        {"comparisons": 0},
        {"subjects": 1},
    ],
)
def test_values_outside_their_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ModelCardError, match="non-mated scores: expected"):
        replace(SCORES, **values)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ModelCardError, match="'sd'"):
        NonMatedScores.from_json({"mean": 0.0})
