"""A kit of public face networks, an installation of it, and photographs as frames, for tests of the whole door."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from converters.graph.attach_card import with_card
from converters.graph.network import Network
from edge_sdk.kit import KitManifest, KitMember, Role, write_kit
from edge_sdk.model.card import InputContract
from tests.conftest import card, evidence
from tests.kits import proven_points

ENROLLED, STRANGER = "Donald_Rumsfeld", "Emma_Watson"


def write_face_kit(
    path: Path, shared: Path, *, threshold: float = 0.4, value_range: tuple[int, int] = (0, 255)
) -> Path:
    """Write a kit with MobileFaceNet and BlazeFace, without liveness, which would refuse photographs.

    Args:
        path: The kit.
        shared: The shared folder with the networks.
        threshold: Threshold of its evidence, which is invented.
        value_range: Input values of pixels 0 and 255; another range is another embedding space.
    """
    network = Network((shared / "zoo" / "mobilefacenet_y1_float32.tflite").read_bytes())
    model = with_card(
        network,
        card(
            name="face",
            target="cpu",
            precision="float32",
            dimension=128,
            input=InputContract.from_json(
                {"size": [112, 112], "color": "rgb", "range": list(value_range), "alignment": "arcface"}
            ),
            operating_points=proven_points(evidence, threshold=threshold),
        ),
    )
    files = {
        "face.tflite": model,
        "detector.tflite": (shared / "zoo" / "blazeface_full_range.tflite").read_bytes(),
    }
    roles = {"face.tflite": Role.EMBEDDER, "detector.tflite": Role.DETECTOR}
    members = tuple(
        KitMember(name, roles[name], hashlib.sha256(data).hexdigest(), len(data), licence="Apache-2.0")
        for name, data in files.items()
    )
    write_kit(path, KitManifest("face", "1", members, fpir=0.01), files)
    return path


def write_photographs(folder: Path, shared: Path, person: str, *, most: int = 100) -> list[Path]:
    """Write the photographs of a person and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        for name in sorted(name for name in archive.getnames() if f"/{person}/" in f"/{name}"):
            file = archive.extractfile(name)
            if file is not None and name.endswith(".jpg") and len(paths) < most:
                path = folder / f"{len(paths)}.jpg"
                path.write_bytes(file.read())
                paths.append(path)
    return paths
