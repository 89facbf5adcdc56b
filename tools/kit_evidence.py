"""Measure the evidence of the face kit on LFW DevTest, with aligned crops and end to end from photographs.

python -m tools.kit_evidence --crops lfw_devtest_aligned112.tar --photographs lfw_devtest_raw250.tar

The public files are converted by the recipes of the kit, and the result is written to `converters/kit/evidence`. Two
protocols compare all pairs of images: crops that are aligned already, and photographs that pass the kit's own detector, the
quality limits of a door and alignment. Photographs that are refused count as failures to acquire. At each FMR the card gets the
claim with the higher threshold. The same files, tools and kind of processor give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from converters.data.samples import SampleSet, open_samples
from converters.evaluate.metrics import EmbeddedSamples, OperatingPointEvidence
from converters.evaluate.metrics.probability_evidence import measure_probability
from converters.evaluate.metrics.protocols import split_open_set
from converters.evaluate.runner.embed_images import embed_samples
from converters.evaluate.runner.evaluate import Evaluation, Protocol, identify, verify
from converters.evaluate.runner.identity import identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.write_card import non_mated_scores, probability_values
from converters.kit.definition import FACE
from converters.kit.evidence import KitEvidence, stricter_points, supported_rate
from converters.kit.networks import ConvertedNetwork, choose_entry, convert_network, pull_source
from converters.output import replace_file
from converters.progress import stage
from edge_sdk import AcquisitionError, console
from edge_sdk.kit.manifest import Role
from edge_sdk.model.model_file import read_carded
from edge_sdk.model.model_id import space_id
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.recognizer.sampling import AlignedSample, Sampler
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.faces import central, largest
from edge_sdk.vision.liveness import MiniFasNet

#: FMRs of the claims; the steps between powers of ten spare a gallery thresholds that are stricter than it needs.
FMRS = (1e-2, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5)
FPIRS = (1e-1, 1e-2)
#: Share of the subjects with two or more images to enrol for 1:N, so that the gallery has about 50 templates.
ENROLLED_SHARE = 0.14
PACKAGES = ("ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow", "scipy")
#: Number of first images whose scores with the next image are stored, for a quick check of a kit.
FIRST_IMAGES = 40
# Keys of an evaluation that a kit does not need: curves for plots, and names of images, which are names of people.
_LEFT_OUT = {"det", "det_band", "first_names", "reliability"}


@dataclass(frozen=True, eq=False)
class Door:
    """Steps from a photograph to an embedding, as at a door, for photographs whose label is the central person."""

    sampler: Sampler
    detector: Detector
    presentations: Counter[bool]

    def embed(self, photograph: UInt8Array) -> FloatArray:
        """Embed one photograph.

        Raises:
            AcquisitionError: There is no face, the central face is not the largest, or the quality is too low.
        """
        faces = self.detector.detect(photograph)
        if faces and central(faces, *photograph.shape[:2]) is not largest(faces):
            raise AcquisitionError("another face is larger", reason="several_faces", hint="")
        sample = self.sampler.take(photograph)
        if not isinstance(sample, AlignedSample):
            raise AcquisitionError(str(sample.refusal.reason), reason=sample.refusal.reason, hint="")
        if sample.presentation is not None:
            self.presentations[sample.presentation.bona_fide] += 1
        return sample.embedding


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="kit_evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--crops", type=Path, required=True, help="folder or archive of aligned crops, as subject/image")
    add("--photographs", type=Path, required=True, help="folder or archive of photographs, as subject/image")
    add(
        "--output",
        type=Path,
        default=FACE.evidence,
        help="file to write (default: the evidence in the package)",
    )
    arguments = parser.parse_args(argv)
    return console.run("kit_evidence", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    entries = [choose_entry(network) for network in FACE.networks]
    parts = [
        convert_network(network, entry, pull_source(entry))
        for network, entry in zip(FACE.networks, entries, strict=True)
    ]
    crops = open_samples(arguments.crops, name="LFW DevTest, aligned crops")
    photographs = open_samples(arguments.photographs, name="LFW DevTest, photographs")
    evidence = measure(parts, crops, photographs)
    text = json.dumps(evidence.to_json(), indent=1, sort_keys=True, allow_nan=False)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(arguments.output, f"{text}\n".encode())
    for point in evidence.operating_points:
        print(f"{point.describe()}, {point.data_set}")
    print(f"rate {supported_rate(evidence.operating_points)}\nwritten to {arguments.output}")
    return 0


def measure(parts: Sequence[ConvertedNetwork], crops: SampleSet, photographs: SampleSet) -> KitEvidence:
    """Measure the networks of a kit with both protocols.

    Args:
        parts: The converted networks.
        crops: Aligned crops.
        photographs: Photographs of the same or of other people.
    """
    with TemporaryDirectory(prefix="kit-evidence-") as folder:
        files: dict[Role, list[Path]] = {role: [] for role in Role}
        for part in parts:
            file = Path(folder) / part.network.file
            file.write_bytes(part.data)
            files[part.network.role].append(file)
        artefact = open_artefact(files[Role.EMBEDDER][0])
        embedder = artefact.embedder()
        detector = Detector.open(files[Role.DETECTOR][0])
        liveness = MiniFasNet.open(*files[Role.LIVENESS])
        door = Door(Sampler(detector, embedder, pad=liveness), detector, Counter())
        with stage("embed the crops") as progress:
            aligned = embed_samples(crops, embedder.embed, progress=progress)
        with stage("embed the photographs") as progress:
            at_the_door = embed_samples(photographs, door.embed, progress=progress)
        detector_card = NetworkCard.from_bytes(read_carded(files[Role.DETECTOR][0]).card)
    with stage("compare"):
        evaluations = {
            "aligned crops": evaluate(artefact, aligned, crops),
            "end to end": evaluate(artefact, at_the_door, photographs),
        }
    points = stricter_points(*(_claims(evaluation) for evaluation in evaluations.values()))
    embedded = {"aligned crops": aligned, "end to end": at_the_door}
    protocols = {
        name: _protocol(name, evaluation, embedded[name], points) for name, evaluation in evaluations.items()
    }
    protocols["end to end"]["refused"] = dict(
        sorted(Counter(reason for _, reason in at_the_door.failures).items())
    )
    protocols["end to end"]["liveness"] = {
        "faces": sum(door.presentations.values()),
        "taken_for_attacks": door.presentations[False],
    }
    return KitEvidence(
        space=space_id(artefact.card.network_sha256, artefact.card.input).hex(),
        recorded_sha256=next(part.recorded_sha256 for part in parts if part.network.role is Role.EMBEDDER),
        detector_sha256=detector_card.network_sha256,
        operating_points=points,
        probability=_without(probability_values(evaluations["end to end"])),
        non_mated_scores=non_mated_scores(evaluations["end to end"].verification),
        protocols=protocols,
        measured_with={
            "runtime": artefact.execution.runtime,
            "kernels": artefact.execution.name,
            "packages": {name: metadata.version(name) for name in PACKAGES},
        },
    )


def evaluate(artefact: OpenedArtefact, embedded: EmbeddedSamples, samples: SampleSet) -> Evaluation:
    """Compute 1:1 of all pairs, 1:N, and the calibration of scores."""
    listed = split_open_set(
        [sample.name for sample in samples.samples],
        [sample.subject for sample in samples.samples],
        enrolled_share=ENROLLED_SHARE,
    )
    name = f"{ENROLLED_SHARE} of the subjects with 2 or more images, drawn with seed 0, the first image of each enrolled"
    protocol = Protocol(fmrs=FMRS, open_set=listed, open_set_name=name, fpirs=FPIRS)
    return Evaluation(
        artefact=identity_of(artefact),
        verification=verify(embedded, protocol),
        identification=identify(embedded, protocol),
        probability=measure_probability(
            embedded.all_pairs(), data_set=embedded.data_set, data_digest=embedded.data_digest
        ),
    )


def _claims(evaluation: Evaluation) -> tuple[OperatingPoint, ...]:
    identity = evaluation.artefact
    rows = (row for row in evaluation.verification.points if isinstance(row, OperatingPointEvidence))
    return tuple(
        replace(row.operating_point(), runtime=identity.runtime, kernels=identity.kernels)
        for row in rows
        if row.claim
    )


def _protocol(
    name: str, evaluation: Evaluation, embedded: EmbeddedSamples, points: Sequence[OperatingPoint]
) -> dict[str, Any]:
    """Collect the results of a protocol, and its rates at the thresholds of the card."""
    verification = evaluation.verification
    lost = verification.acquisition
    about = (
        f"{embedded.data_set}: {lost.attempts:,} images, {lost.failures:,} failures to acquire,"
        f" {verification.subjects:,} subjects, {verification.mated_trials:,} mated and"
        f" {verification.non_mated_trials:,} non-mated comparisons of all pairs."
    )
    return {
        "about": about,
        "mated_trials": verification.mated_trials,
        "non_mated_trials": verification.non_mated_trials,
        "at_card_thresholds": _rates(embedded, points),
        "first_scores": first_scores(embedded),
        "evaluation": _without(evaluation.to_json()),
    }


def first_scores(embedded: EmbeddedSamples) -> list[float]:
    """Return the cosine of each of the first images with the next one, with 6 decimals."""
    first = embedded.vectors[:FIRST_IMAGES].astype(np.float64)
    return [round(float(cosine), 6) for cosine in (first[:-1] * first[1:]).sum(axis=1)]


def _rates(embedded: EmbeddedSamples, points: Sequence[OperatingPoint]) -> list[dict[str, Any]]:
    comparisons = embedded.all_pairs()
    scores = comparisons.scores()
    tagged = comparisons.with_subjects(min(point.threshold for point in points))
    fta = embedded.acquisition().rate
    rows = []
    for point in points:
        missed = tagged.missed(point.threshold)
        matches = int(scores.false_matches(np.array([point.threshold]))[0])
        fnmr = 1.0 if missed is None else missed.mean
        rows.append(
            {
                "fmr_claimed": point.fmr,
                "threshold": point.threshold,
                "false_matches": matches,
                "fmr": matches / scores.non_mated_trials,
                "fnmr": fnmr,
                "frr": fta + (1.0 - fta) * fnmr,
            }
        )
    return rows


def _without(value: Any) -> Any:
    """Return JSON values without the keys that a kit does not need."""
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key not in _LEFT_OUT}
    return [_without(inner) for inner in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    sys.exit(main())
