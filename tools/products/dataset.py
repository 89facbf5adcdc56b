"""Training and held-out products, and the training photos as one array on disk."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tools.products.catalogue import Product, product
from tools.products.photos import CAREFUL, ROUGH, SIZE_PX, Care, develop, take_photo
from tools.products.settings import Settings

EVALUATION_FAMILIES = 900  # first held-out family used in measurements
DEMO_FAMILIES = 1100  # first family of the enrolled samples and their strangers
# Products of the demonstration: (number of the family from DEMO_FAMILIES, variant).
_ENROLLED = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (4, 0), (5, 0), (6, 0))
_STRANGERS = ((0, 2), (1, 2), (3, 1), (4, 1), (5, 1), (7, 0), (8, 0), (9, 0), (10, 0), (11, 0))
_HELD_OUT_VARIANT = 4  # held-out flavour of the trained families
_CAREFUL_EVERY = 8  # every eighth training photo is taken with the care of an enrolment photo


def training_products(settings: Settings) -> list[Product]:
    """Return the training classes in the order of their labels."""
    return [
        product(settings.seed, family, variant)
        for family in range(settings.families)
        for variant in range(settings.variants)
    ]


def evaluation_products(settings: Settings, count: int, *, skip: int = 0) -> list[Product]:
    """Return `count` held-out products; the first `skip` families of both kinds are left out.

    Three quarters are from held-out families, two variants of each; one quarter are new flavours of training families.
    """
    new_flavours = min(count // 4, settings.families - skip)
    strangers = [
        product(settings.seed, EVALUATION_FAMILIES + skip + place // 2, place % 2)
        for place in range(count - new_flavours)
    ]
    siblings = [
        product(settings.seed, family, _HELD_OUT_VARIANT) for family in range(skip, skip + new_flavours)
    ]
    return strangers + siblings


def enrolled_products(settings: Settings) -> list[Product]:
    """Return the ten held-out products to enrol in the samples; three pairs are siblings."""
    return _demo_products(settings, _ENROLLED)


def stranger_products(settings: Settings) -> list[Product]:
    """Return ten held-out products that are not enrolled: five siblings of enrolled products, five of other brands."""
    return _demo_products(settings, _STRANGERS)


def _demo_products(settings: Settings, places: Sequence[tuple[int, int]]) -> list[Product]:
    return [product(settings.seed, DEMO_FAMILIES + family, variant) for family, variant in places]


def photograph(subject: Product, cares: Sequence[Care]) -> np.ndarray:
    """Take photo 0 of `subject` with the first of `cares`, photo 1 with the second, and so on.

    Returns:
        Shape (len(cares), SIZE_PX, SIZE_PX, 3), uint8, RGB.
    """
    return np.stack([develop(take_photo(subject, number, care=care)) for number, care in enumerate(cares)])


def _photograph_class(task: tuple[int, Product, Sequence[Care]]) -> tuple[int, np.ndarray]:
    place, subject, cares = task
    return place, photograph(subject, cares)


def photograph_all(
    products: Iterable[tuple[int, Product]], cares: Sequence[Care], *, workers: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Photograph numbered products in `workers` processes and yield the results in any order."""
    tasks = [(place, subject, cares) for place, subject in products]
    if workers <= 1:
        yield from map(_photograph_class, tasks)
        return
    # Spawn instead of fork: the threads of a process that has loaded TensorFlow do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_photograph_class, tasks, chunksize=4)


def progress(steps: Iterable, *, total: int, title: str) -> Iterable:
    """Show a progress bar over `steps` on a terminal, and nothing in a pipe."""
    from tqdm import tqdm

    return tqdm(steps, total=total, desc=title, disable=not sys.stderr.isatty())


def training_photos(settings: Settings, work: Path, *, workers: int = os.cpu_count() or 1) -> np.ndarray:
    """Return the training photos; draw those that `work` does not contain yet.

    Returns:
        Shape (classes, photos, SIZE_PX, SIZE_PX, 3), uint8, RGB, mapped from `work/photos.npy`.
    """
    products = training_products(settings)
    shape = (len(products), settings.photos, SIZE_PX, SIZE_PX, 3)
    path, done_path = work / "photos.npy", work / "photos_done.npy"
    if path.exists() and done_path.exists():
        photos, done = np.lib.format.open_memmap(path, "r+"), np.lib.format.open_memmap(done_path, "r+")
    else:
        photos = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        done = np.lib.format.open_memmap(done_path, "w+", np.bool_, (len(products),))
    missing = [(place, subject) for place, subject in enumerate(products) if not done[place]]
    cares = [CAREFUL if number % _CAREFUL_EVERY == 7 else ROUGH for number in range(settings.photos)]
    drawn = photograph_all(missing, cares, workers=workers if len(missing) > 16 else 1)
    for place, pictures in progress(drawn, total=len(missing), title="photograph"):
        photos[place] = pictures
        done[place] = True
    photos.flush()
    done.flush()
    return photos
