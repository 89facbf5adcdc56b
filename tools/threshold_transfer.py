"""Measure whether a card's thresholds hold for other cameras and people, how often the gallery notices, and the repair.

python -m tools.threshold_transfer face.cpu_int8.tflite --images lfw_devtest_aligned112.tar \\
    --card-images lfw_calibration_aligned112.tar

A card is derived from `--card-images`, which must share no person with `--images`: mean and sd of the non-mated scores,
the threshold at FMR 1e-2, and the threshold at `--fmr`. A foreign camera is simulated: every capture of `--images`, at
enrolment and at the door, goes through the same fault. Each draw enrols `--people` subjects with up to `--templates`
captures in a gallery's stored form, and measures the FMR of all other subjects' captures with the thresholds of the card and
of the repair.

Other people: `--groups N` clusters the subjects by another embedder (`--grouped-by`) and enrols people of one cluster.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from converters.data.samples import open_samples
from converters.evaluate.runner.open_artefact import open_artefact
from edge_sdk.gallery.format.content import SUBJECT, TEMPLATE, Content, empty_content
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.rules.own_scores import OwnScores
from edge_sdk.gallery.rules.transfer import adaptation_of, check_transfer
from edge_sdk.model.card import InputContract
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.types import Float64Array, UInt8Array

CHECK_FMR = 1e-2
_SIDE = 112
Fault = Callable[[Image.Image, np.random.Generator], Image.Image]


def _from_array(values: Float64Array) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(image, np.float64)
    return _from_array(values + rng.normal(0, 25, values.shape))


def _moving(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(image, np.float64)
    return _from_array(np.mean([np.roll(values, step, axis=1) for step in range(-5, 6)], axis=0))


def _coarse(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


def _infrared(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    gray = np.asarray(_coarse(image.convert("L"), 40), np.float64) * 0.6
    return _from_array(gray + rng.normal(0, 5, gray.shape)).convert("RGB")


def _off_centre(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    matrix = (1.15, 0.0, -8.0, 0.0, 1.15, -2.0)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _compressed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=10)
    return Image.open(data).convert("RGB")


#: Faults of a camera, drawn in the same way on all captures.
FAULTS: dict[str, Fault] = {
    "none": lambda image, rng: image,
    "gray": lambda image, rng: image.convert("L").convert("RGB"),
    "dark": lambda image, rng: _from_array(np.asarray(image, np.float64) * 0.3),
    "overexposed": lambda image, rng: _from_array(np.asarray(image, np.float64) * 1.4 + 60),
    "compressed": _compressed,
    "noisy": _noisy,
    "off centre": _off_centre,
    "blur 2 px": lambda image, rng: image.filter(ImageFilter.GaussianBlur(2)),
    "28 px": lambda image, rng: _coarse(image, 28),
    "moving": _moving,
    "blur 3 px": lambda image, rng: image.filter(ImageFilter.GaussianBlur(3)),
    "infrared": _infrared,
}


@dataclass(frozen=True, eq=False)
class Faces:
    """Embeddings of one data set.

    Attributes:
        vectors: Shape (n, D), float64, unit norm.
        subjects: Shape (n,), index of the subject of each.
    """

    vectors: Float64Array
    subjects: np.ndarray

    def of(self, chosen: np.ndarray) -> Faces:
        """Return the faces of some subjects, which keep their numbers."""
        rows = np.isin(self.subjects, chosen)
        return Faces(self.vectors[rows], self.subjects[rows])


def embed(model: Path, images: Path, fault: str, contract: InputContract | None) -> Faces:
    """Embed every image of a data set after a fault."""
    embedder = open_artefact(model, contract=contract).embedder()
    samples, rng = open_samples(images), np.random.default_rng(0)
    vectors, names = [], []
    for sample in samples.samples:
        picture = FAULTS[fault](Image.fromarray(samples.image(sample)), rng)
        face: UInt8Array = np.ascontiguousarray(np.asarray(picture))
        vectors.append(embedder.embed(face).astype(np.float64))
        names.append(sample.subject)
    return Faces(np.stack(vectors), np.unique(names, return_inverse=True)[1])


def non_mated(faces: Faces, others: Faces | None = None) -> Float64Array:
    """Return the scores of all pairs of images of different subjects, ascending; of two data sets, all pairs between them."""
    if others is not None:
        scores = faces.vectors @ others.vectors.T
        return np.sort(scores[faces.subjects[:, np.newaxis] != others.subjects])
    scores = faces.vectors @ faces.vectors.T
    pairs = np.triu(faces.subjects[:, np.newaxis] != faces.subjects, 1)
    return np.sort(scores[pairs])


def mated(faces: Faces) -> Float64Array:
    """Return the scores of all pairs of images of one subject."""
    scores = faces.vectors @ faces.vectors.T
    return scores[np.triu(faces.subjects[:, np.newaxis] == faces.subjects, 1)]


def share(scores: Float64Array, threshold: float) -> float:
    """Return the share of ascending scores at or above a threshold."""
    return 1 - float(np.searchsorted(scores, threshold)) / len(scores)


def card_of(faces: Faces, fmr: float) -> tuple[NonMatedScores, float]:
    """Return what a card states of a data set: scores, with the threshold at FMR 1e-2; and the threshold at an FMR."""
    scores = non_mated(faces)
    loose, strict = (scores[-int(rate * len(scores))] for rate in (CHECK_FMR, fmr))
    subjects = len(np.unique(faces.subjects))
    values = NonMatedScores(
        float(scores.mean()), float(scores.std()), float(loose), share(scores, loose), len(scores), subjects
    )
    return values, float(strict)


def enrolled(faces: Faces, people: np.ndarray, templates: int, rng: np.random.Generator) -> Content:
    """Return the content of a gallery of some people, with int8 templates as stored."""
    rows = []
    for place, subject in enumerate(people):
        own = rng.permutation(np.flatnonzero(faces.subjects == subject))[:templates]
        rows += [(place, row) for row in own]
    matrix, scales = quantize(faces.vectors[[row for _, row in rows]], TemplateType.INT8)
    table = np.zeros(len(rows), TEMPLATE)
    table["subject"], table["scale"] = [place for place, _ in rows], scales
    empty = empty_content(bytes(32), TemplateType.INT8, faces.vectors.shape[1])
    return replace(empty, subjects=np.zeros(len(people), SUBJECT), templates=table, matrix=matrix)


@dataclass(frozen=True)
class Row:
    """Figures of one camera or group of people.

    Attributes:
        name: The camera or group.
        alarms: Share of draws in which the gallery reports a difference.
        before: FMR at the card's threshold, divided by the claim, over all subjects of the camera.
        median: Median of the same at the repaired threshold, over draws.
        high: 95th percentile of it.
        tar_before: TAR at the card's threshold; NaN if no subject has two images.
        tar_after: Mean TAR at the repaired threshold.
        raised: Mean amount by which the threshold was raised.
    """

    name: str
    alarms: float
    before: float
    median: float
    high: float
    tar_before: float
    tar_after: float
    raised: float


def measure(
    name: str,
    faces: Faces,
    card: NonMatedScores,
    strict: float,
    *,
    options: argparse.Namespace,
    people: np.ndarray | None = None,
) -> Row:
    """Draw galleries, check them, repair their threshold, and measure it on the people who are not enrolled."""
    rng = np.random.default_rng(options.seed)
    people = np.unique(faces.subjects) if people is None else people
    faces = faces.of(people)
    different, same = non_mated(faces), mated(faces)
    alarms, after, limits = [], [], []
    for _ in range(options.draws):
        drawn = rng.permutation(people)[: options.people]
        own = OwnScores(enrolled(faces, drawn, options.templates, rng))
        alarms.append(check_transfer(own, card).alarm)
        adaptation = adaptation_of(own, card)
        limits.append(strict if adaptation is None else adaptation.raised(strict))
        others = faces.of(np.setdiff1d(people, drawn))
        after.append(share(non_mated(others, faces.of(drawn)), limits[-1]) / options.fmr)
    return Row(
        name,
        float(np.mean(alarms)),
        share(different, strict) / options.fmr,
        float(np.median(after)),
        float(np.quantile(after, 0.95)),
        float((same >= strict).mean()) if len(same) else math.nan,
        float(np.mean([(same >= limit).mean() for limit in limits])) if len(same) else math.nan,
        float(np.mean(limits) - strict),
    )


def clusters(faces: Faces, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cluster subjects by their mean embeddings (spherical k-means), so that each group looks alike."""
    names = np.unique(faces.subjects)
    means = np.stack([faces.vectors[faces.subjects == name].mean(axis=0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    centres = means[rng.permutation(len(means))[:count]]
    for _ in range(30):
        group = (means @ centres.T).argmax(axis=1)
        sums = [means[group == k].sum(axis=0) if (group == k).any() else centres[k] for k in range(count)]
        centres = np.stack([total / np.linalg.norm(total) for total in sums])
    return [names[group == k] for k in range(count)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="threshold_transfer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, help=".tflite of an embedder")
    add("--images", type=Path, required=True, help="labelled crops of the people at the door, 112x112")
    add("--card-images", type=Path, required=True, help="labelled crops of the people of the card")
    add(
        "--contract", metavar="JSON", help="input contract of a file without a model card (default: its card)"
    )
    add("--fault", action="append", choices=FAULTS, help="camera faults to measure (default: all)")
    add(
        "--groups",
        type=int,
        default=0,
        metavar="N",
        help="also draw people of each of N clusters (default: 0)",
    )
    add("--grouped-by", type=Path, metavar="FILE", help="embedder that clusters people (default: the model)")
    add("--people", type=int, default=20, help="subjects in a gallery (default: %(default)s)")
    add("--templates", type=int, default=3, help="most templates of a subject (default: %(default)s)")
    add("--fmr", type=float, default=1e-4, help="FMR of the card's threshold (default: %(default)s)")
    add("--draws", type=int, default=300, help="galleries per camera (default: %(default)s)")
    add("--seed", type=int, default=1, help="seed of the draws (default: %(default)s)")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    contract = None if options.contract is None else InputContract.from_json(json.loads(options.contract))
    card, strict = card_of(embed(options.model, options.card_images, "none", contract), options.fmr)
    rows = [
        measure(fault, embed(options.model, options.images, fault, contract), card, strict, options=options)
        for fault in options.fault or FAULTS
    ]
    if options.groups:
        faces = embed(options.model, options.images, "none", contract)
        grouping = embed(options.grouped_by or options.model, options.images, "none", contract)
        for number, people in enumerate(clusters(grouping, options.groups, np.random.default_rng(0))):
            if len(people) >= 2 * options.people:
                name = f"group {number + 1} ({len(people)})"
                rows.append(measure(name, faces, card, strict, options=options, people=people))
    report: dict[str, Any] = {
        "card": asdict(card),
        "threshold": strict,
        "rows": [asdict(row) for row in rows],
    }
    print(json.dumps(report, indent=1) if options.json else table(rows, options.fmr))
    return 0


def table(rows: Sequence[Row], fmr: float) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        f"| camera | reported | FMR before, x {fmr:g} | after, median | after, 95 % | TAR before | after | raised by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {100 * row.alarms:.1f} % | {row.before:.3g} | {row.median:.2g} | {row.high:.2g}"
        f" | {100 * row.tar_before:.1f} % | {100 * row.tar_after:.1f} % | {row.raised:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
