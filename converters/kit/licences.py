"""Licences of the networks of a kit: what is shown before a download, and the texts in the kit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import ConversionError
from converters.kit.definition import KitDefinition

#: File of the notices in a kit.
NOTICE_FILE = "notice.txt"
#: Texts of licences in this package, by the name that the zoo uses.
TEXTS = {"Apache-2.0": Path(__file__).parent / "licences" / "apache-2.0.txt"}


class LicenceError(ConversionError):
    """The licences of a kit were not accepted; nothing was downloaded or written."""


@dataclass(frozen=True)
class Terms:
    """Licence of one network.

    Args:
        network: File of the network in the kit.
        licence: Name of the licence, as the author states it.
        note: Questions that the licence leaves open; empty if there are none.
        source: Address from which the network comes, or the name of its file.
        sha256: SHA-256 of the source file, hex.
    """

    network: str
    licence: str
    note: str
    source: str
    sha256: str

    def line(self) -> str:
        """Format the terms in one line."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.network}: {self.licence}{note}, from {self.source}"


def licence_files(terms: Sequence[Terms]) -> dict[str, bytes]:
    """Return the text of each licence, by its file name in the kit.

    Raises:
        ConversionError: The package lacks the text of a licence.
    """
    missing = sorted({each.licence for each in terms} - set(TEXTS))
    if missing:
        raise ConversionError(f"kit: expected licences of {', '.join(TEXTS)}, found {missing[0]}")
    return {
        f"licence.{TEXTS[name].name}": TEXTS[name].read_bytes() for name in {each.licence for each in terms}
    }


def notices(definition: KitDefinition, terms: Sequence[Terms]) -> bytes:
    """Compose the notices: origin, authors and licence of each network, and that it was changed."""
    lines = [f"Networks of the kit {definition.name}, version {definition.version}", ""]
    for each in terms:
        lines += [
            each.network,
            f"  source   {each.source}",
            f"  SHA-256  {each.sha256}",
            f"  licence  {each.licence}{f'; {each.note}' if each.note else ''}",
            "  changes  converted to .tflite by edge-convert; weights may be equalized and rounded to 8 bits",
        ]
    lines += ["", "Authors", *(f"  {author}" for author in definition.authors)]
    return ("\n".join(lines) + "\n").encode()
