"""Keys and anchors by the words that the command line and `installation.json` use for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_sdk.door.words import PASSPHRASE, PLUGINS, RESERVED, TPM
from edge_sdk.errors import InputError
from edge_sdk.gallery import (
    Anchor,
    BoardKey,
    FileAnchor,
    HostKey,
    KeyFile,
    KeyProvider,
    Passphrase,
    TpmCounter,
    TpmCredentialKey,
    TpmKey,
)
from edge_sdk.gallery.keys.provider import checked_provider
from edge_sdk.plugins import open_plugin

_KEYS: dict[str, Callable[[], KeyProvider]] = {"host": HostKey, "tpm2": TpmCredentialKey, "pi-otp": BoardKey}


def key_named(word: str, *, passphrase: Callable[[], str] | None = None) -> KeyProvider:
    """Return the existing key that a word names.

    Args:
        word: Path of a key file; ``passphrase``; ``host`` or ``tpm2`` (systemd-creds); ``pi-otp``; ``tpm-nv`` or
            ``tpm-nv:INDEX``; or ``NAME:ARGUMENT`` of a plug-in in ``edge_sdk.keys``.
        passphrase: Returns the passphrase if the word is ``passphrase``; None if nobody can be asked for it.

    Raises:
        InputError: A passphrase is needed and cannot be asked for, or an NV index is malformed.
        PluginError: The plug-in cannot be loaded or fails.
    """
    kind, _, argument = word.partition(":")
    if word == PASSPHRASE:
        if passphrase is None:
            raise InputError(
                "expected the passphrase of the gallery, found only the word passphrase",
                hint="give the key itself: key=Passphrase(...)",
            )
        return Passphrase(passphrase())
    if word in _KEYS:
        return _KEYS[word]()
    if kind == TPM:
        return TpmKey(index=_index(argument)) if argument else TpmKey()
    plugin: KeyProvider | None = open_plugin(PLUGINS, word, reserved=RESERVED)
    return KeyFile(Path(word)) if plugin is None else checked_provider(plugin)


def anchor_named(word: str | None) -> Anchor | None:
    """Return the anchor that a word names: a file, or ``tpm:INDEX`` for a TPM counter; None for no word.

    Raises:
        InputError: An NV index is malformed.
    """
    if word is None:
        return None
    kind, _, index = word.partition(":")
    return TpmCounter(_index(index)) if kind == "tpm" and index else FileAnchor(word)


def _index(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise InputError(f"expected a hexadecimal NV index such as 0x1500016, found {text!r}") from error
