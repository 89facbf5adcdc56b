"""Replace one file: the new content whole, or the old one as it was."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from converters.errors import ConversionError


def replace_file(
    path: Path, data: bytes, *, mode: int | None = None, check: Callable[[Path], object] | None = None
) -> None:
    """Write beside the file and rename.

    Args:
        path: The file; a symbolic link is followed.
        data: The new content.
        mode: Permissions; those of the old file, or 0644 for a new one, where None.
        check: Looks at the new file before it takes the old one's place; what it raises leaves the old one.

    Raises:
        ConversionError: The file cannot be written.
    """
    target = path.resolve()
    try:
        if mode is None:
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # made with 0600
        new = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            if check is not None:
                check(new)
            new.replace(target)
        finally:
            with contextlib.suppress(OSError):
                new.unlink()
    except OSError as error:
        raise ConversionError(
            f"{path}: cannot be written: {error.strerror or error}", hint="nothing was changed"
        ) from error
