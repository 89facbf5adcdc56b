"""A folder of crops that appears when it is complete, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from edge_sdk.errors import InputError
from edge_sdk.extras import install_command
from edge_sdk.types import UInt8Array


class CropFolder:
    """A new folder of PNG files, used in a `with` block; `finish` moves it to its place.

    Args:
        target: Path of the folder; it must not exist, or be empty.

    Raises:
        InputError: The target holds files, or cannot be written.
    """

    def __init__(self, target: Path) -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{target}: expected a new or empty folder, found other files there")
        self._target = target

    def __enter__(self) -> CropFolder:
        parent = self._target.absolute().parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=".align-", dir=parent))
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, name: str, crop: UInt8Array) -> str:
        """Write one crop.

        Args:
            name: Relative path of its photograph.
            crop: Shape (H, W, 3), uint8, RGB.

        Returns:
            Relative path of the crop, with the suffix ``.png``.
        """
        try:
            from PIL import Image
        except ImportError as error:  # pragma: no cover  read_image has imported it
            raise InputError("writing image files needs Pillow", hint=install_command("images")) from error
        path = (self._folder / name).with_suffix(".png")
        if path.exists():  # a.jpg and a.png
            path = path.with_name(f"{Path(name).name}.png")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(path)
        except OSError as error:
            raise self._unwritable(error) from error
        return path.relative_to(self._folder).as_posix()

    def remove(self, name: str) -> None:
        """Remove the crops of one subfolder."""
        shutil.rmtree(self._folder / name)

    def finish(self) -> None:
        """Move the folder to its place."""
        try:
            self._folder.chmod(0o777 & ~_umask())
            if self._target.exists():
                self._target.rmdir()
            self._folder.rename(self._target)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self._target}: cannot be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
