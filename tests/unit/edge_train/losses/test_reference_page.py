"""The reference page lists every loss with its settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_train.losses import LOSSES

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "losses.md"


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_stands_on_the_page_with_its_settings(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
    assert row is not None
    assert re.findall(r"`(\w+)`", row[0].rsplit("|", 2)[1]) == list(LOSSES[name].settings)


@pytest.mark.parametrize("setting", sorted({key for entry in LOSSES.values() for key in entry.settings}))
def test_a_setting_stands_among_the_ranges(setting: str) -> None:
    ranges = PAGE.read_text(encoding="utf-8").split("## Ranges")[1].split("## Degenerate")[0]
    assert f"`{setting}`" in ranges
