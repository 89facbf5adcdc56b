"""Manifest of a kit: what the archive contains, as frozen values and as JSON.

A kit is a ZIP archive named ``NAME.edgekit``. Its member ``kit.json`` is the manifest; every other member is listed in it with
its size and SHA-256. The digest of a kit is the SHA-256 of the whole file, as `sha256sum` prints it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import card_bytes, read_card_json
from edge_sdk.model.json_fields import JsonFields, number, text, texts, whole_number

SCHEMA = "edge-sdk/kit/1"
MANIFEST_NAME = "kit.json"
KIT_SUFFIX = ".edgekit"
#: Largest kit, largest member and most members; checked before anything is read.
MAX_KIT_BYTES = 256 << 20
MAX_MEMBER_BYTES = 128 << 20
MAX_MEMBERS = 32
_MAX_VERSION = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Role(enum.Enum):
    """Purpose of a member of a kit."""

    EMBEDDER = "embedder"
    DETECTOR = "detector"
    LIVENESS = "liveness"
    LICENCE = "licence"
    REPORT = "report"


@dataclass(frozen=True)
class KitMember:
    """One file of a kit.

    Args:
        file: Plain file name in the archive, lower case.
        role: Purpose of the file.
        sha256: SHA-256 of the file, hex.
        size_bytes: Size of the file.
        licence: Licence of the network, as its author states it; empty for a licence or a report.
        licence_note: Questions that the licence leaves open.
        source: Address or file name from which the network was converted.
        source_sha256: SHA-256 of that file, hex; empty if it is not known.
    """

    file: str
    role: Role
    sha256: str
    size_bytes: int
    licence: str = ""
    licence_note: str = ""
    source: str = ""
    source_sha256: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.file) or self.file == MANIFEST_NAME:
            raise ModelCardError(f"kit: expected a plain file name in lower case, found {self.file!r}")
        for digest in (self.sha256, self.source_sha256 or self.sha256):
            if not _DIGEST.fullmatch(digest):
                raise ModelCardError(f"kit, {self.file}: expected a SHA-256 in hex, found {digest!r}")
        if not 0 < self.size_bytes <= MAX_MEMBER_BYTES:
            raise ModelCardError(
                f"kit, {self.file}: expected 1..{MAX_MEMBER_BYTES} bytes, found {self.size_bytes}"
            )


@dataclass(frozen=True)
class KitManifest:
    """Contents of a kit.

    Args:
        name: Name of the kit, such as ``face``.
        version: Version of the kit, 1..64 visible characters.
        members: The files; exactly one embedder, at most one detector.
        fpir: False positive identification rate that `edge-sdk setup` stores in the gallery's policy, 0..1; None if the
            embedder's card supports no claim for it.
        limits: Uses for which the kit's evidence is not enough, one sentence each.
    """

    name: str
    version: str
    members: tuple[KitMember, ...]
    fpir: float | None = None
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ModelCardError(
                f"kit: expected a name of lower-case letters and digits, found {self.name!r}"
            )
        if not (0 < len(self.version) <= _MAX_VERSION and self.version.isprintable()):
            raise ModelCardError(
                f"kit: expected a version of 1..{_MAX_VERSION} visible characters, found {self.version[:100]!r}"
            )
        if len(self.members) > MAX_MEMBERS:
            raise ModelCardError(f"kit: expected at most {MAX_MEMBERS} files, found {len(self.members)}")
        if len({member.file for member in self.members}) < len(self.members):
            raise ModelCardError("kit: expected different file names, found one twice")
        for role, most in ((Role.EMBEDDER, 1), (Role.DETECTOR, 1)):
            count = len(self.of(role))
            if count > most or (role is Role.EMBEDDER and not count):
                raise ModelCardError(f"kit: expected one {role.value}, found {count}")
        if self.fpir is not None and not 0 < self.fpir < 1:
            raise ModelCardError(f"kit: expected an FPIR above 0 and below 1, found {self.fpir}")

    def of(self, role: Role) -> tuple[KitMember, ...]:
        """Return the members with a role, in the order of the manifest."""
        return tuple(member for member in self.members if member.role is role)

    @property
    def embedder(self) -> KitMember:
        """The embedding network."""
        return self.of(Role.EMBEDDER)[0]

    @property
    def detector(self) -> KitMember | None:
        """The face detector; None if crops need no detection."""
        return next(iter(self.of(Role.DETECTOR)), None)

    @property
    def liveness(self) -> tuple[KitMember, ...]:
        """The networks of presentation attack detection."""
        return self.of(Role.LIVENESS)

    def to_json(self) -> dict[str, Any]:
        """Convert the manifest to JSON values; the schema is the first key."""
        members = [{**asdict(member), "role": member.role.value} for member in self.members]
        return {"schema": SCHEMA, **asdict(self), "members": members, "limits": list(self.limits)}

    def to_bytes(self) -> bytes:
        """Encode the manifest as UTF-8 JSON; equal manifests give equal bytes."""
        return card_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> KitManifest:
        """Read a manifest.

        Raises:
            ModelCardError: The data is not JSON, has another schema, or a field is missing or malformed.
        """
        fields = JsonFields(read_card_json(data, SCHEMA), "kit")
        return cls(
            name=fields.read("name", text),
            version=fields.read("version", text),
            members=fields.read("members", _members),
            fpir=fields.optional("fpir", number),
            limits=fields.read("limits", texts, ()),
        )


def _members(value: Any) -> tuple[KitMember, ...]:
    if not isinstance(value, list) or len(value) > MAX_MEMBERS:
        raise TypeError(f"expected a list of at most {MAX_MEMBERS} files")
    return tuple(_member(item) for item in value)


def _member(value: Mapping[str, Any]) -> KitMember:
    fields = JsonFields(value, "kit, member")
    return KitMember(
        file=fields.read("file", text),
        role=fields.read("role", Role),
        sha256=fields.read("sha256", text),
        size_bytes=fields.read("size_bytes", whole_number),
        licence=fields.read("licence", text, ""),
        licence_note=fields.read("licence_note", text, ""),
        source=fields.read("source", text, ""),
        source_sha256=fields.read("source_sha256", text, ""),
    )
