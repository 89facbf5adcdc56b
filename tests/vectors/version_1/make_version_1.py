"""Write a gallery of format version 1 with its companion files. Run it with edge-sdk 0.2, which writes version 1.

    PYTHONPATH=CHECKOUT_OF_0.2 python tests/vectors/version_1/make_version_1.py FOLDER

The files beside this script were written in this way. They never change: later versions must open them, answer from
them and continue them. `Gallery.open` needs `InMemoryKey(bytes(range(32)))` and the model id `bytes(32)`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edge_sdk.gallery import AttemptPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.gallery.attempt_counter import Moment
from edge_sdk.gallery.exchange.commands import source_of

KEY, OFFICE_KEY = InMemoryKey(bytes(range(32))), InMemoryKey(bytes(range(1, 33)))
SOURCE_KEY = b"s" * 32
DIMENSION = 4


def embedding(seed: int) -> np.ndarray:
    """Return a reproducible embedding, shape (1, 4)."""
    return np.random.default_rng(seed).normal(size=(1, DIMENSION)).astype(np.float32)


def main(folder: Path) -> None:
    """Write gallery, audit log, attempt counter and anchor, and an export for the gallery."""
    gallery = Gallery.create(
        folder / "home.gallery",
        key=KEY,
        model_id=bytes(32),
        dimension=DIMENSION,
        anchor=FileAnchor(folder / "home.anchor"),
        uptime=lambda: Moment(b"1" * 16, 1_000_000),
    )
    with gallery.transaction() as t:
        t.enrol("ann", embedding(1))
        t.enrol("bob", embedding(2))
        t.limit_attempts(AttemptPolicy(free=3, most=8, wait_s=0))
    gallery.exchange.add_source(source_of(SOURCE_KEY))
    gallery.reject()
    office = Gallery.create(folder / "office", key=OFFICE_KEY, model_id=bytes(32), dimension=DIMENSION)
    office.enrol("eve", embedding(5))
    recipient = bytes.fromhex(gallery.status().recipient)
    (folder / "eve.export").write_bytes(office.exchange.export(recipient=recipient))
    for left in {*folder.glob("office*"), *folder.glob("*.lock")}:
        left.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
