"""`installation.json` is read strictly, and names files of its folder by absolute paths."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.door.installation import ENVIRONMENT, FILE_NAME, Installation
from edge_sdk.door.installed_parts import AcceptedLicences, InstalledKit, InstalledNetwork
from edge_sdk.errors import InputError


def installation_at(folder: Path) -> Installation:
    return Installation(
        folder=folder,
        kit=InstalledKit("face", "1", "a" * 64),
        networks=(
            InstalledNetwork("face.tflite", "b" * 64),
            InstalledNetwork("detector.tflite", "c" * 64),
            InstalledNetwork("pad_2.7.tflite", "d" * 64),
            InstalledNetwork("pad_4.0.tflite", "e" * 64),
        ),
        detector_file="detector.tflite",
        key_word="./home.key",
        anchor_word="./anchor/home.anchor",
        camera="usb:1",
        rotate=180,
        door=True,
        accepted=AcceptedLicences("f" * 64, ("face.tflite: Apache-2.0",), 1_900_000_000),
    )


@pytest.fixture
def written(tmp_path: Path) -> Installation:
    installation = installation_at(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(installation.to_bytes())
    return installation


def test_what_is_written_is_read(written: Installation) -> None:
    assert Installation.read(written.folder) == written


def test_paths_are_absolute_and_words_stay(written: Installation) -> None:
    folder = written.folder
    assert written.model == folder / "face.tflite"
    assert written.detector == folder / "detector.tflite"
    assert written.liveness == (folder / "pad_2.7.tflite", folder / "pad_4.0.tflite")
    assert (written.key, written.anchor) == (str(folder / "home.key"), str(folder / "anchor" / "home.anchor"))
    assert replace(written, key_word="pi-otp", anchor_word=None).key == "pi-otp"
    assert replace(written, anchor_word="tpm:1500020").anchor == "tpm:1500020"


def test_a_moved_folder_names_its_own_files(written: Installation, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (written.folder / FILE_NAME).rename(other / FILE_NAME)
    assert Installation.read(other).key == str(other / "home.key")


def test_the_default_folder_is_that_of_the_environment(
    written: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(written.folder))
    assert Installation.read() == Installation.find() == written
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("HOME", str(written.folder))
    assert Installation.default_folder() == written.folder / ".local/share/edge-sdk/door"
    assert Installation.find() is None
    with pytest.raises(InputError, match="expected an installation in") as caught:
        Installation.read()
    assert "edge-sdk setup" in str(caught.value.hint)


def test_a_user_without_a_home_folder_has_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 987_654)  # no entry in the user database
    with pytest.raises(InputError, match="expected a home folder") as caught:
        Installation.read()
    assert "--installation" in str(caught.value.hint)
    assert Installation.find() is None


def test_a_pipe_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(InputError, match="found a folder or a device"):
        Installation.read(tmp_path)


def remove(field: str) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.pop(field)


def put(field: str, content: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update({field: content})


@pytest.mark.parametrize(
    "change",
    [
        remove("schema"),
        remove("kit"),
        remove("model"),
        remove("key"),
        remove("rotate"),
        put("schema", "edge-sdk/installation/2"),
        put("unknown", 1),
        put("rotate", 45),
        put("rotate", "90"),
        put("door", 1),
        put("key", ""),
        put("key", 3),
        put("camera", "a\0b"),
        put("gallery", "../home.gallery"),
        put("gallery", "/etc/passwd"),
        put("gallery", "other.gallery"),
        put("model", {"file": "../face.tflite", "sha256": "b" * 64}),
        put("model", {"file": "kit/face.tflite", "sha256": "b" * 64}),
        put("liveness", [{"file": "home.gallery", "sha256": "b" * 64}]),
        put("liveness", [{"file": "home.key", "sha256": "b" * 64}]),
        put("model", {"file": "face.tflite", "sha256": "b" * 63}),
        put("liveness", [{"file": "p.tflite", "sha256": "b" * 64}] * 40),
        put("liveness", {}),
        put("accepted", {"terms_sha256": "f" * 64}),
        put("kit", []),
    ],
)
def test_a_malformed_file_is_refused(written: Installation, change: Callable[[dict[str, Any]], None]) -> None:
    path = written.folder / FILE_NAME
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=FILE_NAME) as caught:
        Installation.read(written.folder)
    assert "edge-sdk setup KIT again" in str(caught.value.hint)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": 1, "schema": 2}', b"[" * 100_000, b" " * 70_000],
    ids=["empty", "cut", "list", "no text", "twice", "nested", "large"],
)
def test_a_file_that_is_no_installation_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=FILE_NAME):
        Installation.read(tmp_path)


def test_a_kit_without_a_detector_opens_no_recognizer(written: Installation) -> None:
    products = replace(written, networks=written.networks[:1], detector_file=None)
    with pytest.raises(InputError, match="expected a kit with a face detector"):
        products.open_recognizer()


def test_a_passphrase_must_be_given(written: Installation) -> None:
    with pytest.raises(InputError, match="expected the passphrase"):
        replace(written, key_word="passphrase").open_recognizer()
