"""Reading of image files into arrays, and checks of such arrays. Pillow is imported when a file is read."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.extras import install_command
from edge_sdk.types import UInt8Array
from edge_sdk.vision.image_container import Container, exif_orientation, read_container

MIN_SIDE_PX = 16
MAX_PIXELS = 40_000_000
#: Largest photograph: 8192x6144, 50 megapixels, is the largest that phones usually save.
MAX_PHOTO_PIXELS = 52_000_000
MAX_FILE_BYTES = 64 << 20
#: Every decoder is attack surface; these three formats are enough for cameras, face data sets and tools.
FORMATS = ("JPEG", "PNG", "PPM")
#: Formats of phones with the largest number of pixels, read only if the package of the extra `photos` is installed. Their
#: decoders cannot make a picture smaller and need up to 40 bytes per pixel.
PHOTO_FORMATS = {"HEIC": 25_000_000, "AVIF": 16_000_000, "WEBP": 12_600_000}
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm")
PHOTO_SUFFIXES = (*SUFFIXES, ".heic", ".heif", ".avif", ".webp")

# Pillow modes that convert to 8-bit RGB or grey without loss, if they are opaque.
_MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "PA")
# Modes to convert to before an image is made smaller; Pillow cannot do it in the mode, or takes more memory.
_REDUCED_MODES = {"1": "L", "P": "RGB", "PA": "RGB", "LA": "L", "RGBA": "RGB"}
_STRIP_PIXELS = 1 << 20
# Largest memory for the coefficients of a JPEG file with several scans, and for the pixels of a file decoded as a whole.
_MAX_COEFFICIENT_BYTES = 160 << 20
_MAX_WHOLE_BYTES = 220_000_000
# Names of Pillow's transpositions by Exif orientation.
_TRANSPOSES = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_DECODING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    SyntaxError,
    EOFError,
    LookupError,
    struct.error,
    Warning,
)


def read_image(
    source: str | Path | BinaryIO,
    *,
    color: str = "rgb",
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> UInt8Array:
    """Decode one JPEG, PNG or PPM/PGM file; HEIC, AVIF and WebP too if the extra `photos` is installed.

    Faults in the metadata do not matter: metadata are removed before the file is decoded. No setting of the process changes, so
    images can be read in several threads.

    Args:
        source: A path, or an open binary file.
        color: ``gray`` for one channel (ITU-R BT.601 luma), otherwise RGB. A grey image becomes RGB with
            three equal channels.
        name: Name of the image in error messages; the path if None.
        max_pixels: Largest number of pixels of the image; decoding takes up to 10 bytes per pixel, however small the file is.

    Returns:
        Shape (H, W, 3) or (H, W, 1), uint8; rotated by its EXIF orientation.

    Raises:
        InputError: The file is unreadable, damaged, too large or in another format, or the image has transparent pixels,
            16 bits per channel or CMYK colours.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else "the image")
    container = _container(_read_bytes(source, name), name)
    if container.width * container.height > max_pixels:
        raise InputError(
            f"{name}: expected at most {max_pixels} pixels, found {container.width}x{container.height}",
            hint="make it smaller first",
        )
    return _decode(container, color, name, max_pixels, max_pixels)


def read_photograph(
    source: str | Path | BinaryIO, *, fit_pixels: int, color: str = "rgb", name: str | None = None
) -> UInt8Array:
    """Decode a photograph and make it smaller if it is large: by 2, 4 or 8, until it has at most `fit_pixels` pixels.

    JPEG files are made smaller while they are decoded, so that a photograph of 50 megapixels takes under 300 MB.

    Args:
        source: A path, or an open binary file.
        fit_pixels: Largest number of pixels of the result.
        color: As for `read_image`.
        name: Name of the image in error messages; the path if None.

    Returns:
        As `read_image`.

    Raises:
        InputError: As for `read_image`; or the photograph has more than 52 megapixels.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else "the image")
    container = _container(_read_bytes(source, name), name)
    pixels = container.width * container.height
    if pixels > MAX_PHOTO_PIXELS:
        raise InputError(
            f"{name}: expected at most {MAX_PHOTO_PIXELS // 1_000_000} megapixels,"
            f" found {container.width}x{container.height}",
            hint="make it smaller first",
        )
    return _decode(container, color, name, MAX_PHOTO_PIXELS, fit_pixels)


def _read_bytes(source: str | Path | BinaryIO, name: str) -> bytes:
    try:
        if isinstance(source, (str, Path)):
            # Opening a pipe without a writer never ends.
            if Path(source).exists() and not Path(source).is_file() and not Path(source).is_dir():
                raise InputError(f"{name}: expected an image file, found a device or a pipe")
            with Path(source).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        else:
            data = source.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: cannot be read: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{name}: expected an image file of at most {MAX_FILE_BYTES >> 20} MiB")
    return data


def _container(data: bytes, name: str) -> Container:
    try:
        container = read_container(data)
    except ValueError as error:
        raise _failed(name, error) from error
    if container.format not in (*FORMATS, *PHOTO_FORMATS):
        raise InputError(f"{name}: expected a JPEG, PNG or PPM image, found {container.format}")
    if container.bits > 8:
        raise InputError(
            f"{name}: expected 8 bits per channel, found {container.bits}",
            hint="save it with 8 bits per channel",
        )
    if container.coefficient_bytes > _MAX_COEFFICIENT_BYTES:
        raise InputError(
            f"{name}: expected a JPEG with several scans that needs at most {_MAX_COEFFICIENT_BYTES >> 20} MiB to decode,"
            f" found {container.width}x{container.height}",
            hint="save it as a baseline (not progressive) JPEG, or make it smaller",
        )
    return container


def _decode(container: Container, color: str, name: str, max_pixels: int, fit_pixels: int) -> UInt8Array:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise InputError("reading image files needs Pillow", hint=install_command("images")) from error
    try:
        with _open(container, name, max_pixels) as image:
            if container.width and image.size != (container.width, container.height):
                raise ValueError("it states two sizes")
            pixels = image.width * image.height
            scale = next((s for s in (1, 2, 4) if pixels <= fit_pixels * s * s), 8)
            if container.format == "JPEG" and scale > 1:
                image.draft(None, (image.width // scale, image.height // scale))
            elif scale > 1:
                _check_whole_bytes(image, name)
            orientation = container.orientation
            if container.format in ("AVIF", "WEBP"):
                orientation = exif_orientation(image.info.get("exif", b""))
            mode = "L" if color == "gray" else "RGB"
            upright = _opaque(image, name)
            if container.format != "JPEG" and scale > 1:
                # Make it smaller before its conversion to a mode of more channels.
                if upright.mode in _REDUCED_MODES:
                    upright = upright.convert(_REDUCED_MODES[upright.mode])
                    image.close()
                upright = upright.reduce(scale)
                image.close()
            if upright.mode != mode:
                upright = upright.convert(mode)
            if orientation != 1:
                upright = upright.transpose(Image.Transpose[_TRANSPOSES[orientation]])
            values = np.asarray(upright, np.uint8)
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: expected a JPEG, PNG or PPM image, found another format") from error
    except _DECODING_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise _failed(name, error) from error
    except Image.DecompressionBombError as error:
        raise _failed(name, error) from error
    return values[..., None] if values.ndim == 2 else values


def _open(container: Container, name: str, max_pixels: int) -> Any:
    """Open the file with Pillow; the pixels are not decoded, except those of HEIC."""
    from PIL import Image

    if container.format in FORMATS:
        return Image.open(io.BytesIO(container.data), formats=(container.format,))
    try:
        import pi_heif
    except ImportError as error:
        raise InputError(
            f"{name}: expected a JPEG, PNG or PPM image, found {container.format}",
            hint=f"save it as JPEG, or {install_command('photos')}",
        ) from error
    stream = io.BytesIO(container.data)
    if container.format == "HEIC":
        # The container of HEIC states rotations, which the decoder applies.
        opened = pi_heif.open_heif(stream, convert_hdr_to_8bit=True)
    else:
        opened = Image.open(stream, formats=(container.format,))
    width, height = opened.size
    most = min(max_pixels, PHOTO_FORMATS[container.format])
    if width * height > most:
        raise InputError(
            f"{name}: expected at most {most} pixels for {container.format}, found {width}x{height}",
            hint="save it as JPEG, or make it smaller first",
        )
    return opened.to_pillow() if container.format == "HEIC" else opened


def _check_whole_bytes(image: Any, name: str) -> None:
    """Check the memory to decode a large file as a whole, before it is made smaller."""
    # Pillow stores 1 or 4 bytes per pixel.
    need = _stored_bytes(image.mode)
    if image.mode in _REDUCED_MODES:
        need += _stored_bytes(_REDUCED_MODES[image.mode])
    if image.width * image.height * need > _MAX_WHOLE_BYTES:
        raise InputError(
            f"{name}: expected at most {_MAX_WHOLE_BYTES // need // 1_000_000} megapixels of mode {image.mode},"
            f" found {image.width}x{image.height}",
            hint="save it as JPEG, or make it smaller",
        )


def _stored_bytes(mode: str) -> int:
    return 1 if mode in ("1", "L", "P") else 4


def _opaque(image: Any, name: str) -> Any:
    """Return an image of 8-bit colours or greys; refuse transparent pixels and other modes."""
    if image.mode not in _MODES:
        raise InputError(
            f"{name}: expected an 8-bit RGB or greyscale image, found mode {image.mode}",
            hint="save it as 8-bit RGB or greyscale",
        )
    if image.mode.endswith("A") or "transparency" in image.info:
        rows = max(1, _STRIP_PIXELS // image.width)
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(image.height, top + rows)))
            if strip.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise InputError(
                    f"{name}: expected an opaque image, found transparent pixels",
                    hint="save it as 8-bit RGB or greyscale, without transparency",
                )
        image.info.pop("transparency", None)
    return image


def _failed(name: str, error: Exception) -> InputError:
    return InputError(f"{name}: expected a JPEG, PNG or PPM image, but decoding failed: {error}")


def check_image(face: Any, channels: int) -> UInt8Array:
    """Check that a value is an image array, and return it.

    Raises:
        InputError: The value is not a uint8 array (H, W, channels), or a side is under 16 px.
    """
    if (
        not isinstance(face, np.ndarray)
        or face.dtype != np.uint8
        or face.ndim != 3
        or face.shape[2] != channels
    ):
        kind = f"{face.dtype} {list(face.shape)}" if isinstance(face, np.ndarray) else type(face).__name__
        raise InputError(f"expected a uint8 image of shape (H, W, {channels}), found {kind}")
    if min(face.shape[:2]) < MIN_SIDE_PX:
        raise InputError(
            f"expected an image of at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px, found {face.shape[0]}x{face.shape[1]}"
        )
    return face
