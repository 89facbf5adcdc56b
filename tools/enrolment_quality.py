"""Measure how many strangers in the same disguise are accepted, with and without the limits of enrolment.

python -m tools.enrolment_quality --detector yunet.cpu_int8.tflite --embedder sface.cpu_int8.tflite \\
    --photographs lfw_devtest_raw250.tar --half held-out

Each subject's first photograph is drawn in each style of each disguise (`tools.disguises`), and goes through detection,
quality, alignment and embedding. Each subject is enrolled with one template and searched with the photographs of all
others in the same style, at the operating point of the embedder's card for the FPIR. The subjects are split in two
halves: limits are chosen on one half and reported on the other one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.samples import Sample, SampleSet, open_samples
from converters.progress import stage
from edge_sdk import Embedder, console
from edge_sdk.errors import AcquisitionError
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.types import Float64Array, FloatArray, UInt8Array
from edge_sdk.vision.alignment import align
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.faces import central, largest
from edge_sdk.vision.quality import Limits, assess, refusals
from tools.disguises import DISGUISES, Draw

HALVES = ("choose", "held-out")
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Capture:
    """Face that the door's limits accept.

    Args:
        embeddings: One for each embedder.
        reasons: Reasons of the limits of enrolment to refuse it; empty if it may be enrolled.
        brightness: Mean luma of the face, 0..255.
    """

    embeddings: tuple[FloatArray, ...]
    reasons: tuple[str, ...]
    brightness: float


class Door:
    """Detector, embedders and limits of a door."""

    def __init__(self, detector: Detector, embedders: Sequence[Embedder]) -> None:
        self.detector = detector
        self.embedders = embedders

    def capture(self, photograph: UInt8Array) -> Capture | None:
        """Capture the largest face of a photograph; None if there is none or the door's limits refuse it."""
        faces = self.detector.detect(photograph)
        face = largest(faces)
        if face is None:
            return None
        try:
            quality = assess(photograph, face, others=faces, detail=True)
            if refusals(quality, Limits()):
                return None
            crops = [align(photograph, face.landmarks, embedder.card.input) for embedder in self.embedders]
        except AcquisitionError:
            return None
        embeddings = tuple(embedder.embed(crop) for embedder, crop in zip(self.embedders, crops, strict=True))
        reasons = tuple(refusal.reason for refusal in refusals(quality, Limits.enrolment()))
        return Capture(embeddings, reasons, quality.brightness)

    def draw(self, photograph: UInt8Array, draw: Draw, seed: str) -> UInt8Array | None:
        """Draw a disguise on the largest face; None if that face is not the one in the centre."""
        faces = self.detector.detect(photograph)
        face = largest(faces)
        if face is None or face is not central(faces, *photograph.shape[:2]):
            return None
        return draw(photograph, face.landmarks, np.random.default_rng(zlib.crc32(seed.encode())))


def half_of(subject: str) -> str:
    """Return the half to which a subject belongs."""
    return HALVES[zlib.crc32(subject.encode()) % 2]


def accepted_strangers(accepted: Float64Array, enrolled: Float64Array, seed: int = 0) -> dict[str, Any]:
    """Compute the share of accepted strangers with a 95 % interval by resampling the subjects.

    Args:
        accepted: Shape (n, n): 1 if the template of the row accepts the probe of the column.
        enrolled: Shape (n,): 1 if the subject of the row is enrolled.
    """
    count = len(enrolled)
    different = 1 - np.eye(count)
    accepted = accepted * different * enrolled[:, None]

    def rate(weights: Float64Array) -> float:
        trials = float(weights @ different @ weights)
        return float(weights @ accepted @ weights) / trials if trials else 0.0

    rng = np.random.default_rng(seed)
    draws = [
        rate(np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64))
        for _ in range(RESAMPLES)
    ]
    return {
        "accepted": int(accepted.sum()),
        "trials": count * (count - 1),
        "rate": rate(np.ones(count)),
        "interval": [float(np.quantile(draws, share)) for share in (0.025, 0.975)],
        "of_enrolled": float(accepted.sum() / max(1.0, enrolled.sum() * (count - 1))),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="enrolment_quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--detector", type=Path, required=True, help=".tflite of a face detector")
    add(
        "--embedder",
        type=Path,
        required=True,
        action="append",
        help=".tflite of an embedder, with operating points in its card; may be repeated",
    )
    add("--photographs", type=Path, required=True, help="folder or archive of photographs, as subject/image")
    add("--half", choices=(*HALVES, "all"), default="held-out", help="subjects (default: held-out)")
    add("--subjects", type=int, default=100, help="number of subjects to draw on, 2 or more (default: 100)")
    add("--fpir", type=float, default=0.01, help="FPIR, above 0 and below 1 (default: 0.01)")
    add("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args(argv)
    if arguments.subjects < 2 or not 0 < arguments.fpir < 1:
        parser.error("expected --subjects of 2 or more and --fpir above 0 and below 1")
    return console.run("enrolment_quality", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    door = Door(Detector.open(arguments.detector), [Embedder.open(path) for path in arguments.embedder])
    thresholds = [
        OperatingPoint.for_identification(
            embedder.card.operating_points, fpir=arguments.fpir, references=1
        ).threshold
        for embedder in door.embedders
    ]
    samples = open_samples(arguments.photographs)
    chosen = [s for s in samples.samples if arguments.half in ("all", half_of(s.subject))]
    first = list({sample.subject: sample for sample in reversed(chosen)}.values())
    first.sort(key=lambda sample: zlib.crc32(sample.name.encode()))
    results: dict[str, Any] = {
        "half": arguments.half,
        "fpir": arguments.fpir,
        "plain": _plain(door, samples, chosen),
        "disguises": _disguises(
            door, samples, first[: arguments.subjects], thresholds, [path.stem for path in arguments.embedder]
        ),
    }
    print(json.dumps(results, indent=1) if arguments.json else _to_text(results))
    return 0


def _plain(door: Door, samples: SampleSet, chosen: Sequence[Sample]) -> dict[str, Any]:
    """Count the plain photographs that the door accepts and enrolment refuses."""
    captures = []
    with stage("plain photographs") as progress:
        for number, sample in enumerate(chosen):
            captures.append(door.capture(samples.image(sample)))
            progress(number + 1, len(chosen))
    taken = [capture for capture in captures if capture is not None]
    return {
        "photographs": len(captures),
        "accepted_by_the_door": len(taken),
        "refused_by_enrolment": sum(bool(capture.reasons) for capture in taken),
        "reasons": _reasons(taken),
        "by_brightness": _by_brightness(taken),
    }


def _by_brightness(captures: Sequence[Capture]) -> list[list[int]]:
    """Count refused and all captures in each fifth by brightness of the face, the darkest first."""
    ordered = sorted(captures, key=lambda capture: capture.brightness)
    edges = [len(ordered) * fifth // 5 for fifth in range(6)]
    parts = [ordered[first:last] for first, last in itertools.pairwise(edges)]
    return [[sum(bool(capture.reasons) for capture in part), len(part)] for part in parts]


def _disguises(
    door: Door,
    samples: SampleSet,
    chosen: Sequence[Sample],
    thresholds: Sequence[float],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    styles: list[tuple[str, str, bool, Draw]] = [
        (kind, style, disguise.control, draw)
        for kind, disguise in DISGUISES.items()
        for style, draw in disguise.styles.items()
    ]
    rows = []
    with stage("disguises") as progress:
        for number, (kind, style, control, draw) in enumerate(styles):
            captures = _captures(door, samples, chosen, draw, f"{kind}/{style}")
            rows.append(
                {"disguise": kind, "style": style, "control": control, "captures": len(captures)}
                | {
                    "refused_by_enrolment": sum(bool(c.reasons) for c in captures),
                    "reasons": _reasons(captures),
                }
                | _rates(captures, thresholds, names)
            )
            progress(number + 1, len(styles))
    return rows


def _captures(
    door: Door, samples: SampleSet, chosen: Sequence[Sample], draw: Draw, seed: str
) -> list[Capture]:
    captures = []
    for sample in chosen:
        drawn = door.draw(samples.image(sample), draw, sample.name + seed)
        capture = None if drawn is None else door.capture(drawn)
        if capture is not None:
            captures.append(capture)
    return captures


def _rates(
    captures: Sequence[Capture], thresholds: Sequence[float], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    if len(captures) < 2:
        return {}
    good = np.array([not capture.reasons for capture in captures], np.float64)
    rates = {}
    for index, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        embeddings = np.stack([capture.embeddings[index] for capture in captures])
        accepted = (embeddings @ embeddings.T >= threshold).astype(np.float64)
        rates[name] = {
            "before": accepted_strangers(accepted, np.ones(len(captures))),
            "after": accepted_strangers(accepted, good),
        }
    return {"embedders": rates}


def _reasons(captures: Sequence[Capture]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for capture in captures:
        for reason in capture.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))


def _to_text(results: dict[str, Any]) -> str:
    plain = results["plain"]
    lines = [
        f"{results['half']} subjects, FPIR {results['fpir']:g}",
        f"plain photographs: {plain['photographs']}, accepted by the door {plain['accepted_by_the_door']},"
        f" refused by enrolment {plain['refused_by_enrolment']} {plain['reasons']}",
        f"refused of all, by brightness of the face: {plain['by_brightness']}",
    ]
    for row in results["disguises"]:
        lines.append(
            f"{row['disguise']}, {row['style']}: {row['captures']} captures,"
            f" {row['refused_by_enrolment']} refused {row['reasons']}"
        )
        for name, rates in row.get("embedders", {}).items():
            before, after = rates["before"], rates["after"]
            lines.append(
                f"  {name}: strangers accepted {_format(before)} before, {_format(after)} after,"
                f" {after['of_enrolled']:.1%} by those enrolled"
            )
    return "\n".join(lines)


def _format(rate: dict[str, Any]) -> str:
    low, high = rate["interval"]
    return f"{rate['accepted']} of {rate['trials']} ({rate['rate']:.2%}, {low:.2%} to {high:.2%})"


if __name__ == "__main__":
    sys.exit(main())
