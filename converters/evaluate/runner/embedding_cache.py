"""Cache of embeddings by embedding space and image content, so that a second run takes seconds.

Embeddings are biometric data: the folder is private (0700) and so is each file (0600); removing the folder
deletes them. A file that is damaged, truncated or of another version is ignored and written again.

    CACHE/KEY/ab.embeddings     KEY: the artefact's embedding space; ab: first byte of the image's SHA-256

    8 bytes   magic "EDGEMB01"
    32 bytes  SHA-256 of all that follows
    4 bytes   dimension D, little endian
    4 bytes   count n, little endian
    n times   32 bytes SHA-256 of the image file, D float32 little endian
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np

from converters.errors import ConversionError
from converters.output import replace_file
from edge_sdk.types import FloatArray

_MAGIC = b"EDGEMB01"
_COUNTS = struct.Struct("<II")
_HEAD_BYTES = len(_MAGIC) + 32 + _COUNTS.size
_MAX_FILE_BYTES = 1 << 30


def default_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/edge-sdk/embeddings``, or ``~/.cache/edge-sdk/embeddings`` if that is not set."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "edge-sdk" / "embeddings"


def prepare(folder: Path) -> str:
    """Create a private folder of the cache.

    Returns:
        The reason why this is not possible; empty on success.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            return f"{folder}: no cache: the folder belongs to another user"
        folder.chmod(0o700)
    except OSError as error:
        return f"{folder}: no cache: {error.strerror or error}"
    return ""


class EmbeddingCache:
    """Cached embeddings of one embedding space.

    Two runs may share a folder: each file is replaced as a whole, and entries lost in this way are computed again.

    Args:
        folder: Folder of the cache; created and made private.
        key: The embedding space, hex (``OpenedArtefact.key``).
        dimension: Length D of the embeddings.

    Attributes:
        problem: Reason why nothing is cached; empty if the cache works.
    """

    def __init__(self, folder: Path, key: str, dimension: int) -> None:
        self.folder = folder / key
        self.problem = prepare(folder) or prepare(self.folder)
        self._dimension = dimension
        self._shards: dict[str, dict[bytes, FloatArray]] = {}
        self._changed: set[str] = set()

    def get(self, image_sha256: bytes) -> FloatArray | None:
        """Return the cached embedding (D,), float32, of an image file by its SHA-256 (32 bytes), or None."""
        return None if self.problem else self._shard(image_sha256).get(image_sha256)

    def put(self, image_sha256: bytes, embedding: FloatArray) -> None:
        """Add an embedding (D,), float32; ``save`` writes it to disk."""
        if self.problem or embedding.shape != (self._dimension,):
            return
        self._shard(image_sha256)[image_sha256] = embedding
        self._changed.add(image_sha256[:1].hex())

    def save(self) -> None:
        """Write the added embeddings; each file is replaced atomically."""
        if self.problem:
            return
        try:
            for name in sorted(self._changed):
                data = _pack(self._shards[name], self._dimension)
                replace_file(self.folder / f"{name}.embeddings", data, mode=0o600)
        except ConversionError as error:
            self.problem = f"no cache: {error}"
        self._changed.clear()

    def _shard(self, image_sha256: bytes) -> dict[bytes, FloatArray]:
        name = image_sha256[:1].hex()
        if name not in self._shards:
            self._shards[name] = _read(self.folder / f"{name}.embeddings", self._dimension)
        return self._shards[name]


def _pack(entries: dict[bytes, FloatArray], dimension: int) -> bytes:
    body = _COUNTS.pack(dimension, len(entries)) + b"".join(
        digest + np.asarray(entries[digest], "<f4").tobytes() for digest in sorted(entries)
    )
    return _MAGIC + hashlib.sha256(body).digest() + body


def _read(path: Path, dimension: int) -> dict[bytes, FloatArray]:
    """Read the entries of a file; an empty dict if the file is missing or damaged."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return {}
        data = path.read_bytes()
    except OSError:
        return {}
    body = data[len(_MAGIC) + 32 :]
    if (
        len(data) < _HEAD_BYTES
        or not data.startswith(_MAGIC)
        or hashlib.sha256(body).digest() != data[len(_MAGIC) : len(_MAGIC) + 32]
    ):
        return {}
    stored_dimension, count = _COUNTS.unpack_from(body)
    size = 32 + 4 * dimension
    if stored_dimension != dimension or len(body) != _COUNTS.size + count * size:
        return {}
    starts = range(_COUNTS.size, len(body), size)
    return {
        body[at : at + 32]: np.frombuffer(body, "<f4", dimension, at + 32).astype(np.float32) for at in starts
    }
