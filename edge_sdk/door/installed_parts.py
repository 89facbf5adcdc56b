"""Parts of `installation.json`: kit, networks and accepted licences, as frozen values and from JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edge_sdk.errors import InputError
from edge_sdk.model.json_fields import JsonFields, text, whole_number

MAX_NETWORKS = 32
FILE_NAME = "installation.json"
KEY_FILE, ANCHOR_FILE, GALLERY_FILE = "home.key", "anchor/home.anchor", "home.gallery"
LOCK, STAGING, TEXTS = "setup", "new", "kit"
#: Folder with the networks of the earlier kit, as long as a change of the gallery's model can be undone.
BEFORE = "before"
#: Beginnings of the names of files that setup writes itself, besides key and anchor.
_OWN = (FILE_NAME, GALLERY_FILE, f"{LOCK}.", "earlier-")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class InstalledKit:
    """The kit of an installation.

    Args:
        name: Name of the kit.
        version: Version of the kit.
        sha256: SHA-256 of the kit's file, hex; installations of earlier versions have that of its manifest.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class InstalledNetwork:
    """A network of an installation.

    Args:
        file: File name in the folder.
        sha256: SHA-256 of the file, hex.

    Raises:
        InputError: The name is that of a file or folder that setup uses itself, or is no plain name.
    """

    file: str
    sha256: str

    def __post_init__(self) -> None:
        own = self.file.startswith(("home.", "anchor")) or is_written_by_setup(self.file)
        if own or not _NAME.fullmatch(self.file):
            raise InputError(
                f"expected the plain file name of a network, which setup does not use itself, found {self.file!r}"
            )


def is_written_by_setup(name: str) -> bool:
    """Tell if the first part of a path in the folder is replaced or removed by setup; key and anchor are not."""
    return name in (STAGING, TEXTS, BEFORE) or name.startswith(_OWN)


@dataclass(frozen=True)
class AcceptedLicences:
    """The licences that a person accepted.

    Args:
        terms_sha256: Digest of the networks' licences, notes and sources and of the licence texts, hex; other terms have to
            be accepted again.
        licences: One line for each network: file name and licence.
        at_s: Time of the acceptance, Unix seconds.
    """

    terms_sha256: str
    licences: tuple[str, ...]
    at_s: int


def parse_kit(value: Any) -> InstalledKit:
    """Convert the field `kit`; raises ModelCardError, TypeError or ValueError for a malformed one."""
    fields = JsonFields(value, "installation, kit")
    return InstalledKit(
        fields.read("name", text), fields.read("version", text), fields.read("sha256", _digest)
    )


def parse_network(value: Any) -> InstalledNetwork:
    """Convert a network; errors as `parse_kit`."""
    fields = JsonFields(value, "installation, network")
    return InstalledNetwork(fields.read("file", text), fields.read("sha256", _digest))


def parse_networks(value: Any) -> tuple[InstalledNetwork, ...]:
    """Convert a list of networks; errors as `parse_kit`."""
    return tuple(parse_network(item) for item in _list(value))


def parse_accepted(value: Any) -> AcceptedLicences:
    """Convert the field `accepted`; errors as `parse_kit`."""
    fields = JsonFields(value, "installation, accepted")
    return AcceptedLicences(
        fields.read("terms_sha256", _digest),
        fields.read("licences", lambda items: tuple(text(item) for item in _list(items))),
        fields.read("at_s", whole_number),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_NETWORKS:
        raise TypeError(f"{value!r} is not a list of at most {MAX_NETWORKS}")
    return value


def _digest(value: Any) -> str:
    if not _DIGEST.fullmatch(text(value)):
        raise ValueError(f"{value!r} is not a SHA-256 in hex")
    return text(value)


def parse_word(value: Any) -> str:
    """Return a word of the command line; errors as `parse_kit`."""
    if not text(value).strip() or "\0" in value:
        raise ValueError(f"{value!r} is empty or has a null byte")
    return text(value)


def unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raises ValueError if it has a field twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("expected each field once, found one twice")
    return value
