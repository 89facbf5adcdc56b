"""Take files that a command line does not name from the installation, without mixing what does not belong together.

Two rules: an explicit --gallery takes neither the key nor the anchor of the installation, and an explicit --model takes
neither its detector nor its liveness networks. A command that needs no part, such as `doctor`, takes either everything
from the installation or nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import PROGRAM
from edge_sdk.errors import EdgeSdkError, InputError

if TYPE_CHECKING:
    from edge_sdk.door.installation import Installation

#: Options of a part; the first of each is the one that is missing if the part is.
_OPTIONS = {
    "gallery": ("gallery", "key", "anchor"),
    "model": ("model",),
    "face": ("detector", "pad"),
    "detector": ("detector",),
    "camera": ("camera",),
}
#: Values of the installation that are no files; the address of a camera may contain a password.
_NOT_SHOWN = ("camera", "rotate", "threads")


def use_installation(arguments: argparse.Namespace) -> None:
    """Complete the arguments of a command from the installation, and check that nothing is missing.

    Sets `arguments.taken`, the files that were taken by the names of their options as JSON values, and
    `arguments.installed`, the installation if it was read. Ends the program with a usage error if something is missing.

    Raises:
        InputError: the installation that is named or needed cannot be read.
    """
    from edge_sdk.door.installation import Installation

    parts: Mapping[str, bool] = getattr(arguments, "parts", {})
    arguments.taken, arguments.installed = {}, None
    missing = [part for part in parts if _is_missing(part, arguments)]
    named = getattr(arguments, "installation", None)
    if parts and named is not None and not missing:
        arguments.parser.error(
            "expected files to take from --installation, found none: the other options name every file"
        )
    explicit = [part for part in parts if part not in missing]
    alone = not any(parts.values()) and explicit and named is None
    if missing and not alone:
        installation = Installation.find() if named is None else Installation.read(named)
        if installation is not None:
            for part in missing:
                _take(part, arguments, installation)
            arguments.installed = installation
    if parts and getattr(arguments, "rotate", 0) is None:
        arguments.rotate = 0
    _require(parts, arguments)


def record_key(arguments: argparse.Namespace, word: str) -> None:
    """Store another key word in the installation if a change of the gallery's keys has made the stored one useless.

    Args:
        arguments: Arguments of a command that has changed the keys.
        word: A key that opens the gallery now.
    """
    from edge_sdk.door.named import anchor_named, key_named
    from edge_sdk.door.words import PASSPHRASE
    from edge_sdk.gallery import Gallery

    installation = installation_of(arguments)
    if installation is None or word == installation.key:
        return
    if installation.key != PASSPHRASE:
        with contextlib.suppress(EdgeSdkError):
            anchor = anchor_named(arguments.anchor)
            Gallery.open(arguments.gallery, key=key_named(installation.key), needs_model=False, anchor=anchor)
            return
    installation.with_key(word).write()
    console.say(
        PROGRAM, f"the installation in {installation.folder} opens its gallery with {word} from now on"
    )


def record_anchor(arguments: argparse.Namespace, word: str | None) -> None:
    """Store another anchor word in the installation if its gallery has been given another anchor, or none."""
    installation = installation_of(arguments)
    if installation is None or word == installation.anchor:
        return
    installation.with_anchor(word).write()
    console.say(PROGRAM, f"the installation in {installation.folder} uses {word or 'no anchor'} from now on")


def installation_of(arguments: argparse.Namespace) -> Installation | None:
    """Return the installation whose gallery the arguments name or take; None if there is none."""
    from edge_sdk.door.installation import Installation

    with contextlib.suppress(InputError):
        installation = Installation.read(arguments.gallery.parent)
        if installation.gallery.resolve() == arguments.gallery.resolve():
            return installation
    return None


def _is_missing(part: str, arguments: argparse.Namespace) -> bool:
    if part == "face":
        return arguments.detector is None and arguments.model is None
    if part == "camera":
        return arguments.camera is None and not getattr(arguments, "photographs", None)
    return getattr(arguments, _OPTIONS[part][0]) is None


def _take(part: str, arguments: argparse.Namespace, installation: Installation) -> None:
    values: dict[str, Any] = {}
    if part == "gallery":
        values = {"gallery": installation.gallery, "key": installation.key, "anchor": installation.anchor}
    elif part == "model":
        values = {"model": installation.model, "threads": installation.threads}
    elif part in ("face", "detector") and installation.detector is not None:
        values = {"detector": str(installation.detector)}
        if part == "face":
            values["pad"] = list(installation.liveness)
    elif part == "camera":
        values = {"camera": installation.camera, "rotate": installation.rotate}
    for name, value in values.items():
        # Another key or anchor for the installation's gallery may be given, and another turn of its camera.
        if getattr(arguments, name, None) in (None, []) and value not in (None, []):
            setattr(arguments, name, value)
            if name not in _NOT_SHOWN:
                arguments.taken[name] = (
                    [str(path) for path in value] if isinstance(value, list) else str(value)
                )


def _require(parts: Mapping[str, bool], arguments: argparse.Namespace) -> None:
    names = [
        f"--{name}"
        for part, required in parts.items()
        if required
        for name in _OPTIONS[part][: 2 if part == "gallery" else 1]
        if getattr(arguments, name) is None
    ]
    if names:
        arguments.parser.error(f"expected {', '.join(names)}, found none: give them, or {_way(arguments)}")


def _way(arguments: argparse.Namespace) -> str:
    """Return how an installation can give what is missing."""
    from edge_sdk.door.installation import ENVIRONMENT
    from edge_sdk.door.installed_parts import FILE_NAME

    if arguments.installed is not None:
        installation = arguments.installed
        return (
            f"name another installation with --installation or {ENVIRONMENT}: kit {installation.kit.name} in"
            f" {installation.folder} has none"
        )
    folder = os.environ.get(ENVIRONMENT)
    if folder and (Path(folder) / FILE_NAME).is_file():
        return "name them all: an explicit file takes nothing that belongs to another"
    return "install a kit with edge-sdk setup" + (
        f" ({ENVIRONMENT} names {folder}: no kit is there)" if folder else ""
    )
