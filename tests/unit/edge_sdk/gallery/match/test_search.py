"""Every kernel returns the same leaders as exact scoring of every row, bit for bit."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.gallery.match.kernels import FewRows, Float32Blocks, Int8Rows, Kernel, Probe, kernel_for
from edge_sdk.gallery.match.search import Leader, Search

simsimd = pytest.importorskip("simsimd", reason="the extra fast is not installed")


def unit(random: np.random.Generator, dimension: int) -> np.ndarray:
    vector = random.normal(size=dimension)
    return vector / np.linalg.norm(vector)


def rows(random: np.random.Generator, count: int, dimension: int, dtype: str) -> tuple[Any, np.ndarray]:
    if dtype == "int8":
        matrix: Any = random.integers(-128, 128, (count, dimension)).astype(np.int8)
        matrix[:, 0] = np.where(matrix.any(axis=1), matrix[:, 0], 1)
    else:
        wide = random.normal(size=(count, dimension))
        matrix = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)
        matrix[:, 0] = np.where(matrix.any(axis=1), matrix[:, 0], 1)
    scales = (1 / np.linalg.norm(matrix.astype(np.float64), axis=1)).astype(np.float32)
    return matrix, scales


def kernels(matrix: Any, scales: np.ndarray) -> list[Kernel]:
    portable: list[Kernel] = [FewRows(matrix, scales), Float32Blocks(matrix, scales)]
    return [*portable, Int8Rows(simsimd, matrix, scales)] if matrix.dtype == np.int8 else portable


def exact_scores(
    matrix: Any, scales: np.ndarray, owners: np.ndarray, probe: Probe, excluded: np.ndarray
) -> dict[int, float]:
    """Return the score of each subject, computed with fractions instead of numpy."""
    best: dict[int, float] = {}
    for row in range(len(matrix)):
        if row in excluded:
            continue
        dot = sum(Fraction(float(a)) * int(b) for a, b in zip(matrix[row], probe.integers, strict=True))
        score = float(dot) * float(scales[row]) / probe.length
        best[int(owners[row])] = max(score, best.get(int(owners[row]), -math.inf))
    return best


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 40),
    dimension=st.sampled_from([1, 2, 3, 7, 32, 100]),
    dtype=st.sampled_from(["int8", "float16"]),
    gap=st.sampled_from([0.0, 1e-9, 0.01, 0.3, 2.0]),
    floor=st.sampled_from([-math.inf, -0.5, 0.0, 0.2, 0.9]),
    copies=st.integers(0, 3),
)
def test_every_kernel_gives_what_exact_scoring_gives(
    seed: int, count: int, dimension: int, dtype: str, gap: float, floor: float, copies: int
) -> None:
    random = np.random.default_rng(seed)
    matrix, scales = rows(random, count, dimension, dtype)
    for _ in range(copies):  # ties between subjects
        source, target = random.integers(count, size=2)
        matrix[target], scales[target] = matrix[source], scales[source]
    owners = random.integers(0, count, count).astype(np.uint32)
    excluded = np.flatnonzero(random.random(count) < 0.2)
    probe = Probe.of(unit(random, dimension))
    scored = exact_scores(matrix, scales, owners, probe, excluded)
    top = max(scored.values(), default=-math.inf)
    expected = sorted(
        (Leader(s, score) for s, score in scored.items() if score >= top - gap and top >= floor),
        key=lambda leader: (-leader.score, leader.subject),
    )
    for kernel in kernels(matrix, scales):
        search = Search(matrix, scales, owners, kernel=kernel)
        assert search.leaders(probe, floor=floor, gap=gap, excluded_rows=excluded) == expected, kernel
        everyone = np.ones(count, dtype=bool)
        assert dict(search.scores(probe, everyone)) == exact_scores(
            matrix, scales, owners, probe, np.empty(0, int)
        )


@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("dimension", [128, 500, 512, 4096])
def test_no_error_is_larger_than_its_bound(dtype: str, dimension: int) -> None:
    random = np.random.default_rng(dimension)
    matrix, scales = rows(random, 700, dimension, dtype)
    if dtype == "int8":
        matrix[0], matrix[1] = -128, 127
    scales = (1 / np.linalg.norm(matrix.astype(np.float64), axis=1)).astype(np.float32)
    for probe in [Probe.of(unit(random, dimension)) for _ in range(5)] + [
        Probe.of(np.full(dimension, sign / dimension**0.5)) for sign in (1.0, -1.0)
    ]:
        exact = matrix.astype(np.float64) @ probe.integers * scales / probe.length
        for kernel in kernels(matrix, scales):
            values, divisor, error = kernel.scores(probe)
            assert np.abs(values / divisor - exact).max() <= error
            assert error < 0.02


def test_the_worst_probe_for_int8_is_within_the_bound_and_the_bound_is_tight() -> None:
    """The row points in the direction of the error that the probe's 8-bit part has."""
    integers = np.full(256, 128.0)  # 258 * 0 + 128: the 8-bit part of these is 0
    integers[0] = 32767
    probe = Probe.of(integers / np.linalg.norm(integers))
    rest = probe.integers - 258.0 * probe.coarse[0]
    row = np.rint(127 * rest / np.abs(rest).max()).astype(np.int8)[np.newaxis]
    scales = (1 / np.linalg.norm(row.astype(np.float64), axis=1)).astype(np.float32)
    values, divisor, error = Int8Rows(simsimd, row, scales).scores(probe)
    wrong = abs(values[0] / divisor - (row @ probe.integers)[0] * scales[0] / probe.length)
    assert 0.9 * error < wrong <= error


def test_scales_that_are_not_what_the_format_says_do_not_change_the_answer() -> None:
    random = np.random.default_rng(3)
    matrix, scales = rows(random, 500, 64, "int8")
    scales = scales * random.uniform(0.2, 5, 500).astype(np.float32)
    owners = np.arange(500, dtype=np.uint32)
    for _ in range(50):
        probe = Probe.of(unit(random, 64))
        answers = [Search(matrix, scales, owners, kernel=k).leaders(probe) for k in kernels(matrix, scales)]
        assert answers[0] == answers[1] == answers[2]


def test_a_search_does_not_copy_the_matrix() -> None:
    import tracemalloc

    random = np.random.default_rng(5)
    matrix, scales = rows(random, 20_000, 256, "int8")
    probe = Probe.of(unit(random, 256))
    for kernel in (Int8Rows(simsimd, matrix, scales), Float32Blocks(matrix, scales)):
        search = Search(matrix, scales, np.arange(20_000, dtype=np.uint32), kernel=kernel)
        search.leaders(probe)
        tracemalloc.start()
        search.leaders(probe)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < matrix.nbytes / 4


def test_without_the_extra_numpy_is_used() -> None:
    matrix, scales = rows(np.random.default_rng(1), 1000, 64, "int8")
    assert isinstance(kernel_for(matrix, scales), Int8Rows)
    assert isinstance(kernel_for(matrix, scales, fast=False), Float32Blocks)
    assert isinstance(kernel_for(matrix[:5], scales[:5]), FewRows)


def test_an_empty_gallery_has_no_leader() -> None:
    search = Search(np.empty((0, 8), np.int8), np.empty(0, np.float32), np.empty(0, np.uint32))
    assert search.leaders(Probe.of(np.eye(8)[0])) == []
