"""Digests of a file's content and of its beginning, computed in one pass."""

from __future__ import annotations

import hashlib
from typing import Any

#: Distance between stored states of the hash in bytes. The digest of a beginning hashes at most so many bytes again.
_STEP = 256 << 10


class HashedBytes:
    """Content with its SHA-256.

    A model file is compared with an expected digest before it is parsed, and its network, which is the beginning of the file,
    with the digest in its card after that. On a processor without instructions for SHA-256 each pass over 10 MB takes about
    as long as opening the network.

    Args:
        data: The content.

    Attributes:
        data: The content.
        sha256: SHA-256 of the content, hex.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._states: list[Any] = [hashlib.sha256()]
        view = memoryview(data)
        for start in range(0, len(data), _STEP):
            state = self._states[-1].copy()
            state.update(view[start : start + _STEP])
            self._states.append(state)
        self.sha256: str = self._states[-1].hexdigest()

    def sha256_of_start(self, length: int) -> str:
        """Return the SHA-256 of the first `length` bytes, hex."""
        step = min(length, len(self.data)) // _STEP
        state = self._states[step].copy()
        state.update(memoryview(self.data)[step * _STEP : length])
        digest: str = state.hexdigest()
        return digest
