"""Baseline without a network: histograms of colours, after the colours of each picture are made independent of the light."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.data.samples import open_samples
from converters.evaluate.metrics.cross_camera import Cameras, search_across_cameras
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.verification import verify_across_cameras
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence

_BINS = 6
_BANDS = ((0.0, 0.18), (0.18, 0.48), (0.48, 0.8), (0.8, 1.0))  # head, trunk, legs, feet: shares of the height
_MARGIN = 0.2  # share of the width at each side that shows mostly background


def colour_histograms(pictures: np.ndarray) -> np.ndarray:
    """Return histograms of hue-like colours in four horizontal bands, as in re-identification before deep networks (Gray and Tao 2008).

    The mean of each channel is made gray (gray-world assumption), so that the colour balance of a camera matters less. The
    square roots of the histograms are compared by their cosine, which is the Bhattacharyya coefficient.

    Args:
        pictures: Shape (N, H, W, 3), uint8, RGB.

    Returns:
        Shape (N, 4 * 6 * 6 * 6), float32, unit rows.
    """
    count, height, width = pictures.shape[:3]
    middle = pictures[:, :, int(_MARGIN * width) : int((1 - _MARGIN) * width)].astype(np.float32)
    gains = 110 / np.maximum(pictures.reshape(count, -1, 3).mean(axis=1), 1)
    levels = np.clip(middle * gains[:, None, None], 0, 255) * (_BINS / 256)
    cells = levels.astype(np.int64) @ np.array([_BINS * _BINS, _BINS, 1])
    parts = []
    for start, end in _BANDS:
        band = cells[:, int(start * height) : int(end * height)].reshape(count, -1)
        rows = np.arange(count)[:, None] * _BINS**3 + band
        counts = np.bincount(rows.ravel(), minlength=count * _BINS**3).reshape(count, -1)
        parts.append(np.sqrt(counts / band.shape[1]))
    joined = np.concatenate(parts, axis=1)
    unit: np.ndarray = (joined / np.linalg.norm(joined, axis=1, keepdims=True)).astype(np.float32)
    return unit


def measure_histograms(folder: Path) -> dict[str, object]:
    """Measure the histograms on a folder of pictures across cameras, as ``edge-convert evaluate --cameras names`` does.

    Args:
        folder: ``SUBJECT/PICTURE`` with the camera in the file names.

    Returns:
        Rank 1, rank 5, mean average precision, and the TAR at FMR 1e-2 and 1e-3 as far as the persons support them.
    """
    samples = open_samples(folder)
    pictures = np.stack([samples.image(sample) for sample in samples.samples])
    names = tuple(sample.name for sample in samples.samples)
    subjects = tuple(sample.subject for sample in samples.samples)
    embedded = EmbeddedSamples(folder.name, "0" * 64, names, subjects, colour_histograms(pictures))
    cameras = Cameras.of_names(names)
    ranks = search_across_cameras(embedded, cameras)
    evidence = verify_across_cameras(embedded, cameras, fmrs=(1e-2, 1e-3), replicates=0)
    return {
        "rank_1": ranks.rank_1,
        "rank_5": ranks.rank_5,
        "mean_average_precision": ranks.mean_average_precision,
        "tar": {
            f"{point.target_fmr:g}": 1 - point.fnmr
            for point in evidence.points
            if isinstance(point, OperatingPointEvidence) and point.fnmr is not None
        },
    }
