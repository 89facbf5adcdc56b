"""Commands take what is not named from the installation, and never mix a gallery with the key or anchor of another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.door.installation import ENVIRONMENT, FILE_NAME, Installation
from edge_sdk.door.installed_parts import InstalledKit, InstalledNetwork
from tests.cli.conftest import Home
from tests.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def installed(home: Home, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation with an embedder and a gallery in which alice is enrolled, in the environment variable."""
    model = home.folder / "products.tflite"
    model.write_bytes(home.model.read_bytes())
    installation = Installation(
        folder=home.folder,
        kit=InstalledKit("products", "1", "a" * 64),
        networks=(InstalledNetwork(model.name, hashlib.sha256(model.read_bytes()).hexdigest()),),
        detector_file=None,
        key_word="./home.key",
        anchor_word=None,
    )
    (home.folder / FILE_NAME).write_bytes(installation.to_bytes())
    monkeypatch.setenv(ENVIRONMENT, str(home.folder))
    return installation


def other_gallery(edge_sdk: Run, folder: Path, model: Path) -> tuple[str, str]:
    files = "--gallery", str(folder / "other.gallery"), "--key", str(folder / "other.key")
    assert edge_sdk("gallery", "create", "--model", model, *files).code == 0
    return files[1], files[3]


def test_no_file_has_to_be_named(edge_sdk: Run, installed: Installation, products: list[Any]) -> None:
    assert edge_sdk("gallery", "list").out.startswith("alice\t1")
    done = edge_sdk("identify", products[0].enrol, "--threshold", "0.9")
    assert done.out.endswith("accepted as alice\n")
    assert edge_sdk("enrol", "bob", products[1].enrol).code == 0
    assert edge_sdk("verify", "bob", products[1].enrol, "--threshold", "0.9").code == 0


def test_another_folder_can_be_named(
    edge_sdk: Run, installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("HOME", str(installed.folder))
    done = edge_sdk("gallery", "list")
    assert done.code == 2
    assert (
        "expected --gallery, --key, found none: give them, or install a kit with edge-sdk setup" in done.err
    )
    assert edge_sdk("gallery", "list", "--installation", installed.folder).out.startswith("alice")
    missing = edge_sdk("gallery", "list", "--installation", installed.folder / "none")
    assert (missing.code, "expected an installation in" in missing.err) == (3, True)


def test_json_names_the_files_that_were_taken(edge_sdk: Run, installed: Installation) -> None:
    status = json.loads(edge_sdk("gallery", "status", "--json").out)
    assert status["files"] == {"gallery": str(installed.gallery), "key": installed.key}
    named = json.loads(
        edge_sdk("gallery", "status", "--json", "--gallery", installed.gallery, "--key", installed.key).out
    )
    assert "files" not in named


def test_an_explicit_gallery_takes_neither_key_nor_anchor(
    edge_sdk: Run, installed: Installation, tmp_path: Path
) -> None:
    gallery, key = other_gallery(edge_sdk, tmp_path, installed.model)
    done = edge_sdk("gallery", "list", "--gallery", gallery)
    assert done.code == 2
    assert "expected --key, found none" in done.err
    assert edge_sdk("gallery", "list", "--gallery", gallery, "--key", key).out == ""
    # The anchor of the installation would be the anchor of another gallery.
    anchored = Installation.read(installed.folder).to_bytes().replace(b'"anchor": null', b'"anchor": "./a"')
    (installed.folder / FILE_NAME).write_bytes(anchored)
    assert edge_sdk("gallery", "list", "--gallery", gallery, "--key", key).code == 0
    assert not (installed.folder / "a").exists()


def test_another_key_may_open_the_gallery_of_the_installation(
    edge_sdk: Run, installed: Installation, tmp_path: Path
) -> None:
    assert edge_sdk("gallery", "add-key", tmp_path / "spare.key").code == 0
    status = json.loads(edge_sdk("gallery", "status", "--json", "--key", tmp_path / "spare.key").out)
    assert status["files"] == {"gallery": str(installed.gallery)}


def test_an_explicit_model_takes_no_other_networks(
    edge_sdk: Run, installed: Installation, tmp_path: Path
) -> None:
    done = edge_sdk("face", "identify", tmp_path / "photo.jpg", "--model", installed.model)
    assert (done.code, "expected --detector, found none" in done.err) == (2, True)


def test_a_kit_without_a_detector_finds_no_faces(
    edge_sdk: Run, installed: Installation, tmp_path: Path
) -> None:
    done = edge_sdk("face", "identify", tmp_path / "photo.jpg")
    assert (done.code, "give them, or name another installation" in done.err) == (2, True)


def test_creating_a_gallery_needs_its_name(edge_sdk: Run, installed: Installation, tmp_path: Path) -> None:
    before = installed.gallery.read_bytes()
    done = edge_sdk("gallery", "create")
    assert done.code == 2
    assert "the following arguments are required: --gallery" in done.err
    again = edge_sdk("gallery", "create", "--gallery", installed.gallery, "--key", tmp_path / "k")
    assert (again.code, "exists already" in again.err) == (3, True)
    assert installed.gallery.read_bytes() == before
    assert edge_sdk("gallery", "create", "--gallery", tmp_path / "g", "--key", tmp_path / "k").code == 0


def test_enrol_does_not_create_the_gallery_of_an_installation(
    edge_sdk: Run, installed: Installation, products: list[Any]
) -> None:
    installed.gallery.unlink()
    done = edge_sdk("enrol", "bob", products[1].enrol)
    assert (done.code, installed.gallery.exists()) == (3, False)


def test_an_installation_that_nothing_is_taken_from_is_refused(
    edge_sdk: Run, installed: Installation
) -> None:
    files = ("--gallery", installed.gallery, "--key", installed.key)
    done = edge_sdk("gallery", "list", *files, "--installation", installed.folder)
    assert (done.code, "expected files to take from --installation" in done.err) == (2, True)


def test_a_malformed_installation_stops_only_commands_that_need_it(
    edge_sdk: Run, installed: Installation
) -> None:
    (installed.folder / FILE_NAME).write_text("{")
    assert edge_sdk("gallery", "list").code == 3
    assert edge_sdk("gallery", "list", "--gallery", installed.gallery, "--key", installed.key).code == 0


def test_doctor_checks_everything_or_what_is_named(edge_sdk: Run, installed: Installation) -> None:
    everything = json.loads(edge_sdk("doctor", "--json").out)
    checks = {finding["check"]: finding["status"] for finding in everything["findings"]}
    assert checks["installation"] == checks["networks"] == checks["model"] == checks["gallery"] == "ok"
    assert everything["files"]["gallery"] == str(installed.gallery)
    named = json.loads(edge_sdk("doctor", "--json", "--model", installed.model).out)
    assert {"installation", "gallery"}.isdisjoint(finding["check"] for finding in named["findings"])
    installed.model.chmod(0o600)
    installed.model.write_bytes(installed.model.read_bytes()[:-1])
    damaged = edge_sdk("doctor")
    assert damaged.code == 1
    assert "expected SHA-256" in damaged.out


def test_a_folder_in_the_environment_without_an_installation_is_no_healthy_device(
    edge_sdk: Run, installed: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "nothing"))
    done = edge_sdk("doctor")
    assert (done.code, f"{ENVIRONMENT} names {tmp_path / 'nothing'}" in done.out) == (1, True)
    assert f"{ENVIRONMENT} names {tmp_path / 'nothing'}" in edge_sdk("gallery", "list").err
    assert edge_sdk("doctor", "--model", installed.model).code == 0
    monkeypatch.setenv(ENVIRONMENT, str(installed.folder))
    assert "an explicit file takes nothing" in edge_sdk("gallery", "list", "--gallery", tmp_path / "x").err


def test_changed_keys_and_anchors_are_stored(edge_sdk: Run, installed: Installation, tmp_path: Path) -> None:
    done = edge_sdk("gallery", "rotate-key", "--to", tmp_path / "new.key")
    assert (done.code, "opens its gallery with" in done.err) == (0, True)
    assert edge_sdk("gallery", "list").code == 0
    assert Installation.read(installed.folder).key == str(tmp_path / "new.key")
    assert edge_sdk("gallery", "add-key", tmp_path / "spare.key").code == 0
    assert edge_sdk("gallery", "remove-key", "0", "--key", tmp_path / "spare.key").code == 0
    assert edge_sdk("gallery", "list").code == 0
    anchor = installed.folder / "a.anchor"
    assert edge_sdk("gallery", "re-anchor", "--anchor", anchor, "--yes").code == 0
    assert Installation.read(installed.folder).anchor_word == "./a.anchor"
    assert edge_sdk("gallery", "re-anchor", "--none", "--yes").code == 0
    assert Installation.read(installed.folder).anchor is None
    assert edge_sdk("gallery", "list").out.startswith("alice")


def test_a_changed_key_is_stored_also_if_the_environment_does_not_name_the_installation(
    edge_sdk: Run, installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "nothing"))
    files = ("--gallery", installed.gallery, "--key", installed.key)
    assert edge_sdk("gallery", "rotate-key", *files, "--to", tmp_path / "new.key").code == 0
    assert Installation.read(installed.folder).key == str(tmp_path / "new.key")


def test_an_added_key_changes_nothing(edge_sdk: Run, installed: Installation, tmp_path: Path) -> None:
    before = (installed.folder / FILE_NAME).read_bytes()
    assert edge_sdk("gallery", "add-key", tmp_path / "spare.key").code == 0
    assert edge_sdk("gallery", "remove-key", "1").code == 0
    assert (installed.folder / FILE_NAME).read_bytes() == before
