"""Licences of a kit: what a person is shown, and the digest by which an acceptance is recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edge_sdk.errors import EdgeSdkError
from edge_sdk.kit.bundle import KitFile
from edge_sdk.kit.manifest import Role
from edge_sdk.model.card import card_bytes


class LicencesRefusedError(EdgeSdkError):
    """The licences of a kit were not accepted; nothing was installed."""


@dataclass(frozen=True)
class LicenceTerms:
    """The licences of a kit.

    Args:
        lines: One line for each network with a licence: file name and licence.
        notes: Questions that the licences leave open, and the sources, one line each.
        texts: Texts of the licences by file name.
    """

    lines: tuple[str, ...]
    notes: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, kit: KitFile) -> LicenceTerms:
        """Return the licences of a kit.

        Raises:
            ModelError: A licence text is not the listed one any more.
        """
        networks = [
            member for member in kit.manifest.members if member.role not in (Role.LICENCE, Role.REPORT)
        ]
        notes = []
        for network in networks:
            if network.licence_note:
                notes.append(f"{network.file}: {network.licence_note}")
            if network.source:
                notes.append(f"{network.file}: converted from {network.source}")
        return cls(
            lines=tuple(f"{network.file}: {network.licence}" for network in networks if network.licence),
            notes=tuple(notes),
            texts=tuple(
                (member.file, kit.read(member).decode(errors="replace"))
                for member in kit.manifest.of(Role.LICENCE)
            ),
        )

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to accept."""
        return not self.lines and not self.notes and not self.texts

    @property
    def sha256(self) -> str:
        """Digest of everything that a person accepts, hex."""
        terms = {"lines": self.lines, "notes": self.notes, "texts": self.texts}
        return hashlib.sha256(card_bytes(terms)).hexdigest()
