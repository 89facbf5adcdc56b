"""Measure what `edge-sdk face evidence` finds in households of people of a data set, with good and with bad cameras.

python -m tools.household_check sface.cpu_int8.tflite --images lfw_devtest_aligned112.tar

The model's card has evidence. Each draw takes `--people` subjects with four or more images as a household and as many other
subjects as strangers as `--strangers` says, all through the same simulated fault of the camera. The table has the share of the
households for which each part of the check reports a problem.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_sdk.model.model_file import ModelFile
from edge_sdk.recognizer.evidence import check_evidence
from tools.threshold_transfer import FAULTS, Faces, embed

FEWEST_IMAGES = 4


@dataclass(frozen=True)
class Row:
    """Shares of households.

    Attributes:
        fault: Fault of the camera.
        strangers: Number of strangers.
        pairs: Share with two people who are closer than the threshold.
        own: Share with a person who is not recognized, or with a picture that resembles none of the person's others.
        camera: Share with a camera that differs from the evidence.
        accepted: Share with more accepted strangers than the FPIR explains.
        fine: Share without a problem.
    """

    fault: str
    strangers: int
    pairs: float
    own: float
    camera: float
    accepted: float
    fine: float


def measure(fault: str, faces: Faces, model: Path, options: argparse.Namespace, strangers: int) -> Row:
    """Draw households and check them."""
    rng, card = np.random.default_rng(options.seed), ModelFile.open(model).card
    rows = {
        subject: np.flatnonzero(faces.subjects == subject) for subject in np.unique(faces.subjects).tolist()
    }
    several = [subject for subject, own in rows.items() if len(own) >= FEWEST_IMAGES]
    results = []
    for _ in range(options.draws):
        household = rng.permutation(several)[: options.people].tolist()
        others = rng.permutation([subject for subject in rows if subject not in household])[
            :strangers
        ].tolist()
        check = check_evidence(
            {str(subject): faces.vectors[rows[subject]].astype(np.float32) for subject in household},
            card,
            fpir=options.fpir,
            strangers={
                str(subject): faces.vectors[rows[subject][:1]].astype(np.float32) for subject in others
            },
        )
        results.append(
            (
                not all(pair.apart for pair in check.pairs),
                not all(person.recognized and not person.unlike for person in check.people),
                check.camera.transfer.alarm,
                check.strangers is not None and check.strangers.too_many,
                check.fine,
            )
        )
    return Row(fault, strangers, *np.mean(results, axis=0).tolist())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="household_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, help=".tflite of an embedder whose card has evidence")
    add("--images", type=Path, required=True, help="labelled crops, as subject/image")
    add("--fault", action="append", choices=FAULTS, help="camera faults (default: none, gray, 28 px, moving)")
    add("--people", type=int, default=5, help="people of a household (default: %(default)s)")
    add("--strangers", type=int, action="append", help="numbers of strangers (default: 0, 20 and 50)")
    add("--fpir", type=float, default=0.01, help="FPIR of the policy (default: %(default)s)")
    add("--draws", type=int, default=300, help="households (default: %(default)s)")
    add("--seed", type=int, default=1, help="seed of the draws (default: %(default)s)")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    rows = []
    for fault in options.fault or ("none", "gray", "28 px", "moving"):
        faces = embed(options.model, options.images, fault, None)
        rows += [
            measure(fault, faces, options.model, options, count) for count in options.strangers or (0, 20, 50)
        ]
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))
    return 0


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| camera | strangers | people too close | person not recognized | camera differs | strangers accepted | fine |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = (row.pairs, row.own, row.camera, row.accepted, row.fine)
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        lines.append(f"| {row.fault} | {row.strangers} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
