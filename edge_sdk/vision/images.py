"""Reading of image files into arrays, and checks of such arrays. Pillow is imported when a file is read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.extras import install_command
from edge_sdk.types import UInt8Array

MIN_SIDE_PX = 16
MAX_PIXELS = 40_000_000
MAX_FILE_BYTES = 64 << 20
#: Every decoder is attack surface; these three formats are enough for cameras, face data sets and tools.
FORMATS = ("JPEG", "PNG", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm")

# Pillow modes that convert to 8-bit RGB or grey without loss.
_MODES = ("RGB", "L", "1", "P")


def read_image(
    source: str | Path | BinaryIO,
    *,
    color: str = "rgb",
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> UInt8Array:
    """Decode one JPEG, PNG or PPM/PGM file.

    Args:
        source: A path, or an open binary file.
        color: ``gray`` for one channel (ITU-R BT.601 luma), otherwise RGB. A grey image becomes RGB with
            three equal channels.
        name: Name of the image in error messages; the path if None.
        max_pixels: Largest number of pixels of the image; decoding takes up to 10 bytes per pixel, however small the file is.

    Returns:
        Shape (H, W, 3) or (H, W, 1), uint8; rotated by its EXIF orientation.

    Raises:
        InputError: The file is unreadable, damaged, too large or in another format, or the image has transparency,
            16 bits per channel or CMYK colours.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else "the image")
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise InputError("reading image files needs Pillow", hint=install_command("images")) from error
    try:
        if isinstance(source, (str, Path)) and Path(source).stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{name}: expected an image file of at most {MAX_FILE_BYTES >> 20} MiB")
        with warnings.catch_warnings():
            # A decompression bomb or a truncated block is a warning in Pillow and an error here.
            warnings.simplefilter("error")
            with Image.open(source, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise InputError(
                        f"{name}: expected at most {max_pixels} pixels, found {image.width}x{image.height}",
                        hint="make it smaller first",
                    )
                _check_mode(image, name)
                ImageOps.exif_transpose(image, in_place=True)
                mode = "L" if color == "gray" else "RGB"
                pixels = np.asarray(image if image.mode == mode else image.convert(mode), np.uint8)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: expected a JPEG, PNG or PPM image, found another format") from error
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name}: expected a JPEG, PNG or PPM image, but decoding failed: {error}"
        ) from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_mode(image: Any, name: str) -> None:
    transparent = "transparency" in image.info
    if image.mode not in _MODES or transparent:
        mode = f"{image.mode} with transparency" if transparent else image.mode
        raise InputError(
            f"{name}: expected an 8-bit RGB or greyscale image, found mode {mode}",
            hint="save it as 8-bit RGB or greyscale, without transparency",
        )


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
