"""Galleries with their history, and the parts of their files, which the tests `test_splices*` combine.

All galleries have the same layout, so each part has the same length in all of them. At `home` Ann is accepted and Eve
was accepted until she was revoked; at `away` it is the reverse. No combination of parts may make home accept Eve.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_sdk.errors import EdgeSdkError
from edge_sdk.gallery import AttemptPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.gallery.attempt_counter import Moment
from edge_sdk.gallery.format.header import header_bytes_of, parse_header
from edge_sdk.gallery.format.sealing import CHUNK_BYTES, COMMITMENT_BYTES, SALT_BYTES, TAG_BYTES
from tests.simulated_file_system import SimulatedFileSystem

PATH, ANCHOR = Path("gallery/home.gallery"), Path("anchor/home.anchor")
LOCKS = {Path(f"{path}.lock") for path in (PATH, f"{PATH}.attempts")}
D = 64
CROWD = 600  # templates, so that the body has several chunks
FACES = {
    name: np.random.default_rng(seed).normal(size=D).astype(np.float32)
    for seed, name in enumerate(["ann", "eve"])
}
THRESHOLD = 0.9
KEYS = (InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33))))
STRANGE_KEYS = (InMemoryKey(bytes(range(64, 96))), InMemoryKey(bytes(range(65, 97))))
State = dict[Path, bytes]


@dataclass(frozen=True)
class History:
    """A gallery and its files after every commit.

    Attributes:
        keys: Both keys that open it.
        ages: Its files after each commit; the last element has the present files.
    """

    keys: tuple[InMemoryKey, InMemoryKey]
    ages: tuple[State, ...]

    @property
    def now(self) -> State:
        """The present files."""
        return self.ages[-1]

    @property
    def file(self) -> bytes:
        """The present gallery file."""
        return self.now[PATH]


def uptime() -> Moment:
    """Return a fixed time after a fixed boot."""
    return Moment(b"1" * 16, 1_000_000)


def make_history(
    accepted: str, revoked: str, keys: tuple[InMemoryKey, InMemoryKey], *, sources: Sequence[bytes] = ()
) -> History:
    """Create a gallery with two keys, an attempt limit, an anchor and a log; its last commit revokes a subject."""
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
        t.enrol(accepted, FACES[accepted])
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
    return History(keys, tuple(ages))


class ReplacedAnchor(FileAnchor):
    """A file anchor that fits every generation, as if it was always replaced together with the gallery."""

    def read(self, gallery_id: bytes) -> int | None:
        return None

    def staged(self, gallery_id: bytes, generation: int) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def advance(self, gallery_id: bytes, generation: int) -> None:
        pass


def opened(state: State, key: InMemoryKey, *, anchored: bool = False) -> tuple[Gallery, SimulatedFileSystem]:
    """Open the files in a new process, with the anchor file or, by default, an anchor that detects nothing."""
    files = SimulatedFileSystem.holding(state)
    anchor = (FileAnchor if anchored else ReplacedAnchor)(ANCHOR, filesystem=files)
    return Gallery.open(PATH, key=key, anchor=anchor, filesystem=files, uptime=uptime), files


def put_in_place(files: SimulatedFileSystem, path: Path, data: bytes) -> None:
    """Replace a file, as a thief with a card reader can."""
    handle = files.create(Path("thief"))
    files.write(handle, data)
    files.rename(Path("thief"), path)


def accepted_by(gallery: Gallery) -> list[str]:
    """Return the subjects of `FACES` that a gallery accepts."""
    return [name for name, face in FACES.items() if gallery.identify(face, threshold=THRESHOLD).accepted]


def refusals(files: Iterator[bytes], history: History) -> Counter[str]:
    """Open gallery files with both keys, without an anchor; each must be refused, and nothing may be written.

    Returns:
        Number of files by the class of the error for the first key.
    """
    refused: Counter[str] = Counter()
    for file in files:
        errors = []
        for key in history.keys:
            disk = SimulatedFileSystem.holding({PATH: file})
            try:
                Gallery.open(PATH, key=key, filesystem=disk)
            except EdgeSdkError as error:
                errors.append(type(error).__name__)
            else:
                raise AssertionError(f"a splice of {len(file)} bytes was opened")
            assert not disk.steps
        refused[errors[0]] += 1
    return refused


def print_figures(attack: str, counts: Counter[str]) -> int:
    """Print the counts of an attack and return the number of splices."""
    print(f"\n{attack}: {counts.total()} splices, {dict(counts)}")
    return counts.total()


# Offsets of the header's fields, see docs/reference/gallery-format.md.
_FIELDS = (0, 8, 10, 12, 16, 32, 40, 48, 80, 82, 83, 84, 86, 88)


def slots_of(file: bytes) -> list[bytes]:
    """Return the key slots of a gallery file."""
    slots, at = [], _FIELDS[-1]
    for slot in parse_header(file).slots:
        size = 4 + len(slot.parameters) + len(slot.wrapped)
        slots.append(file[at : at + size])
        at += size
    return slots


def chunks_of(file: bytes) -> list[bytes]:
    """Return the sealed chunks of a gallery file."""
    start, size = front_bytes(file), CHUNK_BYTES + TAG_BYTES
    return [file[at : at + size] for at in range(start, len(file), size)]


def front_bytes(file: bytes) -> int:
    """Return the length of header, salt and commitment, which precede the chunks."""
    return header_bytes_of(parse_header(file).slots) + SALT_BYTES + COMMITMENT_BYTES


def pieces(file: bytes) -> list[bytes]:
    """Split a gallery file at every boundary: fields, slots and their parts, salt, commitment, chunks."""
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
    """Yield every combination of corresponding pieces, without the originals."""
    originals = {joint.join(whole) for whole in wholes}
    for chosen in itertools.product(*(dict.fromkeys(choices) for choices in zip(*wholes, strict=True))):
        made = joint.join(chosen)
        if made not in originals:
            yield made


def grafts(first: bytes, second: bytes, places: Iterator[int] | Sequence[int]) -> Iterator[bytes]:
    """Yield the beginning of the first file with the end of the second, joined at each place."""
    for at in places:
        made = first[:at] + second[at:]
        if made not in (first, second):
            yield made


def with_slots(file: bytes, slots: Sequence[bytes]) -> bytes:
    """Return a gallery file with other slots, and with the length of the header and the number of slots adjusted."""
    end = header_bytes_of(parse_header(file).slots)
    head = bytearray(file[: _FIELDS[-1]])
    struct.pack_into("<I", head, 12, len(head) + sum(map(len, slots)))
    struct.pack_into("<H", head, 84, len(slots))
    return bytes(head) + b"".join(slots) + file[end:]
