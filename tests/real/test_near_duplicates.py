"""Copies of photographs are detected, and different photographs of one subject are not taken for copies."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.data.samples import SampleSet, open_samples
from edge_train.data.duplicates import find_duplicates
from edge_train.data.scan import scan_pictures

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
_COPIED = 200


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "compressed again": lambda image: jpeg(image, 60),
    "half the size": lambda image: jpeg(image.resize((image.width // 2, image.height // 2))),
    "twice the size": lambda image: jpeg(image.resize((2 * image.width, 2 * image.height))),
}


def near(contents: dict[str, bytes]) -> list[set[str]]:
    facts = scan_pictures(sorted(contents), contents.__getitem__)
    duplicates = find_duplicates(facts.digests, facts.thumbnails, facts.usable & ~facts.blank)
    return [{facts.names[place] for place in group} for group in duplicates.near]


def check(samples: SampleSet) -> None:
    originals = {sample.name: samples.read(sample) for sample in samples.samples}
    assert near(originals) == []
    chosen = sorted(originals)[:: max(1, len(originals) // _COPIED)]
    for label, change in COPIES.items():
        copies = {}
        for name in chosen:
            pixels = np.asarray(Image.open(io.BytesIO(originals[name])).convert("RGB"))
            copies[f"copy of {name}"] = change(Image.fromarray(pixels))
        groups = near({**{name: originals[name] for name in chosen}, **copies})
        detected = sum({name, f"copy of {name}"} in groups for name in chosen)
        assert detected >= 0.97 * len(chosen), label


def test_copies_of_faces_are_detected(shared: Path) -> None:
    check(open_samples(shared / "faces" / "lfw_devtest_aligned112.tar"))


def test_copies_of_products_are_detected(shared: Path) -> None:
    check(open_samples(ROOT / "samples" / "products" / "evaluation"))
