"""Checks of the values of policy records that format version 2 adds, one function per kind. Pure."""

from __future__ import annotations

import struct

from edge_sdk.errors import GalleryFormatError

MAX_ANCHOR_BYTES = 4096
MAX_NETWORKS_BYTES = 4096
SEQUENCE = struct.Struct("<Q")


def check_audit_segments(value: bytes) -> None:
    """Check the segments of the audit log.

    Raises:
        GalleryFormatError: the record is empty.
    """
    _check_size("audit segments", value, 1, 1 << 20)


def check_anchor_identity(value: bytes) -> None:
    """Check the kind and identity of the anchor.

    Raises:
        GalleryFormatError: the record is empty or over 4096 bytes.
    """
    _check_size("anchor identity", value, 1, MAX_ANCHOR_BYTES)


def check_pinned_networks(value: bytes) -> None:
    """Check the digests of the detector's and the liveness networks' files.

    Raises:
        GalleryFormatError: the record is empty or over 4096 bytes.
    """
    _check_size("pinned networks", value, 1, MAX_NETWORKS_BYTES)


def check_local_sequence(value: bytes) -> None:
    """Check the highest sequence number that local changes consumed.

    Raises:
        GalleryFormatError: the record is not a number below 2^63.
    """
    _check_size("local sequence", value, SEQUENCE.size, SEQUENCE.size)
    (number,) = SEQUENCE.unpack(value)
    if number >= 1 << 63:
        raise GalleryFormatError(f"expected a local sequence number below 2^63, found {number}")


def check_caller_thresholds(value: bytes) -> None:
    """Check the permission for thresholds below the policy's.

    Raises:
        GalleryFormatError: the record is not the byte 01.
    """
    if value != b"\x01":
        raise GalleryFormatError("expected the byte 01 in the record on callers' thresholds")


def _check_size(what: str, value: bytes, least: int, most: int) -> None:
    if not least <= len(value) <= most:
        raise GalleryFormatError(f"expected {least}..{most} bytes of {what}, found {len(value)}")
