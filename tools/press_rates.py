"""Measure how often a stranger is accepted after one press of a button, and how often an enrolled person is not.

python -m tools.press_rates sface.cpu_int8.tflite --images lfw_devtest_aligned112.tar

The subjects are split in two halves. One half gives the threshold: the lowest one whose measured FMR on single images keeps the
requested FPIR of a gallery, without an allowance for chance. The other half are drawn as enrolled people and as strangers; then the
halves change roles. Rows of the table:

- one image: the probe is the embedding of one image;
- three frames of one image: the mean direction of three versions of one image, each shifted by up to 2 px, with another brightness (by up to 8 %)
  and noise (standard deviation 4 levels), as frames that follow each other;
- two of three frames of one image: accepted after two frames if each by itself is accepted as the same person, otherwise by the mean direction
  of all three, as `Recognizer.watch` decides;
- three images: the mean direction of three images, which in LFW were taken on different days;
- up to 8 attempts: as many probes, each of another three images; accepted if any of them is.

The frames of a real press differ more than the second row and less than the third.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from converters.data.samples import open_samples
from converters.evaluate.runner.open_artefact import open_artefact
from edge_sdk.model.operating_point import fmr_for_fpir
from edge_sdk.types import Float64Array, UInt8Array
from tools.threshold_transfer import Faces, non_mated

FRAMES = 3
ONE_IMAGE, ONE_IMAGE_FRAMES, THREE_IMAGES = "one image", "three frames of one image", "three images"
EARLY_FRAMES, EARLY_IMAGES = "two of three frames of one image", "two of three images"


@dataclass(frozen=True)
class Rates:
    """Rates of one way to make a press.

    Attributes:
        press: What a press is.
        strangers: Number of strangers, counted once per gallery.
        fpir: Share of the strangers' presses that are accepted.
        mated: Number of presses of enrolled people.
        fnmr: Share of the presses of enrolled people that are not accepted.
    """

    press: str
    strangers: int
    fpir: float
    mated: int
    fnmr: float


def frames_of(image: UInt8Array, rng: np.random.Generator) -> list[UInt8Array]:
    """Return three versions of an image that differ as frames of one press do."""
    frames = []
    for _ in range(FRAMES):
        down, right = rng.integers(-2, 3, 2)
        values = np.roll(image.astype(np.float64), (down, right), axis=(0, 1))
        values = values * rng.uniform(0.92, 1.08) + rng.normal(0, 4, image.shape)
        frames.append(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return frames


@dataclass(frozen=True, eq=False)
class Presses:
    """Probes of one data set.

    Attributes:
        faces: Embeddings of the images.
        frames: Three frames of each image, shape (n, 3, D).
    """

    faces: Faces
    frames: Float64Array

    @classmethod
    def embed(cls, model: Path, images: Path, seed: int) -> Presses:
        """Embed every image, and three frames of it."""
        embedder = open_artefact(model, contract=None).embedder()
        samples, rng = open_samples(images), np.random.default_rng(seed)
        single, frames, names = [], [], []
        for sample in samples.samples:
            image = samples.image(sample)
            single.append(embedder.embed(image).astype(np.float64))
            frames.append(np.stack([embedder.embed(frame) for frame in frames_of(image, rng)]))
            names.append(sample.subject)
        return cls(
            Faces(np.stack(single), np.unique(names, return_inverse=True)[1]),
            np.stack(frames).astype(np.float64),
        )

    def press(self, rows: np.ndarray, way: str, attempts: int, rng: np.random.Generator) -> Float64Array:
        """Return the frames of each attempt of one press, shape (k, frames, D), from three or more images of one person."""
        if way == ONE_IMAGE:
            return self.faces.vectors[rng.permutation(rows)[:1], np.newaxis]
        if way in (ONE_IMAGE_FRAMES, EARLY_FRAMES):
            return self.frames[rng.permutation(rows)[:1]]
        triples = list(itertools.combinations(rows, FRAMES))
        chosen = rng.permutation(len(triples))[: 1 if way in (THREE_IMAGES, EARLY_IMAGES) else attempts]
        return np.stack([self.faces.vectors[rng.permutation(triples[index])] for index in chosen])


def is_accepted(
    frames: Float64Array, templates: Mapping[int, Float64Array], threshold: float, *, early: bool
) -> bool:
    """Decide a press.

    Args:
        frames: Shape (k, frames, D), unit vectors; an attempt's probe is the mean direction of its frames.
        templates: Templates of each enrolled person, shape (n, D).
        threshold: Lowest accepted cosine.
        early: Also accept after two frames if each by itself is accepted as the same person.
    """
    means = frames.mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return any(
        bool((means @ own.T >= threshold).any())
        or (early and bool(((frames[:, :2] @ own.T).max(axis=2) >= threshold).all(axis=1).any()))
        for own in templates.values()
    )


def measure(presses: Presses, options: argparse.Namespace) -> list[Rates]:
    """Measure every way to make a press in both halves."""
    rng, faces = np.random.default_rng(options.seed), presses.faces
    ways = (
        ONE_IMAGE,
        ONE_IMAGE_FRAMES,
        EARLY_FRAMES,
        THREE_IMAGES,
        EARLY_IMAGES,
        f"up to {options.attempts} attempts of three images",
    )
    accepted, refused = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
    strangers = mated = 0
    for _ in range(options.splits):
        order = rng.permutation(np.unique(faces.subjects))
        for half in (order[::2], order[1::2]):
            others = non_mated(faces.of(np.setdiff1d(order, half)))
            images = {subject: np.flatnonzero(faces.subjects == subject) for subject in half.tolist()}
            several = [subject for subject in images if len(images[subject]) >= FRAMES]
            enrolled = rng.permutation(several)[: options.people].tolist()
            templates, rest = {}, {}
            for subject in enrolled:
                rows = rng.permutation(images[subject])
                # At least one image is a template, and three remain for a press if there are more.
                own = min(options.templates, max(1, len(rows) - FRAMES))
                templates[subject], rest[subject] = faces.vectors[rows[:own]], rows[own:]
            gallery = np.concatenate(list(templates.values()))
            threshold = others[-int(fmr_for_fpir(options.fpir, len(gallery)) * len(others))]
            outside = [subject for subject in several if subject not in rest]
            coming = [subject for subject in enrolled if len(rest[subject]) >= FRAMES]
            strangers, mated = strangers + len(outside), mated + len(coming)
            for way in ways:
                early = way in (EARLY_FRAMES, EARLY_IMAGES)
                for subject in outside:
                    frames = presses.press(images[subject], way, options.attempts, rng)
                    accepted[way] += is_accepted(frames, templates, threshold, early=early)
                for subject in coming:
                    frames = presses.press(rest[subject], way, options.attempts, rng)
                    own = {subject: templates[subject]}
                    refused[way] += not is_accepted(frames, own, threshold, early=early)
    return [Rates(way, strangers, accepted[way] / strangers, mated, refused[way] / mated) for way in ways]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="press_rates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, help=".tflite of an embedder, with its model card")
    add("--images", type=Path, required=True, help="labelled crops, as subject/image")
    add("--people", type=int, default=5, help="enrolled people of a gallery (default: %(default)s)")
    add("--templates", type=int, default=3, help="most templates of a person (default: %(default)s)")
    add("--fpir", type=float, default=0.01, help="requested FPIR (default: %(default)s)")
    add("--attempts", type=int, default=8, help="attempts of the longest press (default: %(default)s)")
    add("--splits", type=int, default=200, help="splits of the subjects (default: %(default)s)")
    add("--seed", type=int, default=1, help="seed of the draws (default: %(default)s)")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    rates = measure(Presses.embed(options.model, options.images, options.seed), options)
    print(json.dumps([asdict(row) for row in rates], indent=1) if options.json else table(rates))
    return 0


def table(rates: Sequence[Rates]) -> str:
    """Return the rates as a Markdown table."""
    lines = ["| a press is | strangers accepted | enrolled people not accepted |", "|---|---|---|"]
    lines += [
        f"| {row.press} | {100 * row.fpir:.2f} % of {row.strangers:,} | {100 * row.fnmr:.2f} % of {row.mated:,} |"
        for row in rates
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
