"""Run the whole workflow on the shipped samples: convert, measure, enrol ten products, identify them.

python -m tools.demo --output work/demo
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sdk import Embedder, Gallery, KeyFile, OperatingPoint, console
from edge_sdk.types import UInt8Array
from edge_sdk.vision.images import read_image

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "products"
#: Share of strangers that may be identified as an enrolled product.
FPIR = 0.01


@dataclass(frozen=True)
class Outcome:
    """Result of one probe.

    Args:
        image: The probe.
        truth: The product it shows, None for a stranger.
        answer: The identified product, None if the probe was rejected.
    """

    image: UInt8Array
    truth: str | None
    answer: str | None

    @property
    def right(self) -> bool:
        """True if the answer equals the truth."""
        return self.truth == self.answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("work/demo"),
        help="output folder, replaced if it exists (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    return console.run("demo", lambda: demo(arguments.output))


def demo(output: Path) -> int:
    """Convert the reference model, then enrol and identify products that were not in its training data."""
    if output.exists():
        shutil.rmtree(output)
    print_heading("1. convert the reference model to int8")
    model = convert_model(output)
    print_heading(
        "2. measure the int8 file on products outside its training data, and write its thresholds into it"
    )
    threshold = measure_threshold(model)
    print_heading("3. enrol ten products with one image each, in a sealed gallery")
    embedder, gallery = enrol_products(model, output)
    print_heading("4. identify photos of them, and of strangers")
    outcomes = identify_photos(embedder, gallery, threshold)
    print_counts(outcomes)
    from tools.contact_sheet import draw_contact_sheet

    picture = output / "recognized.png"
    enrolled_images = {path.stem: read_image(path) for path in sorted((SAMPLES / "enrol").glob("*.jpg"))}
    draw_contact_sheet(enrolled_images, outcomes, picture)
    print(f"\nlook at {picture} and {output}/products.report.html")
    return 0


def print_heading(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def convert_model(output: Path, targets: Sequence[str] = ("cpu",)) -> Path:
    """Run step 1, as `edge-convert convert`, and return the path of the last target's int8 file."""
    from converters import ConversionOptions, convert
    from edge_sdk.model.card import InputContract

    source = SAMPLES / "model" / "products.keras"
    metadata = json.loads(source.with_suffix(".contract.json").read_text())
    contract = InputContract.from_json(metadata)
    about = {key: str(metadata.get(key, "")) for key in ("name", "version", "description", "licence")}
    report = convert(ConversionOptions(source, contract, SAMPLES / "calibration", output, targets, **about))
    print(report.to_text())
    return output / report.artefacts[-1].file


def measure_threshold(model: Path) -> float:
    """Run step 2, as `edge-convert evaluate --write-card`, and return the threshold for ten references."""
    from converters.data.samples import open_samples
    from converters.evaluate.runner.evaluate import evaluate
    from converters.evaluate.runner.open_artefact import open_artefact
    from converters.evaluate.runner.write_card import write_card

    references = len(list((SAMPLES / "enrol").glob("*.jpg")))
    evaluation = evaluate(
        open_artefact(model), open_samples(SAMPLES / "evaluation", name="products, held out")
    )
    print(evaluation.to_text())
    print()
    points = write_card(model, evaluation).points
    point = OperatingPoint.for_identification(points, fpir=FPIR, references=references)
    print(
        f"an FPIR of at most {FPIR:.0%} with {references} references requires FMR {point.fmr:g}:"
        f" threshold {point.threshold:.3f}, where {point.fnmr:.1%} of mated comparisons fail"
    )
    return point.threshold


def enrol_products(model: Path, output: Path) -> tuple[Embedder, Gallery]:
    """Run step 3, as `edge-sdk enrol`."""
    embedder = Embedder.open(model)
    key = KeyFile.create(output / "products.key")
    gallery = Gallery.create(
        output / "products.gallery", key=key, model_id=embedder.model_id, dimension=embedder.dimension
    )
    with gallery.transaction() as changes:
        for path in sorted((SAMPLES / "enrol").glob("*.jpg")):
            changes.enrol(path.stem, embedder.embed(read_image(path))[None])
    for subject in gallery.subjects():
        print(f"enrolled {subject.name}")
    return embedder, gallery


def identify_photos(embedder: Embedder, gallery: Gallery, threshold: float) -> list[Outcome]:
    """Run step 4, as `edge-sdk identify`."""
    outcomes = []
    start = time.perf_counter()
    for folder, is_known in (("probes", True), ("strangers", False)):
        for path in sorted((SAMPLES / folder).glob("*/*.jpg")):
            image = read_image(path)
            answer = gallery.identify(embedder.embed(image), threshold=threshold)
            outcomes.append(Outcome(image, path.parent.name if is_known else None, answer.subject))
    spent_ms = 1e3 * (time.perf_counter() - start) / len(outcomes)
    print(f"{len(outcomes)} photos, {spent_ms:.1f} ms each: decode, embed, compare, decide")
    return outcomes


def print_counts(outcomes: Sequence[Outcome]) -> None:
    """Print the counts of correct and wrong answers."""
    known = [o for o in outcomes if o.truth is not None]
    strangers = [o for o in outcomes if o.truth is None]

    def count(group: Sequence[Outcome], rule: Callable[[Outcome], bool]) -> int:
        return sum(rule(o) for o in group)

    print(f"enrolled products, {len(known)} photos:")
    print(f"  {count(known, lambda o: o.right):>3} identified")
    print(f"  {count(known, lambda o: o.answer is None):>3} rejected (false non-identifications)")
    print(f"  {count(known, lambda o: o.answer not in (None, o.truth)):>3} identified as another product")
    print(f"strangers, {len(strangers)} photos:")
    print(f"  {count(strangers, lambda o: o.right):>3} rejected")
    print(f"  {count(strangers, lambda o: not o.right):>3} accepted (false identifications)")


if __name__ == "__main__":
    sys.exit(main())
