"""SHP3 preserves cosines at every dimension and can be undone."""

import numpy as np
import pytest

from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.match.transform import Shp3, blocks


def unit(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("dimension", [1, 2, 3, 64, 96, 127, 128, 256, 500, 512, 1000])
def test_cosines_are_kept_and_the_rotation_undone(dimension: int) -> None:
    rotation = Shp3.from_key(bytes(range(32)), dimension)
    rows = unit(60, dimension)
    rotated = rotation.apply(rows)
    assert np.abs(rotated @ rotated.T - rows @ rows.T).max() <= 2e-15
    assert np.abs(rotation.invert(rotated) - rows).max() <= 2e-15


def test_the_blocks_of_a_dimension() -> None:
    assert blocks(512) == [512]
    assert blocks(500) == [256, 128, 64, 32, 16, 4]
    assert blocks(1) == [1]


def test_two_keys_give_unrelated_templates() -> None:
    rows = unit(50, 512)
    first, second = (Shp3.from_key(bytes([k]) * 32, 512).apply(rows) for k in (1, 2))
    assert np.abs((first * second).sum(axis=1)).max() < 0.25
    assert np.abs((first * rows).sum(axis=1)).max() < 0.25


def test_the_rotation_spreads_a_large_number_and_lowers_the_error_of_int8() -> None:
    spiky = unit(200, 512)
    spiky[:, 0] += 2.0
    spiky /= np.linalg.norm(spiky, axis=1, keepdims=True)

    def worst_error(rows: np.ndarray) -> float:
        stored, scales = quantize(rows, TemplateType.INT8)
        return float(np.abs(stored * scales[:, None] - rows).max())

    assert worst_error(Shp3.from_key(bytes(32), 512).apply(spiky)) < 0.5 * worst_error(spiky)


def test_a_stored_row_and_its_scale_are_a_unit_vector() -> None:
    for template_type in TemplateType:
        stored, scales = quantize(unit(20, 96), template_type)
        lengths = np.linalg.norm(stored.astype(np.float64) * scales[:, None], axis=1)
        assert np.abs(lengths - 1).max() < 1e-7
