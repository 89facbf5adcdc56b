"""The back offices whose signed commands a gallery executes, and the last sequence number of each; pure."""

from __future__ import annotations

from dataclasses import replace

from edge_sdk.errors import InputError
from edge_sdk.gallery.format.content import MAX_SEQUENCE, MAX_SOURCES, SOURCE_REMOVED, Content

_KEY_BYTES = 32


def with_source(content: Content, source: bytes) -> Content:
    """Return the content with a source added. A source that is added again keeps its last sequence number.

    Args:
        content: The gallery's content.
        source: Public key of the source, 32 bytes.

    Raises:
        InputError: the source is not a public key or is accepted already, or there are 256 sources, removed ones
            included.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(source)
    except ValueError as error:
        raise InputError(f"expected a public key of {_KEY_BYTES} bytes, found {len(source)} bytes") from error
    if source in content.sources:
        raise InputError(f"the source {source.hex()[:16]} is added already")
    ever = dict(content.sequences)
    if source not in ever and len(ever) == MAX_SOURCES:
        raise InputError(f"expected at most {MAX_SOURCES} sources, removed ones included, found one more")
    return _with_sequences(content, {**ever, source: ever.get(source, 0) & MAX_SEQUENCE})


def without_source(content: Content, source: bytes) -> Content:
    """Return the content with a source removed; its last sequence number is kept.

    Args:
        content: The gallery's content.
        source: Public key of the source, 32 bytes.

    Raises:
        InputError: the source is not one that the gallery accepts.
    """
    last = content.sources.get(source)
    if last is None:
        raise InputError(
            f"the source {source.hex()[:16]} is not one that the gallery accepts",
            hint="edge-sdk gallery sources lists them",
        )
    return _with_sequences(content, {**dict(content.sequences), source: last | SOURCE_REMOVED})


def with_executed(content: Content, source: bytes, sequence: int) -> Content:
    """Return the content with the sequence number of an executed command, so that the command is refused from then on."""
    return _with_sequences(content, {**dict(content.sequences), source: sequence})


def _with_sequences(content: Content, sequences: dict[bytes, int]) -> Content:
    return replace(content, sequences=tuple(sorted(sequences.items())))
