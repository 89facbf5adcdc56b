"""Transcripts of ``edge-convert kit``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import converters.kit.products
from converters.cli import main
from converters.cli.kit import ask
from edge_sdk.kit import KitFile, Role
from tests.conftest import Outcome, in_process

Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *arguments: in_process(main, ("kit", *arguments), capsys)


@pytest.mark.slow  # the README has the same command, and its test runs it
def test_the_kit_of_the_samples_needs_no_download(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_SDK_ZOO", str(tmp_path / "nowhere"))
    done = run("products", "--output", tmp_path / "kit", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    kit = KitFile.open(tmp_path / "kit" / "products.edgekit")
    assert report["sha256"] == kit.sha256
    assert report["replaced"] is None
    assert kit.manifest.fpir == 0.01
    assert [member.role for member in kit.manifest.members] == [Role.EMBEDDER, Role.LICENCE, Role.REPORT]
    assert sorted(path.name for path in (tmp_path / "kit").iterdir()) == [
        "products.edgekit",
        "products.kit.html",
    ]


def test_without_a_terminal_the_licences_must_be_accepted_by_an_option(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_SDK_ZOO", raising=False)
    done = run("face", "--output", tmp_path / "kit")
    assert done.code == 3
    for network in ("face", "detector", "pad_2.7", "pad_4.0"):
        assert f"  {network}.tflite: Apache-2.0" in done.err
    assert (
        "error: the licences of the networks were not accepted; nothing was downloaded or written" in done.err
    )
    assert "hint: --accept-licences accepts them without a question" in done.err
    assert not list(tmp_path.iterdir())


def test_a_mirror_without_the_files_is_one_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("EDGE_SDK_ZOO", mirror.as_uri())
    done = run("face", "--accept-licences", "--output", tmp_path / "kit")
    assert done.code == 3
    assert "sface: expected a file of 10667852 bytes" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mirror"]


@pytest.mark.parametrize(("answer", "accepted"), [("y\n", True), ("yes", True), ("", False), ("n", False)])
def test_a_question_on_a_terminal_needs_a_clear_yes(
    monkeypatch: pytest.MonkeyPatch, answer: str, accepted: bool
) -> None:
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert ask([], read=lambda: answer) is accepted


def test_an_installed_package_says_that_it_has_no_samples(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converters, "__file__", str(tmp_path / "converters" / "__init__.py"))
    done = run("products", "--output", tmp_path / "kit")
    assert done.code == 3
    assert "expected the samples of a checkout" in done.err
    assert "run the command in a checkout" in done.err
    assert not list(tmp_path.iterdir())


def test_own_networks_become_a_kit(run: Run, model_with_evidence: Path, tmp_path: Path) -> None:
    own = ("own", "--embedder", model_with_evidence, "--licence", "mine", "--output", tmp_path / "kit")
    done = run(*own, "--name", "office")
    assert done.code == 0, done.err
    assert "FPIR     0.01 for up to 10 templates" in done.out
    assert f"written to {tmp_path / 'kit' / 'office.edgekit'}" in done.out
    assert run(*own, "--name", "Office").code == 3


def test_missing_evidence_is_an_error_with_its_cure(run: Run, model_path: Path, tmp_path: Path) -> None:
    own = (
        "own",
        "--embedder",
        model_path,
        "--licence",
        "mine",
        "--name",
        "office",
        "--output",
        tmp_path / "kit",
    )
    done = run(*own)
    assert done.code == 3
    assert "edge-convert evaluate FILE --images people/ --write-card" in done.err
    assert run(*own, "--allow-no-evidence").code == 0


def test_one_file_for_two_networks_is_wrong_usage(run: Run, model_path: Path, tmp_path: Path) -> None:
    twice = ("own", "--embedder", model_path, "--detector", model_path, "--name", "x", "--licence", "mine")
    done = run(*twice, "--output", tmp_path / "kit")
    assert done.code == 2
    assert "expected a different file for each network" in done.err


def test_a_full_disk_leaves_nothing(model_with_evidence: Path, tmp_path: Path) -> None:
    """Simulate a full disk by a limit on file size: with both, write() fails in the middle of a file."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from converters.cli import main; import converters.kit.own;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); sys.exit(main(sys.argv[1:]))"
    )
    own = ["kit", "own", "--embedder", str(model_with_evidence), "--name", "office", "--licence", "mine"]
    done = subprocess.run(
        [sys.executable, "-c", script, *own, "--output", str(tmp_path / "kit")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("edge-convert: error: ")
    assert not list(tmp_path.iterdir())
