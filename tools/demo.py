"""The main job on what the repository ships: convert, prove, enrol ten products, recognize them.

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
#: The share of strangers that may be taken for an enrolled product.
FPIR = 0.01


@dataclass(frozen=True)
class Outcome:
    """One probe and what the gallery said.

    Args:
        image: The probe.
        truth: The product it shows, None for a stranger.
        answer: The product it was taken for, None where it was rejected.
    """

    image: UInt8Array
    truth: str | None
    answer: str | None

    @property
    def right(self) -> bool:
        """Whether the answer is the truth."""
        return self.truth == self.answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("work/demo"), help="folder for what is made")
    arguments = parser.parse_args(argv)
    return console.run("demo", lambda: demo(arguments.output))


def demo(output: Path) -> int:
    """Convert the reference model, then enrol and recognize products it has never seen."""
    if output.exists():
        shutil.rmtree(output)
    heading("1. convert the reference model to int8")
    model = converted(output)
    heading("2. measure the int8 file on products it has never seen, and write its thresholds into it")
    threshold = measured_threshold(model)
    heading("3. enrol ten products with one image each, in a sealed gallery")
    embedder, gallery = enrolled(model, output)
    heading("4. identify photos of them, and of strangers")
    outcomes = recognized(embedder, gallery, threshold)
    tell(outcomes)
    from tools.contact_sheet import contact_sheet

    picture = output / "recognized.png"
    enrolled_images = {path.stem: read_image(path) for path in sorted((SAMPLES / "enrol").glob("*.jpg"))}
    contact_sheet(enrolled_images, outcomes, picture)
    print(f"\nlook at {picture} and {output}/products.report.html")
    return 0


def heading(text: str) -> None:
    """Start a new part of the output."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def converted(output: Path) -> Path:
    """Step 1: edge-convert convert, and where its int8 file is."""
    from converters.pipeline.convert import convert
    from converters.pipeline.options import ConversionOptions
    from edge_sdk.model.card import InputContract

    source = SAMPLES / "model" / "products.keras"
    said = json.loads(source.with_suffix(".contract.json").read_text())
    contract = InputContract.from_json(said)
    about = {key: str(said.get(key, "")) for key in ("name", "version", "description", "licence")}
    report = convert(ConversionOptions(source, contract, SAMPLES / "calibration", output, **about))
    print(report.to_text())
    return output / report.artefacts[-1].file


def measured_threshold(model: Path) -> float:
    """Step 2: edge-convert evaluate --write-card, and the threshold for a search of ten references."""
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
        f"at most {FPIR:.0%} of strangers among {references} references takes FMR {point.fmr:g}:"
        f" threshold {point.threshold:.3f}, where {point.fnmr:.1%} of mated comparisons fail"
    )
    return point.threshold


def enrolled(model: Path, output: Path) -> tuple[Embedder, Gallery]:
    """Step 3: what edge-sdk enrol does."""
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


def recognized(embedder: Embedder, gallery: Gallery, threshold: float) -> list[Outcome]:
    """Step 4: what edge-sdk identify does."""
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


def tell(outcomes: Sequence[Outcome]) -> None:
    """Say what was right and what was not."""
    known = [o for o in outcomes if o.truth is not None]
    strangers = [o for o in outcomes if o.truth is None]

    def count(group: Sequence[Outcome], rule: Callable[[Outcome], bool]) -> int:
        return sum(rule(o) for o in group)

    print(f"enrolled products, {len(known)} photos:")
    print(f"  {count(known, lambda o: o.right):>3} identified")
    print(f"  {count(known, lambda o: o.answer is None):>3} rejected (false non-identifications)")
    print(f"  {count(known, lambda o: o.answer not in (None, o.truth)):>3} taken for another product")
    print(f"strangers, {len(strangers)} photos:")
    print(f"  {count(strangers, lambda o: o.right):>3} rejected")
    print(f"  {count(strangers, lambda o: not o.right):>3} let in (false identifications)")


if __name__ == "__main__":
    sys.exit(main())
