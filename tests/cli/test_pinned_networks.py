"""The commands that pin the detector and liveness networks, and the face commands that use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome
from tests.face_networks import write_detector, write_liveness

Run = Callable[..., Outcome]


@pytest.fixture
def networks(tmp_path: Path) -> dict[str, Path]:
    return {
        "detector": write_detector(tmp_path / "detector.tflite"),
        "pad": write_liveness(tmp_path / "pad.tflite"),
        "other detector": write_detector(tmp_path / "other_detector.tflite", seed=5),
        "other pad": write_liveness(tmp_path / "other_pad.tflite", seed=5),
    }


@pytest.fixture
def pinned(
    edge_sdk: Run, empty_home: Any, networks: dict[str, Path], products: list[Any]
) -> Callable[..., Outcome]:
    """A gallery that pins its networks from the start; returns a function that identifies a photograph."""
    pins = ("--detector", networks["detector"], "--pad", networks["pad"])
    assert edge_sdk("gallery", "create", *empty_home.all, *pins).code == 0

    def identify(detector: str = "detector", *pad: str) -> Outcome:
        given = ("--pad", *(networks[name] for name in pad)) if pad else ()
        options = ("--detector", networks[detector], *given, "--threshold", "0.9")
        return edge_sdk("face", "identify", products[0].enrol, *empty_home.all, *options)

    return identify


def test_the_face_commands_take_the_pinned_networks_only(
    edge_sdk: Run, pinned: Callable[..., Outcome], empty_home: Any, networks: dict[str, Path]
) -> None:
    assert pinned("detector", "pad").code == 1, "no face, but no error"
    assert "expected the liveness networks that the gallery pins" in pinned("detector").err
    for detector, *pad in (
        ("other detector", "pad"),
        ("detector", "other pad"),
        ("detector", "pad", "other pad"),
    ):
        done = pinned(detector, *pad)
        assert (done.code, "SHA-256" in done.err) == (3, True)
    networks["pad"].write_bytes(networks["other pad"].read_bytes())
    assert pinned("detector", "pad").code == 3
    enrol = ("face", "enrol", "ann", "nobody.jpg", *empty_home.all, "--detector", networks["detector"])
    assert edge_sdk(*enrol).code == 3
    assert edge_sdk("gallery", "list", *empty_home.files).out == ""


def test_an_administrator_pins_other_networks(
    edge_sdk: Run, pinned: Callable[..., Outcome], empty_home: Any, networks: dict[str, Path]
) -> None:
    pin = ("gallery", "pin-networks", *empty_home.files)
    shown = json.loads(edge_sdk(*pin, "--json").out)
    assert (len(shown["detector"]), len(shown["liveness"]), shown["liveness_threshold"]) == (64, 1, 0.5)
    assert edge_sdk(*pin, "--detector", networks["other detector"]).out.startswith("pinned: detector ")
    changed = json.loads(edge_sdk(*pin, "--json").out)
    assert changed["detector"] != shown["detector"]
    assert changed["liveness"] == shown["liveness"]
    assert pinned("other detector", "pad").code == 1
    assert edge_sdk(*pin, "--pad", networks["detector"]).code == 3
    assert (
        "setting changed: detector and liveness networks"
        in edge_sdk("gallery", "audit", *empty_home.files).out
    )
    assert "liveness" in edge_sdk("gallery", "status", *empty_home.files).out
    assert edge_sdk(*pin, "--none").out == "pinned: nothing\n"
    assert pinned("detector").code == 1
    assert edge_sdk(*pin, "--none", "--pad", networks["pad"]).code == 2


def test_a_policy_pins_networks_in_the_same_change(
    edge_sdk: Run, tmp_path: Path, model_with_evidence: Path, networks: dict[str, Path]
) -> None:
    files = ("--gallery", tmp_path / "g", "--key", tmp_path / "k")
    model = ("--model", model_with_evidence)
    assert edge_sdk("gallery", "create", *model, *files).code == 0
    policy = ("gallery", "policy", *model, *files, "--fpir", "0.01")
    pins = ("--detector", networks["detector"], "--pad", networks["pad"])
    assert edge_sdk(*policy, *pins).code == 0
    before = json.loads(edge_sdk("gallery", "pin-networks", *files, "--json").out)
    assert before["detector"]
    assert edge_sdk(*policy).code == 0
    assert json.loads(edge_sdk("gallery", "pin-networks", *files, "--json").out) == before


def test_commands_that_need_no_model_do_not_warn(edge_sdk: Run, home: Any) -> None:
    for command in ("list", "status", "verify", "audit", "pin-networks"):
        assert edge_sdk("gallery", command, *home.files).err == ""
    doctor = edge_sdk("doctor", *home.files)
    assert "not compared with a model" in doctor.out
