"""Words for keys and files in `installation.json`; imports no gallery, so that `doctor` can report a missing package."""

from __future__ import annotations

import os
from pathlib import Path

from edge_sdk.plugins import find_plugins

PASSPHRASE, TPM = "passphrase", "tpm-nv"
#: Words that name a kind of key and no file.
RESERVED = (PASSPHRASE, "host", "tpm2", "pi-otp", TPM)
#: Group of the plug-ins that provide keys.
PLUGINS = "edge_sdk.keys"


def names_key_file(word: str) -> bool:
    """Tell if a word names a key file, and not a kind of key or a plug-in."""
    name, colon, _ = word.partition(":")
    if name in RESERVED:
        return False
    return not (colon and name in find_plugins(PLUGINS, reserved=RESERVED))


def names_anchor_file(word: str) -> bool:
    """Tell if a word names an anchor file, and not a TPM counter."""
    return not word.startswith("tpm:")


def stored_word(path: str, folder: Path) -> str:
    """Return the path of a file as `installation.json` stores it: relative with a leading ``./`` if it is in the folder."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 a link stays a link
    return f"./{absolute.relative_to(folder)}" if absolute.is_relative_to(folder) else str(absolute)


def usable_word(word: str, folder: Path) -> str:
    """Return a stored word as the command line takes it; the path of a file in the folder is absolute."""
    return str(folder / word[2:]) if word.startswith("./") else word
