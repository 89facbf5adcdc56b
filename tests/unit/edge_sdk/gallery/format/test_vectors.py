"""The vectors in tests/vectors are read with the expected result; those of version 2 are reproduced byte for byte."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import GalleryFormatError, ModelMismatchError, RollbackError, SealError
from edge_sdk.gallery import FileAnchor, Gallery, InMemoryKey, Passphrase
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.header import parse_header
from tests.simulated_file_system import SimulatedFileSystem

ROOT = Path(__file__).parents[5]
FOLDER = ROOT / "tests" / "vectors" / "gallery"
ERRORS = {
    "format": GalleryFormatError,
    "seal": SealError,
    "model": ModelMismatchError,
    "rollback": RollbackError,
}


def read(path: Path) -> tuple[dict[str, str], bytes]:
    head, _, file = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().splitlines()), file


def open_vector(head: dict[str, str], file: bytes) -> Gallery:
    path, anchor = Path("vector.gallery"), Path("vector.anchor")
    files = SimulatedFileSystem.holding({path: file})
    if "anchor" in head:
        FileAnchor(anchor, filesystem=files).advance(file[16:32], int(head["anchor"]))
    return Gallery.open(
        path,
        key=Passphrase(head["passphrase"])
        if "passphrase" in head
        else InMemoryKey(bytes.fromhex(head["key"])),
        model_id=bytes.fromhex(head["model"]) if "model" in head else None,
        anchor=FileAnchor(anchor, filesystem=files) if "anchor" in head else None,
        filesystem=files,
    )


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.vector")), ids=lambda path: path.stem)
def test_a_vector_is_read_with_its_expected_result(path: Path) -> None:
    head, file = read(path)
    if head["expect"] != "ok":
        with pytest.raises(ERRORS[head["expect"]]):
            open_vector(head, file)
        return
    gallery = open_vector(head, file)
    assert ",".join(s.name for s in gallery.subjects()) == head["subjects"]
    header = parse_header(file)
    data_key = next(
        sealing.unwrap(header, slot, bytes.fromhex(head["slot-key"]))
        for slot in header.slots
        if slot.type != 0xFFFF
    )
    assert hashlib.sha256(sealing.open_body(file, data_key)).hexdigest() == head["plaintext-sha256"]
    if "probe" in head:
        probe = np.array([int(number) for number in head["probe"].split(",")], np.float32)
        threshold = None if head["threshold"] == "policy" else float(head["threshold"])
        assert (gallery.identify(probe, threshold=threshold).subject or "nobody") == head["identified"]


def test_the_vectors_of_version_2_are_reproduced_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, FOLDER / "make_vectors.py", tmp_path],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
    )
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in FOLDER.glob("v2_*.vector")}
    assert len(kept) > 50
    assert made == kept
