"""The container of an image file: size, orientation, and the file without its metadata.

A decoder that reads metadata has faults of its own, and reports them as warnings of the whole process. So this module reads
what is needed, the size and the orientation, and leaves all other metadata out before the decoder gets the file.

Sources: JPEG, ITU-T T.81 annex B; PNG, ISO/IEC 15948; Exif 2.32 and TIFF 6.0 for the orientation; Netpbm's ppm(5).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks that decide about pixels: the critical ones and transparency.
_PNG_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
# Start of frame markers; FFC4, FFC8 and FFCC are other segments.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_START_OF_SCAN, _APP0, _APP1, _APP14, _APP15, _COMMENT = 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation(?:=["']|>)([1-8])""")
_TAG_ORIENTATION = 0x0112
# Integer types of TIFF that writers use for the orientation; the standard says SHORT.
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_MAX_TAGS = 512
# Parts of a file; each costs time and memory. Photographs have some hundreds of segments, and PNG files a chunk for each 8 KiB.
_MAX_SEGMENTS, _MAX_CHUNKS = 10_000, 50_000
# Scans of a JPEG file that is decoded as a whole; each takes time for all pixels. Encoders write about 10.
_MAX_SCANS = 100
# Plain Netpbm files are decoded slowly.
_MAX_PLAIN_BYTES = 2 << 20
# A marker that begins a segment, or the end of the image; stuffed bytes, fill bytes and restart markers are skipped.
_MARKER = re.compile(b"\xff[\x02-\xcf\xd9-\xfe]")
# The APP0 segment says no more than "YCbCr"; its density and thumbnail are metadata.
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_ADOBE_BYTES = 12
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
}


@dataclass(frozen=True)
class Container:
    """Properties of an image file.

    Args:
        format: ``JPEG``, ``PNG`` or ``PPM``; ``HEIC``, ``AVIF``, ``WEBP`` or another name for other files.
        width: Width in pixels, as stored; 0 if unknown.
        height: Height in pixels, as stored; 0 if unknown.
        bits: Bits per channel.
        channels: Number of channels; 0 if unknown.
        coefficient_bytes: Bytes that a decoder needs besides the pixels: JPEG files with several scans are decoded as a whole.
        orientation: Orientation of Exif or XMP, 1..8.
        data: The file without metadata.
    """

    format: str
    width: int = 0
    height: int = 0
    bits: int = 8
    channels: int = 0
    coefficient_bytes: int = 0
    orientation: int = 1
    data: bytes = b""


def read_container(data: bytes) -> Container:
    """Read the container of an image file.

    Raises:
        ValueError: The file is cut short or damaged where size and pixels are described.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(_PNG):
            return _png(data)
        if re.match(rb"P[1-6]\s|P[1-6]#", data):
            return _netpbm(data)
    except struct.error as error:
        raise ValueError("the file is cut short") from error
    return Container(_other_format(data), data=data)


def exif_orientation(block: bytes) -> int:
    """Return the orientation of a TIFF block, 1..8; 1 if the block has none or is damaged.

    Args:
        block: The block, beginning with its byte order; a leading ``Exif\\0\\0`` is skipped.
    """
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, offset)
        for position in range(offset + 2, offset + 2 + 12 * min(count, _MAX_TAGS), 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", block, position)
            if tag == _TAG_ORIENTATION:
                (value,) = struct.unpack_from(f"{order}{_INTEGERS.get(kind, 'I')}", block, position + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass  # the directory ends outside the block
    return 1


def _jpeg(data: bytes) -> Container:
    kept, orientations = [b"\xff\xd8"], {"exif": 1, "xmp": 1}
    frame: tuple[int, bytes] | None = None
    several = False
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _START_OF_SCAN:
            kept.append(data[start:])
            # A scan of some of the channels is followed by others.
            several = frame is not None and (
                frame[0] in _PROGRESSIVE or (len(frame[1]) > 5 and body[:1] != frame[1][5:6])
            )
            if several and data.count(b"\xff\xda", start) > _MAX_SCANS:
                raise ValueError(f"it has more than {_MAX_SCANS} scans")
            break
        if marker == _APP1:
            if body.startswith(b"Exif\0") and orientations["exif"] == 1:
                orientations["exif"] = exif_orientation(body)
            elif match := _XMP_ORIENTATION.search(body):
                orientations["xmp"] = int(match[1])
        if marker in _FRAMES:
            frame = frame or (marker, body)
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            kept.append(_JFIF)
        elif (marker == _APP14 and body.startswith(b"Adobe") and len(body) >= _ADOBE_BYTES) or not (
            _APP0 <= marker <= _APP15 or marker == _COMMENT
        ):
            kept.append(data[start:end])
    if frame is None:
        raise ValueError("the file is cut short")
    marker, body = frame
    bits, height, width, channels = struct.unpack_from(">BHHB", body)
    samplings = [body[7 + 3 * index] for index in range(channels) if 7 + 3 * index < len(body)]
    coefficients = 0
    if several and samplings:
        largest = max((s >> 4) for s in samplings) * max((s & 15) for s in samplings) or 1
        coefficients = sum(2 * width * height * (s >> 4) * (s & 15) // largest for s in samplings)
    orientation = orientations["exif"] if orientations["exif"] != 1 else orientations["xmp"]
    return Container("JPEG", width, height, bits, channels, coefficients, orientation, b"".join(kept))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of each segment before the first scan, and the scan itself.

    Raises:
        ValueError: There are more segments than a photograph has.
    """
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if match is None or match.start() + 4 > len(data) or match[0] == b"\xff\xd9":
            return
        position, marker = match.start(), match[0][1]
        (length,) = struct.unpack_from(">H", data, position + 2)
        end = position + 2 + max(2, length)
        yield marker, position, end
        if marker == _START_OF_SCAN:
            return
        position = end
    raise ValueError(f"it has more than {_MAX_SEGMENTS} segments")


def _png(data: bytes) -> Container:
    width, height, bits, color = struct.unpack_from(">IIBB", data, 16)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color, 0)
    kept, orientation, position = [_PNG], 1, len(_PNG)
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _PNG_KEPT and not (kind == b"tRNS" and color in (4, 6)):
            kept.append(data[position:end])
        elif kind == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        elif kind == b"iTXt" and orientation == 1:
            match = _XMP_ORIENTATION.search(data[position + 8 : end - 4])
            orientation = int(match[1]) if match else 1
        if kind == b"IEND":
            break
        position = end
    else:
        raise ValueError(f"it has more than {_MAX_CHUNKS} chunks")
    return Container("PNG", width, height, bits, channels, 0, orientation, b"".join(kept))


def _netpbm(data: bytes) -> Container:
    head = re.sub(rb"#[^\r\n]*", b"", data[:4096])
    kind = head[1:2]
    numbers = re.match(rb"P[1-6]\s+(\d{1,10})\s+(\d{1,10})(?:\s+(\d{1,10}))?\s", head + b" ")
    if numbers is None:
        raise ValueError("the header is damaged")
    if kind in b"123" and len(data) > _MAX_PLAIN_BYTES:
        raise ValueError(f"it is plain text of more than {_MAX_PLAIN_BYTES >> 20} MiB; save it as binary PPM")
    bilevel = kind in b"14"
    largest = 1 if bilevel or numbers[3] is None else int(numbers[3])
    channels = 3 if kind in b"36" else 1
    bits = 8 if largest < 256 else 16
    return Container("PPM", int(numbers[1]), int(numbers[2]), bits, channels, data=data)


def _other_format(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[at : at + 4] for at in range(16, min(64, len(data)), 4))]
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "MP4 or another format")
    for magic, name in ((b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF")):
        if data.startswith(magic):
            return name
    return "another format"
