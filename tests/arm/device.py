"""Run the complete device path and print its results as JSON, on this machine or on an emulated one.

Usage: device.py FOLDER MODEL IMAGES.npy [GALLERY KEY]. Without GALLERY, a gallery is created in FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk import Embedder, Gallery, KeyFile
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import check, golden_outputs

THRESHOLD = 0.6


def main(folder: Path, model: Path, images: Path, *gallery: str) -> dict[str, Any]:
    """Load and check a model, embed images, enrol subjects and identify them."""
    file = ModelFile.open(model)
    backend = LiteRtBackend(file.data)
    _, raw = golden_outputs(backend, file.card.input, [1, 2, 3])
    assert file.card.golden is not None
    golden = check(backend, file.card.input, file.card.golden)
    embedder = Embedder.open(model)
    faces = np.load(images)
    embeddings = np.stack([embedder.embed(face) for face in faces])
    if gallery:
        key: KeyFile = KeyFile(gallery[1])
        opened = Gallery.open(gallery[0], key=key, model_id=embedder.model_id)
    else:
        key = KeyFile.create(folder / "device.key")
        opened = Gallery.create(
            folder / "device.gallery", key=key, model_id=embedder.model_id, dimension=embedder.dimension
        )
        for position in range(0, len(faces) - 2, 2):
            opened.enrol(f"subject {position}", embeddings[position : position + 1])
        opened = Gallery.open(folder / "device.gallery", key=key, model_id=embedder.model_id)
    answers = [opened.identify(embedding, threshold=THRESHOLD) for embedding in embeddings]
    return {
        "machine": platform.machine(),
        "runtime": backend.runtime,
        "golden": golden.message,
        "right": golden.right,
        "raw_sha256": hashlib.sha256(raw.tobytes()).hexdigest(),
        "embeddings": embeddings.astype(float).tolist(),
        "decisions": [[answer.decision.value, answer.subject] for answer in answers],
        "subjects": sorted(subject.name for subject in opened.subjects()),
    }


if __name__ == "__main__":
    arguments = sys.argv[1:]
    print(json.dumps(main(*(Path(a) for a in arguments[:3]), *arguments[3:])))
