"""Authenticated encryption of galleries, with a commitment to the key. Pure.

The same construction wraps the data key in each slot and seals the body. It has the
framing of C2SP chunked-encryption (https://c2sp.org/chunked-encryption: salt, key commitment, keys
by HKDF-Expand of RFC 5869, the last chunk always shorter) and the nonces of age's STREAM
(11-byte big-endian counter, then 1 for the last chunk; Hoang, Reyhanitabar, Rogaway and Vizar,
CRYPTO 2015). Every key encrypts one message only, so counters may start at zero. A message is either
opened as a whole or refused.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_sdk.errors import GalleryError, GalleryFormatError, SealError
from edge_sdk.extras import install_command
from edge_sdk.gallery.format.header import (
    WRAPPED_BYTES,
    Header,
    Slot,
    Suite,
    header_bytes_of,
    pack_fixed,
    pack_header,
    parse_header,
)

CHUNK_BYTES = 16_384
TAG_BYTES = 16
SALT_BYTES = 24
COMMITMENT_BYTES = 32
KEY_BYTES = 32
OVERHEAD_BYTES = SALT_BYTES + COMMITMENT_BYTES

STREAM_LABEL = b"edge-sdk/gallery/stream@v1+"
KEK_LABEL = b"edge-sdk/gallery/kek@v1"
BODY_CONTEXT = b"fg/1"
WRAP_CONTEXT = b"fg/1/slot"
COMPANIONS_CONTEXT = b"fg/1/backup"

_AEAD_NAMES = {Suite.AES_256_GCM: b"AEAD_AES_256_GCM", Suite.CHACHA20_POLY1305: b"AEAD_CHACHA20_POLY1305"}
_SEAL_MESSAGE = "wrong key, or the gallery was altered"
_SEAL_HINT = "check the key (was it rotated?); if it is right, restore a backup and repeat later enrolments"

Randomness = Callable[[int], bytes]


def seal_error() -> SealError:
    """Return the error for a wrong key or altered bytes; it does not distinguish between them."""
    return SealError(_SEAL_MESSAGE, hint=_SEAL_HINT)


def need_cryptography() -> None:
    """Check that `cryptography` can be imported.

    Raises:
        GalleryError: it is not installed; the hint says how to install it.
    """
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ImportError as error:
        raise GalleryError(
            "the gallery needs the package cryptography",
            hint=install_command("gallery"),
        ) from error


def hkdf(secret: bytes, *, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """Derive a key with HKDF-SHA-256, extract and expand (RFC 5869).

    Args:
        secret: Input key material.
        salt: Salt of the extraction.
        info: Context of the expansion.
        length: Bytes to derive.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt, info).derive(secret)


def derive_slot_key(secret: bytes, header: Header, slot: Slot) -> bytes:
    """Derive the key-encryption key of a slot for this gallery and key epoch.

    Args:
        secret: Secret of the key provider, 32 bytes or more.
        header: Header with the gallery id and the key epoch.
        slot: Slot with its type.

    Returns:
        32 bytes.

    Raises:
        GalleryError: the secret is not bytes, shorter than 32 bytes, or contains only zeros.
        GalleryFormatError: the key epoch is 2^64 or more.
    """
    if not isinstance(secret, bytes) or len(secret) < KEY_BYTES:
        size = f"{len(secret)} bytes" if isinstance(secret, bytes) else type(secret).__name__
        raise GalleryError(
            f"expected a secret of {KEY_BYTES} bytes or more from the key provider, found {size}"
        )
    if not any(secret):
        raise GalleryError(
            "expected a random secret from the key provider, found only zeros",
            hint="the key was never made, or its medium lost it: restore the key from its backup",
        )
    if header.key_epoch >= 1 << 64:
        raise GalleryFormatError(
            f"expected a key epoch below 2^64, found {header.key_epoch}",
            hint="create a new gallery and enrol again",
        )
    info = KEK_LABEL + struct.pack("<QH", header.key_epoch, slot.type)
    return hkdf(secret, salt=header.gallery_id, info=info)


def seal(header: Header, slot_keys: Sequence[bytes], plaintext: memoryview, *, random: Randomness) -> bytes:
    """Seal a gallery with a new data key.

    Args:
        header: Header of the gallery; the `wrapped` fields of its slots are replaced.
        slot_keys: One key-encryption key per slot, in order, 32 bytes each.
        plaintext: Result of `pack_content`.
        random: Function that returns n random bytes.

    Returns:
        The whole file.
    """
    data_key = random(KEY_BYTES)
    fixed = pack_fixed(header)
    wrapped = [
        _encrypt(header.suite, key, _wrap_context(fixed, slot), memoryview(data_key), random(SALT_BYTES))
        for slot, key in zip(header.slots, slot_keys, strict=True)
    ]
    head = pack_header(header.with_wrapped(wrapped))
    return head + _encrypt(header.suite, data_key, _body_context(head), plaintext, random(SALT_BYTES))


def unwrap(header: Header, slot: Slot, slot_key: bytes) -> bytes:
    """Decrypt the data key in one slot.

    Args:
        header: Header of the gallery.
        slot: Slot of the header.
        slot_key: Key-encryption key of the slot, 32 bytes.

    Returns:
        The data key, 32 bytes.

    Raises:
        SealError: the slot key is wrong, or the header or slot was altered.
    """
    context = _wrap_context(pack_fixed(header), slot)
    return bytes(_decrypt(header.suite, slot_key, context, memoryview(slot.wrapped)))


def open_body(file: bytes, data_key: bytes) -> memoryview:
    """Decrypt the body of a gallery file.

    Args:
        file: The whole file.
        data_key: Result of `unwrap`, 32 bytes.

    Returns:
        The plaintext, read-only, in a buffer aligned to 64 bytes.

    Raises:
        GalleryFormatError: the header is malformed.
        SealError: the key is wrong, or the header or body was altered, truncated, extended or reordered.
    """
    header = parse_header(file)
    header_len = header_bytes_of(header.slots)
    whole = memoryview(file)
    return _decrypt(header.suite, data_key, _body_context(whole[:header_len]), whole[header_len:])


def seal_companions(suite: Suite, key: bytes, context: bytes, text: bytes, *, random: Randomness) -> bytes:
    """Seal the companion files of a backup; see `open_companions`."""
    return _encrypt(suite, key, COMPANIONS_CONTEXT + context, memoryview(text), random(SALT_BYTES))


def open_companions(suite: Suite, key: bytes, context: bytes, sealed: memoryview) -> memoryview:
    """Decrypt the companion files of a backup.

    Args:
        suite: Cipher of the gallery.
        key: Key of the backup, 32 bytes.
        context: Digest of the bytes before, 64 bytes.
        sealed: Salt, commitment and chunks.

    Raises:
        GalleryFormatError: the bytes are cut short.
        SealError: the key is wrong, or the bytes or the context were altered.
    """
    return _decrypt(suite, key, COMPANIONS_CONTEXT + context, sealed)


def sealed_body_bytes(plaintext_bytes: int) -> int:
    """Return the length in bytes of the sealed body of a plaintext."""
    chunks = plaintext_bytes // CHUNK_BYTES + 1
    return OVERHEAD_BYTES + plaintext_bytes + chunks * TAG_BYTES


def aligned_buffer(size_bytes: int) -> memoryview:
    """Allocate a writable buffer whose address is a multiple of 64."""
    raw = np.empty(size_bytes + 63, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw.data[start : start + size_bytes]


def _body_context(head: bytes | memoryview) -> bytes:
    return BODY_CONTEXT + hashlib.sha512(head).digest()


def _wrap_context(fixed: bytes, slot: Slot) -> bytes:
    size = struct.pack("<HH", slot.type, len(slot.parameters) + WRAPPED_BYTES)
    return WRAP_CONTEXT + fixed + size + slot.parameters


def _aead(suite: Suite, key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    return AESGCM(key) if suite is Suite.AES_256_GCM else ChaCha20Poly1305(key)


def _stream_keys(suite: Suite, key: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    info = STREAM_LABEL + _AEAD_NAMES[suite] + b"\0" + salt + context
    derived = HKDFExpand(SHA256(), KEY_BYTES + COMMITMENT_BYTES, info).derive(key)
    return derived[:KEY_BYTES], derived[KEY_BYTES:]


def _nonce(chunk: int, *, final: bool) -> bytes:
    return chunk.to_bytes(11, "big") + (b"\1" if final else b"\0")


def _encrypt(suite: Suite, key: bytes, context: bytes, message: memoryview, salt: bytes) -> bytes:
    stream_key, commitment = _stream_keys(suite, key, salt, context)
    aead = _aead(suite, stream_key)
    parts = [salt, commitment]
    last = len(message) // CHUNK_BYTES
    for chunk in range(last + 1):
        piece = message[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
        parts.append(aead.encrypt(_nonce(chunk, final=chunk == last), piece, None))
    return b"".join(parts)


def _decrypt(suite: Suite, key: bytes, context: bytes, sealed: memoryview) -> memoryview:
    from cryptography.exceptions import InvalidTag

    if len(sealed) < OVERHEAD_BYTES + TAG_BYTES:
        raise GalleryFormatError(
            f"truncated gallery: expected {OVERHEAD_BYTES + TAG_BYTES} bytes of sealed data or more, found {len(sealed)}"
        )
    salt, commitment = bytes(sealed[:SALT_BYTES]), bytes(sealed[SALT_BYTES:OVERHEAD_BYTES])
    stream_key, expected = _stream_keys(suite, key, salt, context)
    if not hmac.compare_digest(commitment, expected):
        raise seal_error()
    chunks = sealed[OVERHEAD_BYTES:]
    last, rest = divmod(len(chunks), CHUNK_BYTES + TAG_BYTES)
    if rest < TAG_BYTES:
        raise seal_error()
    plaintext = aligned_buffer(last * CHUNK_BYTES + rest - TAG_BYTES)
    aead = _aead(suite, stream_key)
    try:
        for chunk in range(last + 1):
            start = chunk * (CHUNK_BYTES + TAG_BYTES)
            piece = chunks[start : start + CHUNK_BYTES + TAG_BYTES]
            opened = aead.decrypt(_nonce(chunk, final=chunk == last), piece, None)
            plaintext[chunk * CHUNK_BYTES : chunk * CHUNK_BYTES + len(opened)] = opened
    except InvalidTag as error:
        raise seal_error() from error
    return plaintext.toreadonly()
