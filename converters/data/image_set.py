"""A set of images or arrays from a folder, a .tar or a .zip, read in place and never unpacked to disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from converters.data.archives import open_archive
from edge_sdk.errors import InputError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.array_file import SUFFIX as ARRAY_SUFFIX
from edge_sdk.model.array_file import read_array
from edge_sdk.types import SampleArray, UInt8Array
from edge_sdk.vision.images import MAX_FILE_BYTES, MIN_SIDE_PX, SUFFIXES, read_image
from edge_sdk.vision.resize import fit


@dataclass(frozen=True)
class Crops:
    """Images at the network's size, or arrays.

    Args:
        names: Path of each file relative to the set, with forward slashes.
        pixels: Images: shape (n, H, W, C), uint8. Arrays: shape (n, ...), in the contract's type.
        sha256: SHA-256 over names and file contents, hex; the same files give the same digest.
        resized: Number of images that had another size and were cut and resized.
        larger: Number of images that were at least 1.5 times as high or wide as the network's input.
    """

    names: tuple[str, ...]
    pixels: SampleArray
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
    """Images or arrays in a folder or an archive, sorted by name, read on demand.

    Args:
        path: The folder or archive.
        names: The files, relative to the path.
        read: Returns the bytes of a file; raises InputError if it cannot be read.
    """

    def __init__(self, path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> None:
        self.path = path
        self.names = tuple(sorted(names))
        self.read = read

    @classmethod
    def open(cls, path: str | Path, *, arrays: bool | None = None) -> ImageSet:
        """List the JPEG, PNG and PPM/PGM images below a path, or the .npy files, except hidden files.

        Args:
            path: A folder, .tar or .zip.
            arrays: True lists .npy files, False images; None lists images, or .npy files if there are no images.

        Raises:
            InputError: The path does not exist, is neither a folder nor an archive, or has no such file.
        """
        path = Path(path)
        if path.is_dir():
            files = cls(path, _folder_names(path), lambda name: _bounded_file(path / name))
        elif path.is_file():
            files = _open_archive(path)
        else:
            raise InputError(
                f"{path}: expected a readable folder, .tar or .zip of images or .npy files, found nothing there"
            )
        of_kind: dict[bool, list[str]] = {True: [], False: []}
        for name in files.names:
            of_kind[name.lower().endswith(ARRAY_SUFFIX)].append(name)
        if arrays is None:
            arrays = bool(of_kind[True]) and not of_kind[False]
        if not of_kind[arrays]:
            kinds = f"arrays ({ARRAY_SUFFIX})", f"images ({', '.join(SUFFIXES)})"
            expected, other = kinds if arrays else kinds[::-1]
            count = len(of_kind[not arrays])
            raise InputError(
                f"{path}: expected {expected}, found " + (f"{count} {other}" if count else "none"),
                hint="the input contract and the files must be of one kind: --size and --color describe images,"
                " --shape describes arrays"
                if count
                else f"give a folder, a .tar or a .zip with {expected} in it",
            )
        images = cls(path, of_kind[arrays], files.read)
        for name in images.names:
            try:
                name.encode()  # reports and cards contain file names in UTF-8
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
        contract: AnyContract,
        *,
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Crops:
        """Read images at the network's size, or arrays.

        Args:
            contract: Input contract.
            names: Names of the files; None for all.
            progress: Called with (done, total).

        Raises:
            InputError: A file cannot be read, an image has a side under 16 px, or an array does not fit the contract.
        """
        chosen = self.names if names is None else tuple(names)
        digest = SetDigest()
        pixels = np.empty((len(chosen), *contract.shape), contract.dtype)
        resized = larger = 0
        for position, name in enumerate(chosen):
            content = self.read(name)
            digest.add(name, content)
            full_name = f"{self.path}/{name}"
            if isinstance(contract, ArrayContract):
                pixels[position] = read_array(content, contract, name=full_name)
            else:
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
        if _is_sample(relative.as_posix())
    ]


def _is_sample(name: str) -> bool:
    pure = PurePosixPath(name)
    hidden = any(part.startswith(".") and part not in (".", "..") for part in pure.parts)
    return pure.suffix.lower() in (*SUFFIXES, ARRAY_SUFFIX) and not hidden


def _bounded_file(path: Path) -> bytes:
    try:
        _check_size(path, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_size(name: str | Path, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise InputError(
            f"{name}: expected a file of at most {MAX_FILE_BYTES >> 20} MiB, found {size >> 20} MiB"
        )


def _open_archive(path: Path) -> ImageSet:
    archive = open_archive(path, accepts=_is_sample, max_file_bytes=MAX_FILE_BYTES)
    if archive is None:
        raise InputError(
            f"{path}: expected a readable folder, .tar or .zip of images or .npy files, found another kind of file"
        )
    return ImageSet(path, archive.names, archive.read)
