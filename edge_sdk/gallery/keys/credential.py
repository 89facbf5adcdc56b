"""Secrets that systemd-creds seals to this machine: with its host key, or with its TPM 2.0.

The sealed secret lies in the slot itself, so there is no second file to lose. systemd-creds(1).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

from edge_sdk.errors import GalleryError, GalleryFormatError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys.programs import run_program
from edge_sdk.gallery.keys.provider import SLOT_HOST_CREDENTIAL, SLOT_TPM_CREDENTIAL

PROGRAM = "systemd-creds"
CREDENTIAL_NAME = "edge-sdk-gallery"
MAX_CREDENTIAL_BYTES = 2048


class _Credential:
    _with_key: str
    _hint: str
    _options: tuple[str, ...] = ()

    def __init__(self, *, program: str = PROGRAM) -> None:
        self._program = program

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """A new secret, sealed.

        Raises:
            GalleryError: systemd-creds is missing or refuses.
        """
        secret = random(KEY_BYTES)
        sealed = self._run(
            "encrypt", f"--with-key={self._with_key}", f"--name={CREDENTIAL_NAME}", "-", "-", stdin=secret
        )
        try:
            parameters = base64.b64decode(b"".join(sealed.split()), validate=True)
        except binascii.Error as error:
            raise GalleryError(f"{PROGRAM} wrote something other than a credential") from error
        if not 0 < len(parameters) <= MAX_CREDENTIAL_BYTES:
            raise GalleryError(
                f"the credential has {len(parameters)} bytes, expected 1..{MAX_CREDENTIAL_BYTES}"
            )
        if self.secret(parameters) != secret:
            raise GalleryError(f"{PROGRAM} does not give back what it sealed", hint=self._hint)
        return parameters

    def secret(self, parameters: bytes) -> bytes:
        """The secret out of a slot, 32 bytes.

        Raises:
            GalleryFormatError: the parameters are no credential.
            GalleryError: systemd-creds is missing, or this machine cannot open the credential.
        """
        if not 0 < len(parameters) <= MAX_CREDENTIAL_BYTES:
            raise GalleryFormatError(
                f"a credential slot has {len(parameters)} bytes of parameters, expected 1..{MAX_CREDENTIAL_BYTES}"
            )
        secret = self._run(
            "decrypt", f"--name={CREDENTIAL_NAME}", "-", "-", stdin=base64.b64encode(parameters) + b"\n"
        )
        if len(secret) != KEY_BYTES:
            raise GalleryError(f"the credential holds {len(secret)} bytes, expected {KEY_BYTES}")
        return secret

    def _run(self, command: str, *arguments: str, stdin: bytes) -> bytes:
        return run_program(self._program, command, *self._options, *arguments, stdin=stdin, hint=self._hint)


class HostKey(_Credential):
    """A secret sealed with the machine's host key, /var/lib/systemd/credential.secret. Level 1.

    The host key lies on the same disk, so this protects what a key file protects: a stray copy.

    Args:
        program: Name or path of systemd-creds.
    """

    name: Final = "systemd-creds host key"
    level: Final = 1
    slot_type: Final = SLOT_HOST_CREDENTIAL
    _with_key = "host"
    _hint = "systemd-creds comes with systemd 250 and newer, and needs root; systemd-creds setup makes the host key"


class TpmCredentialKey(_Credential):
    """A secret sealed by the machine's TPM 2.0 through systemd-creds, bound to PCR 7. Level 4.

    Args:
        program: Name or path of systemd-creds.
        device: Which TPM, as systemd-creds --tpm2-device= takes it; the machine's own by default.
    """

    name: Final = "TPM 2.0 through systemd-creds"
    level: Final = 4
    slot_type: Final = SLOT_TPM_CREDENTIAL
    _with_key = "tpm2"
    _hint = "systemd-creds has-tpm2 says what is missing; a changed boot chain (PCR 7) shuts the key away"

    def __init__(self, *, program: str = PROGRAM, device: str | None = None) -> None:
        super().__init__(program=program)
        if device is not None:
            self._options = (f"--tpm2-device={device}",)
