"""Contents of a kit in memory, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_sdk.kit.manifest import Role


@dataclass(frozen=True)
class KitPart:
    """One network of a kit in memory.

    Args:
        file: File name in the kit.
        role: Purpose of the network.
        data: Content of the file.
        licence: Licence, as its author states it.
        licence_note: Questions that the licence leaves open.
        source: Address or name of the file that was converted.
        source_sha256: SHA-256 of that file, hex.
        made: How the file was made, one line.
    """

    file: str
    role: Role
    data: bytes
    licence: str
    licence_note: str = ""
    source: str = ""
    source_sha256: str = ""
    made: str = ""


@dataclass(frozen=True)
class KitContents:
    """Everything that a kit is made of.

    Args:
        name: Name of the kit.
        version: Version of the kit.
        parts: The networks; one embedder, at most one detector.
        texts: Content of each licence text and notice, by its file name in the kit.
        limits: Uses for which the evidence is not enough, one sentence each.
        protocols: Results of the evidence by protocol, for the report page; empty if there are none.
        notes: Remarks for the reader, one line each.
    """

    name: str
    version: str
    parts: tuple[KitPart, ...]
    texts: Mapping[str, bytes]
    limits: tuple[str, ...] = ()
    protocols: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
