"""Image files as frames, for tests, demonstrations and the analysis of recorded images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_sdk.cameras.camera import no_camera
from edge_sdk.types import UInt8Array
from edge_sdk.vision.images import PHOTO_SUFFIXES, read_photograph
from edge_sdk.vision.orientation import check_rotation, turn

#: 4096x3072, the largest still of common camera modules; larger images are made smaller while they are decoded.
FIT_PIXELS = 12_582_912


class FolderCamera:
    """Camera that reads the images of a folder, sorted by name, or a list of image files, each once.

    Args:
        source: A folder, or image files in the order to read them.
        rotate: Clockwise turn of each image in degrees: 0, 90, 180 or 270; after the rotation of its EXIF data.
    """

    live = False

    def __init__(self, source: str | Path | Sequence[Path], *, rotate: int = 0) -> None:
        self.rotate = check_rotation(rotate)
        self._folder = Path(source) if isinstance(source, (str, Path)) else None
        self._files: Sequence[Path] = () if isinstance(source, (str, Path)) else tuple(source)
        self._rest: Iterator[Path] = iter(())

    @property
    def name(self) -> str:
        """Name of the folder in messages."""
        return f"folder {self._folder}" if self._folder else f"{len(self._files)} image files"

    def __enter__(self) -> FolderCamera:
        files = self._files
        if self._folder is not None:
            try:
                files = sorted(path for path in self._folder.iterdir() if _is_photograph(path))
            except OSError as error:
                raise no_camera(f"{self.name}: cannot be read: {error.strerror}") from error
        if not files:
            raise no_camera(
                f"{self.name}: expected images, found none", hint=f"add {', '.join(PHOTO_SUFFIXES)} files"
            )
        self._rest = iter(files)
        return self

    def __exit__(self, *error: object) -> None:
        self._rest = iter(())

    def read(self) -> UInt8Array | None:
        """Read the next image; None after the last. Raises InputError for a damaged image."""
        path = next(self._rest, None)
        return None if path is None else turn(read_photograph(path, fit_pixels=FIT_PIXELS), self.rotate)


def _is_photograph(path: Path) -> bool:
    """Tell from its name if a file is a photograph; hidden files, such as ``._1.jpg`` of macOS, are not."""
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")
