"""The tutorial on training runs as written, with fewer pictures, a smaller input and fewer steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk.model.model_file import ModelFile
from tests.test_docs import ROOT, blocks, run_all

_SMALLER = {"FAMILIES = 150": "FAMILIES = 100", "--size 64x64 --steps 600": "--size 32x32 --steps 40"}


@pytest.mark.slow
def test_the_tutorial_on_training_runs_in_small(tmp_path: Path) -> None:
    for name in ("samples", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    page = (ROOT / "docs" / "tutorials" / "train-your-own-model.md").read_text(encoding="utf-8")
    for full, small in _SMALLER.items():
        assert page.count(f"{full}\n") == 1
        page = page.replace(f"{full}\n", f"{small}\n")
    run_all(blocks(page), tmp_path)
    card = ModelFile.open(tmp_path / "work" / "mine" / "mine.cpu_int8.tflite").card
    assert [point.fmr for point in card.operating_points] == [0.01]
    assert card.probability["slope"] > 0
