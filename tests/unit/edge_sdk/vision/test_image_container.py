"""Faults in metadata leave the pixels of an image readable, and no thread changes the process's warnings."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from edge_sdk.errors import InputError
from edge_sdk.vision.image_container import exif_orientation, read_container
from edge_sdk.vision.images import MAX_PHOTO_PIXELS, read_image, read_photograph
from tests.peak_memory import peak_bytes

ROWS, COLUMNS = np.mgrid[0:64, 0:96]
PICTURE = np.dstack([COLUMNS * 2, ROWS * 3, (ROWS * COLUMNS) % 251]).astype(np.uint8)
IMAGE = Image.fromarray(PICTURE)


def jpeg(image: Image.Image = IMAGE, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 95, "subsampling": 0, **options})
    return file.getvalue()


def png(image: Image.Image = IMAGE, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


def chunk(kind: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)
    )


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """Build a TIFF block with one directory."""
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, kind, count, value in entries:
        block += struct.pack(f"{order}HHI", tag, kind, count) + value
    return block + bytes(4)


def orientation(value: int, order: str = "<") -> tuple[int, int, int, bytes]:
    return (0x112, 3, 1, struct.pack(f"{order}HH", value, 0))


OUTSIDE = (0x9286, 7, 400, struct.pack("<I", 60_000))
HUGE = (0xA20F, 5, 0x1000_0000, struct.pack("<I", 100))
MAKER = (0x10F, 2, 30, struct.pack("<I", 60_000))


def in_jpeg(*segments: bytes, image: Image.Image = IMAGE) -> bytes:
    data = jpeg(image)
    return data[:2] + b"".join(segments) + data[2:]


def in_png(*chunks: bytes) -> bytes:
    data = png()
    return data[:33] + b"".join(chunks) + data[33:]


def app1(block: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + block)


DAMAGED: dict[str, bytes] = {
    "EXIF: a tag outside the block": in_jpeg(app1(exif(orientation(1), OUTSIDE))),
    "EXIF: a tag of 2 GiB": in_jpeg(app1(exif(HUGE))),
    "EXIF: a text outside the block": in_jpeg(app1(exif(MAKER))),
    "EXIF: more entries than bytes": in_jpeg(app1(exif()[:8] + b"\xff\xff")),
    "EXIF: a directory outside the block": in_jpeg(app1(b"II*\0" + struct.pack("<I", 1 << 31))),
    "EXIF: no byte order": in_jpeg(app1(b"XX*\0" + bytes(20))),
    "EXIF: empty": in_jpeg(app1(b"")),
    "EXIF: a directory that points to itself": in_jpeg(app1(b"II*\0\x08\0\0\0\0\0\x08\0\0\0")),
    "EXIF: an orientation of 99": in_jpeg(app1(exif(orientation(99)))),
    "MPF: random bytes": in_jpeg(segment(0xE2, b"MPF\0" + bytes(range(60)))),
    "MPF: a directory outside the block": in_jpeg(segment(0xE2, b"MPF\0II*\0" + struct.pack("<I", 1 << 30))),
    "ICC profile: random bytes": in_jpeg(segment(0xE2, b"ICC_PROFILE\0\x01\x09" + bytes(range(90)))),
    "Photoshop block: random bytes": in_jpeg(
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff\xff" + bytes(30))
    ),
    "XMP: not closed": in_jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta <<<&&")),
    "comment: random bytes": in_jpeg(segment(0xFE, bytes(range(256)))),
    "PNG EXIF: a tag outside the block": in_png(chunk(b"eXIf", exif(OUTSIDE))),
    "PNG EXIF: wrong checksum": in_png(chunk(b"eXIf", exif(orientation(1)), crc=7)),
    "PNG text: cannot be decompressed": in_png(chunk(b"zTXt", b"Raw profile type exif\0\0" + bytes(40))),
    "PNG text: 64 MiB after decompression": in_png(
        chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(64 << 20)))
    ),
    "PNG ICC profile: cannot be decompressed": in_png(chunk(b"iCCP", b"icc\0\0" + bytes(40))),
    "PNG: a damaged animation": in_png(chunk(b"acTL", bytes(3)), chunk(b"fcTL", bytes(5))),
    "PNG: a damaged resolution": in_png(chunk(b"pHYs", b"\0")),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_good_pixels_are_read_whatever_the_metadata(case: str) -> None:
    pixels = read_image(io.BytesIO(DAMAGED[case]))
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).mean() < 4


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("bad", [False, True], ids=["whole", "with a bad tag"])
def test_the_orientation_is_applied(value: int, order: str, bad: bool) -> None:
    block = exif(orientation(value, order), *([OUTSIDE] if bad else []), order=order)
    reference = Image.Exif()
    reference[0x112] = value
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg(exif=reference)))))
    np.testing.assert_array_equal(read_image(io.BytesIO(in_jpeg(app1(block)))), expected)
    turned = read_image(io.BytesIO(in_png(chunk(b"eXIf", block))))
    assert turned.shape == expected.shape and np.abs(turned.astype(int) - expected).mean() < 4


def test_the_orientation_of_xmp_is_used_if_exif_has_none() -> None:
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    assert read_image(io.BytesIO(in_jpeg(segment(0xE1, xmp)))).shape == (96, 64, 3)
    both = in_jpeg(app1(exif(orientation(3))), segment(0xE1, xmp))
    assert read_image(io.BytesIO(both)).shape == (64, 96, 3)


def test_a_thumbnail_does_not_decide_the_orientation() -> None:
    """The second directory of an EXIF block describes the thumbnail."""
    first = exif((0x10F, 2, 1, b"a\0\0\0"))[:-4]
    block = first + struct.pack("<I", len(first) + 4) + exif(orientation(6))[8:]
    assert exif_orientation(block) == 1


def test_metadata_does_not_reach_the_decoder() -> None:
    secret = b"EXIF-SECRET"
    for data in (in_jpeg(app1(exif() + secret)), in_png(chunk(b"tEXt", b"k\0" + secret))):
        assert secret not in read_container(data).data


def test_reading_in_threads_leaves_the_filters_of_warnings_as_they_were() -> None:
    data = [jpeg(progressive=True), png(), DAMAGED["EXIF: a tag outside the block"]] * 60
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda content: read_image(io.BytesIO(content)), data))
    assert len(results) == len(data) and warnings.filters == before


def test_random_bytes_give_a_container_or_one_error() -> None:
    generator = random.Random(0)
    for whole in (jpeg(), png(), DAMAGED["MPF: random bytes"], b"P6 4 4 255\n" + bytes(48)):
        for _ in range(300):
            data = bytearray(whole)
            for _ in range(generator.choice((1, 4, 20))):
                data[generator.randrange(min(len(data), 400))] = generator.randrange(256)
            try:
                container = read_container(bytes(data[: generator.choice((len(data), 40, 7))]))
            except ValueError:
                continue
            assert len(container.data) <= len(whole)


def big_jpeg(width: int, height: int, **options: Any) -> bytes:
    tile = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return jpeg(Image.fromarray(tile).resize((width, height)), **{"quality": 60, "subsampling": 2, **options})


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 800), (800, 1000)),
        ((1001, 800), (400, 501)),
        ((2000, 1600), (800, 1000)),
        ((4001, 3000), (750, 1001)),
    ],
)
def test_a_large_photograph_becomes_smaller_by_a_power_of_two(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    data = big_jpeg(*size)
    pixels = read_photograph(io.BytesIO(data), fit_pixels=800_000)
    assert pixels.shape == (*expected, 3)
    reference = Image.open(io.BytesIO(data)).resize(expected[::-1], Image.Resampling.BOX)
    assert np.abs(pixels.astype(int) - np.asarray(reference)).mean() < 5


@pytest.mark.parametrize("kind", ["PNG", "PPM"])
def test_other_formats_become_smaller_after_decoding(kind: str) -> None:
    file = io.BytesIO()
    IMAGE.resize((1200, 800)).save(file, kind)
    file.seek(0)
    assert read_photograph(file, fit_pixels=300_000).shape == (400, 600, 3)


@pytest.mark.parametrize("size", [(8192, 6144), (5712, 4284)], ids=["50 megapixels", "24 megapixels"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_phones_photograph_takes_less_than_300_mb(
    tmp_path: Path, size: tuple[int, int], options: dict[str, Any]
) -> None:
    path = tmp_path / "photo.jpg"
    turned = Image.Exif()
    turned[0x112] = 6
    path.write_bytes(big_jpeg(*size, exif=turned, **options))
    program = (
        "import sys\n"
        "from edge_sdk.vision.images import read_photograph\n"
        f"assert read_photograph(sys.argv[1], fit_pixels=12_582_912).shape == {(size[0] // 2, size[1] // 2, 3)}\n"
    )
    assert peak_bytes(program, str(path)) < 300_000_000


def _claiming(width: int, height: int) -> bytes:
    data = bytearray(jpeg())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("read", "size"),
    [
        (lambda file: read_image(file, max_pixels=1_000_000), (1100, 1000)),
        (lambda file: read_photograph(file, fit_pixels=1_000_000), (9000, 8000)),
        (lambda file: read_photograph(file, fit_pixels=1_000_000), (65_000, 65_000)),
    ],
)
def test_a_photograph_beyond_the_limit_is_refused_before_decoding(
    read: Callable[[io.BytesIO], Any], size: tuple[int, int]
) -> None:
    assert size[0] * size[1] > MAX_PHOTO_PIXELS or size[0] * size[1] > 1_000_000
    with pytest.raises(InputError, match=f"found {size[0]}x{size[1]}"):
        read(io.BytesIO(_claiming(*size)))


def test_a_progressive_photograph_that_needs_too_much_memory_is_refused() -> None:
    data = bytearray(jpeg(progressive=True))
    place = data.index(b"\xff\xc2")
    data[place + 5 : place + 9] = struct.pack(">HH", 6000, 8000)
    with pytest.raises(InputError, match="progressive JPEG that needs at most 160 MiB") as refused:
        read_photograph(io.BytesIO(bytes(data)), fit_pixels=1_000_000)
    assert "baseline" in (refused.value.hint or "")
