"""The comparison of augmentations trains with and without, and prints one line for each."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.conftest import in_process
from tests.unit.edge_train.data.pictures import encoded, pixels
from tools.compare_augmentations import main


@pytest.mark.slow
def test_one_line_is_printed_for_each_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "images_background_small.zip", "w") as archive:
        for number, (alphabet, characters) in enumerate((("Greek", 24), ("Latin", 33))):
            for character in range(characters):
                for image in range(4):
                    name = f"images/{alphabet}/character{character:02d}/{image}.png"
                    archive.writestr(name, encoded(pixels(100 * number + character, image)[..., 0]))
    arguments = ["--output", tmp_path / "work", "--omniglot", tmp_path, "--only", "omniglot", "--steps", 2]
    outcome = in_process(main, [*arguments, "--seeds", 1], capsys)
    assert outcome.code == 0, outcome.err
    rows = [line.split("|")[1:5] for line in outcome.out.splitlines()[2:]]
    assert [[cell.strip() for cell in row[:3]] for row in rows] == [
        ["omniglot", "none", "0"],
        ["omniglot", "drawings", "0"],
    ]
    assert all(0 < float(row[3]) < 1 for row in rows)
