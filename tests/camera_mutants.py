"""Program that runs mutated image files and frames through the capture path, in a fresh process.

    python -m tests.camera_mutants DETECTOR MODEL PHOTOGRAPHS FOLDER FIRST COUNT

Prints a JSON object with the count of each outcome and the process's peak memory. The number of a mutant determines its content,
so that a failure can be reproduced.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import tarfile
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_sdk.cameras import FolderCamera
from edge_sdk.diagnostics.bench.memory import peak_rss_bytes
from edge_sdk.errors import InputError
from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.recognizer import Recognizer
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.images import read_image

Random = np.random.Generator
#: Image sides written into file headers. All fit into the four bytes of PNG, most also into the two bytes of JPEG.
_CLAIMS = (
    0,
    1,
    2,
    15,
    16,
    17,
    251,
    3_000,
    3_500,
    4_000,
    6_300,
    65_500,
    65_535,
    100_000,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


def mutated_file(photographs: list[bytes], rng: Random) -> bytes:
    """Create the bytes of a damaged or unusual image file."""
    data = photographs[rng.integers(len(photographs))]
    kind = ("JPEG", "PNG", "PPM", "other")[rng.choice(4, p=(0.45, 0.35, 0.1, 0.1))]
    if kind == "JPEG" and rng.random() < 0.3:
        data = _encoded(data, "JPEG", rng, progressive=bool(rng.random() < 0.5), exif=_orientation(rng))
    elif kind in ("PNG", "PPM"):
        data = _encoded(data, kind, rng)
    elif kind == "other":
        return _encoded(data, str(rng.choice(["GIF", "BMP", "TIFF", "WEBP"])), rng)
    mutants: list[Callable[[bytes, Random], bytes]] = [
        _flip,
        _flip,
        _overwrite,
        _cut,
        _drop,
        _repeat,
        _append,
        _claim_png if kind == "PNG" else _claim_jpeg if kind == "JPEG" else _claim_ppm,
        lambda data, r: _splice(data, photographs[r.integers(len(photographs))], r),
    ]
    for _ in range(rng.integers(1, 4)):
        data = mutants[rng.integers(len(mutants))](data, rng)
    return data


def mutated_frame(photographs: list[np.ndarray], rng: Random) -> Any:
    """Create a frame as a broken driver or a careless program might deliver it."""
    kind = rng.integers(12)
    photograph = photographs[rng.integers(len(photographs))]
    if kind == 0:
        return rng.integers(0, 256, (*rng.integers(1, 700, 2), 3), dtype=np.uint8)
    if kind == 1:
        return np.full((*rng.integers(1, 700, 2), 3), rng.choice([0, 1, 127, 254, 255]), np.uint8)
    if kind == 2:
        thin = rng.permutation([rng.integers(1, 20), rng.integers(1, 3000)])
        return rng.integers(0, 256, (*thin, 3), dtype=np.uint8)
    if kind == 3:
        shape = [
            (0, 0, 3),
            (0, 100, 3),
            (100, 100),
            (100, 100, 4),
            (1, 100, 100, 3),
            (3, 100, 100),
            (),
            (300,),
        ]
        return np.zeros(shape[rng.integers(len(shape))], np.uint8)
    if kind == 4:
        dtype = rng.choice(["float32", "float64", "int8", "uint16", "bool", "complex64", "object"])
        return photograph.astype(dtype)
    if kind == 5:
        return [None, "frame", b"frame", 3, photograph.tolist(), memoryview(photograph)][rng.integers(6)]
    if kind == 6:  # a view that repeats one pixel and takes no memory
        return np.broadcast_to(photograph[:1, :1], (*rng.integers(1, 9000, 2), 3))
    if kind == 7:
        step = rng.integers(1, 4, 2) * rng.choice([-1, 1], 2)
        return photograph[:: step[0], :: step[1], :: rng.choice([-1, 1])]
    if kind == 8:
        return np.asfortranarray(np.rot90(photograph, rng.integers(4)))
    changed = photograph.copy()
    rows, columns = photograph.shape[:2]
    if kind == 9:
        for _ in range(rng.integers(1, 8)):
            top, left = rng.integers(0, rows), rng.integers(0, columns)
            changed[top : top + rng.integers(1, 120), left : left + rng.integers(1, 120)] = rng.integers(256)
        return changed
    if kind == 10:
        gain, noise = rng.choice([0.02, 0.2, 1, 5, 50]), rng.choice([0, 5, 60, 200])
        values = changed * gain + rng.normal(0, 1, changed.shape) * noise
        return np.clip(values, 0, 255).astype(np.uint8)
    return np.roll(changed, rng.integers(0, 250, 2), axis=(0, 1))[
        : rng.integers(1, rows), : rng.integers(1, columns)
    ]


def _flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 12)):
        if changed:
            changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(data: bytes, rng: Random) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 40))) + data[at + 20 :]


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def _drop(data: bytes, rng: Random) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _repeat(data: bytes, rng: Random) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + data[at : at + 500] * int(rng.integers(2, 20)) + data[at:]


def _append(data: bytes, rng: Random) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 5000)))


def _splice(data: bytes, other: bytes, rng: Random) -> bytes:
    return data[: rng.integers(len(data) + 1)] + other[rng.integers(len(other)) :]


def _claim_png(data: bytes, rng: Random) -> bytes:
    """Change size, depth or colour type in the header of a PNG file, and correct the checksum."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        return data
    width, height = (int(value) for value in rng.choice(_CLAIMS, 2))
    depth, color = int(rng.choice([1, 2, 8, 8, 16])), int(rng.choice([0, 2, 2, 3, 4, 6]))
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(rng.integers(2)))
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


def _claim_jpeg(data: bytes, rng: Random) -> bytes:
    """Change the size in the frame header of a JPEG file."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = data.find(marker)
        if at > 0:
            sides = struct.pack(">HH", *(int(value) & 0xFFFF for value in rng.choice(_CLAIMS, 2)))
            return data[: at + 5] + sides + data[at + 9 :]
    return data


def _claim_ppm(data: bytes, rng: Random) -> bytes:
    sides = b" ".join(str(int(value)).encode() for value in rng.choice(_CLAIMS, 2))
    return data[:3] + sides + b"\n" + rng.choice([b"255", b"1", b"0", b"65535", b"-1"]) + b"\n" + data[15:]


def _encoded(data: bytes, kind: str, rng: Random, **options: Any) -> bytes:
    modes = {"PNG": ["RGB", "RGB", "L", "1", "P", "RGBA", "LA", "I;16"], "JPEG": ["RGB", "L", "CMYK"]}
    mode = str(rng.choice(modes.get(kind, ["RGB", "L"])))
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if mode == "I;16":
        image = image.convert("I").convert("I;16")
    file = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(file, kind, **options)
    return file.getvalue()


def _orientation(rng: Random) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(0, 12))
    return exif


def outcome(
    recognizer: Recognizer, photographs: list[bytes], arrays: list[np.ndarray], file: Path, number: int
) -> str:
    """Run one mutant and return the decision or the stage that refused it; errors other than InputError are raised."""
    rng = np.random.default_rng(number)
    try:
        if number % 2:
            file.write_bytes(mutated_file(photographs, rng))
            with FolderCamera([file]) as camera:
                frame = camera.read()
        else:
            frame = mutated_frame(arrays, rng)
    except InputError:
        return "file refused"
    try:
        answer = recognizer.identify(frame)
    except InputError:
        return "frame refused"
    return answer.decision.value if answer.counted else "no sample"


def main(detector: str, model: str, archive: str, folder: str, first: str, count: str) -> int:
    """Run `count` mutants from number `first` on, and print the outcomes."""
    with tarfile.open(archive) as tar:
        names = sorted(name for name in tar.getnames() if name.endswith(".jpg"))[::130]
        files = [tar.extractfile(name) for name in names]
        photographs = [file.read() for file in files if file is not None]
    arrays = [read_image(io.BytesIO(data)) for data in photographs]
    embedder = Embedder.open(model)
    gallery = Gallery.create(
        Path(folder) / "home.gallery",
        key=InMemoryKey(b"z" * 32),
        model_id=embedder.model_id,
        dimension=embedder.dimension,
    )
    recognizer = Recognizer(Detector.open(detector), embedder, gallery, threshold=0.999)
    recognizer.enrol(arrays[:1], "owner", least=1)
    outcomes: Counter[str] = Counter()
    crashes = {}
    for number in range(int(first), int(first) + int(count)):
        try:
            outcomes[outcome(recognizer, photographs, arrays, Path(folder) / "mutant.jpg", number)] += 1
        except Exception:  # noqa: BLE001  reported with the mutant's number
            crashes[number] = traceback.format_exc(limit=-3)
    print(json.dumps({"outcomes": outcomes, "crashes": crashes, "peak_rss_bytes": peak_rss_bytes()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
