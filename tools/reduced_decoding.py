"""Compare training pictures that are decoded at a reduced size with pictures that are decoded at their full size.

    python -m tools.reduced_decoding photographs/ --side 96

Each photograph is enlarged to 12 megapixels, with noise so that it compresses like a camera's, and read both ways.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from converters.data.samples import Sample, SampleSet, open_unlabelled
from edge_sdk import console
from edge_sdk.model.card import InputContract
from edge_train.data.batches import read_for_training

_MEGAPIXELS, _NOISE = 12e6, 4.0


def measure(photographs: Path, side: int) -> dict[str, float]:
    """Read each photograph both ways.

    Args:
        photographs: Folder or archive of images.
        side: Side of the network's input in pixels.

    Returns:
        Mean and largest difference of pixels in grey levels, the largest mean difference of a photograph, and mean processor times in
        seconds, ``full_s`` and ``reduced_s``.
    """
    images = open_unlabelled(photographs)
    contract = InputContract(side, side, "rgb", (127.5,) * 3, (128.0,) * 3)
    rng = np.random.default_rng(0)
    rows = []
    for sample in images.samples:
        content = _camera_file(images.image(sample), rng)
        single = SampleSet("photograph", (Sample("a/b.jpg", "a"),), lambda _, content=content: content)
        times = [time.process_time()]
        full = single.at_size(single.samples[0], contract).astype(int)
        times.append(time.process_time())
        reduced = read_for_training(single, single.samples[0], contract).astype(int)
        times.append(time.process_time())
        difference = np.abs(full - reduced)
        rows.append((difference.mean(), difference.max(), *np.diff(times)))
    table = np.array(rows)
    return {
        "photographs": len(rows),
        "mean": float(table[:, 0].mean()),
        "worst_photograph": float(table[:, 0].max()),
        "worst_pixel": float(table[:, 1].max()),
        "full_s": float(table[:, 2].mean()),
        "reduced_s": float(table[:, 3].mean()),
    }


def _camera_file(image: np.ndarray, rng: np.random.Generator) -> bytes:
    height, width = image.shape[:2]
    factor = (_MEGAPIXELS / (height * width)) ** 0.5
    large = Image.fromarray(image).resize((round(width * factor), round(height * factor)))
    noisy = np.asarray(large, np.float32)
    noisy = noisy + _NOISE * rng.standard_normal(noisy.shape, np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.reduced_decoding", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("photographs", type=Path, help="folder or archive of images")
    parser.add_argument(
        "--side", type=int, default=96, help="side of the network's input (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    return console.run(
        "tools.reduced_decoding", lambda: _print(measure(arguments.photographs, arguments.side))
    )


def _print(figures: dict[str, float]) -> int:
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
