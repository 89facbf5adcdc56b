"""The example of Omniglot: characters of alphabets that training did not see are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.peak_memory import peak_bytes
from tools.omniglot import write_characters

STEPS = 400
MOST_MEMORY_BYTES = 1_500_000_000


@pytest.mark.slow
@pytest.mark.real
def test_held_out_alphabets_are_told_apart_in_bounded_memory(shared: Path, tmp_path: Path) -> None:
    parts = list(write_characters(shared / "omniglot", tmp_path / "omniglot").values())
    assert (parts.count("train"), parts.count("calibration"), parts.count("evaluation")) == (147, 14, 81)
    output = tmp_path / "letters"
    words = [tmp_path / "omniglot" / "characters", "--split", tmp_path / "omniglot" / "split.csv"]
    words += [
        "--output",
        output,
        *f"--size 28x28 --color gray --augmentation drawings --steps {STEPS}".split(),
    ]
    peak = peak_bytes(
        "import sys\nfrom edge_train.cli import main\nassert main(sys.argv[1:]) == 0", *map(str, words)
    )
    result = json.loads((output / "letters.training.json").read_text())
    (main,) = (file for file in result["files"] if file["file"] == result["main"])
    assert main["precision"] == "int8"
    assert main["eer"] <= 0.12
    assert peak <= MOST_MEMORY_BYTES
