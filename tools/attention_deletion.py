"""Deletion test of maps that explain an embedding: how fast the embedding changes if the places of a map are removed.

python -m tools.attention_deletion products.float32.tflite products.cpu_int8.tflite \\
    --images samples/products/evaluation --count 60

Places of an image are removed in the order of a map, greatest value first, by a grey patch or by the blurred image. The
figure is the area under the curve of the cosine to the whole image's embedding, over the removed share of the
image (Petsiuk et al. 2018): the lower, the better the map finds the places on which the embedding depends. The places are the
positions of the network's last activation map. Compared are the exact shares of positions, an occlusion map,
Grad-CAM (Selvaraju et al. 2017; of the cosine, from the same linear tail), the distance from the image's centre, and the
mean of random orders. Intervals are 95 % over images.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.image_set import evenly
from converters.data.samples import open_samples
from converters.evaluate.runner.open_artefact import open_artefact
from converters.progress import stage
from edge_sdk import console
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.decomposition import Decomposer
from edge_sdk.vision.explanation import PairExplainer, explained_contract
from edge_sdk.vision.explanation_picture import enlarged
from edge_sdk.vision.occlusion import GREY, make_occlusion_map
from edge_sdk.vision.resize import fit

PROGRAM = "attention_deletion"
#: Number of points of a deletion curve after the whole image.
STEPS = 16
RANDOM_ORDERS = 4
#: Pixels that stand for the blurred image: it is reduced to 4x4 and enlarged again.
_BLUR_PX = 4
FILLS: dict[str, Callable[[UInt8Array], UInt8Array]] = {
    "grey": lambda crop: np.full_like(crop, GREY),
    "blur": lambda crop: _blurred(crop),
}
METHODS = ("occlusion", "exact shares", "Grad-CAM", "centre first", "random")


@dataclass(frozen=True, eq=False)
class Deletion:
    """Areas of one network on one set of images.

    Args:
        network: Name of the file.
        grid: Number of places, rows and columns.
        areas: By fill and method: one area for each image, -1..1.
        remainder: Largest difference between a cosine of two images and the sum of its shares and constants.
    """

    network: str
    grid: tuple[int, int]
    areas: dict[tuple[str, str], list[float]]
    remainder: float

    def to_json(self) -> dict[str, Any]:
        """Return means and half-widths of 95 % intervals over images."""
        rows = [
            {"fill": fill, "method": method, "area": _mean(values), "half_width": _half_width(values)}
            for (fill, method), values in self.areas.items()
        ]
        images = len(next(iter(self.areas.values())))
        return {
            "network": self.network,
            "grid": list(self.grid),
            "images": images,
            "remainder": self.remainder,
            "rows": rows,
        }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _half_width(values: Sequence[float]) -> float:
    return round(1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5, 4) if len(values) > 1 else 0.0


def _blurred(crop: UInt8Array) -> UInt8Array:
    height, width = crop.shape[:2]
    small = fit(crop, max(_BLUR_PX * height // width, 1), _BLUR_PX).astype(np.float64)
    layers = [enlarged(small[..., channel], height, width) for channel in range(crop.shape[2])]
    return np.stack(layers, axis=-1).round().clip(0, 255).astype(np.uint8)


def cell_means(values: FloatArray, grid: tuple[int, int], height: int, width: int) -> FloatArray:
    """Average a map over the cells of a grid: shape `grid`.

    Args:
        values: Shape (rows, columns): a map that covers the image.
        grid: Rows and columns of the cells.
        height, width: Size of the image.
    """
    fine = enlarged(values.astype(np.float64), height, width)
    rows, columns = (
        np.arange(side) * count // side for side, count in zip((height, width), grid, strict=True)
    )
    cells = rows[:, None] * grid[1] + columns[None]
    sums = np.bincount(cells.ravel(), fine.ravel(), grid[0] * grid[1])
    return np.asarray(sums / np.bincount(cells.ravel()), np.float32).reshape(grid)


def deleted(crop: UInt8Array, fill: UInt8Array, order: NDArray[np.intp], grid: tuple[int, int]) -> UInt8Array:
    """Replace more and more cells of a crop.

    Args:
        crop: Shape (H, W, C), uint8.
        fill: The same shape: the pixels of removed cells.
        order: All cells of the grid, row by row numbers, in order of removal.
        grid: Rows and columns of the cells.

    Returns:
        Shape (STEPS, H, W, C), uint8: equal numbers of cells removed from step to step, all of them in the last.
    """
    height, width = crop.shape[:2]
    rows, columns = (
        np.arange(side) * count // side for side, count in zip((height, width), grid, strict=True)
    )
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    rank = place[rows[:, None] * grid[1] + columns[None]]
    counts = np.rint(np.linspace(0, len(order), STEPS + 1)).astype(int)[1:]
    return np.stack([np.where((rank < count)[..., None], fill, crop) for count in counts])


def position_gradients(decomposer: Decomposer) -> FloatArray:
    """Compute the tail's matrix: shape (H', W', C, D), the output's change for each value of the activation map."""
    tail = decomposer.tail
    gradients = []
    for channel in range(tail.shape[3]):
        values = np.zeros(tail.shape, np.float32)
        values[..., channel] = 1
        parts, _ = tail.parts_of_real(values)
        gradients.append(parts)
    return np.stack(gradients, axis=2)


def grad_cam(gradients: FloatArray, embedding: FloatArray, values: FloatArray) -> FloatArray:
    """Compute Grad-CAM of the cosine to a unit embedding: weights by channel, their sum, and its positive part."""
    weights = np.einsum("hwcd,d->c", gradients, embedding, optimize=True) / (
        values.shape[0] * values.shape[1]
    )
    return np.maximum(values @ weights, 0).astype(np.float32)


def measure(
    network: str, data: bytes, contract: InputContract, crops: Sequence[UInt8Array], *, seed: int = 0
) -> Deletion:
    """Run the deletion test of one network.

    Args:
        network: Name of the file.
        data: Its content.
        contract: Its input contract.
        crops: Crops of shape (H, W, C), uint8, at the network's size.
        seed: Seed of the random orders.
    """
    decomposer, explainer = Decomposer(data, contract), PairExplainer(data, contract, methods=("occlusion",))
    gradients = position_gradients(decomposer)
    grid = decomposer.tail.shape[1:3]
    height, width = contract.shape[:2]
    random = np.random.default_rng(seed)
    areas: dict[tuple[str, str], list[float]] = {(f, m): [] for f in FILLS for m in METHODS}
    centre = [np.abs(np.linspace(-1, 1, count)) for count in grid]
    remainder, embeddings = 0.0, list[FloatArray]()
    nearness = -np.hypot(centre[0][:, None], centre[1][None])
    with stage(f"deletion test of {network}") as progress:
        for done, crop in enumerate(crops, start=1):
            parts = decomposer.split(crop)
            embeddings.append(parts.embedding)
            remainder = max([remainder, *(abs(parts.shares(other).remainder) for other in embeddings)])
            falls = make_occlusion_map(explainer.embed, contract, crop).falls
            maps = {
                "occlusion": cell_means(falls, grid, height, width),
                "exact shares": parts.shares(parts.embedding).values,
                "Grad-CAM": grad_cam(gradients, parts.embedding, decomposer.activation_map(crop)),
                "centre first": nearness,
            }
            orders = [(method, np.argsort(-values.ravel(), kind="stable")) for method, values in maps.items()]
            orders += [("random", random.permutation(grid[0] * grid[1])) for _ in range(RANDOM_ORDERS)]
            for fill, make in FILLS.items():
                filled = make(crop)
                by_method: dict[str, list[float]] = {method: [] for method in METHODS}
                for method, order in orders:
                    cosines = explainer.embed(deleted(crop, filled, order, grid)) @ parts.embedding
                    curve = np.concatenate([[1.0], cosines])
                    by_method[method].append(float((curve[1:] + curve[:-1]).mean() / 2))
                for method, values in by_method.items():
                    areas[fill, method].append(float(np.mean(values)))
            progress(done, len(crops))
    return Deletion(network, grid, areas, remainder)


def exactness_row(network: str, data: bytes, contract: InputContract, crops: Sequence[UInt8Array]) -> str:
    """Split all crops by position and format the tail and the largest remainder of all pairs as a row of a table."""
    decomposer = Decomposer(data, contract)
    parts = [decomposer.split(crop) for crop in crops]
    remainder = max(abs(a.shares(b.embedding).remainder) for a in parts for b in parts)
    return f"| {network} | {', '.join(decomposer.tail.operators)} | {len(crops)} | {remainder:.1e} |"


def to_text(results: Sequence[Deletion]) -> str:
    """Format the areas as a Markdown table."""
    lines = [
        f"| network | places | images | largest remainder | fill | {' | '.join(METHODS)} |",
        f"|---|---|---|---|---|{'---|' * len(METHODS)}",
    ]
    for result in results:
        for fill in FILLS:
            cells = []
            for method in METHODS:
                values = result.areas[fill, method]
                cells.append(f"{np.mean(values):.3f} ± {_half_width(values):.3f}")
            images = len(result.areas[fill, METHODS[0]])
            grid, remainder = f"{result.grid[0]}x{result.grid[1]}", f"{result.remainder:.1e}"
            lines.append(
                f"| {result.network} | {grid} | {images} | {remainder} | {fill} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = console.Parser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.tflite", help="files with a model card")
    parser.add_argument(
        "--images", type=Path, required=True, help="folder or archive, one folder per subject"
    )
    parser.add_argument(
        "--count", type=int, default=60, metavar="N", help="images, taken evenly (default: 60)"
    )
    parser.add_argument(
        "--exactness",
        action="store_true",
        help="print the tail and the largest remainder only, without the deletion test",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args(argv)

    def run() -> int:
        samples = open_samples(arguments.images)
        results = []
        for path in arguments.files:
            artefact = open_artefact(path)
            contract = explained_contract(artefact.card.input)
            by_name = {sample.name: sample for sample in samples.samples}
            names = evenly(list(by_name), min(arguments.count, len(by_name)))
            crops = [samples.at_size(by_name[name], contract) for name in names]
            if arguments.exactness:
                print(exactness_row(path.name, artefact.network.data, contract, crops))
                continue
            results.append(measure(path.name, artefact.network.data, contract, crops))
        if arguments.exactness:
            return 0
        text = (
            json.dumps([result.to_json() for result in results], indent=1)
            if arguments.json
            else to_text(results)
        )
        print(text)
        return 0

    return console.run(PROGRAM, run)


if __name__ == "__main__":
    sys.exit(main())
