"""The command line ``edge-train``: options, exit codes, and help."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edge_train.cli import build_parser, main
from tests.conftest import in_process
from tests.patience import PATIENCE_S


def test_the_examples_parse() -> None:
    examples = build_parser().format_help().partition("examples:\n")[2].partition("\n\n")[0]
    lines = examples.strip().splitlines()
    assert len(lines) >= 3
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "edge-train"
        assert build_parser().parse_args(words).pictures


def test_every_argument_has_a_help_text() -> None:
    assert [action.dest for action in build_parser()._actions if not action.help] == []


def test_the_help_imports_neither_tensorflow_nor_keras() -> None:
    source = (
        "import sys\nfrom edge_train.cli import build_parser\nbuild_parser().format_help()\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pictures"], "expected --output, --check or --augment-sheet, found none"),
        (["pictures", "--output", "o", "--steps", "0"], "steps"),
        (["pictures", "--output", "o", "--steps", "-5"], "without a sign"),
        (["pictures", "--check", "--augment-sheet", "s.png"], "not allowed with"),
        (["pictures", "--output", "o", "--steps", "5", "--minutes", "1"], "not allowed with"),
        (["pictures", "--output", "o", "--size", "8x8"], "size"),
        (["pictures", "--output", "o", "--target", "toaster"], "toaster"),
        (["pictures", "--output", "o", "--loss", "hinge"], "hinge"),
        (["pictures", "--output", "o", "--start", "a.keras", "--teacher", "b.onnx"], "not allowed with"),
        (["pictures", "--output", "o", "--start", "a.keras", "--width", "0.5"], "--width: has no effect"),
        (["pictures", "--output", "o", "--teacher", "b.onnx", "--loss", "arcface"], "--loss: has no effect"),
        (["pictures", "--output", "o", "--unlabelled"], "--unlabelled: expected --teacher"),
        (["pictures", "--output", "o", "--contract", "c.json"], "expected --start or --teacher"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = in_process(main, words, capsys)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.startswith("edge-train: error: ")
    assert outcome.out == ""


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = in_process(main, [tmp_path / "none", "--output", tmp_path / "mine", "--steps", "5"], capsys)
    assert outcome.code == 3
    assert outcome.err.startswith("edge-train: error: ")
    assert list(tmp_path.iterdir()) == []
