"""A file that combines parts of a gallery with parts of other galleries or older generations does not open."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import pytest

from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.header import header_bytes_of, parse_header
from tests.campaigns.splices import (
    KEYS,
    PATH,
    STRANGE_KEYS,
    History,
    accepted_by,
    chunks_of,
    front_bytes,
    grafts,
    make_history,
    mixes,
    opened,
    pieces,
    print_figures,
    refusals,
    slots_of,
    with_slots,
)

HOME = make_history("ann", "eve", KEYS)
AWAY = make_history("eve", "ann", KEYS)
STRANGE = make_history("eve", "ann", STRANGE_KEYS)
BEFORE = History(KEYS, HOME.ages[:-1])
# Combined with home: another gallery with the same keys, one with other keys, and home while Eve was accepted.
OTHERS = pytest.mark.parametrize(
    "other", [AWAY, STRANGE, BEFORE], ids=["same keys", "other keys", "generation before"]
)


@pytest.fixture(autouse=True)
def originals_still_open() -> Iterator[None]:
    """After each attack check that the originals still open."""
    yield
    for home, who in ((HOME, "ann"), (AWAY, "eve"), (STRANGE, "eve")):
        for key in home.keys:
            assert accepted_by(opened(home.now, key, anchored=True)[0]) == [who]


def test_the_parts_of_all_galleries_have_equal_lengths() -> None:
    """All parts have equal lengths; otherwise splices would be refused for their length alone."""
    assert len({tuple(map(len, pieces(d.file))) for d in (HOME, AWAY, STRANGE, BEFORE)}) == 1
    assert [len(chunks_of(HOME.file)), len(slots_of(HOME.file))] == [3, 2]
    assert b"".join(pieces(HOME.file)) == HOME.file
    assert accepted_by(opened(BEFORE.now, KEYS[0])[0]) == ["ann", "eve"]


@OTHERS
def test_no_beginning_of_one_opens_with_the_end_of_another(other: History) -> None:
    front = front_bytes(HOME.file)
    borders = itertools.accumulate(map(len, pieces(HOME.file)))
    near = {at + step for at in borders for step in (-16, -1, 0, 1, 16)}
    places = sorted({*range(1, front + 1), *near} & set(range(1, len(HOME.file))))
    refused = refusals(grafts(HOME.file, other.file, places), HOME)
    refused += refusals(grafts(other.file, HOME.file, places), HOME)
    assert print_figures("beginning and end", refused) > 600


@pytest.mark.slow
@OTHERS
def test_no_beginning_of_one_opens_with_the_end_of_another_at_any_byte(other: History) -> None:
    places = range(1, len(HOME.file))
    refused = refusals(grafts(HOME.file, other.file, places), HOME)
    refused += refusals(grafts(other.file, HOME.file, places), HOME)
    assert print_figures("beginning and end, every byte", refused) > 80_000


@OTHERS
def test_no_mix_of_fields_slots_and_chunks_opens(other: History) -> None:
    """Pieces are fields, parts of slots, salt, commitment and chunks."""
    refused = refusals(mixes(pieces(HOME.file), pieces(other.file)), HOME)
    assert print_figures("every mix of pieces", refused) == 2**12 - 2


@OTHERS
@pytest.mark.parametrize("most", [4, pytest.param(5, marks=pytest.mark.slow)])
def test_no_sequence_of_chunks_opens_except_the_original(other: History, most: int) -> None:
    """Tries up to `most` chunks of both galleries, in any order and with repetition, after the front of either."""
    chunks = [*chunks_of(HOME.file), *chunks_of(other.file)]
    fronts = [d.file[: front_bytes(d.file)] for d in (HOME, other)]

    def rows() -> Iterator[bytes]:
        for count in range(most + 1):
            for row in itertools.product(chunks, repeat=count):
                for front in fronts:
                    made = front + b"".join(row)
                    if made not in (HOME.file, other.file):
                        yield made

    assert (
        print_figures("rows of chunks", refusals(rows(), HOME)) == 2 * sum(6**n for n in range(most + 1)) - 2
    )


@OTHERS
@pytest.mark.parametrize("most", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_no_set_of_key_slots_opens_except_the_original(other: History, most: int) -> None:
    """Tries slots of both galleries, swapped, repeated and removed, before the body of either."""
    slots = [*slots_of(HOME.file), *slots_of(other.file)]

    def sets() -> Iterator[bytes]:
        for count in range(1, most + 1):
            for chosen in itertools.product(slots, repeat=count):
                for file in (HOME.file, other.file):
                    made = with_slots(file, chosen)
                    if made not in (HOME.file, other.file):
                        yield made

    assert print_figures("key slots", refusals(sets(), HOME)) == 2 * sum(4**n for n in range(1, most + 1)) - 2


def test_the_keys_of_another_gallery_forge_nothing() -> None:
    """Files sealed with all keys of another gallery are not opened by home's keys."""
    header, theirs = parse_header(HOME.file), parse_header(STRANGE.file)
    slot_keys = [
        sealing.derive_slot_key(key.secret(b""), theirs, slot)
        for key, slot in zip(STRANGE.keys, theirs.slots, strict=True)
    ]
    data_key = sealing.unwrap(theirs, theirs.slots[0], slot_keys[0])
    text = sealing.open_body(STRANGE.file, data_key)
    mine = [
        sealing.derive_slot_key(key.secret(b""), header, slot)
        for key, slot in zip(STRANGE.keys, header.slots, strict=True)
    ]
    head = HOME.file[: header_bytes_of(header.slots)]

    def forged() -> Iterator[bytes]:
        # First the other content is sealed again under home's id, then placed behind home's own header.
        for keys in (slot_keys, mine):
            made = sealing.seal(header, keys, text, random=bytes)
            yield made
            for count in (1, 2):
                for chosen in itertools.product([*slots_of(HOME.file), *slots_of(made)], repeat=count):
                    yield with_slots(made, chosen)
        for key in (data_key, *slot_keys, *mine):
            context = sealing.BODY_CONTEXT + hashlib.sha512(head).digest()
            yield head + sealing._encrypt(header.suite, key, context, text, bytes(sealing.SALT_BYTES))

    assert print_figures("sealed again with other keys", refusals(forged(), HOME)) == 2 * 21 + 5


def test_a_seal_that_does_not_bind_the_header_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative control: with a body that is not bound to the header, a slot of an older generation is accepted."""
    monkeypatch.setattr(sealing, "_body_context", lambda head: b"")
    weak = make_history("ann", "eve", KEYS)
    mine, older = slots_of(weak.file), slots_of(weak.ages[-2][PATH])
    with pytest.raises(AssertionError, match="was opened"):
        refusals(iter([with_slots(weak.file, [mine[0], older[1]])]), weak)
