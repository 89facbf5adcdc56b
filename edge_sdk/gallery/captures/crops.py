"""Aligned crops of one enrolment with the consent to store them, and their bytes. Pure.

The crops are the pixels that the embedder received: its input size, and its landmark template if crops are aligned. No
margin is kept, so a later network must need the same part of the face, or less of it (`recrop`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.format.captures_record import MAX_CAPTURES
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.model.card import MAX_SIDE_PX, MIN_SIDE_PX, InputContract
from edge_sdk.types import UInt8Array

MAX_CONSENT_BYTES = 1024
MAX_PIXEL_BYTES = 4 << 20
_POINTS = 5
# Crops, height, width, channels, landmarks, time, enrolling party, bytes of the consent.
_HEAD = struct.Struct("<HHHBBQ16sI")
_LANDMARKS = struct.Struct(f"<{2 * _POINTS}d")


@dataclass(frozen=True, eq=False)
class Crops:
    """Aligned crops of one enrolment.

    Args:
        pixels: Shape (n, H, W, C), uint8, 1..32 crops of 1 or 3 channels.
        consent: Statement of who consented to the storage and how, 1..1024 bytes of UTF-8.
        landmarks: Five landmarks (x, y) to which the crops are aligned; None if they are not aligned.
        stored_at_s: Time of the enrolment, Unix seconds; the gallery sets it.
        enrolled_by: Id of the enrolling party, 16 bytes; the gallery sets it.

    Raises:
        InputError: a value is malformed, or the crops have over 4 MiB.
    """

    pixels: UInt8Array = field(repr=False)
    consent: str
    landmarks: tuple[tuple[float, float], ...] | None = None
    stored_at_s: int = 0
    enrolled_by: bytes = bytes(ID_BYTES)

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 4:
            raise InputError("expected crops of shape (n, H, W, C), uint8, found another array")
        count, height, width, channels = pixels.shape
        sides = min(height, width) >= MIN_SIDE_PX and max(height, width) <= MAX_SIDE_PX
        if not 1 <= count <= MAX_CAPTURES or not sides or channels not in (1, 3):
            raise InputError(
                f"expected 1..{MAX_CAPTURES} crops of {MIN_SIDE_PX}..{MAX_SIDE_PX} px per side and 1 or 3 channels,"
                f" found shape {pixels.shape}"
            )
        if pixels.nbytes > MAX_PIXEL_BYTES:
            raise InputError(
                f"expected crops of at most {MAX_PIXEL_BYTES} bytes together, found {pixels.nbytes}",
                hint="store fewer captures",
            )
        size = len(self.consent.encode())
        if not self.consent.strip() or size > MAX_CONSENT_BYTES:
            raise InputError(
                f"expected a statement of the consent in 1..{MAX_CONSENT_BYTES} bytes, found {size}",
                hint="state who consented and how, such as 'Ann Lee, signed form 12'",
            )

    @classmethod
    def received(cls, crops: Sequence[UInt8Array], contract: InputContract, *, consent: str) -> Crops:
        """Collect crops as an embedder receives them.

        Args:
            crops: Each of shape (H, W, C), uint8; fitted to the contract's size as the embedder does it.
            contract: The embedder's input contract.
            consent: Statement of the consent.

        Raises:
            InputError: see the class.
        """
        from edge_sdk.vision.images import check_image
        from edge_sdk.vision.resize import fit

        for crop in crops:
            check_image(crop, contract.channels)
        fitted = [fit(crop, contract.height, contract.width) for crop in crops]
        return cls(np.stack(fitted), consent, contract.alignment)


def pack_crops(crops: Crops) -> bytes:
    """Convert crops to bytes."""
    count, height, width, channels = crops.pixels.shape
    consent = crops.consent.encode()
    points = () if crops.landmarks is None else crops.landmarks
    head = _HEAD.pack(
        count, height, width, channels, len(points), crops.stored_at_s, crops.enrolled_by, len(consent)
    )
    landmarks = _LANDMARKS.pack(*(value for point in points for value in point)) if points else b""
    return b"".join([head, landmarks, consent, crops.pixels.tobytes()])


def parse_crops(data: bytes) -> Crops:
    """Parse crops; every size is checked before the pixels are read.

    Raises:
        GalleryFormatError: the bytes are malformed.
    """
    if len(data) < _HEAD.size:
        raise GalleryFormatError(f"expected {_HEAD.size} bytes or more of captures, found {len(data)}")
    count, height, width, channels, points, stored_at_s, enrolled_by, consent_bytes = _HEAD.unpack(
        data[: _HEAD.size]
    )
    consent_at = _HEAD.size + (_LANDMARKS.size if points else 0)
    pixels_at = consent_at + consent_bytes
    expected = pixels_at + count * height * width * channels
    if points not in (0, _POINTS) or consent_bytes > MAX_CONSENT_BYTES or len(data) != expected:
        raise GalleryFormatError(
            f"expected {expected} bytes of captures by their counts and 0 or 5 landmarks, found {len(data)} bytes and"
            f" {points} landmarks"
        )
    landmarks = None
    if points:
        values = _LANDMARKS.unpack(data[_HEAD.size : consent_at])
        if not np.isfinite(values).all():
            raise GalleryFormatError("expected finite landmarks in captures, found another number")
        landmarks = tuple(zip(values[0::2], values[1::2], strict=True))
    pixels = np.frombuffer(data, np.uint8, offset=pixels_at).reshape(count, height, width, channels)
    try:
        consent = data[consent_at:pixels_at].decode()
        return Crops(pixels, consent, landmarks, stored_at_s, enrolled_by)
    except (UnicodeDecodeError, InputError) as error:
        raise GalleryFormatError(f"the captures are malformed: {error}") from error
