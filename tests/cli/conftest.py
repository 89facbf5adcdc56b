"""Fixtures that run ``edge-sdk`` and check the form of its output."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.cli import main
from tests.conftest import Outcome, in_process
from tests.patience import PATIENCE_S

PROGRAM = Path(sys.executable).with_name("edge-sdk")


def check_form(outcome: Outcome, *, partial: bool = False) -> Outcome:
    """Check that stderr has one error line, at most one hint, no capital at the start and no full stop at the end.

    Args:
        outcome: Exit code and output of a command.
        partial: The command answers for a part of its input, so it prints answers and an error.
    """
    assert "Traceback" not in outcome.err + outcome.out
    lines = outcome.err.splitlines()
    if outcome.code == 2:  # an error in the usage: two lines, so that no usage text buries the error
        error, hint = lines
        assert re.match(r"edge-sdk( [\w-]+)*: error: [a-z]", error)
        assert re.fullmatch(r"edge-sdk: hint: edge-sdk( [\w-]+)* --help prints the options", hint)
        return outcome
    for line in lines:
        assert line.startswith("edge-sdk: "), line
        message = re.sub(r"^edge-sdk: (error: |hint: )?", "", line)
        assert not message[0].isupper(), line
        assert not line.endswith("."), line
    errors = [line for line in lines if line.startswith("edge-sdk: error: ")]
    assert len(errors) == (1 if outcome.code == 3 else 0), outcome
    if outcome.code == 3 and not partial:
        assert outcome.out == ""
    return outcome


@pytest.fixture
def edge_sdk(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """A function that runs a command line in this process and checks the form of its output."""

    def run(*arguments: Any, partial: bool = False) -> Outcome:
        return check_form(in_process(main, arguments, capsys), partial=partial)

    return run


@pytest.fixture
def edge_sdk_process() -> Callable[..., Outcome]:
    """A function that runs the installed command in a new process and checks the form of its output."""

    def run(*arguments: Any, **options: Any) -> Outcome:
        done = subprocess.run(
            [PROGRAM, *arguments],
            **{"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options},
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
        out = (done.stdout or b"").decode()
        return check_form(Outcome(done.returncode, out, done.stderr.decode()))

    return run


@dataclass(frozen=True)
class Home:
    """A folder for a gallery and its key, and a model file."""

    folder: Path
    model: Path

    @property
    def files(self) -> tuple[str, ...]:
        return ("--gallery", str(self.folder / "home.gallery"), "--key", str(self.folder / "home.key"))

    @property
    def all(self) -> tuple[str, ...]:
        return ("--model", str(self.model), *self.files)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def empty_home(tmp_path: Path, model_path: Path) -> Home:
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder, model_path)


@pytest.fixture
def home(empty_home: Home, products: list[Any], edge_sdk: Callable[..., Outcome]) -> Home:
    """A folder with a gallery in which the first product is enrolled as alice."""
    assert edge_sdk("enrol", "alice", products[0].enrol, *empty_home.all).code == 0
    return empty_home
