"""Non-volatile memory of a TPM 2.0 through tpm2-tools: secrets and counters.

The tools find the TPM as they always do (TPM2TOOLS_TCTI, else /dev/tpmrm0). TPM 2.0 Library, part 1, 37: a
counter that is defined again starts where the highest counter the TPM ever had stood, so it cannot go back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.keys.programs import run_program

_HINT = "apt-get install tpm2-tools; the TPM must be readable by you (group tss), and its owner hierarchy without password"
_FIRST, _LAST = 0x0100_0000, 0x01BF_FFFF
COUNTER_BYTES = 8


def is_index(index: int) -> bool:
    """Whether a number is an NV index of the owner's range."""
    return _FIRST <= index <= _LAST


def indices() -> frozenset[int]:
    """The NV indices that are defined."""
    found = _tpm2("getcap", "handles-nv-index").split()
    try:
        return frozenset(int(word, 16) for word in found if word.startswith(b"0x"))
    except ValueError as error:
        raise GalleryError("tpm2_getcap wrote something other than handles", hint=_HINT) from error


def store_secret(index: int, secret: bytes, *, pcrs: str) -> None:
    """Define an index that holds a secret, readable while the registers keep their values."""
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
            raise GalleryError("the TPM reads back another secret than was written")
    except GalleryError:
        undefine(index)
        raise


def _write_policy(policy: str, pcrs: str, *, session: str) -> None:
    """The digest of a policy of registers. tpm2_createpolicy leaves its session open, and a TPM without a resource manager has three."""
    _tpm2("startauthsession", "-S", session)
    try:
        _tpm2("policypcr", "-S", session, "-l", pcrs, "-L", policy)
    finally:
        _tpm2("flushcontext", session)


def read_secret(index: int, size_bytes: int, *, pcrs: str) -> bytes:
    """The secret at an index."""
    policy = ["-P", f"pcr:{pcrs}"] if pcrs else []
    secret = _tpm2("nvread", f"{index:#010x}", "-C", f"{index:#010x}", "-s", str(size_bytes), *policy)
    if len(secret) != size_bytes:
        raise GalleryError(f"the TPM gave {len(secret)} bytes, expected {size_bytes}", hint=_HINT)
    return secret


def undefine(index: int) -> None:
    """Give an index back; what it held is gone."""
    _tpm2("nvundefine", f"{index:#010x}", "-C", "o")


def define_counter(index: int) -> None:
    """Define a counter and count once, or it cannot be read."""
    attributes = "nt=counter|ownerread|ownerwrite|authread|authwrite|no_da"
    _tpm2("nvdefine", f"{index:#010x}", "-C", "o", "-a", attributes)
    increment(index)


def increment(index: int) -> None:
    """Count one further."""
    _tpm2("nvincrement", f"{index:#010x}", "-C", "o")


def read_counter(index: int) -> int:
    """Where a counter stands."""
    value = _tpm2("nvread", f"{index:#010x}", "-C", "o", "-s", str(COUNTER_BYTES))
    if len(value) != COUNTER_BYTES:
        raise GalleryError(f"NV index {index:#x} is no counter: {len(value)} bytes", hint=_HINT)
    return int.from_bytes(value, "big")


def _tpm2(command: str, *arguments: str, stdin: bytes = b"") -> bytes:
    return run_program(f"tpm2_{command}", *arguments, stdin=stdin, hint=_HINT)
