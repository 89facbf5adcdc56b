"""Headers and contents survive packing and parsing; malformed ones are refused before memory is allocated."""

import re
import struct
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import GalleryFormatError
from edge_sdk.gallery.format import content as contents
from edge_sdk.gallery.format.content import (
    AuditHead,
    PolicyRecord,
    empty_content,
    pack_content,
    parse_content,
)
from edge_sdk.gallery.format.header import (
    MAGIC,
    WRAPPED_BYTES,
    Header,
    ModelKind,
    Slot,
    Suite,
    TemplateType,
    Transform,
    pack_header,
    parse_header,
)
from edge_sdk.gallery.format.sealing import aligned_buffer

HEADER = Header(
    suite=Suite.AES_256_GCM,
    gallery_id=bytes(range(16)),
    generation=7,
    key_epoch=2,
    model_id=bytes(range(32)),
    dimension=4,
    template_type=TemplateType.INT8,
    transform=Transform.SHP3,
    slots=(Slot(1, b"", bytes(WRAPPED_BYTES)), Slot(3, b"parameters", bytes(WRAPPED_BYTES))),
)


def content(subjects: int = 2) -> contents.Content:
    table = np.zeros(subjects, contents.SUBJECT)
    table["id"] = np.arange(16 * subjects, dtype=np.uint8).reshape(subjects, 16)
    templates = np.zeros(subjects, contents.TEMPLATE)
    templates["subject"] = np.arange(subjects)
    templates["scale"] = 0.01
    return replace(
        empty_content(bytes(range(32)), TemplateType.INT8, 4),
        subjects=table,
        names=tuple(f"s{i}é" for i in range(subjects)),
        labels=tuple("label" * (i % 2) for i in range(subjects)),
        templates=templates,
        matrix=np.arange(4 * subjects, dtype=np.int8).reshape(subjects, 4),
        policy=(
            PolicyRecord(1, critical=True, value=bytes(32)),
            PolicyRecord(900, critical=False, value=b"kept"),
        ),
        sequences=((bytes(32), 5), (b"\1" * 32, 2**64 - 1)),
        audit=AuditHead(3, 4, b"c" * 32, b"k" * 32),
    )


def aligned(data: bytes) -> memoryview:
    buffer = aligned_buffer(len(data))
    buffer[:] = data
    return buffer.toreadonly()


def parse(data: bytes) -> contents.Content:
    return parse_content(aligned(data), TemplateType.INT8, 4)


def test_a_header_comes_back() -> None:
    packed = pack_header(HEADER)
    assert parse_header(packed + b"body") == HEADER
    assert len(packed) == 88 + (4 + 104) + (4 + 10 + 104)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"\x88", "not a gallery: expected 894647410d0a1a0a at the start"),
        (8, b"\3\0", "expected gallery format version 1 or 2, found 3"),
        (8, b"\0\0", "expected gallery format version 1 or 2, found 0"),
        (10, b"\0\0", "unknown suite 0"),
        (10, b"\3\0", "unknown suite 3"),
        (12, struct.pack("<I", 4097), "expected a header length in 196..4096, found 4097"),
        (12, struct.pack("<I", 0), "expected a header length in 196..4096, found 0"),
        (12, struct.pack("<I", 0xFFFFFFFF), "expected a header length in 196..4096, found 4294967295"),
        (12, struct.pack("<I", 88 + 108 + 3), "key slot 1 extends beyond the header"),
        (12, struct.pack("<I", 88 + 108 + 4), "key slot 1 of type 3 with 114 bytes"),
        (12, struct.pack("<I", 88 + 108 + 117), "key slot 1 of type 3 with 114 bytes"),
        (12, struct.pack("<I", 88 + 108 + 119), "1 unknown bytes after the last key slot"),
        (32, bytes(8), "expected a generation of 1 or more, found 0"),
        (80, bytes(2), "expected a dimension of 1 or more, found 0"),
        (82, b"\0", "unknown dtype 0"),
        (82, b"\3", "unknown dtype 3"),
        (83, b"\2", "unknown transform 2"),
        (84, b"\0\0", "expected 1..8 key slots, found 0"),
        (84, b"\1\0", "118 unknown bytes after the last key slot"),
        (84, b"\3\0", "key slot 2 extends beyond the header"),
        (84, b"\x09\0", "expected 1..8 key slots, found 9"),
        (86, b"\2", "unknown kind of model id 2"),
        (87, b"\1", "expected zeros in the reserved header bytes, found 0 and 1"),
        (88, b"\0\0", "key slot 0 of type 0 with 104 bytes"),
        (90, struct.pack("<H", 103), "key slot 0 of type 1 with 103 bytes"),
        (90, struct.pack("<H", 0xFFFF), "key slot 0 of type 1 with 65535 bytes"),
    ],
)
def test_a_field_out_of_range_is_refused_with_what_was_found(at: int, value: bytes, message: str) -> None:
    packed = bytearray(pack_header(HEADER) + bytes(4096))
    packed[at : at + len(value)] = value
    with pytest.raises(GalleryFormatError, match=re.escape(message)) as caught:
        parse_header(bytes(packed))
    newer = message.startswith(
        ("expected gallery format version", "unknown suite", "unknown dtype", "unknown tr", "unknown kind")
    )
    assert caught.value.hint == ("use a newer edge-sdk" if newer else None)


def test_version_1_has_zeros_in_place_of_the_kind_of_the_model_id() -> None:
    of_version_1 = replace(HEADER, version=1)
    assert parse_header(pack_header(of_version_1)) == of_version_1
    packed = bytearray(pack_header(of_version_1))
    packed[86] = 1
    with pytest.raises(
        GalleryFormatError, match="expected zeros in the reserved header bytes, found 1 and 0"
    ):
        parse_header(bytes(packed))
    of_space = replace(HEADER, model_kind=ModelKind.SPACE)
    assert parse_header(pack_header(of_space)) == of_space
    assert pack_header(of_space)[86:88] == b"\1\0"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (PolicyRecord(7, critical=True, value=b"v"), "policy record 7 has the wrong critical flag"),
        (PolicyRecord(8, critical=False, value=b"v"), "policy record 8 has the wrong critical flag"),
        (PolicyRecord(9, critical=True, value=b""), "bytes of pinned networks, found 0"),
        (
            PolicyRecord(10, critical=False, value=bytes(7)),
            "expected 16..36880 bytes of command history, found 7",
        ),
        (PolicyRecord(11, critical=True, value=b"\0"), "expected the byte 01 in the record on callers'"),
        (PolicyRecord(99, critical=True, value=b""), "critical policy record of unknown kind 99"),
        (PolicyRecord(12, critical=False, value=bytes(33)), "expected 32..32 bytes of digest, found 33"),
        (PolicyRecord(15, critical=False, value=bytes(31)), "expected 32..32 bytes of digest, found 31"),
    ],
)
def test_a_malformed_record_of_version_2_is_refused(record: PolicyRecord, message: str) -> None:
    with pytest.raises(GalleryFormatError, match=re.escape(message)):
        parse(pack_content(replace(content(), policy=(record,))))


@pytest.mark.parametrize("kind", range(7, 16))
def test_version_1_has_no_record_of_version_2(kind: int) -> None:
    record = PolicyRecord(kind, critical=False, value=b"v")
    packed = aligned(bytes(pack_content(replace(content(), policy=(record,)))))
    with pytest.raises(GalleryFormatError, match=f"policy record {kind} does not exist in format version 1"):
        parse_content(packed, TemplateType.INT8, 4, version=1)


def test_the_largest_header_comes_back_and_no_larger_one_is_made() -> None:
    wrapped = bytes(WRAPPED_BYTES)
    room = 4096 - 88 - 4 - WRAPPED_BYTES
    largest = replace(HEADER, slots=(Slot(65535, bytes(room), wrapped),))
    assert len(pack_header(largest)) == 4096
    assert parse_header(pack_header(largest)) == largest
    most = replace(HEADER, slots=tuple(Slot(kind, b"", wrapped) for kind in range(1, 9)))
    assert parse_header(pack_header(most)) == most
    with pytest.raises(GalleryFormatError, match="found 4097"):
        pack_header(replace(HEADER, slots=(Slot(1, bytes(room + 1), wrapped),)))
    with pytest.raises(GalleryFormatError, match="found 9"):
        pack_header(replace(HEADER, slots=(*most.slots, Slot(9, b"", wrapped))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"gallery_id": bytes(15)},
        {"model_id": b"m" * 33},
        {"slots": (Slot(1, b"longer", bytes(WRAPPED_BYTES - 1)), Slot(3, b"", bytes(WRAPPED_BYTES + 1)))},
    ],
)
def test_a_field_that_would_not_come_back_is_not_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(GalleryFormatError, match="has the wrong length or range"):
        pack_header(replace(HEADER, **wrong))


def test_every_slot_gets_its_own_data_key() -> None:
    """With too few wrapped keys, the key of one slot would no longer open the gallery."""
    first, second = bytes(WRAPPED_BYTES - 1) + b"1", bytes(WRAPPED_BYTES - 1) + b"2"
    assert [slot.wrapped for slot in HEADER.with_wrapped([first, second]).slots] == [first, second]
    for wrong in ([first], [first, second, second]):
        with pytest.raises(ValueError, match="zip"):
            HEADER.with_wrapped(wrong)


@pytest.mark.parametrize("field", ["generation", "key_epoch"])
def test_a_number_after_the_last_one_is_one_error(field: str) -> None:
    pack_header(replace(HEADER, **{field: 2**64 - 1}))
    with pytest.raises(GalleryFormatError, match="does not fit"):
        pack_header(replace(HEADER, **{field: 2**64}))


def test_every_truncated_header_is_refused_with_its_length() -> None:
    packed = pack_header(HEADER)
    for length in range(len(packed)):
        message = (
            "not a gallery"
            if length < 8
            else f"expected a header of 88 bytes or more, found {length}"
            if length < 88
            else f"expected a header of {len(packed)} bytes, found a file of {length}"
        )
        with pytest.raises(GalleryFormatError, match=message):
            parse_header(packed[:length])


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=400))
def test_random_headers_are_refused_or_come_back_the_same(tail: bytes) -> None:
    data = MAGIC + b"\1\0" + tail
    try:
        header = parse_header(data)
    except GalleryFormatError:
        return
    assert data.startswith(pack_header(header))


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 313), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_headers_are_refused_or_come_back_the_same(changes: list[tuple[int, int]]) -> None:
    data = bytearray(pack_header(HEADER))
    for at, value in changes:
        data[at] = value
    try:
        header = parse_header(bytes(data))
    except GalleryFormatError:
        return
    assert pack_header(header) == data


def test_a_content_comes_back_without_copying_the_matrix() -> None:
    plaintext = pack_content(content())
    parsed = parse_content(plaintext, TemplateType.INT8, 4)
    assert (parsed.names, parsed.labels) == (("s0é", "s1é"), ("", "label"))
    assert (parsed.policy, parsed.sequences, parsed.audit) == (
        content().policy,
        content().sequences,
        content().audit,
    )
    assert np.array_equal(parsed.matrix, content().matrix)
    assert np.shares_memory(parsed.matrix, np.frombuffer(plaintext, np.uint8))
    assert parsed.matrix.ctypes.data % 64 == 0
    assert bytes(pack_content(parsed)) == bytes(plaintext)


def test_secrets_stay_out_of_reprs() -> None:
    assert "kkkk" not in repr(content().audit)
    assert "x00" not in repr(content().policy[0])


COUNTS = 64
SUBJECT_AT = COUNTS
TEMPLATE_AT = COUNTS + 2 * 64
LABELS_AT = TEMPLATE_AT + 2 * 8
POLICY_AT = LABELS_AT + 4 + 9


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, struct.pack("<I", 20_001)),
        (0, struct.pack("<I", 3)),
        (4, struct.pack("<I", 100_001)),
        (4, struct.pack("<I", 1)),
        (8, struct.pack("<I", 257)),
        (12, struct.pack("<I", 1 << 20)),
        (16, struct.pack("<I", 257)),
        (20, b"\1"),
        (SUBJECT_AT, b"\x10" + bytes(range(17, 32))),  # the id of the other subject
        (SUBJECT_AT + 32, struct.pack("<QQ", 10, 5)),
        (SUBJECT_AT + 56, b"\2"),
        (SUBJECT_AT + 56, b"\0\0\0\x80"),
        (SUBJECT_AT + 60, b"\0\0"),
        (SUBJECT_AT + 60, b"\5\0"),
        (SUBJECT_AT + 62, b"\x41\0"),
        (TEMPLATE_AT, struct.pack("<I", 2)),
        (TEMPLATE_AT, struct.pack("<I", 1)),
        (TEMPLATE_AT + 4, struct.pack("<f", 0)),
        (TEMPLATE_AT + 4, struct.pack("<f", float("nan"))),
        (TEMPLATE_AT + 4, struct.pack("<f", -1)),
        (LABELS_AT, b"\n"),
        (LABELS_AT, b"\xff"),
        (LABELS_AT + 1, b"1"),  # s1é twice
        (POLICY_AT, b"\0\0"),
        (POLICY_AT, b"\x10\0"),  # a critical record of unknown kind
        (POLICY_AT + 2, b"\2"),
        (POLICY_AT + 4, b"\xff"),
        (POLICY_AT + 8 + 32, b"\1\0"),  # kinds not ascending
        (POLICY_AT + 8 + 32 + 2, b"\1"),  # an unknown kind marked as critical
        (POLICY_AT + 52 + 40, bytes(32)),  # sources not ascending
        (POLICY_AT + 52 + 80 + 80, b"\1"),  # padding
    ],
)
def test_a_content_out_of_range_is_refused(at: int, value: bytes) -> None:
    packed = bytearray(pack_content(content()))
    assert packed[at : at + len(value)] != value
    packed[at : at + len(value)] = value
    with pytest.raises(GalleryFormatError):
        parse(bytes(packed))


def test_unknown_bytes_at_the_end_and_missing_ones_are_refused() -> None:
    packed = bytes(pack_content(content()))
    for wrong in (packed + b"\0", packed + bytes(64), packed[:-1], packed[:64], packed[:63], b""):
        with pytest.raises(GalleryFormatError):
            parse(wrong)


def test_a_small_file_that_claims_much_costs_little_memory() -> None:
    claim = struct.pack("<IIIIII32sQ", 20_000, 100_000, 2_560_000, 1 << 20, 256, 0, bytes(32), 0)
    tracemalloc.start()
    for data in (claim + bytes(960), claim[:4] + bytes(1020)):
        with pytest.raises(GalleryFormatError):
            parse(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 575), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 30)
)
def test_mutated_contents_are_refused_or_come_back_the_same(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(pack_content(content()))
    for at, value in changes:
        data[at % len(data)] = value
    data = data[: len(data) - cut] if cut < 10 else data
    try:
        parsed = parse(bytes(data))
    except GalleryFormatError:
        return
    assert bytes(pack_content(parsed)) == bytes(data)
