"""Secrets and counters in the non-volatile memory of a TPM 2.0, through tpm2-tools.

The tools use the TPM that TPM2TOOLS_TCTI names, or /dev/tpmrm0. A counter that is defined again starts above the highest
value that any counter of the TPM ever had, so it cannot go back (TPM 2.0 Library, part 1, "NV Counter Index").
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.keys.programs import run_program

_HINT = (
    "install tpm2-tools, join the group tss to access the TPM, and leave its owner hierarchy without password"
)
_COUNTER_HINT = (
    "somebody replaced it, or the index is used for something else: give the gallery's own counter; if it is lost, "
    "edge-sdk gallery re-anchor with an index that is not in use"
)
_FIRST, _LAST = 0x0100_0000, 0x01BF_FFFF
COUNTER_BYTES = 8
_SHA256 = 0x000B  # TPM_ALG_SHA256
# TPMA_NV, the attributes of an index (TPM 2.0 Library, part 2, 13.4).
_TYPE_MASK, _COUNTER_TYPE = 0xF0, 0x10
_WRITTEN = 1 << 29
# Ways to authorize reads and writes, platform ownership, and no dictionary attack protection. No other attribute is
# accepted: "orderly" loses increments, and the locks stop the counter.
_ALLOWED = _TYPE_MASK | 0x0F | 0x0F_0000 | 1 << 10 | 1 << 25 | 1 << 30 | _WRITTEN
_PUBLIC = re.compile(
    rb"hash algorithm:\s+friendly:[^\n]*\n\s+value: (0x[0-9A-Fa-f]+)\n\s*attributes:\s+friendly:[^\n]*\n"
    rb"\s+value: (0x[0-9A-Fa-f]+)\n\s*size: ([0-9]+)\s*(?:authorization policy: ([0-9A-Fa-f]*)\s*)?$"
)


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
    import tempfile

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


@dataclass(frozen=True)
class PublicArea:
    """The public area of an NV index (TPMS_NV_PUBLIC).

    Attributes:
        index: The index.
        algorithm: Hash algorithm of its name.
        attributes: Its type and attributes (TPMA_NV).
        policy: Digest of its authorization policy; empty for none.
        size_bytes: Size of its data.
    """

    index: int
    algorithm: int
    attributes: int
    policy: bytes
    size_bytes: int

    @property
    def written(self) -> bool:
        """True if the index has been written; a counter, if it has been incremented."""
        return bool(self.attributes & _WRITTEN)

    @property
    def name(self) -> bytes:
        """The index's name: algorithm and SHA-256 of the public area (TPM 2.0 Library, part 1, "Names")."""
        head = struct.pack(">IHIH", self.index, self.algorithm, self.attributes, len(self.policy))
        area = head + self.policy + struct.pack(">H", self.size_bytes)
        return struct.pack(">H", self.algorithm) + hashlib.sha256(area).digest()

    def fault(self) -> str:
        """Return the reason why the index is no counter of the kind that `define_counter` makes; empty if it is."""
        if self.attributes & _TYPE_MASK != _COUNTER_TYPE:
            return f"an index of type {(self.attributes & _TYPE_MASK) >> 4} (a counter has type 1)"
        if self.size_bytes != COUNTER_BYTES:
            return f"{self.size_bytes} bytes"
        if self.algorithm != _SHA256:
            return f"a name of hash algorithm {self.algorithm:#x}, which is not SHA-256"
        if self.attributes & ~_ALLOWED:
            return f"the attributes {self.attributes:#x}"
        return ""


def public_area(index: int) -> PublicArea:
    """Read the public area of an index that is defined.

    Raises:
        GalleryError: the TPM fails, or tpm2_nvreadpublic prints another form.
    """
    text = _tpm2("nvreadpublic", f"{index:#010x}")
    match = _PUBLIC.search(text)
    if match is None:
        raise GalleryError("expected a public area from tpm2_nvreadpublic, found other output", hint=_HINT)
    policy = bytes.fromhex((match[4] or b"").decode())
    return PublicArea(index, int(match[1], 16), int(match[2], 16), policy, int(match[3]))


def define_counter(index: int) -> None:
    """Define a counter and increment it, because a new counter cannot be read."""
    attributes = "nt=counter|ownerread|ownerwrite|authread|authwrite|no_da"
    _tpm2("nvdefine", f"{index:#010x}", "-C", "o", "-a", attributes)
    increment(index)


def start_counter(index: int) -> int:
    """Increment a counter that has never been incremented, as a crash after its definition leaves it; return its value.

    Raises:
        GalleryError: the index is not a counter, or the TPM fails.
    """
    if not _counter_area(index).written:
        increment(index)
    return read_counter(index)


def increment(index: int) -> None:
    """Increment a counter by 1."""
    _tpm2("nvincrement", f"{index:#010x}", "-C", "o")


def counter_name(index: int) -> bytes:
    """Return the name of a counter, 34 bytes. Its first increment changes it, and nothing else does.

    Raises:
        GalleryError: the index is not defined or not a counter, or the TPM fails.
    """
    if index not in indices():
        raise GalleryError(f"expected a TPM counter at NV index {index:#x}, found none", hint=_COUNTER_HINT)
    return _counter_area(index).name


def read_counter(index: int) -> int:
    """Read the value of a counter; 0 if it has never been incremented.

    Raises:
        GalleryError: the index is not a counter, or the TPM fails.
    """
    if not _counter_area(index).written:
        return 0
    value = _tpm2("nvread", f"{index:#010x}", "-C", "o", "-s", str(COUNTER_BYTES))
    if len(value) != COUNTER_BYTES:
        raise GalleryError(
            f"expected a counter of {COUNTER_BYTES} bytes at NV index {index:#x}, found {len(value)} bytes",
            hint=_HINT,
        )
    return int.from_bytes(value, "big")


def _counter_area(index: int) -> PublicArea:
    area = public_area(index)
    fault = area.fault()
    if fault:
        raise GalleryError(
            f"expected a TPM counter at NV index {index:#x}, found {fault}", hint=_COUNTER_HINT
        )
    return area


def _tpm2(command: str, *arguments: str, stdin: bytes = b"") -> bytes:
    return run_program(f"tpm2_{command}", *arguments, stdin=stdin, hint=_HINT)
