"""From an entry to a file whose bytes were checked: a mirror folder, the cache, or the network through pooch."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edge_sdk.errors import ModelError
from edge_sdk.zoo.entries import ZooEntry

#: The environment variable that names a folder to read models from; nothing is then downloaded.
MIRROR = "EDGE_SDK_ZOO"
#: The environment variable that says where downloads are kept.
CACHE = "EDGE_SDK_CACHE"
_CHUNK = 1 << 20
_TIMEOUT_S = 30


def cache_folder() -> Path:
    """Where downloads are kept: ``EDGE_SDK_CACHE``, else the platform's cache folder.

    Raises:
        ModelError: pooch is not installed and nothing says where.
    """
    if named := os.environ.get(CACHE):
        return Path(named) / "zoo"
    return Path(_pooch().os_cache("edge-sdk")) / "zoo"


def path(entry: ZooEntry) -> Path:
    """The file of a model that is here already: in the mirror folder where one is named, else in the cache.

    Raises:
        ModelError: It is not here, or its bytes are not the listed ones.
    """
    mirror = os.environ.get(MIRROR)
    folder = Path(mirror) if mirror else cache_folder()
    file = folder / entry.file
    if not file.is_file():
        raise ModelError(
            f"{entry.name}: not found as {file}",
            hint=f"put the file there, or unset {MIRROR}" if mirror else f"edge-sdk zoo pull {entry.name}",
        )
    _check(file, entry)
    return file


def pull(entry: ZooEntry, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Get a model's file; downloaded once, its bytes checked every time.

    Args:
        entry: Which.
        progress: Called with (bytes done, bytes in all).

    Raises:
        ModelError: It cannot be had, or its bytes are not the listed ones; a download is then not kept.
    """
    if os.environ.get(MIRROR):
        return path(entry)
    folder = cache_folder()
    kept = folder / entry.file
    if kept.is_file() and _matches(kept, entry):
        return kept
    pooch = _pooch()
    try:
        found = pooch.retrieve(
            entry.address,
            known_hash=f"sha256:{entry.sha256}",
            fname=entry.file,
            path=folder,
            downloader=_Download(entry, progress),
        )
    except ValueError as error:
        # pooch has no error class of its own for another digest; it deletes what it downloaded.
        raise ModelError(
            f"{entry.name}: {entry.address} is not the listed file of SHA-256 {entry.sha256[:12]}...; nothing was kept",
            hint="do not use it; the file was changed since it was listed",
        ) from error
    except OSError as error:
        # requests' errors are OSErrors too.
        raise ModelError(
            f"{entry.name}: cannot be had from {entry.address}: {_line(error)}",
            hint=f"where there is no network, name a folder that holds {entry.file} in {MIRROR}",
        ) from error
    return Path(found)


class _Download:
    """What pooch calls: writes an address's bytes into a temporary file, never more than are listed."""

    def __init__(self, entry: ZooEntry, progress: Callable[[int, int], None] | None) -> None:
        self._entry, self._progress = entry, progress

    def __call__(self, address: str, target: str, _: Any) -> None:
        parts = urlsplit(address)
        if parts.scheme == "file":
            source = Path(unquote(parts.path))
            if source.stat().st_size != self._entry.size_bytes:
                raise ValueError(f"expected {self._entry.size_bytes} bytes")
            shutil.copyfile(source, target)
            return
        import requests

        with (
            requests.get(address, stream=True, timeout=_TIMEOUT_S) as answer,
            Path(target).open("wb") as file,
        ):
            answer.raise_for_status()
            written = 0
            for chunk in answer.iter_content(_CHUNK):
                written += len(chunk)
                if written > self._entry.size_bytes:
                    raise ValueError(f"expected {self._entry.size_bytes} bytes, found more")
                file.write(chunk)
                if self._progress is not None:
                    self._progress(written, self._entry.size_bytes)


def _check(file: Path, entry: ZooEntry) -> None:
    if not _matches(file, entry):
        raise ModelError(
            f"{file}: expected the listed bytes of {entry.name} (SHA-256 {entry.sha256[:12]}..., {entry.size_bytes}"
            " bytes), found others",
            hint="do not use it; delete it and get it again",
        )


def _matches(file: Path, entry: ZooEntry) -> bool:
    try:
        if file.stat().st_size != entry.size_bytes:
            return False
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest() == entry.sha256


def _line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return text.splitlines()[0][:200] if text else type(error).__name__


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise ModelError(
            "downloading a model of the zoo needs pooch",
            hint=f"pip install 'edge-sdk[faces]', or name a folder with the files in {MIRROR}",
        ) from error
    pooch.get_logger().setLevel("WARNING")
    return pooch
