"""Measure the time and peak memory of the evaluation on random unit embeddings.

    python tools/bench_evaluation.py
    python tools/bench_evaluation.py --images 5000 --subjects 1000

Each size runs in a separate process, because peak resident memory is measured per process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SIZES = ((1549, 963), (13000, 5749))  # (images, subjects) of LFW DevTest, and about those of the whole of LFW
DIMENSION = 128


def main() -> None:
    """Run one size, or each default size in its own process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, help="number of embeddings (default: the two sizes of LFW)")
    parser.add_argument("--subjects", type=int, help="number of subjects (default: half of --images)")
    parser.add_argument("--replicates", type=int, default=1000, help="bootstrap replicates (default: 1000)")
    options = parser.parse_args()
    if options.images is not None:
        bench(options.images, options.subjects or max(1, options.images // 2), options.replicates)
        return
    for images, subjects in SIZES:
        size = ["--images", str(images), "--subjects", str(subjects), "--replicates", str(options.replicates)]
        subprocess.run([sys.executable, __file__, *size], check=True)


def bench(images: int, subjects: int, replicates: int) -> None:
    """Print the seconds of each step and the peak resident memory so far."""
    from converters.evaluate.metrics import (
        DEFAULT_FMRS,
        AllPairs,
        compare_artefacts,
        d_prime,
        det_curve,
        equal_error_rate,
        measure_probability,
        operating_points,
        paired_differences,
        pooled_difference,
        threshold_at_fmr,
    )
    from converters.evaluate.metrics.det_band import band_floor, det_band

    labels = np.random.default_rng(1).integers(0, subjects, images)
    data = AllPairs(random_units(images), labels)
    noise = data.vectors + np.float32(0.1) * random_units(images, seed=2)
    other = AllPairs(noise / np.linalg.norm(noise, axis=1, keepdims=True), labels)
    print(f"{images} images, {subjects} subjects, {DIMENSION} values; peak before {peak_mib():.0f} MiB")
    with step("scores"):
        scores = data.scores()
    print(f"  {scores.mated_trials} mated, {scores.non_mated_trials} non-mated comparisons")
    with step("thresholds, DET, EER, d-prime"):
        thresholds = [(fmr, threshold_at_fmr(scores, fmr)) for fmr in DEFAULT_FMRS]
        det_curve(scores)
        equal_error_rate(scores)
        d_prime(scores)
    for deepest in (1e-3, 1e-1):
        with step(f"rates with intervals, FMR {deepest:g} and below"):
            operating_points(
                data,
                scores,
                data_set="drawn",
                data_digest="0" * 64,
                fmrs=[fmr for fmr, threshold in thresholds if threshold and fmr <= deepest],
            )
    with step("DET band"):
        tagged = data.with_subjects(band_floor(scores))
        det_band(scores, tagged, np.unique(scores.mated.astype(np.float64)))
    with step("probability, 10 folds of subjects"):
        measure_probability(data, data_set="drawn", data_digest="0" * 64)
    with step(f"paired difference at FMR 1e-3, {replicates} replicates"):
        paired_differences(data, other, fmrs=[1e-3], replicates=replicates)
    with step("smoothed difference, FMR 1e-4..1e-2"):
        pooled_difference(data, other)
    with step("fidelity at FMR 1e-2, 1e-3, 1e-4"):
        compare_artefacts(data, other, names=[str(k) for k in range(images)])


def random_units(count: int, *, seed: int = 0) -> np.ndarray:
    """Draw unit vectors, shape (count, 128), float32."""
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB (Linux reports KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the time of the block, seconds, and the peak memory after it, MiB."""
    start = time.perf_counter()
    yield
    print(f"  {name:45s} {time.perf_counter() - start:8.2f} s   peak {peak_mib():6.0f} MiB")


if __name__ == "__main__":
    main()
