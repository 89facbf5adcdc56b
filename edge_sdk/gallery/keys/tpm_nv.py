"""Secrets and counters in the non-volatile memory of a TPM 2.0, through tpm2-tools.

The tools use the TPM that TPM2TOOLS_TCTI names, or /dev/tpmrm0. A counter that is defined again starts at the highest
value that any counter of the TPM ever had, so it cannot go back (TPM 2.0 Library, part 1, 37).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.keys.programs import run_program

_HINT = (
    "install tpm2-tools, join the group tss to access the TPM, and leave its owner hierarchy without password"
)
_FIRST, _LAST = 0x0100_0000, 0x01BF_FFFF
COUNTER_BYTES = 8


def is_index(index: int) -> bool:
    """Return whether a number is an NV index of the owner's range."""
    return _FIRST <= index <= _LAST


def indices() -> frozenset[int]:
    """List the NV indices that are defined."""
    words = _tpm2("getcap", "handles-nv-index").split()
    try:
        return frozenset(int(word, 16) for word in words if word.startswith(b"0x"))
    except ValueError as error:
        raise GalleryError("expected handles from tpm2_getcap, found other output", hint=_HINT) from error


def store_secret(index: int, secret: bytes, *, pcrs: str) -> None:
    """Define an index and write a secret to it.

    Args:
        index: NV index, not defined.
        secret: Bytes to write.
        pcrs: Registers that must keep their values for the secret to be readable, such as `sha256:7`; empty for none.

    Raises:
        GalleryError: the TPM fails or reads back other bytes; the index is then not defined.
    """
    with tempfile.TemporaryDirectory() as folder:
        if pcrs:
            policy = str(Path(folder) / "policy")
            _write_policy(policy, pcrs, session=str(Path(folder) / "session"))
            access = ["-a", "policyread|ownerwrite|no_da", "-L", policy]
        else:
            access = ["-a", "authread|ownerwrite|no_da"]
        _tpm2("nvdefine", f"{index:#010x}", "-C", "o", "-s", str(len(secret)), *access)
    try:
        _tpm2("nvwrite", f"{index:#010x}", "-C", "o", "-i", "-", stdin=secret)
        if read_secret(index, len(secret), pcrs=pcrs) != secret:
            raise GalleryError("the TPM returns another secret than was written")
    except GalleryError:
        undefine(index)
        raise


def _write_policy(policy: str, pcrs: str, *, session: str) -> None:
    """Write the digest of a policy on registers to a file."""
    # tpm2_createpolicy leaves its session open, and a TPM without a resource manager has only three sessions.
    _tpm2("startauthsession", "-S", session)
    try:
        _tpm2("policypcr", "-S", session, "-l", pcrs, "-L", policy)
    finally:
        _tpm2("flushcontext", session)


def read_secret(index: int, size_bytes: int, *, pcrs: str) -> bytes:
    """Read the secret at an index."""
    policy = ["-P", f"pcr:{pcrs}"] if pcrs else []
    secret = _tpm2("nvread", f"{index:#010x}", "-C", f"{index:#010x}", "-s", str(size_bytes), *policy)
    if len(secret) != size_bytes:
        raise GalleryError(f"expected {size_bytes} bytes from the TPM, found {len(secret)}", hint=_HINT)
    return secret


def undefine(index: int) -> None:
    """Remove an index and destroy its content."""
    _tpm2("nvundefine", f"{index:#010x}", "-C", "o")


def define_counter(index: int) -> None:
    """Define a counter and increment it, because a new counter cannot be read."""
    attributes = "nt=counter|ownerread|ownerwrite|authread|authwrite|no_da"
    _tpm2("nvdefine", f"{index:#010x}", "-C", "o", "-a", attributes)
    increment(index)


def increment(index: int) -> None:
    """Increment a counter by 1."""
    _tpm2("nvincrement", f"{index:#010x}", "-C", "o")


def read_counter(index: int) -> int:
    """Read the value of a counter."""
    value = _tpm2("nvread", f"{index:#010x}", "-C", "o", "-s", str(COUNTER_BYTES))
    if len(value) != COUNTER_BYTES:
        raise GalleryError(
            f"expected a counter of {COUNTER_BYTES} bytes at NV index {index:#x}, found {len(value)} bytes",
            hint=_HINT,
        )
    return int.from_bytes(value, "big")


def _tpm2(command: str, *arguments: str, stdin: bytes = b"") -> bytes:
    return run_program(f"tpm2_{command}", *arguments, stdin=stdin, hint=_HINT)
