"""Use malformed galleries, exports, commands, counters and logs that are sealed and signed with the right keys.

    python tests/campaigns/malformed.py COUNT SEED

Files that are altered without the key are refused by the check of the seal; these cases reach the parsers behind it. A
gallery that opens is used: to identify, check, export and change. The result must be an answer or an `EdgeSdkError`. The
script prints one JSON object.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from edge_sdk.diagnostics.bench.memory import peak_rss_bytes
from edge_sdk.errors import EdgeSdkError
from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.gallery.attempt_counter import Moment, counter_path, pack_state, parse_state
from edge_sdk.gallery.exchange import commands, export
from edge_sdk.gallery.exchange.commands import Command, sign, source_of
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.header import Header, header_bytes_of, parse_header
from edge_sdk.gallery.format.hpke import hpke_suite
from edge_sdk.gallery.store.files import audit_path
from edge_sdk.model.operating_point import OperatingPoint
from tests.simulated_file_system import SimulatedFileSystem

PATH, ANCHOR = Path("gallery/home.gallery"), Path("anchor/home.anchor")
KEY, OTHER = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
SOURCE = b"s" * 32
PROBE = np.array([1, 2, 3, 4, 5, -6], np.float32)
SIZES = (
    0,
    1,
    2,
    7,
    63,
    64,
    65,
    104,
    127,
    128,
    255,
    256,
    4096,
    20_000,
    20_001,
    65_535,
    65_536,
    100_000,
    100_001,
)
EDGES = (*SIZES, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 2.0, 1e-300, 1e300, 1e-15, float("nan"), float("inf"), float("-inf"))
Dice = random.Random


def door(dtype: str = "int8") -> tuple[dict[Path, bytes], bytes]:
    """Create a gallery with all kinds of content, and an export for it."""
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        PATH,
        key=KEY,
        model_id=bytes(32),
        dimension=6,
        dtype=dtype,
        audit="all",
        anchor=FileAnchor(ANCHOR, filesystem=files),
        filesystem=files,
        uptime=uptime,
    )
    points = [
        OperatingPoint(limit, fmr, 0.02, mated_trials=100, non_mated_trials=int(4 / fmr))
        for limit, fmr in ((0.5, 1e-2), (0.8, 1e-4))
    ]
    with gallery.transaction() as t:
        t.enrol("ann", np.stack([PROBE, PROBE + 0.1]), label="ground floor", valid_until=4e9)
        t.enrol("Zoë", -PROBE)
    with gallery.transaction() as t:
        t.set_policy(DecisionPolicy(tuple(points), fpir=0.05, margin=0.1))
        t.set_threshold("ann", 0.9)
        t.limit_attempts(AttemptPolicy(free=30, most=50))
    gallery.keys.renew_transform()
    gallery.keys.add(OTHER)
    gallery.exchange.add_source(source_of(SOURCE))
    office = Gallery.create(
        Path("office"), key=KEY, model_id=bytes(32), dimension=6, filesystem=SimulatedFileSystem()
    )
    office.enrol("eve", np.array([1, -2, 3, -4, 5, 6], np.float32))
    return files.state(), office.exchange.export(recipient=bytes.fromhex(gallery.status().recipient))


def uptime() -> Moment:
    return Moment(b"1" * 16, 1_000_000)


class Sealed:
    """The parts of a gallery, which can be sealed again with another content or header."""

    def __init__(self, state: dict[Path, bytes]) -> None:
        self.state = state
        self.file = state[PATH]
        self.header = parse_header(self.file)
        slots = self.header.slots
        self.keys = [
            sealing.derive_slot_key(key.secret(b""), self.header, slot)
            for key, slot in zip((KEY, OTHER), slots, strict=True)
        ]
        data_key = sealing.unwrap(self.header, slots[0], self.keys[0])
        self.text = bytes(sealing.open_body(self.file, data_key))

    def sealed_with(
        self, text: bytes, header: Header | None = None, keys: list[bytes] | None = None
    ) -> bytes:
        return sealing.seal(header or self.header, keys or self.keys, memoryview(text), random=bytes)


def mutated(data: bytes, dice: Dice) -> bytes:
    """Make one to four random changes: overwrite bytes with an edge value, delete bytes, or insert copies."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 4))):
        at = dice.randrange(max(1, len(changed)))
        how = dice.randrange(8)
        if how <= 2:
            width = dice.choice((1, 2, 4, 8))
            at -= at % width
            value = dice.choice(EDGES) % (1 << 8 * width)
            changed[at : at + width] = value.to_bytes(width, "little")
        elif how == 3:
            changed[at : at + 8] = struct.pack("<d", dice.choice(FLOATS))
        elif how == 4:
            changed[at : at + 4] = struct.pack("<f", np.float32(dice.choice(FLOATS[:5] + FLOATS[8:])))
        elif how == 5:
            changed[at : at + 1] = bytes([dice.randrange(256)])
        elif how == 6:
            del changed[at : at + dice.choice((1, 2, 4, 8, 16, 64))]
        else:
            start = dice.randrange(max(1, len(changed)))
            changed[at:at] = changed[start : start + dice.choice((1, 4, 8, 16, 64))]
    return bytes(changed)


def with_front(text: bytes, dice: Dice) -> bytes:
    """Change the length of a section and adjust counts and padding, so that the sections themselves are parsed."""
    counts = list(struct.unpack_from("<IIIII", text))
    sizes = [64, 8, 1, 1, 40]
    which = dice.randrange(5)
    ends = [64]
    for count, size in zip(counts, sizes, strict=True):
        ends.append(ends[-1] + count * size)
    front_end = ends[-1] + 80
    front, matrix = bytearray(text[:front_end]), text[front_end + -front_end % 64 :]
    section = bytes(front[ends[which] : ends[which + 1]])
    unit = sizes[which]
    if dice.randrange(2):
        section += bytes(dice.randrange(256) for _ in range(unit)) if dice.randrange(2) else section[:unit]
    else:
        section = section[unit:]
    if which in (2, 3):
        section = mutated(section, dice)
    front[ends[which] : ends[which + 1]] = section
    struct.pack_into("<I", front, 4 * which, len(section) // unit)
    front += bytes(-len(front) % 64)
    rows = struct.unpack_from("<I", front, 4)[0]
    row = len(matrix) // max(1, counts[1])
    return bytes(front) + (matrix + bytes(row * 2))[: rows * row]


def use(state: dict[Path, bytes], package: bytes = b"") -> None:
    """Open a gallery and use it as programs do; continue after a refused step."""
    files = SimulatedFileSystem.holding(state)
    gallery = Gallery.open(
        PATH,
        key=KEY,
        anchor=FileAnchor(ANCHOR, filesystem=files),
        anchored=False,
        filesystem=files,
        uptime=uptime,
    )
    steps: tuple[Callable[[], object], ...] = (
        gallery.subjects,
        gallery.status,
        gallery.keys.slots,
        lambda: gallery.identify(PROBE, threshold=0.9),
        lambda: gallery.identify(PROBE),
        lambda: gallery.verify(PROBE, "ann"),
        gallery.problems,
        lambda: gallery.exchange.export(recipient=bytes.fromhex(gallery.status().recipient)),
        lambda: gallery.exchange.import_package(package),
        lambda: gallery.enrol("later", np.array([6, 1, -4, 2, 2, 1], np.float32)),
        lambda: gallery.revoke("ann"),
        gallery.attempts.reset,
        gallery.keys.renew_transform,
        lambda: gallery.keys.rotate(InMemoryKey(b"n" * 32)),
        gallery.audit.report,
    )
    for step in steps:
        try:
            step()
        except EdgeSdkError:
            continue


def content_case(sealed: Sealed, package: bytes, dice: Dice) -> None:
    text = with_front(sealed.text, dice) if dice.randrange(3) == 0 else mutated(sealed.text, dice)
    use({**sealed.state, PATH: sealed.sealed_with(text)}, package)


def header_case(sealed: Sealed, package: bytes, dice: Dice) -> None:
    """Use a gallery sealed with a changed header; if that header cannot be packed, use the changed bytes unsealed."""
    end = header_bytes_of(sealed.header.slots)
    head = mutated(sealed.file[:end], dice)
    try:
        header = parse_header(head)
        keys = [
            sealing.derive_slot_key(key.secret(b""), header, slot)
            for key, slot in zip((KEY, OTHER), header.slots, strict=False)
        ]
        records = sealed.text.replace(b"".join(sealed.keys), b"".join(keys))
        file = sealed.sealed_with(records, header, keys)
    except (EdgeSdkError, ValueError):
        file = head + sealed.file[end:]
    use({**sealed.state, PATH: file}, package)


def export_case(sealed: Sealed, package: bytes, dice: Dice) -> None:
    """Use an export whose content was changed before sealing, or whose bytes were changed afterwards."""
    content = Gallery.open(
        PATH, key=KEY, filesystem=SimulatedFileSystem.holding(sealed.state)
    )._session.content
    if dice.randrange(4) == 0:
        changed = mutated(package, dice)
    else:
        inside = export.open_package(package, sealed.header, content).content
        text = mutated(bytes(export.pack_content(inside)), dice)
        changed = resealed(package[: export.HEADER_BYTES], text)
    use(sealed.state, changed)


def resealed(head: bytes, text: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    public = X25519PublicKey.from_public_bytes(head[48:80])
    return head + bytes(hpke_suite().encrypt(text, public, info=export.LABEL + head))


def command_case(sealed: Sealed, package: bytes, dice: Dice) -> None:
    """Use a command whose text was changed before it was signed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    who = source_of(SOURCE)
    action = dice.choice(commands.ACTIONS)
    enrols = action == "enrol"
    files = SimulatedFileSystem.holding(sealed.state)
    gallery = Gallery.open(PATH, key=KEY, filesystem=files, uptime=uptime)
    command = Command.for_state(
        gallery.status().state,
        now_s=time.time(),
        source=who,
        gallery_id=sealed.header.gallery_id,
        sequence=7,
        action=action,
        subject="" if enrols else "ann",
        package=package if enrols else b"",
    )
    _, _, text = sign(command, SOURCE).partition(b"\n")
    if dice.randrange(2):
        fields = json.loads(text)
        odd = (None, True, -1, 0, 2**63, 1e999, "", "x", [], {}, [[]] * 3, "é" * 70, "\x1b", {"a": 1})
        fields[dice.choice([*fields, "subject", "package", "more"])] = dice.choice(odd)
        text = json.dumps(fields).encode()
    else:
        text = mutated(text, dice)
    if dice.randrange(50) == 0:
        text = b"[" * 100_000
    code = Ed25519PrivateKey.from_private_bytes(SOURCE).sign(commands.LABEL + who + text)
    gallery.exchange.execute(f"edge-sdk command 2 {who.hex()} {code.hex()}\n".encode() + text)


def counter_case(sealed: Sealed, package: bytes, dice: Dice) -> None:
    """Use an attempt counter with a valid code and unusual numbers."""
    import hmac

    gallery = Gallery.open(PATH, key=KEY, filesystem=SimulatedFileSystem.holding(sealed.state), uptime=uptime)
    counter = gallery._session.counter
    assert counter is not None
    identity = counter.identity
    data = sealed.state[counter_path(PATH)]
    state = parse_state(data, identity)
    assert state is not None
    numbers = {name: dice.choice(EDGES) for name in ("begun", "writes") if dice.randrange(2)}
    failures = dice.choice(EDGES) % (1 << 32) if dice.randrange(2) else state.failures
    changed = pack_state(
        replace(
            state,
            failures=failures,
            last=Moment(b"1" * 16, dice.choice(EDGES) % (1 << 64)),
            **{k: v % (1 << 64) for k, v in numbers.items()},
        ),
        identity,
    )
    if dice.randrange(3) == 0:
        text = mutated(changed[:-32], dice)
        changed = text + hmac.digest(identity.key, text, "sha256")
    beside = dice.choice([b"", data, mutated(data, dice), changed])
    use({**sealed.state, counter_path(PATH): dice.choice([changed + beside, beside + changed])}, package)


def log_case(sealed: Sealed, package: bytes, dice: Dice) -> None:
    log = sealed.state[audit_path(PATH)]
    lines = log.split(b"\n")
    if dice.randrange(2):
        dice.shuffle(lines)
        log = b"\n".join(lines)
    use({**sealed.state, audit_path(PATH): mutated(log, dice)}, package)


CASES: dict[str, tuple[int, Callable[[Sealed, bytes, Dice], None]]] = {
    "content": (6, content_case),
    "header": (3, header_case),
    "export": (1, export_case),
    "command": (1, command_case),
    "counter": (1, counter_case),
    "log": (1, log_case),
}


def main(count: int, seed: int) -> None:
    """Run a number of cases and print the counts of their results."""
    # A template of length 0 divides by zero; no subject is recognized by the result.
    warnings.simplefilter("ignore", RuntimeWarning)
    doors = [(Sealed(state), package) for state, package in (door("int8"), door("float16"))]
    names = [name for name, (weight, _) in CASES.items() for _ in range(weight)]
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    slowest_s = 0.0
    before = peak_rss_bytes()
    for number in range(count):
        dice = Dice(f"{seed}/{number}")
        sealed, package = dice.choice(doors)
        name = dice.choice(names)
        tried[name] += 1
        began = time.process_time()
        try:
            CASES[name][1](sealed, package, dice)
        except EdgeSdkError:
            refused[name] += 1
        except Exception:
            print(f"case {number} of seed {seed}: {name}", file=sys.stderr)
            raise
        slowest_s = max(slowest_s, time.process_time() - began)
    peak = peak_rss_bytes()
    report = {
        "tried": dict(tried),
        "refused": dict(refused),
        "slowest_ms": round(1000 * slowest_s),
        "rss_mib": peak >> 20,
        "rss_growth_mib": (peak - before) >> 20,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
