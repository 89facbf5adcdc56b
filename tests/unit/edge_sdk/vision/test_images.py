"""Image files are read correctly or refused, and image arrays are checked."""

import io
import random
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_sdk.errors import InputError
from edge_sdk.vision.images import check_image, read_image


def photo(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    """Create smooth colours with some structure, similar to a photograph."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / rng.uniform(3, 9) + columns / rng.uniform(3, 9)) for _ in range(3)]
    noise = rng.normal(0, 8, (height, width, 3))
    return np.clip(127 + 90 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PHOTO = photo()


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("PPM", "ppm")])
def test_a_lossless_file_gives_its_pixels(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PHOTO).save(path, kind)
    for source in (path, str(path), path.open("rb")):
        pixels = read_image(source)
        np.testing.assert_array_equal(pixels, PHOTO)
        assert pixels.dtype == np.uint8
        if not isinstance(source, (str, Path)):
            source.close()


def test_a_jpeg_gives_nearly_its_pixels() -> None:
    decoded = read_image(encoded(Image.fromarray(PHOTO), "JPEG", quality=95, subsampling=0))
    assert decoded.shape == PHOTO.shape
    assert np.abs(decoded.astype(int) - PHOTO).mean() < 4


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PPM", "L"), ("JPEG", "L"), ("PNG", "1"), ("PPM", "1")]
)
def test_a_grey_file_becomes_three_equal_channels(kind: str, mode: str) -> None:
    pixels = read_image(encoded(Image.fromarray(PHOTO).convert(mode), kind))
    assert pixels.shape == PHOTO.shape
    assert (pixels == pixels[..., :1]).all()
    assert pixels.std() > 10


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(PHOTO).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(read_image(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_a_grey_network_gets_one_channel_of_luma() -> None:
    pixels = read_image(encoded(Image.fromarray(PHOTO), "PNG"), color="gray")
    assert pixels.shape == (40, 48, 1)
    luma = PHOTO @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(pixels[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_colours_come_out_as_rgb_for_every_network(color: str) -> None:
    red = Image.new("RGB", (20, 20), (250, 10, 20))
    assert read_image(encoded(red, "PNG"), color=color)[0, 0].tolist() == [250, 10, 20]


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_is_turned_as_its_exif_says(kind: str, orientation: int, turned: int) -> None:
    image = Image.fromarray(
        np.kron(np.arange(0, 240, 40, dtype=np.uint8).reshape(2, 3), np.ones((16, 16), np.uint8))
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if kind == "JPEG" else {}
    pixels = read_image(encoded(image, kind, exif=exif, **options), color="gray")[..., 0]
    expected = np.rot90(np.asarray(image), turned)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 2


def _seen_through(mode: str) -> Image.Image:
    image = Image.fromarray(PHOTO).convert("RGBA")
    image.putpixel((3, 4), (1, 2, 3, 254))
    return image.convert(mode)


def _palette() -> Image.Image:
    return Image.fromarray(PHOTO).quantize(64)


TRANSPARENT = {
    "one pixel of RGBA": lambda: encoded(_seen_through("RGBA"), "PNG"),
    "one pixel of LA": lambda: encoded(_seen_through("LA"), "PNG"),
    "a palette entry": lambda: encoded(_palette(), "PNG", transparency=int(np.asarray(_palette())[5, 5])),
    "a colour": lambda: encoded(
        Image.fromarray(PHOTO), "PNG", transparency=tuple(int(value) for value in PHOTO[5, 5])
    ),
    "a grey value": lambda: encoded(
        Image.fromarray(PHOTO).convert("L"),
        "PNG",
        transparency=Image.fromarray(PHOTO).convert("L").getpixel((5, 5)),
    ),
}


@pytest.mark.parametrize("case", TRANSPARENT)
def test_transparent_pixels_are_refused(case: str) -> None:
    with pytest.raises(InputError, match="expected an opaque image, found transparent pixels") as refused:
        read_image(TRANSPARENT[case]())
    assert "without transparency" in (refused.value.hint or "")


def _unused_grey() -> tuple[Image.Image, int]:
    image = Image.fromarray(np.clip(PHOTO, 0, 250)).convert("L")
    return image, 255


OPAQUE = {
    "RGBA": lambda: (encoded(Image.fromarray(PHOTO).convert("RGBA"), "PNG"), PHOTO),
    "a colour that no pixel has": lambda: (
        encoded(Image.fromarray(np.clip(PHOTO, 0, 250)), "PNG", transparency=(255, 255, 255)),
        np.clip(PHOTO, 0, 250),
    ),
    "a palette entry that no pixel has": lambda: (
        encoded(Image.fromarray(PHOTO).quantize(200), "PNG", transparency=255),
        np.asarray(Image.fromarray(PHOTO).quantize(200).convert("RGB")),
    ),
    "a grey value that no pixel has": lambda: (
        encoded(_unused_grey()[0], "PNG", transparency=_unused_grey()[1]),
        np.asarray(_unused_grey()[0].convert("RGB")),
    ),
    "LA": lambda: (
        encoded(Image.fromarray(PHOTO).convert("LA"), "PNG"),
        np.asarray(Image.fromarray(PHOTO).convert("L").convert("RGB")),
    ),
}


@pytest.mark.parametrize("case", OPAQUE)
def test_an_opaque_image_is_read_whatever_its_alpha(case: str) -> None:
    file, expected = OPAQUE[case]()
    np.testing.assert_array_equal(read_image(file), expected)


def _png_with_bits(bits: int, color: int) -> bytes:
    header = struct.pack(">IIBBBBB", 4, 4, bits, color, 0, 0, 0)
    row = b"\0" + bytes(range(1, 4 * 8 * (3 if color == 2 else 1) // 4 + 1))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(row * 4))
        + _chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), "PNG").getvalue(),
        _png_with_bits(16, 0),
        _png_with_bits(16, 2),
        b"P6 4 4 65535\n" + bytes(96),
        b"P5 4 4 1023\n" + bytes(32),
    ],
    ids=["grey PNG", "grey PNG by hand", "RGB PNG", "PPM", "PGM"],
)
def test_sixteen_bits_per_channel_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="expected 8 bits per channel, found 16"):
        read_image(io.BytesIO(data))


def test_cmyk_is_refused() -> None:
    with pytest.raises(InputError, match="found mode CMYK"):
        read_image(encoded(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("BMP", "BMP"),
        ("GIF", "GIF"),
        ("TIFF", "TIFF"),
        ("ICO", "another format"),
        ("JPEG2000", "another format"),
    ],
)
def test_other_formats_are_refused_whatever_the_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(PHOTO).save(path, kind)
    with pytest.raises(InputError, match=rf"photo\.jpg: expected a JPEG, PNG or PPM image, found {name}"):
        read_image(path)


def phone_photo(kind: str) -> bytes:
    """Encode the photograph in a format of phones."""
    image = Image.fromarray(np.kron(PHOTO[::8, ::8], np.ones((16, 16, 1), np.uint8)))
    if kind != "HEIC":
        return encoded(image, kind, quality=90).getvalue()
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=90)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "WEBP"])
def test_a_phones_format_is_read_if_its_package_is_installed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.heic"
    path.write_bytes(phone_photo(kind))
    expected = np.kron(PHOTO[::8, ::8], np.ones((16, 16, 1), np.uint8)).astype(int)
    pixels = read_image(path).astype(int)
    assert pixels.shape == expected.shape and np.abs(pixels - expected).mean() < 12


@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "WEBP"])
def test_a_phones_format_is_named_if_its_package_is_missing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(InputError, match=f"found {kind}") as refused:
        read_image(io.BytesIO(phone_photo(kind)))
    assert refused.value.hint == "save it as JPEG, or pip install 'edge-embedding-sdk[photos]'"


@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "WEBP"])
def test_damage_in_a_phones_format_never_ends_in_another_error(kind: str) -> None:
    whole = phone_photo(kind)
    generator = random.Random(0)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(generator.choice([1, 3])):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            assert (
                read_image(io.BytesIO(bytes(data[: generator.choice([len(data), len(data) // 2])]))).ndim == 3
            )
        except InputError:
            continue


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PPM"])
def test_a_file_cut_short_is_refused(kind: str) -> None:
    data = encoded(Image.fromarray(PHOTO), kind).getvalue()
    for length in range(0, int(len(data) * 0.9), max(1, len(data) // 40)):
        with pytest.raises(InputError):
            read_image(io.BytesIO(data[:length]))


def test_damage_never_ends_in_another_error() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(PHOTO)
    files = [
        encoded(image, "JPEG", exif=exif).getvalue(),
        encoded(image, "PNG", exif=exif).getvalue(),
        encoded(image.convert("P"), "PNG").getvalue(),
        encoded(image, "PPM").getvalue(),
    ]
    rng = random.Random(0)
    for turn in range(800):
        data = bytearray(files[turn % len(files)])
        for _ in range(rng.choice([1, 2, 5])):
            data[rng.randrange(min(len(data), 300))] = rng.randrange(256)
        try:
            pixels = read_image(io.BytesIO(bytes(data)))
        except InputError:
            continue
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8


def test_missing_empty_and_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jpg: no such file"):
        read_image(tmp_path / "none.jpg")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match=r"empty\.jpg: expected a JPEG"):
        read_image(tmp_path / "empty.jpg")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_image(tmp_path)


def test_an_error_calls_the_image_what_the_caller_calls_it() -> None:
    with pytest.raises(InputError, match=r"^frame 7: expected"):
        read_image(io.BytesIO(b"?"), name="frame 7")
    with pytest.raises(InputError, match=r"^the image: expected"):
        read_image(io.BytesIO(b"?"))


def _png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b""))
        + _chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        _png_header(7000, 7000),
        _png_header(10_000, 10_000),
        _png_header(60_000, 60_000),
        _png_header(2**31 - 1, 2**31 - 1),
        b"P6 50000 50000 255\n",
        b"P6 999999999 999999999 255\n",
    ],
)
def test_a_small_file_that_claims_a_huge_image_costs_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read_image(io.BytesIO(data))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(InputError, match="at most 64 MiB"):
        read_image(path)


def test_the_samples_are_read(products: list[Any]) -> None:
    assert len(products) >= 2
    for product in products:
        assert read_image(product.enrol).shape == (96, 96, 3)


@pytest.mark.parametrize(
    ("face", "description"),
    [
        (np.zeros((20, 20, 3), np.float32), r"float32 \[20, 20, 3\]"),
        (np.zeros((20, 20, 3), np.int8), "int8"),
        (np.zeros((20, 20), np.uint8), r"\[20, 20\]"),
        (np.zeros((20, 20, 1), np.uint8), r"\[20, 20, 1\]"),
        (np.zeros((20, 20, 4), np.uint8), r"\[20, 20, 4\]"),
        (np.zeros((1, 20, 20, 3), np.uint8), r"\[1, 20, 20, 3\]"),
        (np.zeros((3, 20, 20), np.uint8), r"\[3, 20, 20\]"),
        ([[[0, 0, 0]]], "list"),
        (None, "NoneType"),
        (b"\xff\xd8", "bytes"),
        (np.zeros((15, 20, 3), np.uint8), "15x20"),
        (np.zeros((20, 15, 3), np.uint8), "20x15"),
        (np.zeros((0, 20, 3), np.uint8), "0x20"),
    ],
)
def test_what_is_no_image_array_is_refused_and_described(face: Any, description: str) -> None:
    with pytest.raises(InputError, match=rf"expected .*found (uint8 )?{description}"):
        check_image(face, 3)


def test_sixteen_pixels_are_enough() -> None:
    assert check_image(np.zeros((16, 16, 3), np.uint8), 3).shape == (16, 16, 3)


def test_without_pillow_the_error_says_what_to_install(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "import sys; sys.modules['PIL'] = None\n"
        "from edge_sdk.vision.images import read_image\n"
        "from edge_sdk.errors import InputError\n"
        "import io; data = io.BytesIO(b'P6 16 16 255 ' + bytes(768))\n"
        "try: read_image(data)\n"
        "except InputError as error: print(error, '|', error.hint)"
    )
    assert done.stdout == "reading image files needs Pillow | pip install 'edge-embedding-sdk[images]'\n"
