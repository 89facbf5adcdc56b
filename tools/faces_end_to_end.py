"""Measure detector, alignment and embedder together, from raw photographs to decisions.

python -m tools.faces_end_to_end --detector yunet.cpu_int8.tflite --embedder sface.cpu_int8.tflite \\
    --photographs lfw_devtest_raw250.tar --pairs pairsDevTest.txt

Photographs are `subject/subject_0001.jpg`. The report has failures to acquire, accuracy on the listed pairs, FNMR
over all pairs, and for each quality measure the FNMR after rejecting the worst samples.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.samples import open_samples
from converters.evaluate.metrics import (
    AllPairs,
    EmbeddedSamples,
    Unsupported,
    best_accuracy,
    discard,
    false_non_match_rate,
    match_pairs,
    threshold_at_fmr,
)
from converters.evaluate.runner.comparison_lists import read_pairs
from converters.evaluate.runner.embed_images import embed_samples
from converters.progress import stage
from edge_sdk import AcquisitionError, Embedder, console
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.alignment import align
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.faces import central, largest
from edge_sdk.vision.quality import Quality, assess, refusals
from edge_sdk.vision.resize import resize_fast

SCHEMA = "edge-sdk/faces-end-to-end/1"
FMRS = (1e-2, 1e-3, 1e-4)
#: Quality measures of a sample; higher is worse.
MEASURES: dict[str, Callable[[Quality], float]] = {
    "detection": lambda q: -q.detection,
    "sharpness": lambda q: -q.sharpness,
    "eye contrast": lambda q: -q.eye_contrast,
    "exposed wrongly": lambda q: q.exposed_wrongly,
    "brightness": lambda q: -q.brightness,
    "contrast": lambda q: -q.contrast,
    "eye distance": lambda q: -q.eye_distance_px,
    "yaw": lambda q: abs(q.pose.yaw_deg),
    "pitch": lambda q: abs(q.pose.pitch_deg),
    "roll": lambda q: abs(q.pose.roll_deg),
    "landmark misfit": lambda q: q.landmark_misfit,
    "rival": lambda q: q.rival,
}


@dataclass
class Pipeline:
    """Steps from a photograph to an embedding; keeps the measurements in the order of the photographs."""

    detector: Detector
    embedder: Embedder
    whom: str
    gate: bool
    shrink: float = 1.0
    qualities: list[Quality] = field(default_factory=list)
    would_refuse: list[tuple[str, ...]] = field(default_factory=list)
    times_ms: dict[str, list[float]] = field(default_factory=dict)

    def embed(self, photograph: UInt8Array) -> FloatArray:
        """Embed one photograph.

        Raises:
            AcquisitionError: there is no face, or its quality is too low.
        """
        if self.shrink != 1:
            height, width = (round(side * self.shrink) for side in photograph.shape[:2])
            photograph = resize_fast(photograph, height, width)
        start = time.perf_counter()
        faces = self.detector.detect(photograph)
        start = self._took("detect", start)
        face = largest(faces) if self.whom == "largest" else central(faces, *photograph.shape[:2])
        if face is None:
            raise AcquisitionError("no face", reason="no_face", hint="look at the camera")
        quality = assess(photograph, face, others=faces)
        start = self._took("quality", start)
        rejections = refusals(quality)
        if self.gate and rejections:
            raise rejections[0].error()
        crop = align(photograph, face.landmarks, self.embedder.card.input)
        start = self._took("align", start)
        embedding = self.embedder.embed(crop)
        self._took("embed", start)
        self.qualities.append(quality)
        self.would_refuse.append(tuple(refusal.reason for refusal in rejections))
        return embedding

    def _took(self, step: str, start: float) -> float:
        now = time.perf_counter()
        self.times_ms.setdefault(step, []).append(1e3 * (now - start))
        return now


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="faces_end_to_end", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--detector", type=Path, required=True, help=".tflite of a face detector")
    add("--embedder", type=Path, required=True, help=".tflite of an embedder, with its model card")
    add("--photographs", type=Path, required=True, help="folder or archive of photographs, as subject/image")
    add("--pairs", type=Path, required=True, help="pairs file in the LFW format")
    add(
        "--whom",
        choices=("central", "largest"),
        default="central",
        help="face to use if there are several: LFW labels the central face, a door lock uses the largest (default: central)",
    )
    add("--gate", action="store_true", help="reject samples by the quality limits before embedding")
    add(
        "--shrink",
        type=float,
        default=1.0,
        help="scale photographs by this factor first, 0.05..4 (default: 1)",
    )
    add("--discard", type=float, default=0.05, help="share of the samples to reject, 0..0.9 (default: 0.05)")
    add("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args(argv)
    if not 0.05 <= arguments.shrink <= 4 or not 0 <= arguments.discard < 0.9:
        parser.error("expected --shrink in 0.05..4 and --discard in 0..0.9")
    return console.run("faces_end_to_end", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    pipeline = Pipeline(
        Detector.open(arguments.detector),
        Embedder.open(arguments.embedder),
        arguments.whom,
        arguments.gate,
        arguments.shrink,
    )
    pairs = read_pairs(arguments.pairs)
    samples = open_samples(arguments.photographs)
    with stage("photographs") as progress:
        embedded = embed_samples(samples, pipeline.embed, progress=progress)
    listed, lost = match_pairs(pairs, embedded)
    accuracy = best_accuracy(listed.scores())
    everyone = AllPairs(embedded.vectors, embedded.subjects).scores()
    rates = []
    for fmr in FMRS:
        threshold = threshold_at_fmr(everyone, fmr)
        if not isinstance(threshold, Unsupported):
            fnmr = float(false_non_match_rate(everyone, np.array([threshold]))[0])
            rates.append({"fmr": fmr, "threshold": threshold, "fnmr": fnmr})
    results = {
        "schema": SCHEMA,
        "detector": arguments.detector.name,
        "embedder": arguments.embedder.name,
        "data_set": embedded.data_set,
        "data_set_sha256": samples.digest,
        "whom": arguments.whom,
        "gate": arguments.gate,
        "shrink": arguments.shrink,
        "photographs": len(samples.samples),
        "failures_to_acquire": dict(Counter(reason for _, reason in embedded.failures)),
        "would_be_refused": {
            "samples": sum(map(bool, pipeline.would_refuse)),
            "reasons": dict(Counter(chain.from_iterable(pipeline.would_refuse)).most_common()),
        },
        "pairs_lost": lost.failures,
        "accuracy": None if isinstance(accuracy, Unsupported) else accuracy[0],
        "mated_trials": everyone.mated_trials,
        "non_mated_trials": everyone.non_mated_trials,
        "rates": rates,
        "discard": _discards(pipeline, embedded, rates, arguments.discard),
        "median_ms": {what: float(np.median(times)) for what, times in pipeline.times_ms.items()},
    }
    print(json.dumps(results, indent=1) if arguments.json else _to_text(results))
    return 0


def _discards(
    pipeline: Pipeline, embedded: EmbeddedSamples, rates: Sequence[dict[str, float]], share: float
) -> list[dict[str, Any]]:
    if not rates:
        return []
    threshold = rates[-1]["threshold"]
    points = [
        discard(
            embedded.vectors,
            embedded.subjects,
            np.array([badness(quality) for quality in pipeline.qualities]),
            measure=measure,
            share=share,
            threshold=threshold,
        )
        for measure, badness in MEASURES.items()
    ]
    return [dict(point.to_json()) for point in sorted(points, key=lambda point: point.fnmr)]


def _to_text(results: dict[str, Any]) -> str:
    failures = sum(results["failures_to_acquire"].values())
    lines = [
        f"{results['detector']} and {results['embedder']} on {results['data_set']}, the {results['whom']} face",
        f"failures to acquire      {failures} of {results['photographs']} ({failures / results['photographs']:.2%})"
        f" {results['failures_to_acquire'] or ''}",
        f"quality limits reject    {results['would_be_refused']['samples']} {results['would_be_refused']['reasons']}",
        f"accuracy on the pairs    {results['accuracy']:.4f}, comparisons lost: {results['pairs_lost']}",
    ]
    lines += [
        f"FNMR at FMR {rate['fmr']:<8g}     {rate['fnmr']:.4f} (threshold {rate['threshold']:.4f})"
        for rate in results["rates"]
    ]
    lines.append(
        f"of {results['mated_trials']} mated and {results['non_mated_trials']} non-mated comparisons"
    )
    times = ", ".join(f"{step} {value:.1f}" for step, value in results["median_ms"].items())
    lines.append(f"median milliseconds      {times}")
    if results["discard"]:
        share = results["discard"][0]["discarded"]
        lines.append(
            f"\nFNMR after rejecting the worst {share:.0%}, at the last threshold; by chance: 5th to"
            " 95th percentile after rejecting random samples"
        )
        lines += [
            f"  {point['measure']:<16} {point['fnmr']:.4f}  {point['missed']:>3} of {point['mated_trials']}"
            f"  by chance {point['by_chance'][0]:.4f} to {point['by_chance'][2]:.4f}"
            for point in results["discard"]
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
