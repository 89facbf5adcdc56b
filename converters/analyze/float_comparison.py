"""What a finished network is worth beside the float one: cosine of their embeddings, time of an inference."""

from __future__ import annotations

from typing import Any

from converters.data.calibration import CalibrationSet
from edge_sdk.matching import cosine
from edge_sdk.types import FloatArray


def fidelity(baseline: FloatArray, found: FloatArray, images: CalibrationSet) -> dict[str, Any]:
    """Cosine of each held-out image's two embeddings, for the model card.

    Args:
        baseline: Shape (n, D), the float network's.
        found: Shape (n, D), the artefact's.
        images: Which images they are of.
    """
    cosines = cosine(baseline, found)
    worst = int(cosines.argmin())
    return {
        "cosine_mean": float(cosines.mean()),
        "cosine_min": float(cosines[worst]),
        "worst_image": images.held_out.names[worst],
        "images": len(images.held_out),
        "held_out": images.parted,
        "images_sha256": images.held_out.sha256,
    }
