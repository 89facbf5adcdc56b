"""Write the known-answer vectors of captures files. A second run gives other bytes, because HPKE draws a new key for each part.

    python tests/vectors/captures/make_vectors.py FOLDER

A vector is a text head of `name: value` lines, an empty line, and the bytes of a captures file. `expect` is the result that a
reader must give: `ok`, or the error `format` or `seal`. `key` is the private key, `gallery` and `subject` are the ids for which the
file is opened, `crops-sha256` is the digest of the pixels of all parts, `consents` the statements, joined by `|`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.gallery.captures.keys import CapturesKey
from edge_sdk.gallery.captures.sealed import seal_part
from edge_sdk.model.landmark_template import arcface

KEY, OTHER_KEY = CapturesKey(bytes(range(32))), CapturesKey(bytes(range(1, 33)))
GALLERY, SUBJECT = b"gallery-of-tests", b"subject-of-tests"
NOW_S = 1_750_000_000


def crops(seed: int, *, count: int, aligned: bool, channels: int = 3) -> Crops:
    """Draw crops of 16x12 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 12, channels), dtype=np.uint8)
    landmarks = arcface(16, 12) if aligned else None
    return Crops(pixels, f"person {seed}, signed form é", landmarks, NOW_S + seed, bytes(range(16)))


def seal(drawn: Crops, key: CapturesKey = KEY, gallery: bytes = GALLERY, subject: bytes = SUBJECT) -> bytes:
    """Seal crops for the ids of the vectors."""
    return seal_part(drawn, gallery=gallery, subject=subject, recipient=key.public)


def main() -> None:
    """Write all vectors to a folder."""
    folder = Path(sys.argv[1])
    good = {
        "one_part": [crops(1, count=2, aligned=True)],
        "two_parts": [crops(2, count=1, aligned=True), crops(3, count=3, aligned=True)],
        "gray_not_aligned": [crops(4, count=1, aligned=False, channels=1)],
    }
    for name, parts in good.items():
        head = {
            "crops-sha256": hashlib.sha256(b"".join(part.pixels.tobytes() for part in parts)).hexdigest(),
            "consents": "|".join(part.consent for part in parts),
        }
        write(folder, name, "ok", b"".join(map(seal, parts)), **head)
    file = seal(crops(5, count=1, aligned=True))
    write(folder, "other_key", "seal", seal(crops(5, count=1, aligned=True), key=OTHER_KEY))
    write(folder, "other_gallery", "seal", seal(crops(5, count=1, aligned=True), gallery=bytes(16)))
    write(folder, "other_subject", "seal", seal(crops(5, count=1, aligned=True), subject=bytes(16)))
    moved = seal(crops(5, count=1, aligned=True), subject=bytes(16))
    write(folder, "moved_to_subject", "seal", moved[:32] + SUBJECT + moved[48:])
    write(folder, "flip_content", "seal", file[:-20] + bytes([file[-20] ^ 1]) + file[-19:])
    write(folder, "flip_encapsulated_key", "seal", file[:80] + bytes([file[80] ^ 1]) + file[81:])
    write(folder, "cut", "format", file[:-1])
    write(folder, "trailing_byte", "format", file + b"\0")
    write(folder, "magic", "format", b"\x88" + file[1:])
    write(folder, "version", "format", file[:8] + b"\2" + file[9:])
    write(folder, "suite", "format", file[:10] + b"\2" + file[11:])
    write(folder, "length_too_small", "format", file[:12] + b"\x7f\0\0\0" + file[16:])


def write(folder: Path, name: str, expect: str, file: bytes, **head: str) -> None:
    """Write one vector."""
    lines = {
        "expect": expect,
        "key": KEY.secret.hex(),
        "gallery": GALLERY.hex(),
        "subject": SUBJECT.hex(),
        **head,
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    (folder / f"{name}.vector").write_bytes(text.encode() + b"\n" + file)


if __name__ == "__main__":
    main()
