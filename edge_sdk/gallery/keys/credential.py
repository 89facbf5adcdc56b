"""Keys that systemd-creds(1) seals to this machine, with its host key or with its TPM 2.0.

The sealed secret is stored in the slot, so there is no second file that could be lost.
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
        """Generate a secret and return it sealed, 1..2048 bytes.

        Args:
            random: Function that returns n random bytes.

        Raises:
            GalleryError: systemd-creds is missing or fails.
        """
        secret = random(KEY_BYTES)
        sealed = self._run(
            "encrypt", f"--with-key={self._with_key}", f"--name={CREDENTIAL_NAME}", "-", "-", stdin=secret
        )
        try:
            parameters = base64.b64decode(b"".join(sealed.split()), validate=True)
        except binascii.Error as error:
            raise GalleryError(f"expected a credential from {PROGRAM}, found other output") from error
        if not 0 < len(parameters) <= MAX_CREDENTIAL_BYTES:
            raise GalleryError(
                f"expected a credential of 1..{MAX_CREDENTIAL_BYTES} bytes, found {len(parameters)}"
            )
        if self.secret(parameters) != secret:
            raise GalleryError(f"{PROGRAM} decrypts another secret than it encrypted", hint=self._hint)
        return parameters

    def secret(self, parameters: bytes) -> bytes:
        """Open the sealed secret of a slot, 32 bytes.

        Args:
            parameters: Result of `new_parameters`.

        Raises:
            GalleryFormatError: the parameters are not a credential.
            GalleryError: systemd-creds is missing, or this machine cannot open the credential.
        """
        if not 0 < len(parameters) <= MAX_CREDENTIAL_BYTES:
            raise GalleryFormatError(
                f"expected a credential slot with 1..{MAX_CREDENTIAL_BYTES} bytes of parameters, found {len(parameters)}"
            )
        secret = self._run(
            "decrypt", f"--name={CREDENTIAL_NAME}", "-", "-", stdin=base64.b64encode(parameters) + b"\n"
        )
        if len(secret) != KEY_BYTES:
            raise GalleryError(f"expected a credential that holds {KEY_BYTES} bytes, found {len(secret)}")
        return secret

    def _run(self, command: str, *arguments: str, stdin: bytes) -> bytes:
        return run_program(self._program, command, *self._options, *arguments, stdin=stdin, hint=self._hint)


class HostKey(_Credential):
    """Key sealed with the machine's host key, /var/lib/systemd/credential.secret. Level 1.

    The host key is on the same disk, so only a copy of the gallery file is protected.

    Args:
        program: Name or path of systemd-creds.
    """

    name: Final = "systemd-creds host key"
    level: Final = 1
    slot_type: Final = SLOT_HOST_CREDENTIAL
    _with_key = "host"
    _hint = "install systemd 250 or newer, run as root, and create the host key with systemd-creds setup"


class TpmCredentialKey(_Credential):
    """Key sealed by the machine's TPM 2.0 through systemd-creds, bound to PCR 7. Level 4.

    Args:
        program: Name or path of systemd-creds.
        device: TPM device, as in systemd-creds --tpm2-device= (default: the machine's own).
    """

    name: Final = "TPM 2.0 through systemd-creds"
    level: Final = 4
    slot_type: Final = SLOT_TPM_CREDENTIAL
    _with_key = "tpm2"
    _hint = "run systemd-creds has-tpm2 to see what is missing; after a change of the boot chain (PCR 7) the key is lost"

    def __init__(self, *, program: str = PROGRAM, device: str | None = None) -> None:
        super().__init__(program=program)
        if device is not None:
            self._options = (f"--tpm2-device={device}",)
