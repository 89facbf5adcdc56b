"""Sample pictures of the repository: for enrolment, probes, calibration and evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tools.products import dataset
from tools.products.catalogue import Product
from tools.products.photos import CAREFUL, EVERYDAY, take_photo
from tools.products.settings import Settings

FOLDERS = ("enrol", "probes", "strangers", "calibration", "evaluation")
PROBES, STRANGER_PROBES, CALIBRATION = 4, 2, 200
EVALUATION_PRODUCTS, EVALUATION_PHOTOS = 160, 3  # 12,720 pairs of products: a claim at FMR 1e-3 needs 3,000
_FRESH = 1000  # photo numbers from here on are not used in training


def _files(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Yield (path in the samples folder, JPEG file)."""
    for subject in dataset.enrolled_products(settings):
        yield f"enrol/{subject.name}.jpg", take_photo(subject, 0, care=CAREFUL)
        for number in range(PROBES):
            yield f"probes/{subject.name}/{number + 1}.jpg", take_photo(subject, number, care=EVERYDAY)
    for subject in dataset.stranger_products(settings):
        for number in range(STRANGER_PROBES):
            yield f"strangers/{subject.name}/{number + 1}.jpg", take_photo(subject, number, care=EVERYDAY)
    for place, subject in enumerate(_spread(dataset.training_products(settings), CALIBRATION)):
        yield f"calibration/{place + 1:03d}.jpg", take_photo(subject, _FRESH, care=EVERYDAY)
    for subject in dataset.evaluation_products(settings, EVALUATION_PRODUCTS):
        for number in range(EVALUATION_PHOTOS):
            yield f"evaluation/{subject.name}/{number + 1}.jpg", take_photo(subject, number, care=EVERYDAY)


def _spread(products: list[Product], count: int) -> list[Product]:
    """Return `count` of `products`, evenly spaced from first to last."""
    return [products[int(place)] for place in np.linspace(0, len(products) - 1, count)]


def write_samples(settings: Settings, output: Path, work: Path) -> None:
    """Write the picture folders in `output`; existing folders are replaced."""
    fresh = work / "samples"
    shutil.rmtree(fresh, ignore_errors=True)
    total = 10 * (1 + PROBES + STRANGER_PROBES) + CALIBRATION + EVALUATION_PRODUCTS * EVALUATION_PHOTOS
    for name, photo in dataset.progress(_files(settings), total=total, title="samples"):
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo)
    output.mkdir(parents=True, exist_ok=True)
    for folder in FOLDERS:
        shutil.rmtree(output / folder, ignore_errors=True)
        shutil.move(fresh / folder, output / folder)


def brands(folder: Path) -> np.ndarray:
    """Return the brand of each product folder in `folder`, in the order of `read_folder`'s labels."""
    return np.array([path.name.split("-")[0] for path in sorted(folder.iterdir()) if path.is_dir()])


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read `folder/<product>/<n>.jpg`.

    Returns:
        Pictures, shape (N, H, W, 3), uint8, RGB, and labels, shape (N,), int64: the product's rank by name.
    """
    from tools.products.photos import develop

    pictures, labels = [], []
    for label, place in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(place.glob("*.jpg")):
            pictures.append(develop(path.read_bytes()))
            labels.append(label)
    return np.stack(pictures), np.array(labels)
