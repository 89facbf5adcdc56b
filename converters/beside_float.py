"""What a finished network is worth beside the float one: cosine of their embeddings, time of an inference."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from converters.calibration import CalibrationSet
from edge_sdk.decision.matching import cosine
from edge_sdk.inference.backends.litert import LiteRtBackend
from edge_sdk.inference.card import InputContract
from edge_sdk.inference.quantization import make_encoder
from edge_sdk.types import FloatArray

_TIMED_RUNS = 40


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


def latencies(
    networks: Sequence[bytes], contract: InputContract, images: CalibrationSet
) -> Mapping[bytes, float]:
    """Median milliseconds of one invoke of each, one thread, taken in turns: only the ratios mean anything."""
    backends = {network: LiteRtBackend(network) for network in networks}
    for backend in backends.values():
        make_encoder(contract, backend.input)(images.ranges.pixels[0], backend.input_view())
        backend.invoke()
    times: dict[bytes, list[float]] = {network: [] for network in backends}
    for _ in range(_TIMED_RUNS):
        for network, backend in backends.items():
            start = time.perf_counter()
            backend.invoke()
            times[network].append(1e3 * (time.perf_counter() - start))
    return {network: statistics.median(values) for network, values in times.items()}
