"""Check claims on real images: claim on some subjects, measure the FMR on all others.

python -m tools.claims_on_faces mobilefacenet_y1_float32.tflite --size 112x112 --color rgb --range 0..255 \
    --images lfw_devtest_aligned112.tar --subjects 480 100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converters.cli.arguments import add_contract, optional_contract
from converters.data.samples import open_samples
from converters.evaluate.metrics import AllPairs, OperatingPointEvidence, operating_points
from converters.evaluate.runner.embedding_cache import default_folder, prepare
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.open_artefact import open_artefact
from converters.progress import stage
from edge_sdk import console

FMRS = (1e-2, 1e-3, 1e-4)


def measure(vectors: np.ndarray, codes: np.ndarray, subjects: int, draws: int) -> list[str]:
    """Draw subjects for the claim, measure the FMR of the others, and format one line per FMR.

    Args:
        vectors: Shape (n, D), unit rows.
        codes: Shape (n,), subject numbers.
        subjects: Number of subjects of a claim.
        draws: Number of draws.
    """
    generator, scores = np.random.default_rng(3), vectors @ vectors.T
    rows: dict[float, list[tuple[float, float, float, float]]] = {fmr: [] for fmr in FMRS}
    for _ in range(draws):
        inside = np.isin(codes, generator.permutation(codes.max() + 1)[:subjects])
        data = AllPairs(vectors[inside], codes[inside])
        others = scores[np.ix_(~inside, ~inside)]
        other = codes[~inside]
        non_mated = np.sort(others[np.triu(other[:, None] != other[None], 1)])
        for row in operating_points(data, data.scores(), data_set="drawn", data_digest="0" * 64, fmrs=FMRS):
            if isinstance(row, OperatingPointEvidence) and row.claim:
                claimed, measured = (
                    1.0 - np.searchsorted(non_mated, np.float32(threshold)) / non_mated.size
                    for threshold in (row.threshold, row.measured.threshold)
                )
                rows[row.target_fmr].append(
                    (
                        claimed / row.target_fmr,
                        measured / row.target_fmr,
                        row.claim.effective_comparisons,
                        row.non_mated_trials,
                    )
                )
    lines = []
    for fmr, values in rows.items():
        if not values:
            lines.append(f"| {subjects} | {fmr:g} | 0 of {draws} | | | | |")
            continue
        table = np.array(values)
        above = 100 * (table[:, :2] > 1).mean(axis=0)
        lines.append(
            f"| {subjects} | {fmr:g} | {len(values)} of {draws} | {table[:, 0].mean():.2f} | {above[0]:.0f} % | {above[1]:.0f} % |"
            f" {np.median(table[:, 2]):,.0f} of {np.median(table[:, 3]):,.0f} |"
        )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.claims_on_faces", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path, metavar="FILE.tflite", help="file to measure")
    parser.add_argument("--images", type=Path, required=True, help="folder or archive of subject/image")
    parser.add_argument(
        "--subjects", type=int, nargs="+", default=[480, 100], help="subjects of a claim (default: 480 100)"
    )
    parser.add_argument(
        "--draws", type=int, default=60, help="draws per number of subjects (default: %(default)s)"
    )
    add_contract(parser, required=False)
    arguments = parser.parse_args(argv)

    def run() -> int:
        prepare(default_folder())
        artefact = open_artefact(arguments.file, contract=optional_contract(arguments))
        with stage("embed") as progress:
            embedded = embed_with(
                artefact, open_samples(arguments.images), cache=default_folder(), progress=progress
            )
        codes = np.unique(embedded.subjects, return_inverse=True)[1]
        print(
            "| subjects | FMR | claims | FMR of others / claim | above the claim | above, measured point | effective comparisons |"
        )
        print("|---|---|---|---|---|---|---|")
        for subjects in arguments.subjects:
            print("\n".join(measure(embedded.vectors, codes, subjects, arguments.draws)), flush=True)
        return 0

    return console.run("claims_on_faces", run)


if __name__ == "__main__":
    sys.exit(main())
