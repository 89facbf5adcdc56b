"""Equal and nearly equal pictures are grouped; different ones are not, and many equal hashes cost no quadratic time."""

from __future__ import annotations

import numpy as np
import pytest

from edge_train.data.duplicates import Groups, find_duplicates, perceptual_hashes
from edge_train.data.scan import PictureFacts, scan_pictures
from tests.unit.edge_train.data.pictures import encoded, pixels


def facts(contents: list[bytes]) -> PictureFacts:
    names = [f"s/{number:06d}" for number in range(len(contents))]
    return scan_pictures(names, lambda name: contents[int(name[2:])], threads=2)


def grouped(contents: list[bytes]) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    scan = facts(contents)
    duplicates = find_duplicates(scan.digests, scan.thumbnails, scan.usable & ~scan.blank)
    return duplicates.identical, duplicates.near


def brighter(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 1.1, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_changed_copies_are_grouped(seed: int) -> None:
    image, other = pixels(seed, 0, 64), pixels(seed, 1, 64)
    contents = [
        encoded(image),
        encoded(other),
        encoded(image),
        encoded(image, "JPEG", quality=60),
        encoded(pixels(seed, 0, 128), "JPEG", quality=85),
        encoded(brighter(image), "JPEG", quality=90),
        encoded(image[:, ::-1].copy()),
    ]
    identical, near = grouped(contents)
    assert identical == ((0, 2),)
    assert near == ((0, 3, 4, 5),)


def test_different_pictures_are_not_grouped() -> None:
    assert grouped([encoded(pixels(number, 0)) for number in range(400)]) == ((), ())


def test_unusable_pictures_are_not_compared() -> None:
    black = encoded(np.zeros((32, 32, 3), np.uint8))
    assert grouped([black, black, b"x", b"x"]) == ((), ())


def test_many_equal_thumbnails_form_one_group() -> None:
    thumbnails = np.repeat(pixels(0, 0, 16)[None], 5000, axis=0)
    digests = np.random.default_rng(0).integers(0, 256, (5000, 16)).astype(np.uint8)
    duplicates = find_duplicates(digests, thumbnails, np.ones(5000, bool))
    assert [len(group) for group in duplicates.near] == [5000]


def test_hashes_balance_their_bits() -> None:
    thumbnails = np.stack([pixels(number, 0, 16) for number in range(50)])
    hashes = perceptual_hashes(thumbnails, np.arange(50))
    bits = np.unpackbits(hashes.view(np.uint8).reshape(50, 8), axis=1).sum(axis=1)
    assert (abs(bits.astype(int) - 32) <= 1).all()
    assert len(np.unique(hashes)) == 50


def test_groups_join_in_any_order() -> None:
    groups = Groups(6)
    for first, second in ((4, 2), (2, 0), (5, 3)):
        groups.join(first, second)
    assert groups.several() == [[0, 2, 4], [3, 5]]
