"""Altered, truncated and recombined galleries are refused completely."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, SealError
from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import SLOT_KEYS, PolicyRecord, pack_content, parse_content
from edge_sdk.gallery.format.header import WRAPPED_BYTES, Slot, Suite, header_bytes_of, parse_header
from tests.simulated_file_system import SimulatedFileSystem

PATH = Path("home.gallery")
KEY = InMemoryKey(bytes(range(32)))
CHUNK = 16_384 + 16


def generations(
    count: int, *, dimension: int = 4, templates: int = 1, suite: str = "aes-256-gcm"
) -> list[bytes]:
    """Return the bytes of one gallery after each of `count` enrolments."""
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        PATH,
        key=KEY,
        model_id=bytes(32),
        dimension=dimension,
        transform="none",
        suite=suite,
        filesystem=files,
    )
    states = []
    for seed in range(count):
        rows = np.random.default_rng(seed).normal(size=(templates, dimension)).astype(np.float32)
        gallery.enrol(f"s{seed}", rows)
        states.append(files.state()[PATH])
    return states


def open_bytes(data: bytes, key: InMemoryKey = KEY) -> Gallery:
    return Gallery.open(PATH, key=key, filesystem=SimulatedFileSystem.holding({PATH: data}))


def refused(data: bytes) -> bool:
    try:
        open_bytes(data)
    except (GalleryFormatError, SealError):
        return True
    return False


@pytest.mark.parametrize("suite", ["aes-256-gcm", "chacha20-poly1305"])
def test_every_single_bit_flip_is_refused(suite: str) -> None:
    (data,) = generations(1, suite=suite)
    assert not refused(data)
    flipped = bytearray(data)
    for bit in range(8 * len(data)):
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(flipped)), f"bit {bit}"
        flipped[bit // 8] ^= 1 << bit % 8


def test_every_truncation_and_extension_is_refused() -> None:
    (data,) = generations(1)
    for length in range(len(data)):
        assert refused(data[:length]), length
    for more in (b"\0", bytes(16), bytes(CHUNK), data):
        assert refused(data + more)


def test_chunks_cannot_be_removed_moved_repeated_or_replaced() -> None:
    first, second = generations(2, dimension=512, templates=100)
    start = header_bytes_of(parse_header(second).slots) + sealing.OVERHEAD_BYTES
    chunks = [second[at : at + CHUNK] for at in range(start, len(second), CHUNK)]
    assert len(chunks) > 5
    front = second[:start]
    assert not refused(front + b"".join(chunks))
    for wrong in (
        chunks[:-1],
        chunks[:1],
        chunks[1:],
        [chunks[1], chunks[0], *chunks[2:]],
        [*chunks[:2], *chunks[1:]],
        [*chunks, chunks[-1]],
        [*chunks[:-2], chunks[-1]],
        [first[start : start + CHUNK], *chunks[1:]],
    ):
        assert refused(front + b"".join(wrong))


def test_splices_of_two_generations_are_refused() -> None:
    first, second = generations(2)
    length = min(len(first), len(second))
    differs = [at for at in range(1, length) if first[:at] != second[:at]]
    for at in differs:
        assert refused(first[:at] + second[at:])
        assert refused(second[:at] + first[at:])


def test_the_last_chunk_is_shorter_even_when_the_content_fills_its_chunks() -> None:
    key = bytes(range(32))
    for size in (0, 1, 16_383, 16_384, 16_385, 32_768):
        message = memoryview(bytes(size))
        sealed = sealing._encrypt(Suite.AES_256_GCM, key, b"context", message, bytes(24))
        assert len(sealed) == sealing.sealed_body_bytes(size)
        assert (len(sealed) - 56) % CHUNK >= 16
        assert sealing._decrypt(Suite.AES_256_GCM, key, b"context", memoryview(sealed)) == message
        with pytest.raises(SealError):
            sealing._decrypt(Suite.AES_256_GCM, key, b"another", memoryview(sealed))
        with pytest.raises(SealError):
            sealing._decrypt(Suite.CHACHA20_POLY1305, key, b"context", memoryview(sealed))


def test_buffers_are_aligned_to_cache_lines() -> None:
    """Many buffers are tested, because a single one may be aligned by chance."""
    buffers = [sealing.aligned_buffer(size) for size in range(0, 4000, 7)]
    assert {np.frombuffer(buffer, np.uint8).ctypes.data % 64 for buffer in buffers if len(buffer)} == {0}
    assert [len(buffer) for buffer in buffers] == list(range(0, 4000, 7))


def test_two_commits_share_no_key_or_salt() -> None:
    heads = [parse_header(data) for data in generations(2)]
    assert heads[0].slots[0].wrapped[:24] != heads[1].slots[0].wrapped[:24]
    keys = [
        sealing.unwrap(head, head.slots[0], sealing.derive_slot_key(KEY.secret(b""), head, head.slots[0]))
        for head in heads
    ]
    assert keys[0] != keys[1]


def test_a_slot_key_belongs_to_one_gallery_epoch_and_kind() -> None:
    head = parse_header(generations(1)[0])
    slot = head.slots[0]
    keys = {
        sealing.derive_slot_key(b"s" * 32, h, s)
        for h, s in (
            (head, slot),
            (replace(head, gallery_id=bytes(16)), slot),
            (replace(head, key_epoch=2), slot),
            (head, replace(slot, type=1)),
        )
    }
    assert len(keys) == 4


def test_after_the_last_key_epoch_there_is_one_clear_error() -> None:
    head = parse_header(generations(1)[0])
    sealing.derive_slot_key(b"s" * 32, replace(head, key_epoch=2**64 - 1), head.slots[0])
    with pytest.raises(GalleryFormatError, match="expected a key epoch below 2"):
        sealing.derive_slot_key(b"s" * 32, replace(head, key_epoch=2**64), head.slots[0])


def test_a_secret_of_zeros_makes_no_key() -> None:
    head = parse_header(generations(1)[0])
    for size in (32, 64):
        with pytest.raises(GalleryError, match="found only zeros"):
            sealing.derive_slot_key(bytes(size), head, head.slots[0])
        with pytest.raises(InputError, match="found only zeros"):
            InMemoryKey(bytes(size))


def with_second_slot(data: bytes, other: InMemoryKey, slot_type: int = 8) -> bytes:
    """Return the gallery sealed again with one more key slot."""
    head = parse_header(data)
    first = sealing.derive_slot_key(KEY.secret(b""), head, head.slots[0])
    plaintext = sealing.open_body(data, sealing.unwrap(head, head.slots[0], first))
    content = parse_content(plaintext, head.template_type, head.dimension)
    wider = replace(head, slots=(Slot(slot_type, b"", bytes(WRAPPED_BYTES)), *head.slots))
    second = sealing.derive_slot_key(other.secret(b""), wider, wider.slots[0])
    records = (
        PolicyRecord(SLOT_KEYS, critical=True, value=second + first),
        PolicyRecord(99, critical=False, value=b"?"),
    )
    packed = pack_content(replace(content, policy=records))
    return sealing.seal(wider, [second, first], packed, random=lambda n: bytes([n]) * n)


def test_a_commit_keeps_the_other_keys_slots_and_unknown_records() -> None:
    other = InMemoryKey(b"o" * 32)
    files = SimulatedFileSystem.holding({PATH: with_second_slot(generations(1)[0], other)})
    Gallery.open(PATH, key=KEY, filesystem=files).enrol("later", np.ones((1, 4), np.float32))
    gallery = Gallery.open(PATH, key=other, filesystem=files)
    assert [s.name for s in gallery.subjects()] == ["s0", "later"]
    assert gallery.status().key_slots == 2
    assert gallery._session.content.record(99) == b"?"


def test_a_slot_of_an_unknown_kind_is_skipped_and_kept() -> None:
    data = with_second_slot(generations(1)[0], InMemoryKey(b"o" * 32), slot_type=0xFFFF)
    files = SimulatedFileSystem.holding({PATH: data})
    Gallery.open(PATH, key=KEY, filesystem=files).remove("s0")
    assert parse_header(files.state()[PATH]).slots[0].type == 0xFFFF
    with pytest.raises(SealError):
        Gallery.open(PATH, key=InMemoryKey(b"o" * 32), filesystem=files)


def test_wrong_key_and_altered_bytes_give_one_error() -> None:
    (data,) = generations(1)
    messages = set()
    for attempt in (data[:-1] + bytes([data[-1] ^ 1]), data[:95] + bytes([data[95] ^ 1]) + data[96:]):
        with pytest.raises(SealError) as caught:
            open_bytes(attempt)
        messages.add(str(caught.value))
    with pytest.raises(SealError) as caught:
        open_bytes(data, InMemoryKey(b"z" * 32))
    assert messages == {str(caught.value)}
    assert caught.value.hint is not None
    assert all(advice in caught.value.hint for advice in ("rotated?", "restore a backup"))


def test_a_body_too_short_for_any_content_says_how_short() -> None:
    (data,) = generations(1)
    head = header_bytes_of(parse_header(data).slots)
    with pytest.raises(GalleryFormatError, match="expected 72 bytes of sealed data or more, found 71"):
        sealing.open_body(data[: head + 71], bytes(32))
    with pytest.raises(SealError):
        sealing.open_body(data[: head + 72], bytes(32))


def test_a_slot_without_a_key_is_not_left_out() -> None:
    """If a slot were left out, its key would no longer open the gallery after the next commit."""
    head = parse_header(with_second_slot(generations(1)[0], InMemoryKey(b"o" * 32)))
    for keys in ([bytes(32)], [bytes(32)] * 3):
        with pytest.raises(ValueError, match="zip"):
            sealing.seal(head, keys, memoryview(b""), random=bytes)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_damage_is_refused_without_a_crash(data: st.DataObject) -> None:
    good = DAMAGED[0]
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=8))
        damaged[at : at + data.draw(st.integers(0, 8))] = piece
    if bytes(damaged) == good:
        return
    with pytest.raises(GalleryError):
        open_bytes(bytes(damaged))


DAMAGED = generations(1)
