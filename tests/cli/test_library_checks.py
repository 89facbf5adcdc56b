"""Every check that ``edge-sdk`` makes on its arguments is made by the library call too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.diagnostics.bench import BenchReferences, DevicePath, measure
from edge_sdk.errors import EdgeSdkError
from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, Gallery, InMemoryKey, KeyFile, Passphrase, TpmKey
from edge_sdk.gallery.exchange.commands import Command, sign, source_of
from edge_sdk.model.operating_point import OperatingPoint

KEY = InMemoryKey(bytes(range(32)))
CREATE: dict[str, Any] = {"key": KEY, "model_id": bytes(32), "dimension": 4}
EVIDENCE = (OperatingPoint(threshold=0.9, fmr=1e-2, fnmr=0.0, mated_trials=10, non_mated_trials=1000),)
PROBE = np.ones(4, np.float32)


@dataclass(frozen=True)
class Place:
    """A gallery with alice, its folder and a model file."""

    gallery: Gallery
    folder: Path
    model: Path


@pytest.fixture
def place(tmp_path: Path, model_path: Path) -> Place:
    gallery = Gallery.create(tmp_path / "home.gallery", **CREATE)
    gallery.enrol("alice", PROBE)
    return Place(gallery, tmp_path, model_path)


def command(**changes: Any) -> Command:
    return Command.for_state(
        **{
            "state": f"12-{'ab' * 16}",
            "now_s": 1_800_000_000,
            "source": bytes(32),
            "gallery_id": bytes(16),
            "sequence": 1,
            "action": "revoke",
            "subject": "a",
            **changes,
        }
    )


def sign_package(package: bytes) -> bytes:
    private = bytes(range(32))
    return sign(command(source=source_of(private), action="enrol", subject="", package=package), private)


def measure_frames(model: Path, **counts: int) -> Any:
    path = DevicePath(model)
    return measure(path, [np.zeros(path.embedder.card.input.shape, np.uint8)], **counts)


CHECKS: dict[str, Callable[[Place], Any]] = {
    "enrol SUBJECT": lambda p: p.gallery.enrol("a" * 65, PROBE),
    "enrol --label": lambda p: p.gallery.enrol("bob", PROBE, label="x" * 65),
    "enrol --valid-until, no time zone": lambda p: p.gallery.enrol(
        "bob", PROBE, valid_until=datetime(2030, 1, 1)
    ),
    "identify --threshold": lambda p: p.gallery.identify(PROBE, threshold=1.01),
    "verify --threshold": lambda p: p.gallery.verify(PROBE, "alice", threshold=-2.0),
    "identify, no threshold and no policy": lambda p: p.gallery.identify(PROBE),
    "identify --fmr, no evidence": lambda p: OperatingPoint.for_comparison((), fmr=1e-2),
    "identify --fmr, another": lambda p: OperatingPoint.for_comparison(EVIDENCE, fmr=1e-4),
    "identify --fpir": lambda p: OperatingPoint.for_identification(EVIDENCE, fpir=0.0, references=1),
    "gallery create, no folder": lambda p: Gallery.create(p.folder / "none" / "g", **CREATE),
    "gallery create, no folder of the key": lambda p: KeyFile.create(p.folder / "none" / "k"),
    "gallery create --audit": lambda p: Gallery.create(p.folder / "g", **CREATE, audit="some"),
    "gallery create --suite": lambda p: Gallery.create(p.folder / "g", **CREATE, suite="aes"),
    "gallery create --dtype": lambda p: Gallery.create(p.folder / "g", **CREATE, dtype="float32"),
    "gallery create --passphrase": lambda p: Gallery.create(
        p.folder / "g", **{**CREATE, "key": Passphrase("short")}
    ),
    "gallery create --key tpm-nv:1": lambda p: TpmKey(index=1),
    "gallery change, nothing": lambda p: p.gallery.change("alice"),
    "gallery policy --fpir": lambda p: DecisionPolicy(EVIDENCE, fpir=1.0),
    "gallery policy --margin": lambda p: DecisionPolicy(EVIDENCE, fpir=0.01, margin=-0.1),
    "gallery policy --retry-band": lambda p: DecisionPolicy(EVIDENCE, fpir=0.01, retry_band=2.0),
    "gallery limit-attempts": lambda p: AttemptPolicy(free=10, most=5),
    "gallery sign ACTION": lambda p: command(action="open"),
    "gallery sign --to": lambda p: command(gallery_id=bytes(15)),
    "gallery sign --sequence": lambda p: command(sequence=0),
    "gallery sign --state": lambda p: command(state="12"),
    "gallery sign --expires-in": lambda p: command(lifetime_s=91 * 86_400),
    "gallery sign --last-generation": lambda p: command(last_generation=11),
    "gallery sign enrol, not an export": lambda p: sign_package(b"not an export"),
    "bench --frames": lambda p: measure_frames(p.model, count=0),
    "bench --warm-up": lambda p: measure_frames(p.model, warm_up=0),
    "bench --references": lambda p: BenchReferences.random(0, 4),
    "bench --pad without --detector": lambda p: DevicePath(p.model, pad=[p.model]),
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_library_makes_the_check(place: Place, check: str) -> None:
    files = {path.name for path in place.folder.iterdir()}
    with pytest.raises(EdgeSdkError):
        CHECKS[check](place)
    assert {path.name for path in place.folder.iterdir()} == files
