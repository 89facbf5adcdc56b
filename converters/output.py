"""Write output files completely or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from converters.errors import ConversionError

# File systems allow names of 255 bytes; the rest is left for suffixes such as ".cpu_int8.recipe.json".
_MAX_NAME_BYTES = 200


@contextmanager
def staged(output: str | Path) -> Iterator[Path]:
    """Provide a temporary folder; its files move to the output folder if the block ends without an error.

    The temporary folder is created beside the output folder before the work begins, so that an output folder that
    cannot be written is reported early. After an error, it is removed and the output folder is unchanged.

    Args:
        output: The folder to write to; created if it does not exist.

    Raises:
        ConversionError: The output folder cannot be created or written, or the disk is full.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ConversionError(f"{output}: expected a folder to write to, found a file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise _cannot_write(output, error) from error
    try:
        yield staging
        output.mkdir(exist_ok=True)
        # Check all names first: a folder with the name of an output file would stop the renaming half-way.
        if blocked := next((f.name for f in sorted(staging.iterdir()) if (output / f.name).is_dir()), None):
            raise ConversionError(
                f"{output / blocked}: expected a file or nothing there, found a folder",
                hint="nothing was changed; move the folder away or choose another --output",
            )
        for file in sorted(staging.iterdir()):
            file.replace(output / file.name)
    except OSError as error:
        raise _cannot_write(output, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_name(name: str) -> None:
    """Refuse a model's name that cannot be the beginning of file names in the output folder.

    Raises:
        ConversionError: The name is empty or too long, or has a leading dot, a space at its start or end, a slash or an invisible
            character.
    """
    # Category C holds control characters, direction marks and bytes that are not UTF-8.
    invisible = any(unicodedata.category(character)[0] == "C" for character in name)
    if invisible or name != name.strip() or name.startswith(".") or {"/", "\\"} & set(name):
        expected = "a file name without slashes, leading dot, outer spaces and invisible characters"
    elif not 0 < len(name.encode()) <= _MAX_NAME_BYTES:
        expected = f"1 to {_MAX_NAME_BYTES} bytes"
    else:
        return
    raise ConversionError(
        f"the model's name: expected {expected}, found {name[:_MAX_NAME_BYTES]!r}",
        hint="--name sets the beginning of the file names",
    )


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and flush them to the disk."""
    for name, data in files.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _cannot_write(output: Path, error: OSError) -> ConversionError:
    return ConversionError(
        f"{output}: cannot be written: {error.strerror or error}",
        hint="nothing was changed; free space or choose another --output",
    )


def replace_file(
    path: Path, data: bytes, *, mode: int | None = None, check: Callable[[Path], object] | None = None
) -> None:
    """Replace a file atomically: write a temporary file in the same folder and rename it to the file's name.

    Args:
        path: The file; a symbolic link is followed.
        data: The new content.
        mode: Permissions; None for those of the old file, or 0644 for a new file.
        check: Called with the temporary file before the renaming; if it raises, the old file stays.

    Raises:
        ConversionError: The file cannot be written.
    """
    target = path.resolve()
    try:
        if mode is None:
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # created with 0600
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
