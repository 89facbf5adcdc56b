"""Shell completion of all programs through argcomplete."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_sdk import console
from edge_sdk.cli import build_parser
from tests.patience import PATIENCE_S

MODULES = {"edge-sdk": "edge_sdk.cli", "edge-convert": "converters.cli", "edge-train": "edge_train.cli"}


def complete(line: str, tmp_path: Path) -> Sequence[str]:
    """Return the words that a shell would offer after a command line."""
    output = tmp_path / "completions"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(output),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run(
        [sys.executable, "-m", MODULES[line.split()[0]]], env=environment, timeout=PATIENCE_S, check=True
    )
    return [word.strip() for word in output.read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("edge-sdk ga", {"gallery"}),
        (
            "edge-sdk gallery re",
            {
                "re-anchor",
                "reinstate",
                "remove",
                "remove-key",
                "remove-look",
                "renew-transform",
                "reset-attempts",
                "reset-clock",
                "restore",
                "revoke",
            },
        ),
        ("edge-sdk gallery create --su", {"--suite"}),
        ("edge-sdk gallery create --suite a", {"aes-256-gcm"}),
        ("edge-sdk face enrol --le", {"--least"}),
        ("edge-convert ins", {"inspect"}),
        ("edge-convert convert --calib", {"--calibration"}),
        ("edge-train --augm", {"--augment-sheet", "--augmentation"}),
        ("edge-train --color g", {"gray"}),
    ],
)
def test_commands_options_and_choices_are_completed(line: str, words: set[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete", reason="the extra completion is not installed")
    assert set(complete(line, tmp_path)) == words


def test_argcomplete_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    console.enable_completion(build_parser())


@pytest.mark.parametrize("module", MODULES.values())
def test_global_completion_finds_its_marker(module: str) -> None:
    """activate-global-python-argcomplete looks for the marker in the first 1024 bytes of the entry point's module."""
    root = Path(__file__).parents[2]
    assert b"PYTHON_ARGCOMPLETE_OK" in (root / module.replace(".", "/") / "__init__.py").read_bytes()[:1024]
