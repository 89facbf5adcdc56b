"""Transcripts of ``edge-sdk zoo``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import zoo

Run = Callable[..., Any]


def test_the_list_shows_tasks_licences_and_what_is_not_proven(edge_sdk: Run) -> None:
    done = edge_sdk("zoo", "list")
    assert done.code == 0
    for entry in zoo.ENTRIES:
        line = next(line for line in done.out.splitlines() if line.startswith(f"{entry.name} "))
        assert entry.task in line
        assert entry.licence in line
    assert "not yet tested with this SDK: sface-float, auraface" in done.out


def test_the_list_as_json_has_everything_a_program_needs(edge_sdk: Run) -> None:
    rows = json.loads(edge_sdk("zoo", "list", "--json").out)
    assert [row["name"] for row in rows] == [e.name for e in zoo.ENTRIES]
    assert rows[0]["input"]["color"] == "rgb"
    assert len(rows[0]["input"]["alignment"]["points"]) == 5


def test_an_unknown_model_is_one_error(edge_sdk: Run) -> None:
    done = edge_sdk("zoo", "pull", "facenet")
    assert done.code == 3
    assert "hint: edge-sdk zoo list" in done.err


def test_a_model_that_is_not_here_says_how_to_get_it(
    edge_sdk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(tmp_path))
    done = edge_sdk("zoo", "path", "yunet")
    assert done.code == 3
    assert "yunet_n_320_320.onnx" in done.err


@pytest.mark.real
def test_pull_says_the_licence_and_path_prints_the_file(
    edge_sdk: Run, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(shared / "zoo"))
    pulled = edge_sdk("zoo", "pull", "blazeface-full")
    assert pulled.code == 0
    assert f"licence Apache-2.0, from {shared / 'zoo'}" in pulled.err
    assert pulled.out.strip() == edge_sdk("zoo", "path", "blazeface-full").out.strip()
    assert Path(pulled.out.strip()).stat().st_size == zoo.entry("blazeface-full").size_bytes
