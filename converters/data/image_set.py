"""A set of images from a folder, a .tar or a .zip, read in place and never unpacked to disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from converters.data.archives import open_archive
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision.images import MAX_FILE_BYTES, MIN_SIDE_PX, SUFFIXES, read_image
from edge_sdk.vision.resize import fit


@dataclass(frozen=True)
class Crops:
    """Images at the network's size.

    Args:
        names: Path of each image relative to the set, with forward slashes.
        pixels: Shape (n, H, W, C), uint8.
        sha256: SHA-256 over names and file contents, hex; the same files give the same digest.
        resized: Number of images that had another size and were cut and resized.
        larger: Number of images that were at least 1.5 times as high or wide as the network's input.
    """

    names: tuple[str, ...]
    pixels: UInt8Array
    sha256: str
    resized: int
    larger: int = 0

    def __len__(self) -> int:
        return len(self.names)


class SetDigest:
    """SHA-256 over names, sizes and contents of images, in the order of the calls to ``add``."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, content: bytes) -> None:
        """Add one image."""
        self._digest.update(f"{name}\0{len(content)}\0".encode())
        self._digest.update(content)

    def hexdigest(self) -> str:
        """The digest so far, hex."""
        return self._digest.hexdigest()


class ImageSet:
    """Images in a folder or an archive, sorted by name, read on demand.

    Args:
        path: The folder or archive.
        names: The images, relative to the path.
        read: Returns the bytes of an image file; raises InputError if it cannot be read.
    """

    def __init__(self, path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> None:
        self.path = path
        self.names = tuple(sorted(names))
        self.read = read

    @classmethod
    def open(cls, path: str | Path) -> ImageSet:
        """List the JPEG, PNG and PPM/PGM images below a path, except hidden files.

        Raises:
            InputError: The path does not exist, is neither a folder nor an archive, or has no image.
        """
        path = Path(path)
        if path.is_dir():
            images = cls(path, _folder_names(path), lambda name: _bounded_file(path / name))
        elif path.is_file():
            images = _open_archive(path)
        else:
            raise InputError(
                f"{path}: expected a readable folder, .tar or .zip of images, found nothing there"
            )
        if not images.names:
            raise InputError(
                f"{path}: expected images ({', '.join(SUFFIXES)}), found none",
                hint="give a folder, a .tar or a .zip with images in it",
            )
        for name in images.names:
            try:
                name.encode()  # reports and cards contain image names in UTF-8
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{path}: expected file names in UTF-8, found {name!r}", hint="rename the file"
                ) from error
        return images

    def __len__(self) -> int:
        return len(self.names)

    def image(self, name: str, color: str) -> UInt8Array:
        """Decode one image at its own size; see ``read_image``."""
        return read_image(io.BytesIO(self.read(name)), color=color, name=f"{self.path}/{name}")

    def crops(
        self,
        contract: InputContract,
        *,
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Crops:
        """Read images at the network's size.

        Args:
            contract: Input contract, for size and colour.
            names: Names of the images; None for all.
            progress: Called with (done, total).

        Raises:
            InputError: An image cannot be read, or has a side under 16 px.
        """
        chosen = self.names if names is None else tuple(names)
        digest = SetDigest()
        pixels = np.empty((len(chosen), *contract.shape), np.uint8)
        resized = larger = 0
        for position, name in enumerate(chosen):
            content = self.read(name)
            digest.add(name, content)
            full_name = f"{self.path}/{name}"
            image = read_image(io.BytesIO(content), color=contract.color, name=full_name)
            if min(image.shape[:2]) < MIN_SIDE_PX:
                raise InputError(
                    f"{full_name}: expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px,"
                    f" found {image.shape[0]}x{image.shape[1]}"
                )
            resized += image.shape[:2] != contract.shape[:2]
            larger += image.shape[0] >= 1.5 * contract.height or image.shape[1] >= 1.5 * contract.width
            pixels[position] = fit(image, contract.height, contract.width)
            if progress is not None:
                progress(position + 1, len(chosen))
        return Crops(chosen, pixels, digest.hexdigest(), resized, larger)


def evenly(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Choose at most ``count`` names spread evenly over the sequence; the choice is deterministic."""
    if len(names) <= count:
        return tuple(names)
    return tuple(names[i * len(names) // count] for i in range(count))


def _folder_names(path: Path) -> list[str]:
    return [
        relative.as_posix()
        for relative in (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        if _is_image(relative.as_posix())
    ]


def _is_image(name: str) -> bool:
    pure = PurePosixPath(name)
    hidden = any(part.startswith(".") and part not in (".", "..") for part in pure.parts)
    return pure.suffix.lower() in SUFFIXES and not hidden


def _bounded_file(path: Path) -> bytes:
    try:
        _check_size(path, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_size(name: str | Path, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise InputError(
            f"{name}: expected an image file of at most {MAX_FILE_BYTES >> 20} MiB, found {size >> 20} MiB"
        )


def _open_archive(path: Path) -> ImageSet:
    archive = open_archive(path, accepts=_is_image, max_file_bytes=MAX_FILE_BYTES)
    if archive is None:
        raise InputError(
            f"{path}: expected a readable folder, .tar or .zip of images, found another kind of file"
        )
    return ImageSet(path, archive.names, archive.read)
