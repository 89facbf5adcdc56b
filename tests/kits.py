"""Kits of small networks with random weights, for tests that install one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_sdk.kit import KitFile, KitManifest, KitMember, Role, write_kit
from tests.face_networks import write_detector, write_liveness

LICENCE_TEXT = b"You may use it.\n"


def make_kit(
    path: Path,
    model: bytes,
    *,
    name: str = "face",
    version: str = "1",
    fpir: float | None = 0.01,
    detector: bool = True,
    liveness: int = 2,
    licence: str = "Apache-2.0",
    seed: int = 0,
) -> KitFile:
    """Write a kit with an embedder, and by default a detector and two liveness networks."""
    files = {"face.tflite": model}
    roles = {"face.tflite": Role.EMBEDDER}
    if detector:
        files["detector.tflite"] = write_detector(path.with_suffix(".d"), seed=seed).read_bytes()
        roles["detector.tflite"] = Role.DETECTOR
    for number in range(liveness):
        pad = f"pad_{number}.tflite"
        files[pad] = write_liveness(path.with_suffix(".p"), seed=seed + number).read_bytes()
        roles[pad] = Role.LIVENESS
    if licence:
        files["licence.txt"], roles["licence.txt"] = LICENCE_TEXT, Role.LICENCE
    manifest = KitManifest(
        name,
        version,
        tuple(_members(files, roles, licence)),
        fpir=fpir,
        limits=("not measured on your camera",),
    )
    return write_kit(path, manifest, files)


def _members(files: Mapping[str, bytes], roles: Mapping[str, Role], licence: str) -> list[KitMember]:
    return [
        KitMember(
            file,
            roles[file],
            hashlib.sha256(content).hexdigest(),
            len(content),
            licence=licence if roles[file] not in (Role.LICENCE, Role.REPORT) else "",
        )
        for file, content in files.items()
    ]


def proven_points(make_evidence: Callable[..., Any], *, threshold: float = 0.95) -> tuple[Any, ...]:
    """Return operating points that claim an FMR with 95 % confidence."""
    claim = {
        "fmr_confidence": 0.95,
        "subjects": 100,
        "effective_comparisons": 3000.0,
        "fmr_interval": (0.0, 1e-3),
    }
    return (
        make_evidence(threshold=threshold, fmr=1e-3, **claim),
        make_evidence(threshold=threshold - 0.05, fmr=1e-2, **claim),
    )
