"""Key from a secret in the one-time memory of a board."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.programs import run_program
from edge_sdk.gallery.keys.provider import SLOT_BOARD_SECRET, refuse_parameters

PROGRAM = "rpi-otp-private-key"


class BoardKey:
    """Key from the device private key in a Raspberry Pi's one-time memory (OTP). Level 3.

    A stolen card cannot be opened without the board. On the running board every program of root or of the group
    `video` can read the secret.

    Args:
        program: Name or path of rpi-otp-private-key, from the package rpi-eeprom.
    """

    name: Final = "board secret (Raspberry Pi OTP)"
    level: Final = 3
    slot_type: Final = SLOT_BOARD_SECRET
    _hint = (
        "install rpi-eeprom, make /dev/vcio accessible, and program the key once; see rpi-otp-private-key -h"
    )

    def __init__(self, *, program: str = PROGRAM) -> None:
        self._program = program

    def __repr__(self) -> str:
        return "BoardKey()"

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Check that the secret can be read, and return empty parameters; see `secret` for errors."""
        self.secret(b"")
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """Read the secret, 32 bytes.

        Args:
            parameters: Empty.

        Raises:
            GalleryFormatError: the slot has parameters.
            GalleryError: the program is missing or fails, or the key was never programmed.
        """
        refuse_parameters(parameters, "a board secret")
        output = run_program(self._program, hint=self._hint).strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{64}", output):
            raise GalleryError(
                f"expected {2 * KEY_BYTES} hexadecimal digits from {PROGRAM}, found {len(output)} characters",
                hint=self._hint,
            )
        secret = bytes.fromhex(output.decode())
        if secret.count(0) == len(secret):
            raise GalleryError(
                "the board's private key is all zeros: it was never programmed", hint=self._hint
            )
        return secret
