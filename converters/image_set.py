"""A set of images from a folder, a .tar or a .zip, read in place and never unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.inference.card import InputContract
from edge_sdk.perception.images import MAX_FILE_BYTES, MIN_SIDE_PX, SUFFIXES, fit, read_image
from edge_sdk.types import UInt8Array

MAX_PACKED_BYTES = 2 << 30


@dataclass(frozen=True)
class Crops:
    """Images at the network's size.

    Args:
        names: Where each came from, relative to the set, with forward slashes.
        pixels: Shape (n, H, W, C), uint8.
        sha256: Over names and file contents, hex; the same files give the same digest.
        resized: How many had another size and were cut and resized.
    """

    names: tuple[str, ...]
    pixels: UInt8Array
    sha256: str
    resized: int

    def __len__(self) -> int:
        return len(self.names)


class ImageSet:
    """Names of the images in a folder or an archive, sorted, and how to read each.

    Args:
        path: Where the set is.
        names: The images, relative to the path.
        read: Gives an image file's bytes by its name.
    """

    def __init__(self, path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> None:
        self.path = path
        self.names = tuple(sorted(names))
        self._read = read

    @classmethod
    def open(cls, path: str | Path) -> ImageSet:
        """Find the JPEG, PNG and PPM/PGM images below a path; hidden files are passed over.

        Raises:
            InputError: Nothing there, neither folder nor archive, or no image in it.
        """
        path = Path(path)
        if path.is_dir():
            found = cls(path, _folder_names(path), lambda name: _bounded_file(path / name))
        elif path.is_file():
            found = _open_archive(path)
        else:
            raise InputError(f"{path}: expected a folder or an archive of images, found nothing there")
        if not found.names:
            raise InputError(
                f"{path}: expected images ({', '.join(SUFFIXES)}), found none",
                hint="give a folder, a .tar or a .zip with images in it",
            )
        return found

    def __len__(self) -> int:
        return len(self.names)

    def image(self, name: str, color: str) -> UInt8Array:
        """Decode one image at its own size; see ``read_image``."""
        return read_image(io.BytesIO(self._read(name)), color=color, name=f"{self.path}/{name}")

    def crops(
        self,
        contract: InputContract,
        *,
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Crops:
        """Read images at the network's size.

        Args:
            contract: The size and colour wanted.
            names: Which ones; all where None.
            progress: Called with (done, total).

        Raises:
            InputError: An image cannot be read, or has a side under 16 px.
        """
        chosen = self.names if names is None else tuple(names)
        digest = hashlib.sha256()
        pixels = np.empty((len(chosen), *contract.shape), np.uint8)
        resized = 0
        for position, name in enumerate(chosen):
            content = self._read(name)
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
            full_name = f"{self.path}/{name}"
            image = read_image(io.BytesIO(content), color=contract.color, name=full_name)
            if min(image.shape[:2]) < MIN_SIDE_PX:
                raise InputError(
                    f"{full_name}: expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px,"
                    f" found {image.shape[0]}x{image.shape[1]}"
                )
            resized += image.shape[:2] != contract.shape[:2]
            pixels[position] = fit(image, contract.height, contract.width)
            if progress is not None:
                progress(position + 1, len(chosen))
        return Crops(chosen, pixels, digest.hexdigest(), resized)


def evenly(names: Sequence[str], count: int) -> tuple[str, ...]:
    """At most ``count`` names spread evenly over the sequence, the same ones every time."""
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
    return pure.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in pure.parts)


def _bounded_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected an image file of at most {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open_archive(path: Path) -> ImageSet:
    if zipfile.is_zipfile(path):
        return _open_zip(path)
    if tarfile.is_tarfile(path):
        return _open_tar(path)
    raise InputError(f"{path}: expected a folder, a .tar or a .zip of images, found another kind of file")


def _open_tar(path: Path) -> ImageSet:
    try:
        with tarfile.open(path) as archive:
            members = {
                m.name.removeprefix("./"): m
                for m in archive.getmembers()
                if m.isfile() and _is_image(m.name.removeprefix("./"))
            }
            if any(m.size > MAX_FILE_BYTES for m in members.values()):
                raise InputError(f"{path}: expected images of at most {MAX_FILE_BYTES >> 20} MiB each")
            plain = isinstance(archive.fileobj, io.BufferedReader)
            # A compressed archive cannot be entered in the middle, so its images are kept in memory.
            packed = {} if plain else _members_in_memory(archive, members, path)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path}: the archive is damaged: {error}") from error

    def read(name: str) -> bytes:
        if name in packed:
            return packed[name]
        with path.open("rb") as file:
            file.seek(members[name].offset_data)
            return file.read(members[name].size)

    return ImageSet(path, list(members), read)


def _members_in_memory(
    archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], path: Path
) -> dict[str, bytes]:
    if sum(m.size for m in members.values()) > MAX_PACKED_BYTES:
        raise InputError(
            f"{path}: expected at most {MAX_PACKED_BYTES >> 30} GiB of images in a compressed archive",
            hint="unpack it and give the folder, or pack it without compression",
        )
    files = {name: archive.extractfile(member) for name, member in members.items()}
    return {name: b"" if file is None else file.read() for name, file in files.items()}


def _open_zip(path: Path) -> ImageSet:
    def read(name: str) -> bytes:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(name) as file:
                return file.read(MAX_FILE_BYTES)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"{path}/{name}: the archive is damaged: {error}") from error

    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    return ImageSet(path, [name for name in names if _is_image(name)], read)
