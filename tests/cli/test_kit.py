"""Transcripts of ``edge-convert kit``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import converters.kit.products
from converters.cli import main
from edge_sdk.kit import KitFile, Role
from tests.conftest import Outcome, in_process

Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *arguments: in_process(main, ("kit", *arguments), capsys)


def test_the_kit_of_the_samples_needs_no_download(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_SDK_ZOO", str(tmp_path / "nowhere"))
    done = run("products", "--output", tmp_path / "kit", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    kit = KitFile.open(tmp_path / "kit" / "products.edgekit")
    assert report["manifest_sha256"] == kit.sha256
    assert kit.manifest.fpir == 0.01
    assert [member.role for member in kit.manifest.members] == [Role.EMBEDDER, Role.LICENCE, Role.REPORT]
    assert sorted(path.name for path in (tmp_path / "kit").iterdir()) == [
        "products.edgekit",
        "products.kit.html",
    ]


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
