"""Comparison of instruction counts with a baseline; tests/arm counts them in an emulator."""

from __future__ import annotations

from typing import Any

import pytest

from tools.instructions import CountingError, compare, to_markdown

BASELINE: dict[str, Any] = {
    "machine": "aarch64",
    "versions": {"numpy": "2.4.6"},
    "networks": {"embedder": "a.tflite", "detector": ""},
    "stages": {"embed network": 1_000_000, "match": 500_000},
}


def counted(**stages: int) -> dict[str, Any]:
    return {**BASELINE, "stages": {**BASELINE["stages"], **stages}}


def test_only_more_than_2_percent_is_a_regression() -> None:
    assert compare(counted(match=510_000), BASELINE) == []
    assert compare(counted(match=100_000), BASELINE) == []
    assert compare(counted(match=510_001), BASELINE) == [
        "stage 'match': 510,001 instructions, +2.0 % from 500,000"
    ]
    assert compare(counted(other=1), BASELINE) == ["stage 'other': expected the stages of the baseline"]


def test_a_small_stage_may_change_by_2000_instructions() -> None:
    baseline = {**BASELINE, "stages": {**BASELINE["stages"], "encode": 50_000}}
    assert compare(counted(encode=52_000), baseline) == []
    assert compare(counted(encode=52_001), baseline) == [
        "stage 'encode': 52,001 instructions, +4.0 % from 50,000"
    ]


@pytest.mark.parametrize("what", ["machine", "versions", "networks"])
def test_counts_of_other_conditions_are_not_compared(what: str) -> None:
    with pytest.raises(CountingError, match=f"for the {what} of the baseline") as caught:
        compare({**BASELINE, what: "another"}, BASELINE)
    assert "--record" in (caught.value.hint or "")


def test_the_table_states_millions_and_shares() -> None:
    assert "| embed network | 1.000 | 66.7 % |" in to_markdown(BASELINE)
