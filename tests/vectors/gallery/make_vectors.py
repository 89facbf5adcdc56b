"""Write the known-answer vectors of gallery format version 2. A second run reproduces the same bytes.

    python tests/vectors/gallery/make_vectors.py [FOLDER]

A vector is a text head of `name: value` lines, an empty line, and the bytes of a gallery file. `expect`
is the result that a reader must give: `ok`, or the error `format`, `seal`, `model` or `rollback`. The other
names are explained in docs/reference/gallery-format.md. The files without the prefix `v2_` are of version 1; they
were written by edge-sdk 0.2 and never change.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_sdk.gallery import DecisionPolicy, Gallery, InMemoryKey, Passphrase
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.captures_record import (
    CapturesRecord,
    KeptRecord,
    StoredPart,
    pack_captures,
    pack_kept,
)
from edge_sdk.gallery.format.content import (
    ANCHOR_IDENTITY,
    CALLER_THRESHOLDS,
    CAPTURES,
    COMMAND_HISTORY,
    CRITICAL,
    DECISION_POLICY,
    EVIDENCE,
    KEPT_GENERATION,
    KEY_NAMES,
    LOOKS,
    MODEL_FILE,
    OWN_THRESHOLDS,
    PINNED_NETWORKS,
    POLICY_EVIDENCE,
    SLOT_KEYS,
    TRANSFORM_KEY,
    Content,
    PolicyRecord,
    pack_content,
    parse_content,
)
from edge_sdk.gallery.format.header import (
    WRAPPED_BYTES,
    Header,
    Slot,
    header_bytes_of,
    pack_header,
    parse_header,
)
from edge_sdk.gallery.format.key_names import KeyName, KeyRole, pack_key_names
from edge_sdk.gallery.format.looks import LOOK_ID_BYTES, Look, pack_looks
from edge_sdk.gallery.format.records import (
    HistoryRecord,
    PolicyEvidence,
    SubjectChange,
    pack_history,
    pack_policy_evidence,
)
from edge_sdk.gallery.format.sealing import Randomness, aligned_buffer
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks, pack_networks
from edge_sdk.gallery.rules.policy import pack_own_thresholds, pack_policy
from edge_sdk.model.model_id import ModelId
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint
from tests.simulated_file_system import SimulatedFileSystem

SECRET = bytes(range(32))
MODEL = hashlib.sha256(b"the model of the test vectors").digest()
MODEL_ID = ModelId(MODEL, space=hashlib.sha256(b"the embedding space of the test vectors").digest())
PASSPHRASE = "correct horse battery staple é"
PREFIX = "v2_"
NOW_S = 1_750_000_000
PATH = Path("vector.gallery")
KEY = InMemoryKey(SECRET)
# An embedding whose cosine is 0.55 with the first one of ann, and below 0.35 with all others.
PROBE_BETWEEN = "13,-48,-41,9,-115,-34,-47,-14,-81,95,54,-62"


def stream(seed: str) -> Randomness:
    """Return a reproducible source of bytes: SHA-256 of seed, number of the call and number of the block."""
    counter = 0

    def take(count: int) -> bytes:
        nonlocal counter
        counter += 1
        blocks = (
            hashlib.sha256(f"{seed}/{counter}/{block}".encode()).digest() for block in range(-(-count // 32))
        )
        return b"".join(blocks)[:count]

    return take


def embedding(seed: str, dimension: int) -> np.ndarray:
    """Return reproducible integers in -128..127 as float32, shape (D,)."""
    data = stream(seed)(dimension)
    return np.frombuffer(data, np.uint8).astype(np.float32) - 128


@dataclass(frozen=True)
class Sealed:
    """A gallery file with its plaintext and slot keys, to seal variants of it.

    Attributes:
        file: The gallery file.
        slot_keys: Key-encryption key of each slot.
        plaintext: The decrypted body.
    """

    file: bytes
    slot_keys: list[bytes]
    plaintext: bytes

    @classmethod
    def of(cls, file: bytes, key: InMemoryKey | Passphrase = KEY) -> Sealed:
        """Open a gallery file through its first slot."""
        header = parse_header(file)
        slot = header.slots[0]
        slot_key = sealing.derive_slot_key(key.secret(slot.parameters), header, slot)
        return cls(file, [slot_key], bytes(sealing.open_body(file, sealing.unwrap(header, slot, slot_key))))

    @property
    def header(self) -> Header:
        """Parsed header."""
        return parse_header(self.file)

    @property
    def content(self) -> Content:
        """Parsed content."""
        return parse_content(aligned(self.plaintext), self.header.template_type, self.header.dimension)

    def again(
        self, plaintext: bytes, header: Header | None = None, slot_keys: list[bytes] | None = None
    ) -> bytes:
        """Seal a plaintext with the same key."""
        return sealing.seal(
            header or self.header, slot_keys or self.slot_keys, memoryview(plaintext), random=stream("again")
        )


def aligned(data: bytes) -> memoryview:
    """Copy data to a buffer aligned to 64 bytes."""
    buffer = aligned_buffer(len(data))
    buffer[:] = data
    return buffer.toreadonly()


def make(
    seed: str,
    *,
    dimension: int = 12,
    subjects: tuple[str, ...] = ("ann", "Zoë"),
    templates: int = 2,
    key: InMemoryKey | Passphrase = KEY,
    model_id: bytes = MODEL,
    renewed: bool = False,
    rotated: bool = False,
    **options: str,
) -> bytes:
    """Create a gallery with the public functions and return its file."""
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        PATH,
        key=key,
        model_id=model_id,
        dimension=dimension,
        filesystem=files,
        random=stream(seed),
        clock=lambda: NOW_S,
        audit="off",
        **options,
    )
    if subjects:
        with gallery.transaction() as t:
            for name in subjects:
                rows = np.stack([embedding(f"{name}/{i}", dimension) for i in range(templates)])
                t.enrol(name, rows, label="label" if name == subjects[0] else "")
    if renewed:
        gallery.keys.renew_transform()
    if rotated:
        gallery.erase(subjects[-1])
    return files.state()[PATH]


def head_of_good(
    file: bytes, key: InMemoryKey | Passphrase = KEY, *, probe: str | None = "ann/0"
) -> dict[str, str]:
    """Return the head of a vector that must open."""
    sealed = Sealed.of(file, key)
    header, content = sealed.header, sealed.content
    lines = {
        "generation": str(header.generation),
        "subjects": ",".join(content.names),
        "templates": str(len(content.templates)),
        "slot-key": sealed.slot_keys[0].hex(),
        "plaintext-sha256": hashlib.sha256(sealed.plaintext).hexdigest(),
    }
    if probe is not None:
        numbers = embedding(probe, header.dimension)
        lines |= {
            "probe": ",".join(str(int(number)) for number in numbers),
            "threshold": "0.99",
            "identified": probe.split("/")[0],
        }
    return lines


def good_vectors() -> dict[str, tuple[dict[str, str], bytes]]:
    """Return the vectors that must open, by name."""
    vectors: dict[str, tuple[dict[str, str], bytes]] = {}
    for name, options in {
        "aes_int8_shp3": {},
        "aes_int8_plain": {"transform": "none"},
        "aes_float16_shp3": {"dtype": "float16"},
        "chacha_int8_shp3": {"suite": "chacha20-poly1305"},
        "chacha_float16_plain": {"suite": "chacha20-poly1305", "dtype": "float16", "transform": "none"},
    }.items():
        file = make(name, **options)
        vectors[name] = (head_of_good(file), file)
    file = make("power of two", dimension=128, templates=1)
    vectors["dimension_128"] = (head_of_good(file), file)
    file = make("renewed", renewed=True)
    vectors["renewed_transform"] = (head_of_good(file), file)
    vectors |= policy_vectors() | evidence_vectors()
    file = with_records(make("history"), history_record(history()))
    vectors["command_history"] = (head_of_good(file), file)
    file = with_records(make("anchored"), PolicyRecord(ANCHOR_IDENTITY, critical=True, value=b"\1"))
    vectors["anchor_identity"] = ({"anchor": str(parse_header(file).generation), **head_of_good(file)}, file)
    detector = hashlib.sha256(b"the detector of the test vectors").digest()
    networks = PinnedNetworks(detector.hex())
    file = with_records(
        make("networks"), PolicyRecord(PINNED_NETWORKS, critical=True, value=pack_networks(networks))
    )
    vectors["pinned_networks"] = ({"detector": detector.hex(), **head_of_good(file)}, file)
    file = with_records(make("named"), key_names(KeyName("Zoë", KeyRole.OWNER)))
    vectors["key_names"] = (head_of_good(file), file)
    file = make("looks")
    file = with_records(file, looks_record(look(file), look(file, place=1, name="bärtig")))
    vectors["looks"] = (head_of_good(file), file)
    file = make("captures")
    file = with_records(file, captures(file), kept_generation(file))
    vectors["captures"] = (head_of_good(file), file)
    file = make("empty", subjects=())
    vectors["empty"] = (head_of_good(file, probe=None), file)
    file = make("space", model_id=MODEL_ID)
    vectors["model_space"] = ({"model": MODEL_ID.space.hex(), **head_of_good(file)}, file)
    vectors["model_space_by_file"] = ({"model": MODEL.hex(), **head_of_good(file)}, file)
    file = make("renewed root", rotated=True)
    vectors["renewed_root"] = (head_of_good(file), file)
    passphrase = Passphrase(PASSPHRASE, memory_kib=64, passes=1, lanes=2)
    file = make("passphrase", key=passphrase)
    vectors["passphrase"] = ({"passphrase": PASSPHRASE, **head_of_good(file, passphrase)}, file)
    file = exactly_two_chunks()
    vectors["last_chunk_empty"] = (head_of_good(file, probe=None), file)
    file = two_slots()
    vectors["unknown_slot_and_record"] = (head_of_good_second_slot(file), file)
    return vectors


def with_records(file: bytes, *records: PolicyRecord) -> bytes:
    """Seal a gallery again with more policy records."""
    sealed = Sealed.of(file)
    policy = tuple(sorted([*sealed.content.policy, *records], key=lambda record: record.kind))
    return sealed.again(bytes(pack_content(replace(sealed.content, policy=policy))))


def decision(*, fpir: float = 0.01, margin: float = 0.0) -> PolicyRecord:
    """Return a policy with thresholds 0.5, 0.9 and 0.95 for 1, 10 and 100 templates at an FPIR of about 1 %."""
    points = tuple(
        OperatingPoint(threshold, fmr, 0.02, mated_trials=100, non_mated_trials=int(4 / fmr))
        for threshold, fmr in ((0.5, 1e-2), (0.9, 1e-3), (0.95, 1e-4))
    )
    policy = DecisionPolicy(points, fpir=fpir, margin=margin)
    return PolicyRecord(DECISION_POLICY, critical=True, value=pack_policy(policy))


def history(*generations: int) -> bytes:
    """Return a command history with two states from generation 3, and changes in generations; by default 4 and 5."""
    changes = (
        SubjectChange(b"i" * 16, b"s" * 32, number, restricts=True) for number in generations or (4, 5)
    )
    return pack_history(HistoryRecord(3, (b"a" * 16, b"b" * 16), tuple(changes)))


def history_record(value: bytes) -> PolicyRecord:
    """Return a record of the command history."""
    return PolicyRecord(COMMAND_HISTORY, critical=False, value=value)


def key_names(*names: KeyName) -> PolicyRecord:
    """Return a record with names and roles of keys."""
    return PolicyRecord(KEY_NAMES, critical=False, value=pack_key_names(names))


def look(file: bytes, *, place: int = 0, name: str = "glasses") -> Look:
    """Return a look of one subject with one template."""
    subject = Sealed.of(file).content.subjects["id"][place].tobytes()
    return Look(subject, b"l" * LOOK_ID_BYTES, NOW_S, 1, name)


def captures(file: bytes, places: tuple[int, ...] = (0, 0, 1)) -> PolicyRecord:
    """Return a record of stored captures: two parts of the first subject and one of the second, by id."""
    ids = sorted(subject.tobytes() for subject in Sealed.of(file).content.subjects["id"])
    parts = tuple(
        StoredPart(ids[place], bytes([number]) * 8, bytes([number]) * 32, NOW_S, 3)
        for number, place in enumerate(places)
    )
    value = pack_captures(CapturesRecord(bytes(range(32)), parts))
    return PolicyRecord(CAPTURES, critical=False, value=value)


def kept_generation(file: bytes) -> PolicyRecord:
    """Return a record of a kept generation with one subject that was left out."""
    kept = KeptRecord(parse_header(file).generation, bytes(range(32)), MODEL, 0, 1, (bytes(range(16)),))
    return PolicyRecord(KEPT_GENERATION, critical=False, value=pack_kept(kept))


def looks_record(*looks: Look) -> PolicyRecord:
    """Return a record with looks."""
    return PolicyRecord(LOOKS, critical=False, value=pack_looks(looks))


def own_threshold(file: bytes, threshold: float) -> PolicyRecord:
    """Return a record with a threshold for the first subject."""
    subject = Sealed.of(file).content.subjects["id"][0].tobytes()
    return PolicyRecord(OWN_THRESHOLDS, critical=True, value=pack_own_thresholds({subject: threshold}))


def policy_vectors() -> dict[str, tuple[dict[str, str], bytes]]:
    """Return vectors with a decision policy. The probe mixes a capture of ann with a smaller part of one of Zoë."""
    plain = make("policy", transform="none")
    between = 20.0 * embedding("ann/0", 12) + 6.0 * embedding("Zoë/0", 12)
    numbers = ",".join(str(int(number)) for number in between)
    vectors = {}
    for name, records, identified in (
        ("decision_policy", [decision()], "ann"),
        ("decision_policy_stricter", [decision(fpir=0.001)], "nobody"),
        ("decision_policy_margin", [decision(margin=1.0)], "nobody"),
        ("own_threshold", [decision(), own_threshold(plain, 0.97)], "nobody"),
        ("own_threshold_lower", [decision(), own_threshold(plain, -1.0)], "ann"),
    ):
        file = with_records(plain, *records)
        head = head_of_good(file)
        vectors[name] = ({**head, "probe": numbers, "threshold": "policy", "identified": identified}, file)
    return vectors


def evidence(*, adapts: bool = False) -> PolicyRecord:
    """Return the evidence of a policy whose card has scores of mean 0.05 and standard deviation 0.2."""
    scores = NonMatedScores(0.05, 0.2, 0.7, 0.01, comparisons=400_000, subjects=1000)
    value = PolicyEvidence(0.6, scores, adapts=adapts, upper_limits=True)
    return PolicyRecord(POLICY_EVIDENCE, critical=adapts, value=pack_policy_evidence(value))


def evidence_vectors() -> dict[str, tuple[dict[str, str], bytes]]:
    """Return vectors with the evidence of a policy. The probe reaches the card's threshold, 0.5, but not the raised one.

    The gallery has 11 subjects with 1 to 3 templates each; one pair of subjects is nearly the same person, and is
    left out when the threshold is raised. One gallery has two subjects, too few to raise a threshold.
    """
    names = ("ann", "Zoë", *(f"subject {number}" for number in range(8)))
    vectors = {}
    for dtype in ("int8", "float16"):
        files = SimulatedFileSystem()
        gallery = Gallery.create(
            PATH,
            key=KEY,
            model_id=MODEL,
            dimension=12,
            filesystem=files,
            random=stream(f"evidence {dtype}"),
            clock=lambda: NOW_S,
            audit="off",
            dtype=dtype,
        )
        with gallery.transaction() as t:
            for place, name in enumerate(names):
                t.enrol(name, np.stack([embedding(f"{name}/{i}", 12) for i in range(1 + place % 3)]))
            t.enrol("double", embedding("subject 7/0", 12) + np.float32(1))
        plain = files.state()[PATH]
        for adapts, identified in ((False, "ann"), (True, "nobody")):
            file = with_records(plain, decision(fpir=0.2), evidence(adapts=adapts))
            head = {"threshold": "policy", "identified": identified, "probe": PROBE_BETWEEN}
            vectors[f"policy_{'adapts' if adapts else 'evidence'}_{dtype}"] = (
                head_of_good(file) | head,
                file,
            )
    file = with_records(make("few"), decision(fpir=0.05), evidence(adapts=True))
    head = {"threshold": "policy", "identified": "ann", "probe": PROBE_BETWEEN}
    vectors["policy_adapts_few"] = (head_of_good(file) | head, file)
    return vectors


def exactly_two_chunks() -> bytes:
    """Return a gallery with a content of 32,768 bytes, so that its third chunk is empty."""
    sealed = Sealed.of(make("chunks", dimension=64, templates=1, transform="none"))
    content = sealed.content
    fill = 32_768 - len(sealed.plaintext)
    record = PolicyRecord(900, critical=False, value=bytes(fill))
    packed = pack_content(replace(content, policy=(*content.policy, record)))
    while len(packed) > 32_768:
        record = replace(record, value=record.value[:-1])
        packed = pack_content(replace(content, policy=(*content.policy, record)))
    return sealed.again(bytes(packed))


def two_slots() -> bytes:
    """Return a gallery with a slot of unknown kind before the one that opens it, and a record of unknown kind."""
    sealed = Sealed.of(make("slots", transform="none"))
    header, content = sealed.header, sealed.content
    wider = replace(header, slots=(Slot(0xFFFF, b"parameters", bytes(WRAPPED_BYTES)), *header.slots))
    keys = [b"?" * 32, *sealed.slot_keys]
    records = (
        PolicyRecord(SLOT_KEYS, critical=True, value=b"".join(keys)),
        PolicyRecord(900, critical=False, value=b"kept as it is"),
    )
    return sealed.again(bytes(pack_content(replace(content, policy=records))), wider, keys)


def head_of_good_second_slot(file: bytes) -> dict[str, str]:
    """Return the head of the vector of `two_slots`."""
    header = parse_header(file)
    slot = header.slots[1]
    slot_key = sealing.derive_slot_key(SECRET, header, slot)
    plaintext = bytes(sealing.open_body(file, sealing.unwrap(header, slot, slot_key)))
    return {
        "subjects": "ann,Zoë",
        "slot-key": slot_key.hex(),
        "plaintext-sha256": hashlib.sha256(plaintext).hexdigest(),
    }


def with_slots(file: bytes, slots: tuple[Slot, ...]) -> bytes:
    """Return a gallery file with other slots in its header."""
    header = parse_header(file)
    return pack_header(replace(header, slots=slots)) + file[header_bytes_of(header.slots) :]


def patched(data: bytes, at: int, value: bytes) -> bytes:
    """Return data with some bytes replaced."""
    return data[:at] + value + data[at + len(value) :]


def bad_vectors() -> dict[str, tuple[dict[str, str], bytes]]:
    """Return the vectors that must be refused, by name."""
    file = make("bad", dimension=64, templates=1, transform="none")
    long = make("long", dimension=512, templates=40, transform="none")
    sealed = Sealed.of(file)
    body = header_bytes_of(sealed.header.slots)
    vectors: dict[str, tuple[dict[str, str], bytes]] = {}

    def add(name: str, expect: str, data: bytes, **more: str) -> None:
        vectors[name] = ({"expect": expect, **{k.replace("_", "-"): v for k, v in more.items()}}, data)

    # The version is authenticated: a file of version 2 is not a file of version 1 with the same content.
    add("version_1_claimed", "seal", patched(file, 8, b"\1"))
    for name, at, value in (
        ("magic", 0, b"\x88"),
        ("version_zero", 8, b"\0"),
        ("version_3", 8, b"\3"),
        ("suite", 10, b"\3"),
        ("header_too_long", 12, struct.pack("<I", 4097)),
        ("header_has_more", 12, struct.pack("<I", body + 1)),
        ("generation_zero", 32, bytes(8)),
        ("dimension_zero", 80, bytes(2)),
        ("dtype", 82, b"\3"),
        ("transform", 83, b"\2"),
        ("no_slot", 84, b"\0"),
        ("nine_slots", 84, b"\x09"),
        ("model_kind", 86, b"\2"),
        ("reserved", 87, b"\1"),
        ("slot_type_zero", 88, b"\0"),
        ("slot_too_short", 90, b"\x67"),
    ):
        add(f"header_{name}", "format", patched(file, at, value))
    add("cut_in_header", "format", file[:100])
    for name, at in (
        ("gallery_id", 16),
        ("generation", 32),
        ("model_id", 48),
        ("model_kind", 86),
        ("slot", 100),
    ):
        add(f"flip_{name}", "seal", patched(file, at, bytes([file[at] ^ 1])))
    for name, at in (("salt", body), ("commitment", body + 24), ("chunk", body + 56), ("tag", len(file) - 1)):
        add(f"flip_{name}", "seal", patched(file, at, bytes([file[at] ^ 1])))
    start = header_bytes_of(parse_header(long).slots) + 56
    chunks = [long[at : at + 16_400] for at in range(start, len(long), 16_400)]
    front = long[:start]
    add("cut_last_chunk", "seal", front + b"".join(chunks[:-1]))
    add("cut_in_chunk", "seal", long[:-7])
    add("chunks_swapped", "seal", front + chunks[1] + chunks[0] + b"".join(chunks[2:]))
    add("chunk_doubled", "seal", long + chunks[-1])
    add("bytes_after_the_end", "seal", file + b"\0")
    add("wrong_key", "seal", file, key=(b"\xff" * 32).hex())
    words = Passphrase(PASSPHRASE, memory_kib=64, passes=1, lanes=2)
    dear = make("passphrases", key=words)
    slots = parse_header(dear).slots
    most = replace(slots[0], parameters=struct.pack("<III", 262_144, 16, 1) + slots[0].parameters[12:])
    add("passphrases_cost_too_much", "format", with_slots(dear, (slots[0], most)), passphrase=PASSPHRASE)
    wide = replace(slots[0], parameters=struct.pack("<III", 64, 17, 1) + slots[0].parameters[12:])
    add("passphrase_costs_out_of_range", "format", with_slots(dear, (wide,)), passphrase=PASSPHRASE)
    later = Sealed.of(file)
    next_file = later.again(later.plaintext, replace(later.header, generation=later.header.generation + 1))
    add("spliced_generations", "seal", next_file[:body] + file[body:])
    add("other_model", "model", file, model=bytes(32).hex())
    of_space = make("space", dimension=64, templates=1, transform="none", model_id=MODEL_ID)
    add("other_space", "model", of_space, model=bytes(32).hex())
    add("anchor_is_newer", "rollback", file, anchor=str(sealed.header.generation + 1))
    add("anchor_is_lost", "rollback", next_file, anchor="1")
    renewed = Sealed.of(make("renewed", renewed=True))
    short = PolicyRecord(TRANSFORM_KEY, critical=True, value=bytes(31))
    records = [short if record.kind == TRANSFORM_KEY else record for record in renewed.content.policy]
    cut_key = pack_content(replace(renewed.content, policy=tuple(records)))
    add("content_transform_key_short", "format", renewed.again(bytes(cut_key)))
    policy, own = decision(), own_threshold(file, 0.9)
    stored, before = captures(file), kept_generation(file)
    named, seen = key_names(KeyName("Zoë", KeyRole.OWNER)), looks_record(look(file))
    for name, record in (
        ("policy_short", replace(policy, value=policy.value[:-1])),
        ("policy_fpir_zero", replace(policy, value=bytes(8) + policy.value[8:])),
        ("policy_without_evidence", replace(policy, value=policy.value[:-8] + struct.pack("<Q", 29_999))),
        ("own_threshold_short", replace(own, value=own.value[:-1])),
        ("own_threshold_no_cosine", replace(own, value=own.value[:16] + struct.pack("<d", 1.5))),
        ("own_threshold_twice", replace(own, value=own.value * 2)),
        ("caller_thresholds_zero", PolicyRecord(CALLER_THRESHOLDS, critical=True, value=b"\0")),
        ("caller_thresholds_not_critical", PolicyRecord(CALLER_THRESHOLDS, critical=False, value=b"\1")),
        ("command_history_short", history_record(history()[:-1])),
        ("command_history_no_first", history_record(bytes(8) + history()[8:])),
        ("command_history_too_many", history_record(struct.pack("<QII", 1, 513, 0) + bytes(16 * 513))),
        ("command_history_unordered", history_record(history(5, 4))),
        ("command_history_critical", replace(history_record(history()), critical=True)),
        ("evidence_long", PolicyRecord(EVIDENCE, critical=False, value=bytes(33))),
        ("model_file_short", PolicyRecord(MODEL_FILE, critical=False, value=bytes(31))),
        ("captures_critical", replace(stored, critical=True)),
        ("captures_short", replace(stored, value=stored.value[:-1])),
        ("captures_none_of_an_enrolment", replace(stored, value=patched(stored.value, 40 + 64, bytes(4)))),
        ("captures_unordered", captures(file, places=(1, 0))),
        ("captures_time", replace(stored, value=patched(stored.value, 40 + 56, b"\xff" * 8))),
        ("kept_critical", replace(before, critical=True)),
        ("kept_short", replace(before, value=before.value[:-1])),
        ("kept_without_generation", replace(before, value=bytes(8) + before.value[8:])),
        ("kept_method", replace(before, value=patched(before.value, 73, b"\3"))),
        ("key_names_two_of_one_key", replace(named, value=named.value + b"\1\0")),
        ("key_names_short", replace(named, value=named.value[:-1])),
        ("key_names_role", replace(named, value=b"\4" + named.value[1:])),
        ("key_names_control", replace(named, value=patched(named.value, 2, b"\n"))),
        ("key_names_critical", replace(named, critical=True)),
        ("looks_short", replace(seen, value=seen.value[:-1])),
        ("looks_without_template", replace(seen, value=patched(seen.value, 32, bytes(4)))),
        ("looks_same_name", replace(seen, value=seen.value * 2)),
        ("looks_critical", replace(seen, critical=True)),
        ("policy_evidence_short", replace(evidence(), value=evidence().value[:-1])),
        ("policy_evidence_critical", replace(evidence(), critical=True)),
        ("policy_adapts_not_critical", replace(evidence(adapts=True), critical=False)),
        ("policy_evidence_unknown_flag", replace(evidence(), value=patched(evidence().value, 52, b"\x1e"))),
        ("policy_evidence_sd_zero", replace(evidence(), value=patched(evidence().value, 16, bytes(8)))),
        ("policy_evidence_one_subject", replace(evidence(), value=patched(evidence().value, 48, b"\1\0"))),
        (
            "policy_adapts_without_scores",
            replace(evidence(adapts=True), value=patched(evidence(adapts=True).value, 52, b"\x07")),
        ),
    ):
        add(f"content_{name}", "format", with_records(file, record))
    for name, expect, change in content_changes(sealed):
        add(f"content_{name}", expect, sealed.again(change(sealed.plaintext)))
    digest = hashlib.sha256(b"network").digest()
    for name, value in (
        ("short", struct.pack("<dII", 0.5, 1, 1) + digest + digest[1:]),
        ("none", struct.pack("<dII", 0.0, 0, 0)),
        ("two_detectors", struct.pack("<dII", 0.0, 2, 0) + 2 * digest),
        ("without_threshold", struct.pack("<dII", 0.0, 0, 1) + digest),
        ("threshold_above_1", struct.pack("<dII", 1.5, 0, 1) + digest),
    ):
        record = PolicyRecord(PINNED_NETWORKS, critical=True, value=value)
        add(f"content_pinned_networks_{name}", "format", with_records(file, record))
    return vectors


def content_changes(sealed: Sealed) -> list[tuple[str, str, Callable[[bytes], bytes]]]:
    """Return name, expected error and change of contents that must be refused although their seal is valid."""
    subjects, templates = len(sealed.content.subjects), len(sealed.content.templates)
    table = 64 + 64 * subjects
    labels = table + 8 * templates
    policy = labels + sum(
        len((a + b).encode()) for a, b in zip(sealed.content.names, sealed.content.labels, strict=True)
    )

    def put(at: int, value: bytes) -> Callable[[bytes], bytes]:
        return lambda plaintext: patched(plaintext, at, value)

    return [
        ("trailing_byte", "format", lambda plaintext: plaintext + b"\0"),
        ("too_short", "format", lambda plaintext: plaintext[:-1]),
        ("many_subjects", "format", put(0, struct.pack("<I", 20_001))),
        ("many_templates", "format", put(4, struct.pack("<I", 100_001))),
        ("claims_100000_templates", "format", put(4, struct.pack("<I", 100_000))),
        ("reserved", "format", put(20, b"\1")),
        ("unknown_flag", "format", put(64 + 56, b"\2")),
        ("validity_reversed", "format", put(64 + 32, struct.pack("<QQ", 9, 5))),
        ("same_id_twice", "format", put(64 + 64, sealed.plaintext[64:80])),
        ("template_of_nobody", "format", put(table, struct.pack("<I", subjects))),
        ("subject_without_template", "format", put(table, struct.pack("<I", subjects - 1))),
        ("scale_nan", "format", put(table + 4, struct.pack("<f", float("nan")))),
        ("name_control", "format", put(labels, b"\x1b")),
        ("name_not_utf8", "format", put(labels, b"\xff")),
        ("critical_record", "format", put(policy, struct.pack("<HH", 900, CRITICAL))),
        ("slot_keys_wrong", "format", put(policy + 8, bytes(32))),
    ]


def main(folder: Path) -> None:
    """Write every vector to a folder."""
    for name, (head, file) in good_vectors().items():
        write(folder / f"{PREFIX}{name}.vector", {"expect": "ok", **head}, file)
    for name, (head, file) in bad_vectors().items():
        write(folder / f"{PREFIX}{name}.vector", head, file)


def write(path: Path, head: dict[str, str], file: bytes) -> None:
    """Write one vector."""
    if "passphrase" not in head and "key" not in head:
        head = {**head, "key": SECRET.hex()}
    lines = "".join(f"{name}: {value}\n" for name, value in head.items())
    path.write_bytes(lines.encode() + b"\n" + file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
