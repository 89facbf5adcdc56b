"""A secret burnt into the board."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.programs import run_program
from edge_sdk.gallery.keys.provider import SLOT_BOARD_SECRET

PROGRAM = "rpi-otp-private-key"


class BoardKey:
    """The device private key in a Raspberry Pi's one-time memory (OTP), by `rpi-otp-private-key`. Level 3.

    A stolen card is useless without the board. Whoever runs a program as root, or in the group `video`, on
    the running board can read it.

    Args:
        program: Name or path of rpi-otp-private-key, from the package rpi-eeprom.
    """

    name: Final = "board secret (Raspberry Pi OTP)"
    level: Final = 3
    slot_type: Final = SLOT_BOARD_SECRET
    _hint = "it comes with rpi-eeprom, needs /dev/vcio, and the key must have been burnt once: rpi-otp-private-key -h"

    def __init__(self, *, program: str = PROGRAM) -> None:
        self._program = program

    def __repr__(self) -> str:
        return "BoardKey()"

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """None are needed: the secret is the board's, for life."""
        self.secret(b"")
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """Read the OTP: 32 bytes.

        Raises:
            GalleryFormatError: the slot has parameters.
            GalleryError: the program is missing or fails, or the key was never burnt.
        """
        if parameters:
            raise GalleryFormatError("a board secret slot has no parameters")
        said = run_program(self._program, hint=self._hint).strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{64}", said):
            raise GalleryError(
                f"{PROGRAM} wrote {len(said)} characters, expected {2 * KEY_BYTES} hexadecimal digits",
                hint=self._hint,
            )
        secret = bytes.fromhex(said.decode())
        if secret.count(0) == len(secret):
            raise GalleryError("the board's private key is all zeros: it was never burnt", hint=self._hint)
        return secret
