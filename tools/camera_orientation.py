"""Measure how well turned cameras are noticed, what the check costs, and how many strangers a turned camera admits.

python -m tools.camera_orientation --detector yunet.cpu_int8.tflite --photographs lfw_devtest_raw250.tar
python -m tools.camera_orientation --detector ... --photographs ... --tilt 20 30 45 60
python -m tools.camera_orientation --detector ... --photographs ... --embedder sface.cpu_int8.tflite --cost
python -m tools.camera_orientation --detector ... --photographs ... --embedder sface.cpu_int8.tflite --fpir 0.01
python -m tools.camera_orientation --detector ... --photographs ... --embedder sface.cpu_int8.tflite --mirror

Photographs are upright, as `subject/subject_0001.jpg`. The first form turns each by 0, 90, 180 and 270 degrees. The
second form tilts each in the picture's plane. The third form compares the time of the check with that of a frame, in turns in one
process. The fourth form enrols a person through an upright or a turned camera, and counts accepted strangers; the embedder's card
must have operating points. The last form compares photographs with mirrored ones, as a camera that mirrors its picture gives them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converters.data.samples import open_samples
from converters.progress import stage
from edge_sdk import DecisionPolicy, EdgeSdkError, Embedder, Gallery, KeyFile, console
from edge_sdk.recognizer import Recognizer
from edge_sdk.recognizer.sampling import AlignedSample, Sampler
from edge_sdk.types import UInt8Array
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.faces import largest
from edge_sdk.vision.orientation import ROTATIONS, orientation_of, turn

_MIRROR_FMR = 1e-3


def photographs_of(arguments: argparse.Namespace) -> Iterator[tuple[str, UInt8Array]]:
    """Read every n-th photograph with the name of its subject, and show progress."""
    samples = open_samples(arguments.photographs)
    chosen = samples.samples[:: arguments.every]
    with stage("photographs") as progress:
        for number, sample in enumerate(chosen, start=1):
            yield sample.subject, samples.image(sample)
            if progress is not None:
                progress(number, len(chosen))


def measure_turns(arguments: argparse.Namespace, detector: Detector) -> dict[str, Any]:
    """Turn each photograph by each rotation and count what the check answers.

    Returns:
        For each turn of the camera: frames, frames with a face, and how often the check asked for each rotation, for frames with
        a face and for those without.
    """
    counts = {turned: {"face": Counter[str](), "no face": Counter[str]()} for turned in ROTATIONS}
    for _, photograph in photographs_of(arguments):
        for turned in ROTATIONS:
            frame = turn(photograph, turned)
            face = largest(detector.detect(frame))
            answer = orientation_of(detector, frame, face).rotate
            counts[turned]["no face" if face is None else "face"][str(answer)] += 1
    return {
        str(turned): {kind: dict(counter) for kind, counter in kinds.items()}
        for turned, kinds in counts.items()
    }


def measure_tilts(arguments: argparse.Namespace, detector: Detector) -> dict[str, Any]:
    """Tilt each photograph in its plane in both directions and count what the check answers."""
    counts = {f"{angle:g}": Counter[str]() for angle in arguments.tilt}
    for _, photograph in photographs_of(arguments):
        for angle in arguments.tilt:
            for signed in (angle, -angle):
                tilted = Image.fromarray(photograph).rotate(signed, Image.Resampling.BILINEAR)
                frame = np.asarray(tilted)
                face = largest(detector.detect(frame))
                answer = "no face" if face is None else str(orientation_of(detector, frame, face).rotate)
                counts[f"{angle:g}"][answer] += 1
    return {angle: dict(counter) for angle, counter in counts.items()}


def measure_cost(arguments: argparse.Namespace, detector: Detector) -> dict[str, Any]:
    """Measure a whole frame and the check of the same frame in turns, on photographs in the middle of a 640x480 frame."""
    sampler = Sampler(detector, Embedder.open(arguments.embedder))
    whole, check = [], []
    for _, photograph in photographs_of(arguments):
        frame = np.full((480, 640, 3), 128, np.uint8)
        height, width = photograph.shape[:2]
        top, left = (480 - height) // 2, (640 - width) // 2
        frame[top : top + height, left : left + width] = photograph
        start = time.perf_counter()
        sample = sampler.take(frame)
        middle = time.perf_counter()
        if isinstance(sample, AlignedSample):
            orientation_of(detector, frame, sample.face)
            check.append(time.perf_counter() - middle)
            whole.append(middle - start)
    frame_s, check_s = float(np.median(whole)), float(np.median(np.array(check)))
    return {
        "frames": len(whole),
        "frame_ms": 1e3 * frame_s,
        "check_ms": 1e3 * check_s,
        "check_over_frame": float(np.median(np.array(check) / np.array(whole))),
    }


def measure_mirror(arguments: argparse.Namespace, detector: Detector) -> dict[str, Any]:
    """Compare each photograph with all others, plain and mirrored, at the threshold of the plain comparisons."""
    sampler = Sampler(detector, Embedder.open(arguments.embedder))
    subjects, plain, mirrored = [], [], []
    for subject, photograph in photographs_of(arguments):
        samples = [
            sampler.take(picture) for picture in (photograph, np.ascontiguousarray(photograph[:, ::-1]))
        ]
        good = [sample for sample in samples if isinstance(sample, AlignedSample)]
        if len(good) == len(samples):
            subjects.append(subject)
            plain.append(good[0].embedding)
            mirrored.append(good[1].embedding)
    names, upper = np.array(subjects), np.triu_indices(len(subjects), 1)
    mated = (names[:, None] == names[None, :])[upper]
    same, crossed = np.stack(plain) @ np.stack(plain).T, np.stack(plain) @ np.stack(mirrored).T
    threshold = float(np.quantile(same[upper][~mated], 1 - _MIRROR_FMR))
    return {
        "photographs": len(subjects),
        "mated": int(mated.sum()),
        "threshold": threshold,
        **{
            name: {
                "fnmr": float((scores[mated] < threshold).mean()),
                "fmr": float((scores[~mated] >= threshold).mean()),
            }
            for name, scores in (("plain", same[upper]), ("mirrored", crossed[upper]))
        },
    }


def measure_strangers(arguments: argparse.Namespace, detector: Detector) -> list[dict[str, Any]]:
    """Enrol one person through an upright or a turned camera, and let strangers try at an upright or a turned door."""
    embedder = Embedder.open(arguments.embedder)
    people: dict[str, list[UInt8Array]] = {}
    for subject, photograph in photographs_of(arguments):
        people.setdefault(subject, []).append(photograph)
    known = [name for name, pictures in people.items() if len(pictures) >= 5]
    strangers = [name for name, pictures in people.items() if len(pictures) < 4][: arguments.strangers]
    rows = []
    for enrolled_by in (0, *ROTATIONS[1:]):
        with tempfile.TemporaryDirectory() as folder:
            recognizer, refusals, enrolled = _enrol_first(
                arguments, detector, embedder, Path(folder), people, known, enrolled_by
            )
            if recognizer is None:
                rows.append({"enrolment": enrolled_by, "enrolled": 0, "refused": refusals})
                continue
            for door in ROTATIONS:
                answers = [recognizer.identify(turn(people[name][0], door)) for name in strangers]
                rows.append(
                    {
                        "enrolment": enrolled_by,
                        "enrolled": enrolled,
                        "refused": refusals,
                        "door": door,
                        "strangers": len(answers),
                        "accepted": sum(answer.accepted for answer in answers),
                        "attempts": sum(answer.counted for answer in answers),
                        "codes": dict(Counter(answer.code for answer in answers if answer.code)),
                    }
                )
    return rows


def _enrol_first(
    arguments: argparse.Namespace,
    detector: Detector,
    embedder: Embedder,
    folder: Path,
    people: dict[str, list[UInt8Array]],
    known: Sequence[str],
    turned: int,
) -> tuple[Recognizer | None, int, int]:
    """Create a gallery and enrol the first person who can be enrolled; return the recognizer, refusals and templates."""
    gallery = Gallery.create(
        folder / "g.gallery",
        key=KeyFile.create(folder / "g.key"),
        model_id=embedder.model_id,
        dimension=embedder.dimension,
    )
    with gallery.transaction() as transaction:
        transaction.set_policy(DecisionPolicy(embedder.card.operating_points, fpir=arguments.fpir))
    recognizer = Recognizer(detector, embedder, gallery)
    refusals = 0
    for name in known:
        try:
            done = recognizer.enrol((turn(picture, turned) for picture in people[name][:4]), name)
        except EdgeSdkError:
            refusals += 1
        else:
            return recognizer, refusals, done.templates
    return None, refusals, 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="camera_orientation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--detector", type=Path, required=True, help=".tflite of a face detector")
    add("--photographs", type=Path, required=True, help="folder or archive of photographs, as subject/image")
    add("--every", type=int, default=1, metavar="N", help="use every N-th photograph, 1 or more (default: 1)")
    add(
        "--embedder",
        type=Path,
        metavar="FILE",
        help=".tflite of an embedder, with its model card (default: none)",
    )
    add(
        "--tilt",
        type=float,
        nargs="+",
        default=[],
        metavar="DEG",
        help="tilts in degrees, 0..90 (default: none)",
    )
    add("--cost", action="store_true", help="measure the time of the check")
    add("--mirror", action="store_true", help="compare photographs with mirrored ones")
    add("--fpir", type=float, metavar="RATE", help="FPIR of the policy, above 0 and below 1 (default: none)")
    add(
        "--strangers", type=int, default=200, metavar="N", help="strangers at the door (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    if (arguments.cost or arguments.mirror or arguments.fpir is not None) and arguments.embedder is None:
        parser.error("--cost, --mirror and --fpir need --embedder")
    if arguments.every < 1:
        parser.error("expected --every of 1 or more")
    return console.run("camera_orientation", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    detector = Detector.open(arguments.detector)
    result: Any
    if arguments.cost:
        result = measure_cost(arguments, detector)
    elif arguments.mirror:
        result = measure_mirror(arguments, detector)
    elif arguments.fpir is not None:
        result = measure_strangers(arguments, detector)
    elif arguments.tilt:
        result = measure_tilts(arguments, detector)
    else:
        result = measure_turns(arguments, detector)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
