"""Measure what improves a map between two embedding spaces: method, altered copies of the images, number of images.

python -m tools.space_map_candidates old.float32.tflite new.float32.tflite \\
    --calibration lfw_calibration_aligned112.tar --images lfw_devtest_aligned112.tar
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from converters.data.image_set import ImageSet
from converters.data.samples import open_samples
from converters.evaluate.metrics.linear_map import LinearMap, candidates, fit_linear_map, measure_map
from converters.evaluate.runner.open_artefact import open_artefact
from converters.evaluate.runner.space_map import as_stored, embed_calibration, embed_labelled
from edge_sdk.gallery.migration.space_map import MAP_FMR


def main() -> None:
    """Print a table: images and copies, method, FNMR of mapped templates, loss with its interval."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    arguments = parser.parse_args()
    artefacts = open_artefact(arguments.old), open_artefact(arguments.new)
    color = artefacts[0].card.input.color
    embedders = artefacts[0].embedder(), artefacts[1].embedder()
    seen: set[bytes] = set()
    crops, labelled = ImageSet.open(arguments.calibration), open_samples(arguments.images)
    source, target, variants = embed_calibration(crops, color, embedders, seen, lambda *_: None)
    own, probes, _ = embed_labelled(labelled, color, embedders, seen, lambda *_: None)
    subjects = [sample.subject for sample in labelled.samples]
    copy = np.arange(len(source)) % variants
    image = np.arange(len(source)) // variants
    print("| images, copies | method | FNMR mapped % | loss, points | FNMR, FMR at the native threshold |")
    print("|---|---|---|---|---|")
    sets = {
        "500, none": copy == 0,
        "500, mirrored": copy % (variants // 2) == 0,
        "500, all": copy >= 0,
        "250, all": image % 2 == 0,
    }
    for words, rows in sets.items():
        each = int(np.count_nonzero(rows & (image == 0)))
        fitted = fit_linear_map(source[rows], target[rows], each)
        maps = [(f"chosen: {fitted.method}", fitted)]
        if words in ("500, none", "500, all"):
            for name, fit in candidates():
                maps.append((name, LinearMap(*fit(source[rows], target[rows]), name, 0.0)))
        for name, each_map in maps:
            rates = measure_map(
                as_stored(probes), as_stored(each_map.apply(as_stored(own))), probes, subjects, fmr=MAP_FMR
            )
            low, high = (100 * end for end in rates.loss_interval)
            print(
                f"| {words} | {name} | {100 * rates.mapped_fnmr:.2f} |"
                f" {100 * (rates.mapped_fnmr - rates.native_fnmr):.2f} ({low:.2f} .. {high:.2f}) |"
                f" {100 * rates.fnmr_at_native_threshold:.2f} %, {rates.fmr_at_native_threshold:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
