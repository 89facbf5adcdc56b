"""Files of zoo models with checked digests, from a mirror folder, the cache, or the network (pooch)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edge_sdk.errors import ModelError
from edge_sdk.extras import install_command
from edge_sdk.zoo import mirror
from edge_sdk.zoo.entries import ZooEntry
from edge_sdk.zoo.mirror import MIRROR

#: Environment variable with the parent folder of the cache.
CACHE = "EDGE_SDK_CACHE"
_CHUNK = 1 << 20
_TIMEOUT_S = 30


def cache_folder() -> Path:
    """Return the folder of downloads: in ``EDGE_SDK_CACHE`` if set, otherwise in the platform's cache folder.

    Raises:
        ModelError: ``EDGE_SDK_CACHE`` is not set and pooch is not installed.
    """
    if parent := os.environ.get(CACHE):
        return Path(parent) / "zoo"
    return Path(_pooch().os_cache("edge-sdk")) / "zoo"


def path(entry: ZooEntry) -> Path:
    """Return the path of a model that is already available: in the mirror folder if set, otherwise in the cache.

    In the mirror folder the file may have any name; its size and SHA-256 identify it.

    Raises:
        ModelError: The file is missing, or its digest differs from the listed one; or the mirror is not a folder, or too
            large to search.
    """
    folder = mirror.mirror_folder()
    if folder is not None:
        return mirror.find(entry, folder)
    file = cache_folder() / entry.file
    if not file.is_file():
        raise ModelError(f"{entry.name}: not found as {file}", hint=f"edge-sdk zoo pull {entry.name}")
    if not mirror.is_listed(file, entry):
        raise ModelError(
            f"{file}: expected {entry.name} with SHA-256 {entry.sha256[:12]}... and {entry.size_bytes} bytes,"
            " found a different file",
            hint="do not use it; delete it and download it again",
        )
    return file


def pull(entry: ZooEntry, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Get a model's file: download it once, and check its digest every time.

    Args:
        entry: Entry of the model.
        progress: Called with the number of downloaded bytes and their total.

    Raises:
        ModelError: The file has no public address or cannot be downloaded, or its digest differs from the listed one; such
            a download is deleted.
    """
    if os.environ.get(MIRROR):
        return path(entry)
    folder = cache_folder()
    kept = folder / entry.file
    if mirror.is_listed(kept, entry):
        return kept
    if not entry.address:
        raise ModelError(
            f"{entry.name}: no public address of this file is known",
            hint=f"set {MIRROR} to a folder that contains the file, under any name",
        )
    pooch = _pooch()
    try:
        downloaded = pooch.retrieve(
            entry.address,
            known_hash=f"sha256:{entry.sha256}",
            fname=entry.file,
            path=folder,
            downloader=_Download(entry, progress),
        )
    except ValueError as error:
        # pooch raises ValueError for a wrong digest, and deletes the download.
        raise ModelError(
            f"{entry.name}: expected SHA-256 {entry.sha256[:12]}... at {entry.address}, found another file; nothing was kept",
            hint="do not use it; the file was changed after it was listed",
        ) from error
    except OSError as error:
        # Errors of requests are OSErrors too.
        raise ModelError(
            f"{entry.name}: cannot be downloaded from {entry.address}: {_line(error)}",
            hint=f"without a network, set {MIRROR} to a folder that contains {entry.file}, under any name",
        ) from error
    return Path(downloaded)


class _Download:
    """Downloader for pooch, which stops when a file exceeds its listed size."""

    def __init__(self, entry: ZooEntry, progress: Callable[[int, int], None] | None) -> None:
        self._entry, self._progress = entry, progress

    def __call__(self, address: str, target: str, _: Any) -> None:
        parts = urlsplit(address)
        if parts.scheme == "file":
            source = Path(unquote(parts.path))
            if source.stat().st_size != self._entry.size_bytes:
                raise ValueError(f"expected {self._entry.size_bytes} bytes, found {source.stat().st_size}")
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


def _line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return text.splitlines()[0][:200] if text else type(error).__name__


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise ModelError(
            "downloading a zoo model needs pooch",
            hint=f"{install_command('faces')}, or set {MIRROR} to a folder with the files",
        ) from error
    pooch.get_logger().setLevel("WARNING")
    return pooch
