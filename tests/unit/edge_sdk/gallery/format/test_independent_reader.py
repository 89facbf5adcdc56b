"""A reader that was written only from docs/reference/gallery-format.md agrees with the SDK on every vector."""

import hashlib
import hmac
import math
import statistics
import struct
import unicodedata
from itertools import combinations, count, product
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

FOLDER = Path(__file__).parents[4] / "vectors" / "gallery"


class Refused(Exception):  # noqa: N818
    """The reader refuses a file; the message is the error of the vector, `format` or `seal`."""


def refuse_unless(valid: object, error: str = "format") -> None:
    if not valid:
        raise Refused(error)


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    out, block = b"", b""
    for i in count(1):
        if len(out) >= length:
            return out[:length]
        block = hmac.digest(prk, block + info + bytes([i]), "sha256")
        out += block
    raise AssertionError


def hkdf(salt: bytes, ikm: bytes, info: bytes) -> bytes:
    return expand(hmac.digest(salt, ikm, "sha256"), info, 32)


def open_sealed(suite: int, key: bytes, context: bytes, sealed: bytes) -> bytes:
    refuse_unless(len(sealed) >= 72)
    name, aead = {1: (b"AEAD_AES_256_GCM", AESGCM), 2: (b"AEAD_CHACHA20_POLY1305", ChaCha20Poly1305)}[suite]
    salt, commitment, chunks = sealed[:24], sealed[24:56], sealed[56:]
    keys = expand(key, b"edge-sdk/gallery/stream@v1+" + name + b"\0" + salt + context, 64)
    refuse_unless(hmac.compare_digest(commitment, keys[32:]), "seal")
    last, rest = divmod(len(chunks), 16400)
    refuse_unless(rest >= 16, "seal")
    text = b""
    for i in range(last + 1):
        nonce = i.to_bytes(11, "big") + bytes([i == last])
        try:
            text += aead(keys[:32]).decrypt(nonce, chunks[16400 * i : 16400 * (i + 1)], None)
        except InvalidTag:
            raise Refused("seal") from None
    return text


def read_header(file: bytes) -> dict:
    refuse_unless(len(file) >= 88 and file[:8] == bytes.fromhex("894647410d0a1a0a"))
    names = "version suite length id generation epoch model dimension type transform slots kind reserved"
    h = dict(zip(names.split(), struct.unpack("<HHI16sQQ32sHBBHBB", file[8:88]), strict=True))
    refuse_unless(
        h["version"] in (1, 2)
        and h["kind"] < h["version"]
        and h["suite"] in (1, 2)
        and 196 <= h["length"] <= 4096
    )
    refuse_unless(h["length"] <= len(file) and h["generation"] and h["dimension"] and h["type"] in (1, 2))
    refuse_unless(h["transform"] in (0, 1) and 1 <= h["slots"] <= 8 and h["reserved"] == 0)
    at, slots = 88, []
    for _ in range(h["slots"]):
        refuse_unless(at + 4 <= h["length"])
        kind, length = struct.unpack("<HH", file[at : at + 4])
        refuse_unless(kind and length >= 104 and at + 4 + length <= h["length"])
        slots.append(
            (
                kind,
                file[at : at + 4],
                file[at + 4 : at + length - 100],
                file[at + length - 100 : at + 4 + length],
            )
        )
        at += 4 + length
    refuse_unless(at == h["length"])
    return {**h, "slots": slots}


def secret_for(kind: int, parameters: bytes, head: dict[str, str]) -> bytes | None:
    if kind == 8 and "key" in head:
        return bytes.fromhex(head["key"])
    if kind == 3 and "passphrase" in head:
        memory, passes, lanes, salt = struct.unpack("<III16s", parameters)
        words = unicodedata.normalize("NFC", head["passphrase"]).encode()
        return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(
            words
        )
    return None


def check_key_names(value: bytes, slots: int) -> None:
    at, names = 0, []
    while at < len(value):
        refuse_unless(at + 2 <= len(value) and value[at] <= 3 and value[at + 1] <= 64)
        names.append(plain_text(value, at + 2, value[at + 1]))
        at += 2 + value[at + 1]
    refuse_unless(len(names) == slots and len({*filter(None, names)}) == len([*filter(None, names)]))


def check_captures(value: bytes) -> None:
    refuse_unless(len(value) >= 40)
    parts, zero = struct.unpack_from("<II", value, 32)
    refuse_unless(zero == 0 and parts <= 10_000 and len(value) == 40 + 68 * parts)
    subjects = [value[at : at + 16] for at in range(40, len(value), 68)]
    refuse_unless(subjects == sorted(subjects) and all(subjects.count(subject) <= 16 for subject in subjects))
    for at in range(40, len(value), 68):
        seconds, captures = struct.unpack_from("<QI", value, at + 56)
        refuse_unless(seconds <= 253_402_300_799 and 1 <= captures <= 32)


def check_kept(value: bytes) -> None:
    refuse_unless(len(value) >= 80)
    generation, kind, method, zero, left_out = struct.unpack("<Q64xBBHI", value[:80])
    refuse_unless(0 < generation < 2**63 and kind <= 1 and method in (1, 2) and zero == 0)
    refuse_unless(left_out <= 20_000 and len(value) == 80 + 16 * left_out)


def check_looks(value: bytes) -> None:
    at, looks = 0, []
    while at < len(value):
        refuse_unless(at + 37 <= len(value))
        subject, _, _, templates, length = struct.unpack("<16s8sQIB", value[at : at + 37])
        refuse_unless(templates > 0 and 1 <= length <= 64)
        looks.append((subject, plain_text(value, at + 37, length)))
        at += 37 + length
    subjects = [subject for subject, _ in looks]
    refuse_unless(subjects == sorted(subjects) and len(set(looks)) == len(looks))
    refuse_unless(all(subjects.count(subject) <= 16 for subject in set(subjects)))


def plain_text(value: bytes, at: int, length: int) -> str:
    refuse_unless(at + length <= len(value))
    try:
        text = value[at : at + length].decode()
    except UnicodeDecodeError:
        raise Refused("format") from None
    refuse_unless(not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text))
    return text


def read_content(text: bytes, h: dict, slot: int, slot_key: bytes) -> dict:
    refuse_unless(len(text) >= 64)
    s, m, labels, policy, sources, reserved, root, _ = struct.unpack("<IIIIII32sQ", text[:64])
    refuse_unless(s <= 20000 and m <= 100000 and labels <= 128 * s and policy <= 1 << 20 and sources <= 256)
    refuse_unless(reserved == 0)
    front = 64 + 64 * s + 8 * m + labels + policy + 40 * sources + 80
    matrix = front + -front % 64
    refuse_unless(len(text) == matrix + m * h["dimension"] * h["type"] and not any(text[front:matrix]))
    subjects = [struct.unpack("<16s16sQQQIHH", text[64 + 64 * i : 128 + 64 * i]) for i in range(s)]
    table = [struct.unpack("<If", text[64 + 64 * s + 8 * i :][:8]) for i in range(m)]
    refuse_unless(len({x[0] for x in subjects}) == s and {i for i, _ in table} == set(range(s)))
    refuse_unless(all(math.isfinite(scale) and scale > 0 for _, scale in table))
    at, names = 64 + 64 * s + 8 * m, []
    end = at + labels
    for _, _, begins, ends, _, flags, name, label in subjects:
        refuse_unless(flags in (0, 1) and (ends == 0 or ends >= begins) and 1 <= name <= 64 and label <= 64)
        try:
            names.append(text[at : at + name].decode())
            both = names[-1] + text[at + name : at + name + label].decode()
        except UnicodeDecodeError:
            raise Refused("format") from None
        refuse_unless(not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in both))
        at += name + label
    refuse_unless(at == end and len(set(names)) == s)
    records, before = {}, 0
    while at < end + policy:
        kind, flags, length = struct.unpack("<HHI", text[at : at + 8])
        refuse_unless(kind > before and flags in (0, 1) and at + 8 + length <= end + policy)
        refuse_unless(kind in (1, 2, 3, 5, *((8, 9, 11, 16) if h["version"] > 1 else ())) or not flags)
        refuse_unless(not (h["version"] == 1 and 7 <= kind <= 18))
        records[kind], before = text[at + 8 : at + 8 + length], kind
        adapts = kind == 16 and check_evidence(records[16])
        refuse_unless(flags == (kind in (8, 9, 11) or adapts) or not 7 <= kind <= 18)
        at += 8 + length
    refuse_unless(len(records.get(2, bytes(32))) == 32)
    refuse_unless(records.get(11, b"\1") == b"\1" and len(records.get(15, bytes(32))) == 32)
    refuse_unless(len(records.get(12, bytes(32))) == 32)
    if 10 in records:
        check_history(records[10])
    if 9 in records:
        check_networks(records[9])
    if 13 in records:
        check_key_names(records[13], h["slots_n"])
    check_looks(records.get(17, b""))
    if 14 in records:
        check_captures(records[14])
    if 18 in records:
        check_kept(records[18])
    keys = records.get(1, b"")
    refuse_unless(len(keys) == 32 * h["slots_n"] and keys[32 * slot : 32 * slot + 32] == slot_key)
    rows = [
        struct.unpack(
            f"<{h['dimension']}{'be'[h['type'] - 1]}",
            text[matrix + i * h["row"] : matrix + (i + 1) * h["row"]],
        )
        for i in range(m)
    ]
    return {
        "names": names,
        "subjects": subjects,
        "table": table,
        "rows": rows,
        "root": root,
        "file": records.get(15) if h["kind"] else None,
        "renewed": records.get(2),
        "policy": read_policy(records[3]) if 3 in records else (None, 0.0, []),
        "own": read_own(records.get(5, b"")),
        "evidence": records.get(16),
    }


def check_evidence(value: bytes) -> bool:
    """Check record 16; return whether thresholds are raised."""
    refuse_unless(len(value) == 56)
    captures, mean, sd, threshold, fmr, comparisons, subjects, flags = struct.unpack("<dddddQII", value)
    refuse_unless(flags < 16 and (not flags & 1 or flags & 8))
    refuse_unless(-1 <= captures <= 1 and (flags & 4 or captures == 0))
    if flags & 8:
        refuse_unless(-1 <= mean <= 1 and 0 < sd <= 1 and -1 <= threshold <= 1 and 0 < fmr < 1)
        refuse_unless(comparisons >= 1 and subjects >= 2)
    else:
        refuse_unless(value[8:52] == bytes(44))
    return bool(flags & 1)


def raised(content: dict, threshold: float) -> float:
    """Raise the policy's threshold for the gallery's own subjects."""
    subjects = len(content["subjects"])
    if content["evidence"] is None or not content["evidence"][52] & 1 or subjects < 10:
        return threshold
    card_mean, card_sd = struct.unpack("<dd", content["evidence"][8:24])
    sampled = min(subjects, 128)
    own: list[list[list[float]]] = []
    for index in (k * subjects // sampled for k in range(sampled)):
        rows = zip(content["table"], content["rows"], strict=True)
        own.append([[scale * value for value in row] for (owner, scale), row in rows if owner == index][:4])
    scores = [
        [sum(x * y for x, y in zip(a, b, strict=True)) for a, b in product(*pair)]
        for pair in combinations(own, 2)
    ]
    means = [statistics.fmean(pair) for pair in scores]
    middle = statistics.median(means)
    highest = middle + 7.413 * statistics.median(abs(mean - middle) for mean in means)
    kept = [pair for pair, mean in zip(scores, means, strict=True) if mean <= highest]
    mean = statistics.fmean(map(statistics.fmean, kept))
    square = statistics.fmean(statistics.fmean(score**2 for score in pair) for pair in kept)
    own_sd = math.sqrt(max(0.0, square - mean**2))
    return min(1.0, max(threshold, mean + own_sd * (threshold - card_mean) / card_sd))


def check_networks(value: bytes) -> None:
    refuse_unless(len(value) >= 16)
    threshold, detectors, liveness = struct.unpack("<dII", value[:16])
    refuse_unless(detectors <= 1 and liveness <= 16 and detectors + liveness > 0)
    refuse_unless(len(value) == 16 + 32 * (detectors + liveness))
    refuse_unless(0 < threshold <= 1 if liveness else threshold == 0)
    digests = [value[i : i + 32] for i in range(16 + 32 * detectors, len(value), 32)]
    refuse_unless(digests == sorted(digests))


def check_history(value: bytes) -> None:
    refuse_unless(len(value) >= 16)
    first, states, changes = struct.unpack("<QII", value[:16])
    refuse_unless(0 < first < 1 << 63 and states <= 512 and changes <= 512)
    refuse_unless(len(value) == 16 + 16 * states + 56 * changes)
    at = range(16 + 16 * states + 48, len(value), 56)
    numbers = [int.from_bytes(value[i : i + 8], "little") % (1 << 63) for i in at]
    refuse_unless([first, *numbers] == sorted([first, *numbers]))


def read_policy(value: bytes) -> tuple[float, float, list[tuple[float, float]]]:
    refuse_unless(len(value) >= 32)
    fpir, margin, band, count, reserved = struct.unpack("<dddII", value[:32])
    refuse_unless(1 <= count <= 64 and reserved == 0 and len(value) == 32 + 40 * count)
    refuse_unless(0 < fpir < 1 and 0 <= margin <= 1 and 0 <= band <= 1)
    points = []
    for threshold, fmr, fnmr, _, non_mated in struct.iter_unpack("<dddQQ", value[32:]):
        refuse_unless(-1 <= threshold <= 1 and 1e-15 <= fmr <= 1 and 0 <= fnmr <= 1 and non_mated >= 3 / fmr)
        points.append((fmr, -threshold))
    return fpir, margin, points


def read_own(value: bytes) -> dict[bytes, float]:
    refuse_unless(len(value) % 24 == 0)
    entries = list(struct.iter_unpack("<16sd", value))
    refuse_unless(all(-1 <= threshold <= 1 for _, threshold in entries))
    refuse_unless(all(entries[i][0] < entries[i + 1][0] for i in range(len(entries) - 1)))
    return dict(entries)


def hadamard(x: list[float]) -> list[float]:
    if len(x) == 1:
        return x
    half = len(x) // 2
    low, high = hadamard(x[:half]), hadamard(x[half:])
    return [a + b for a, b in zip(low, high, strict=True)] + [a - b for a, b in zip(low, high, strict=True)]


def shp3(key: bytes, x: list[float]) -> list[float]:
    d = len(x)
    signs_bytes = (d + 7) // 8
    for r in range(3):
        blocks = (signs_bytes + 8 * d + 31) // 32
        stream = b"".join(
            hmac.digest(key, bytes([r]) + struct.pack(">I", c), "sha256") for c in range(blocks)
        )
        order = struct.unpack(f"<{d}Q", stream[signs_bytes : signs_bytes + 8 * d])
        x = [-v if stream[i // 8] >> i % 8 & 1 else v for i, v in enumerate(x)]
        mixed, at = [], 0
        for bit in reversed(range(d.bit_length())):
            if d >> bit & 1:
                mixed += [v / math.sqrt(1 << bit) for v in hadamard(x[at : at + (1 << bit)])]
                at += 1 << bit
        x = [mixed[i] for i in sorted(range(d), key=lambda i: order[i])]
    return x


def identify(h: dict, content: dict, probe: list[float], threshold: float | None) -> str | None:
    x = [v / math.hypot(*probe) for v in probe]
    if h["transform"]:
        derived = hkdf(h["id"], content["root"], b"edge-sdk/gallery/transform@v1")
        x = shp3(content["renewed"] or derived, x)
    peak = max(map(abs, x))
    q = [round(v * 32767 / peak) for v in x]
    best: dict[int, float] = {}
    for (owner, scale), row in zip(content["table"], content["rows"], strict=True):
        score = sum(a * b for a, b in zip(q, row, strict=True)) * scale / math.hypot(*q)
        best[owner] = max(score, best.get(owner, -2))
    fpir, margin, points = content["policy"]
    if threshold is None:
        fmr = -math.expm1(math.log1p(-fpir) / len(content["rows"]))
        threshold = raised(content, -max(point for point in points if point[0] <= fmr)[1])
    (top, winner), *others = sorted(((score, owner) for owner, score in best.items()), reverse=True)
    needed = max(threshold, content["own"].get(content["subjects"][winner][0], -1))
    ahead = top - max((score for score, _ in others), default=-math.inf)
    return content["names"][winner] if top >= needed and ahead > 0 and ahead >= margin else None


def read(head: dict[str, str], file: bytes) -> tuple[dict, dict, bytes, bytes]:
    h = read_header(file)
    h |= {"slots_n": len(h["slots"]), "row": h["dimension"] * h["type"]}
    if "passphrase" in head:
        costs = [struct.unpack("<III16s", slot[2])[:3] for slot in h["slots"] if slot[0] == 3]
        refuse_unless(all(8 * lanes <= memory <= 1 << 18 for memory, _, lanes in costs))
        refuse_unless(all(1 <= passes <= 16 and 1 <= lanes <= 16 for _, passes, lanes in costs))
        refuse_unless(sum(memory * passes for memory, passes, _ in costs) <= 1 << 22)
    for index, (kind, start, parameters, wrapped) in enumerate(h["slots"]):
        secret = secret_for(kind, parameters, head)
        if secret is None:
            continue
        info = b"edge-sdk/gallery/kek@v1" + struct.pack("<QH", h["epoch"], kind)
        slot_key = hkdf(h["id"], secret, info)
        data_key = open_sealed(h["suite"], slot_key, b"fg/1/slot" + file[:88] + start + parameters, wrapped)
        context = b"fg/1" + hashlib.sha512(file[: h["length"]]).digest()
        text = open_sealed(h["suite"], data_key, context, file[h["length"] :])
        content = read_content(text, h, index, slot_key)
        ids = [h["model"].hex(), (content["file"] or h["model"]).hex()]
        refuse_unless(head.get("model", ids[0]) in ids, "model")
        refuse_unless("anchor" not in head or h["generation"] - int(head["anchor"]) in (0, 1), "rollback")
        return h, content, slot_key, text
    raise Refused("seal")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.vector")), ids=lambda path: path.stem)
def test_the_format_description_suffices_to_read_a_gallery(path: Path) -> None:
    text, _, file = path.read_bytes().partition(b"\n\n")
    head = dict(line.split(": ", 1) for line in text.decode().splitlines())
    try:
        h, content, slot_key, plaintext = read(head, file)
    except Refused as error:
        assert str(error) == head["expect"]
        return
    assert head["expect"] == "ok"
    assert (",".join(content["names"]), slot_key.hex()) == (head["subjects"], head["slot-key"])
    assert hashlib.sha256(plaintext).hexdigest() == head["plaintext-sha256"]
    if "probe" in head:
        probe = [float(number) for number in head["probe"].split(",")]
        threshold = None if head["threshold"] == "policy" else float(head["threshold"])
        assert (identify(h, content, probe, threshold) or "nobody") == head["identified"]
        assert identify(h, content, probe, 1.01) is None
