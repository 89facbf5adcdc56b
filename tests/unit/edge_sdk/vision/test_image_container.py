"""Faults in metadata leave the pixels of an image readable, and no thread changes the process's warnings."""

from __future__ import annotations

import io
import os
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
    with pytest.raises(InputError, match="JPEG with several scans that needs at most 160 MiB") as refused:
        read_photograph(io.BytesIO(bytes(data)), fit_pixels=1_000_000)
    assert "baseline" in (refused.value.hint or "")


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize("marker", [0xE0, 0xEE])
@pytest.mark.parametrize("body", [b"", b"JFIF", b"JFIF\0\1", b"JFXX\0", b"Adobe", b"Adobe\0\x64\0\0"])
def test_a_short_application_segment_leaves_the_pixels_readable(marker: int, body: bytes) -> None:
    data = jpeg()
    plain = data[:2] + segment(marker, body) + data[20:]  # instead of the JFIF segment
    assert np.array_equal(read_image(io.BytesIO(plain)), read_image(io.BytesIO(data)))


PARTS = {
    "JPEG: fill bytes": lambda: b"\xff\xd8" + b"\xff" * (8 << 20),
    "JPEG: stuffed bytes": lambda: b"\xff\xd8" + b"\xff\0" * (4 << 20),
    "JPEG: comments": lambda: in_jpeg(segment(0xFE, b"") * 200_000),
    "JPEG: application segments": lambda: in_jpeg(segment(0xE0, b"") * 200_000),
    "JPEG: restart intervals": lambda: in_jpeg(segment(0xDD, b"\0\0") * 200_000),
    "PNG: empty image chunks": lambda: in_png(chunk(b"IDAT", b"") * 200_000),
    "PNG: texts": lambda: in_png(chunk(b"tEXt", b"") * 200_000),
    "PPM: plain text": lambda: b"P3 4000 2600 255\n" + b"1 " * (3 << 20),
}


@pytest.mark.parametrize("build", PARTS.values(), ids=PARTS)
def test_a_file_of_very_many_parts_is_refused_before_decoding(build: Callable[[], bytes]) -> None:
    with pytest.raises(InputError, match=r"more than|cut short"):
        read_image(io.BytesIO(build()))


def test_a_progressive_file_with_very_many_scans_is_refused() -> None:
    data = jpeg(progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(InputError, match="more than 100 scans"):
        read_image(io.BytesIO(data[:-2] + scan * 100 + b"\xff\xd9"))


def test_baseline_scans_of_single_channels_count_as_decoded_as_a_whole() -> None:
    data = jpeg()
    frame = data.index(b"\xff\xc0")
    scan = data.index(b"\xff\xda")
    header = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    several = data[:scan] + header + data[scan + 14 :]
    assert read_container(data).coefficient_bytes == 0
    assert read_container(several).coefficient_bytes == 64 * 96 * 3 * 2
    large = several[: frame + 5] + struct.pack(">HH", 6000, 8000) + several[frame + 9 :]
    with pytest.raises(InputError, match="several scans that needs at most 160 MiB"):
        read_photograph(io.BytesIO(large), fit_pixels=1_000_000)


def test_a_file_that_states_two_sizes_is_refused_before_decoding() -> None:
    second = struct.pack(">IIBBBBB", 6000, 6000, 8, 2, 0, 0, 0)
    frame = segment(0xC0, b"\x08\x20\0\x20\0\3\1\x11\0\2\x11\1\3\x11\1")
    for data in (in_png(chunk(b"IHDR", second)), replaced(jpeg(), b"\xff\xda", frame + b"\xff\xda")):
        with pytest.raises(InputError):
            read_image(io.BytesIO(data))


@pytest.mark.parametrize(
    ("kind", "value"), [(1, b"\6\0\0\0"), (3, b"\0\6\0\0"), (4, b"\0\0\0\6"), (9, b"\0\0\0\6")]
)
def test_the_orientation_is_read_in_each_integer_type(kind: int, value: bytes) -> None:
    assert exif_orientation(exif((0x112, kind, 1, value), order=">")) == 6


def test_a_pipe_or_a_device_is_no_image_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/zero")):
        with pytest.raises(InputError, match="a device or a pipe"):
            read_image(path)


WHOLE = {
    "RGB": (2, b"", True),
    "RGB with a transparent colour": (2, chunk(b"tRNS", b"\0\1\0\2\0\3"), True),
    "grey with a transparent grey": (0, chunk(b"tRNS", b"\0\1"), True),
    "opaque palette": (3, chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", b"\xff" * 256), False),
    "grey with alpha": (4, b"", False),
    "RGB with alpha": (6, b"", False),
}


@pytest.mark.parametrize(("color", "chunks", "accepted"), WHOLE.values(), ids=WHOLE)
def test_a_large_png_takes_less_than_300_mb(
    tmp_path: Path, color: int, chunks: bytes, accepted: bool
) -> None:
    width, height, channels = 8192, 6144, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    compressor = zlib.compressobj(1)
    rows = (b"\0" + b"\xff" * (width * channels)) * 64
    pixels = b"".join(compressor.compress(rows) for _ in range(height // 64)) + compressor.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    program = (
        "import sys\n"
        "from edge_sdk.errors import InputError\n"
        "from edge_sdk.vision.images import read_photograph\n"
        "try: shape = read_photograph(sys.argv[1], fit_pixels=12_582_912).shape\n"
        "except InputError: shape = None\n"
        f"assert shape == {(3072, 4096, 3) if accepted else None}, shape\n"
    )
    assert peak_bytes(program, str(path)) < 300_000_000
