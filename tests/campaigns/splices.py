"""Two doors and what can be cut out of their files; the splices themselves are in `test_splices`.

Every gallery here has the same shape, so that a part of one fits the others to the byte. Ann may enter `home`, where Eve
was let in until she was revoked; at `away` it is the other way round. Whatever Eve puts together, she must not get in.
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_sdk.errors import EdgeSdkError
from edge_sdk.gallery import AttemptPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.gallery.attempts import Moment
from edge_sdk.gallery.format.header import header_bytes_of, parse_header
from edge_sdk.gallery.format.sealing import CHUNK_BYTES, COMMITMENT_BYTES, SALT_BYTES, TAG_BYTES
from tests.simulated_file_system import SimulatedFileSystem

PATH, ANCHOR = Path("gallery/home.gallery"), Path("anchor/home.anchor")
LOCKS = {Path(f"{path}.lock") for path in (PATH, f"{PATH}.attempts")}
D = 64
CROWD = 600  # templates, so that the body has chunks to move
FACES = {
    name: np.random.default_rng(seed).normal(size=D).astype(np.float32)
    for seed, name in enumerate(["ann", "eve"])
}
THRESHOLD = 0.9
KEYS = (InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33))))
STRANGE_KEYS = (InMemoryKey(bytes(range(64, 96))), InMemoryKey(bytes(range(65, 97))))
State = dict[Path, bytes]


@dataclass(frozen=True)
class Door:
    """A gallery and its files after every commit.

    Attributes:
        keys: Both keys that open it.
        ages: Its files after each commit; the last one is now.
    """

    keys: tuple[InMemoryKey, InMemoryKey]
    ages: tuple[State, ...]

    @property
    def now(self) -> State:
        """Its files as they are."""
        return self.ages[-1]

    @property
    def file(self) -> bytes:
        """The gallery as it is."""
        return self.now[PATH]


def uptime() -> Moment:
    """One moment of one boot."""
    return Moment(b"1" * 16, 1_000_000)


def door(
    enters: str, revoked: str, keys: tuple[InMemoryKey, InMemoryKey], *, sources: Sequence[bytes] = ()
) -> Door:
    """A door with two keys, a limit on tries, an anchor and an audit log; the last commit revokes somebody."""
    files = SimulatedFileSystem()
    ages: list[State] = []

    def committed() -> None:
        ages.append({path: data for path, data in files.state().items() if path not in LOCKS})

    gallery = Gallery.create(
        PATH,
        key=keys[0],
        model_id=bytes(32),
        dimension=D,
        anchor=FileAnchor(ANCHOR, filesystem=files),
        filesystem=files,
        clock=lambda: 1_700_000_000,
        uptime=uptime,
    )
    committed()
    with gallery.transaction() as t:
        t.enrol(enters, FACES[enters])
        t.enrol(revoked, FACES[revoked])
        t.enrol("crowd", np.random.default_rng(9).normal(size=(CROWD, D)).astype(np.float32))
        t.limit_attempts(AttemptPolicy(free=30, most=50))
    committed()
    gallery.keys.add(keys[1])
    committed()
    for source in sources:
        gallery.exchange.add_source(source)
        committed()
    gallery.revoke(revoked)
    committed()
    return Door(keys, tuple(ages))


def opened(state: State, key: InMemoryKey, *, anchored: bool = False) -> tuple[Gallery, SimulatedFileSystem]:
    """Open these files as a process that starts now."""
    files = SimulatedFileSystem.holding(state)
    anchor = FileAnchor(ANCHOR, filesystem=files) if anchored else None
    return Gallery.open(PATH, key=key, anchor=anchor, filesystem=files, uptime=uptime), files


def put_in_place(files: SimulatedFileSystem, path: Path, data: bytes) -> None:
    """What a thief does with a card reader: a file of this name holds these bytes now."""
    handle = files.create(Path("thief"))
    files.write(handle, data)
    files.rename(Path("thief"), path)


def enters(gallery: Gallery) -> list[str]:
    """Who is let in, of those whose face is known here."""
    return [name for name, face in FACES.items() if gallery.identify(face, threshold=THRESHOLD).accepted]


def refusals(files: Iterator[bytes], door: Door) -> Counter[str]:
    """Offer gallery files to a door's keys, without an anchor; each must be refused, and nothing written.

    Returns:
        How many of them there were, by the kind of refusal to the first key.
    """
    found: Counter[str] = Counter()
    for file in files:
        said = []
        for key in door.keys:
            disk = SimulatedFileSystem.holding({PATH: file})
            try:
                Gallery.open(PATH, key=key, filesystem=disk)
            except EdgeSdkError as error:
                said.append(type(error).__name__)
            else:
                raise AssertionError(f"a splice of {len(file)} bytes was opened")
            assert not disk.steps
        found[said[0]] += 1
    return found


def told(what: str, found: Counter[str]) -> int:
    """Print the figures of one attack; how many splices there were."""
    print(f"\n{what}: {found.total()} splices, {dict(found)}")
    return found.total()


# Where the header's fields begin; docs/reference/gallery-format.md.
_FIELDS = (0, 8, 10, 12, 16, 32, 40, 48, 80, 82, 83, 84, 86, 88)


def slots_of(file: bytes) -> list[bytes]:
    """The key slots of a gallery file, each whole."""
    slots, at = [], _FIELDS[-1]
    for slot in parse_header(file).slots:
        size = 4 + len(slot.parameters) + len(slot.wrapped)
        slots.append(file[at : at + size])
        at += size
    return slots


def chunks_of(file: bytes) -> list[bytes]:
    """The sealed chunks of a gallery file."""
    start, size = front_bytes(file), CHUNK_BYTES + TAG_BYTES
    return [file[at : at + size] for at in range(start, len(file), size)]


def front_bytes(file: bytes) -> int:
    """Length of what lies before the chunks: header, salt and commitment."""
    return header_bytes_of(parse_header(file).slots) + SALT_BYTES + COMMITMENT_BYTES


def pieces(file: bytes) -> list[bytes]:
    """A gallery file cut at every border of its format: fields, slots and what they wrap, salt, commitment, chunks."""
    cuts = list(_FIELDS)
    for slot in slots_of(file):
        start = cuts[-1]
        sealed = start + len(slot) - (SALT_BYTES + COMMITMENT_BYTES + 32 + TAG_BYTES)
        cuts += [start + 2, start + 4, sealed, sealed + SALT_BYTES, sealed + SALT_BYTES + COMMITMENT_BYTES]
        cuts += [start + len(slot)]
    cuts += [cuts[-1] + SALT_BYTES]
    parts = [file[a:b] for a, b in itertools.pairwise(cuts)]
    return [part for part in [*parts, file[cuts[-1] : front_bytes(file)], *chunks_of(file)] if part]


def mixes(*wholes: Sequence[bytes], joint: bytes = b"") -> Iterator[bytes]:
    """Every way to take each piece from one whole or another, without the wholes themselves."""
    originals = {joint.join(whole) for whole in wholes}
    for chosen in itertools.product(*(dict.fromkeys(choices) for choices in zip(*wholes, strict=True))):
        made = joint.join(chosen)
        if made not in originals:
            yield made


def grafts(one: bytes, other: bytes, places: Iterator[int] | Sequence[int]) -> Iterator[bytes]:
    """The beginning of one and the end of the other, cut at these places."""
    for at in places:
        made = one[:at] + other[at:]
        if made not in (one, other):
            yield made


def with_slots(file: bytes, slots: Sequence[bytes]) -> bytes:
    """A gallery file with other slots in its header, whose length and count say so."""
    end = header_bytes_of(parse_header(file).slots)
    head = bytearray(file[: _FIELDS[-1]])
    struct.pack_into("<I", head, 12, len(head) + sum(map(len, slots)))
    struct.pack_into("<H", head, 84, len(slots))
    return bytes(head) + b"".join(slots) + file[end:]
