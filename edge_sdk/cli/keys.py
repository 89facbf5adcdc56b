"""How a key and an anchor are named on the command line; a secret itself never is."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sdk import console
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.gallery import Anchor, KeyProvider

PROGRAM = "edge-sdk"
KEY_HELP = "a key file; or passphrase, host or tpm2 (both systemd-creds), pi-otp, tpm-nv or tpm-nv:INDEX"
ANCHOR_HELP = "where the newest generation is noted: a file, or tpm:INDEX for a counter in a TPM; the same one in every command"
_WORDS = ("passphrase", "host", "tpm2", "pi-otp")
_MAX_PASSPHRASE_BYTES = 4096


def is_file(word: str) -> bool:
    """Whether a word names a key file."""
    return word not in _WORDS and word.partition(":")[0] != "tpm-nv"


def key_named(word: str, *, new: bool = False, prompt: str = "passphrase") -> KeyProvider:
    """The key that a word names.

    Args:
        word: As `KEY_HELP` says.
        new: A key file that is not there is made, a passphrase asked for twice.
        prompt: What to ask for a passphrase with.
    """
    from edge_sdk.gallery import BoardKey, HostKey, KeyFile, Passphrase, TpmCredentialKey, TpmKey

    if word == "passphrase":
        return Passphrase(_ask(prompt, twice=new))
    if word == "host":
        return HostKey()
    if word == "tpm2":
        return TpmCredentialKey()
    if word == "pi-otp":
        return BoardKey()
    if not is_file(word):
        index = word.partition(":")[2]
        return TpmKey(index=_index(index)) if index else TpmKey()
    path = Path(word)
    if not new or path.exists():
        return KeyFile(path)
    key = KeyFile.create(path)
    console.say(PROGRAM, f"made a key file {path}: keep it off the gallery's disk if you can")
    return key


def anchor_named(word: str | None) -> Anchor | None:
    """The anchor that a word names, as `ANCHOR_HELP` says."""
    from edge_sdk.gallery import FileAnchor, TpmCounter

    if word is None:
        return None
    kind, _, index = word.partition(":")
    return TpmCounter(_index(index)) if kind == "tpm" and index else FileAnchor(word)


def _index(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise InputError(f"expected an NV index such as 0x1500016, found {text!r}") from error


def _ask(prompt: str, *, twice: bool) -> str:
    """Ask on the terminal; where there is no terminal, the next line of stdin."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(_MAX_PASSPHRASE_BYTES)
        if not line:
            raise InputError(f"expected a {prompt} on the terminal or as a line of stdin, found neither")
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"expected a {prompt} in UTF-8, found other bytes on stdin") from error
    text = getpass.getpass(f"{prompt}: ")
    if twice and getpass.getpass(f"{prompt} again: ") != text:
        raise InputError("the two passphrases differ", hint="nothing was written; try again")
    return text
