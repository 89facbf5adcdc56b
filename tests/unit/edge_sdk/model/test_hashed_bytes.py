"""The digests of a content and of its beginnings are those of hashlib."""

import hashlib

import pytest

from edge_sdk.model.hashed_bytes import HashedBytes

STEP = 256 << 10


@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 3 * STEP, 3 * STEP + 12345])
def test_every_beginning_has_its_own_digest(size: int) -> None:
    data = (b"edge" * size)[:size]
    content = HashedBytes(data)
    assert content.sha256 == hashlib.sha256(data).hexdigest()
    for length in {0, 1, size // 2, STEP, 2 * STEP - 1, size - 1, size}:
        if 0 <= length <= size:
            assert content.sha256_of_start(length) == hashlib.sha256(data[:length]).hexdigest()
