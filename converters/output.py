"""Output appears whole or not at all."""

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

# A file system's limit is 255; the longest ending takes 26.
_MAX_NAME_BYTES = 200


@contextmanager
def staged(output: str | Path) -> Iterator[Path]:
    """A folder beside the output to write into; its files move to the output when the block ends well.

    The folder is made at once, so that an output that cannot be written is said before the work begins.
    On an error it is taken away and the output is as it was.

    Args:
        output: The folder to write to; made where it does not exist.

    Raises:
        ConversionError: The folder cannot be made or written, the disk is full.
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
        # A folder in a file's place would stop the renaming half-way.
        if blocked := next((f.name for f in sorted(staging.iterdir()) if (output / f.name).is_dir()), None):
            raise ConversionError(
                f"{output / blocked}: expected a file or nothing there, found a folder",
                hint="nothing was changed; move it away or choose another --output",
            )
        for file in sorted(staging.iterdir()):
            file.replace(output / file.name)
    except OSError as error:
        raise _cannot_write(output, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_name(name: str) -> None:
    """Refuse a model's name that cannot begin the names of its files: it must stay in the output folder.

    Raises:
        ConversionError: Empty, hidden, too long, or with a slash or what nobody can see.
    """
    # Category C holds control characters, direction marks and bytes that are not UTF-8.
    unseen = any(unicodedata.category(character)[0] == "C" for character in name)
    if unseen or name != name.strip() or name.startswith(".") or {"/", "\\"} & set(name):
        wanted = "a file name without slashes, a leading dot or characters that cannot be seen"
    elif not 0 < len(name.encode()) <= _MAX_NAME_BYTES:
        wanted = f"1 to {_MAX_NAME_BYTES} bytes"
    else:
        return
    raise ConversionError(
        f"the model's name: expected {wanted}, found {name[:_MAX_NAME_BYTES]!r}",
        hint="--name says how the files are called",
    )


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and bring them to the disk."""
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
