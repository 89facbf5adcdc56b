"""Transcripts of ``edge-sdk doctor``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.graph.attach_card import with_card
from edge_sdk.model.model_file import ModelFile
from tests.conftest import build_network, card
from tests.trial_delegates import build_delegate

Run = Callable[..., Any]


def findings(outcome: Any) -> dict[str, dict[str, str]]:
    return {finding["check"]: finding for finding in json.loads(outcome.out)["findings"]}


def test_a_device_without_a_camera_is_healthy(
    edge_sdk: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("EDGE_SDK_INSTALLATION")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = edge_sdk("doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("ok    python ")
    assert any(line.startswith("ok    interpreter    ai-edge-litert ") for line in lines)
    assert json.loads(edge_sdk("doctor", "--json").out)["healthy"] is True


def test_a_model_is_run_on_the_cpu(edge_sdk: Run, golden_model_path: Path) -> None:
    done = edge_sdk("doctor", "--model", golden_model_path, "--json")
    checks = findings(done)
    assert done.code == 0
    assert checks["model"]["found"].startswith("pooled-colours 3, int8 for cpu, 96x96 rgb")
    assert checks["cpu"]["found"].startswith("4 of 4 answers exact (ai-edge-litert ")
    assert checks["operating points"]["status"] == "warn"


def test_a_model_from_before_golden_vectors_says_so(edge_sdk: Run, model_path: Path) -> None:
    done = edge_sdk("doctor", "--model", model_path, "--json")
    assert done.code == 0
    assert findings(done)["cpu"]["status"] == "warn"
    assert "no golden vectors" in findings(done)["cpu"]["found"]


def test_a_runtime_that_computes_otherwise_fails(
    edge_sdk: Run, tmp_path: Path, golden_model_path: Path
) -> None:
    vectors = ModelFile.open(golden_model_path).card.golden
    file = tmp_path / "other.tflite"
    file.write_bytes(with_card(build_network(seed=3), card(golden=vectors)))
    done = edge_sdk("doctor", "--model", file)
    assert done.code == 1
    assert "fail  cpu" in done.out
    assert "answers are wrong: off by" in done.out
    assert "-> do not use it" in done.out


@pytest.mark.parametrize("content", [None, b"", b"not a model at all"])
def test_a_file_that_is_no_model_fails_without_ending_the_rest(
    edge_sdk: Run, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "broken.tflite"
    if content is not None:
        file.write_bytes(content)
    done = edge_sdk("doctor", "--model", file, "--delegate", "libedgetpu.so.1", "--json")
    assert done.code == 1
    assert findings(done)["model"]["status"] == "fail"
    assert findings(done)["python"]["status"] == "ok"


@pytest.mark.parametrize(
    ("option", "status", "message"),
    [
        ("-DCONSTANT", "fail", "the same embedding for 4 different inputs"),
        ("-DNO_HARDWARE", "fail", "the delegate does not start"),
        ("-DCRASH", "fail", "it crashed (SIGABRT)"),
        ("-DTAKE_NOTHING", "warn", "it takes no part of this network"),
    ],
)
def test_each_delegate_is_compared_with_the_golden_vectors(
    edge_sdk: Run, tmp_path: Path, golden_model_path: Path, option: str, status: str, message: str
) -> None:
    library = build_delegate(tmp_path, option)
    done = edge_sdk("doctor", "--model", golden_model_path, "--delegate", library, "--json")
    check = findings(done)[f"delegate {library.name}"]
    assert check["status"] == status
    assert message in check["found"]
    assert done.code == (1 if status == "fail" else 0)


def test_a_delegate_without_a_model_cannot_be_checked(edge_sdk: Run) -> None:
    done = edge_sdk("doctor", "--delegate", "libedgetpu.so.1", "--json")
    assert done.code == 1
    assert findings(done)["delegate"]["advice"] == "give --model FILE as well"


def test_a_missing_edge_tpu_library_says_what_to_install(edge_sdk: Run, golden_model_path: Path) -> None:
    done = edge_sdk("doctor", "--model", golden_model_path, "--delegate", "libedgetpu.so.99", "--json")
    check = findings(done)["delegate libedgetpu.so.99"]
    assert check["found"].startswith("cannot be loaded: cannot open shared object file")
    assert "libedgetpu1-std" in check["advice"]


def test_a_gallery_says_how_strong_it_is(edge_sdk: Run, home: Any) -> None:
    done = edge_sdk("doctor", *home.all, "--json")
    checks = findings(done)
    assert done.code == 0
    assert checks["gallery"]["found"].startswith("subjects: 1, templates: 1, ")
    assert checks["gallery's key"]["status"] == "warn"
    assert checks["gallery's key"]["found"].startswith("level 0")
    assert checks["gallery's anchor"]["status"] == "warn"
    assert checks["gallery's model"]["found"] == "bound to its embedding space"


def test_a_gallery_of_another_model_fails(edge_sdk: Run, home: Any, float_model_path: Path) -> None:
    done = edge_sdk("doctor", "--model", float_model_path, *home.files, "--json")
    assert done.code == 1
    assert findings(done)["gallery's model"]["status"] == "fail"


def test_a_wrong_key_or_none_fails(edge_sdk: Run, home: Any, tmp_path: Path) -> None:
    gallery = home.files[1]
    done = edge_sdk("doctor", "--gallery", gallery, "--json")
    assert (done.code, findings(done)["gallery"]["advice"]) == (1, "give --key KEY or --passphrase as well")
    key = tmp_path / "wrong.key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    done = edge_sdk("doctor", "--gallery", gallery, "--key", key, "--json")
    assert (done.code, findings(done)["gallery"]["status"]) == (1, "fail")


def test_identifying_through_a_wrong_delegate_goes_on_with_the_cpu_and_says_so(
    edge_sdk: Run, tmp_path: Path, golden_model_path: Path, products: list[Any]
) -> None:
    files = (
        "--gallery",
        tmp_path / "home.gallery",
        "--key",
        tmp_path / "home.key",
        "--model",
        golden_model_path,
    )
    assert edge_sdk("enrol", "alice", products[0].enrol, *files).code == 0
    wrong = build_delegate(tmp_path)
    done = edge_sdk("identify", products[0].enrol, *files, "--threshold", 0.99, "--delegate", wrong)
    assert done.code == 0
    assert done.out.endswith("as alice\n")
    assert done.err == (
        f"edge-sdk: warning: {wrong}: the same embedding for 4 different inputs; the CPU runs the network in its place\n"
    )
    stranger = edge_sdk("identify", products[5].enrol, *files, "--threshold", 0.99, "--delegate", wrong)
    assert stranger.code == 1, "with the delegate every face would have been alice's"
