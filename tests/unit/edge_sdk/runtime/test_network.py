"""Outputs of a network can be read raw and dequantized."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.model.card import InputContract
from edge_sdk.model.network_card import FACE_DETECTOR, NetworkCard
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.network import Network, Output
from edge_sdk.testing import FakeNetwork

CONTRACT = InputContract(16, 16, "rgb", (0.0,) * 3, (1.0,) * 3)
CODES = np.arange(-128, 128).astype(np.int8).reshape(1, -1, 1)


def network() -> Network:
    """Create a network with two outputs: the image's first pixel in float32, and the same pixel in int8."""
    backend = FakeNetwork(
        lambda image: [image[:, 0, 0], image[:, 0, 0].astype(np.int8)],
        input=TensorInfo((1, *CONTRACT.shape), np.dtype(np.float32)),
        outputs=[
            TensorInfo((1, 3), np.dtype(np.float32)),
            TensorInfo((1, 3), np.dtype(np.int8), 0.5, 3),
        ],
    )
    card = NetworkCard(
        name="first pixel",
        task=FACE_DETECTOR,
        method="none",
        precision="float32",
        input=CONTRACT,
        outputs=("plain", "halves"),
        network_sha256="0" * 64,
        licence="none",
    )
    return Network(backend, card)


def plain(level: int) -> np.ndarray:
    return np.full(CONTRACT.shape, level, np.uint8)


def test_outputs_are_real_numbers_by_name() -> None:
    outputs = network().run(plain(7))
    assert {name: values.tolist() for name, values in outputs.items()} == {
        "plain": [[7.0, 7.0, 7.0]],
        "halves": [[2.0, 2.0, 2.0]],
    }


def test_what_was_taken_from_a_run_is_not_changed_by_the_next() -> None:
    looked_at = network()
    taken = looked_at.read(plain(7))["halves"]
    assert looked_at.read(plain(9))["halves"].real().tolist() == [[3.0, 3.0, 3.0]]
    assert taken.real().tolist() == [[2.0, 2.0, 2.0]]


def test_rows_are_real_numbers_of_their_own() -> None:
    output = Output(np.arange(12, dtype=np.int8).reshape(1, 4, 3), 0.5, 2)
    assert output.real(np.array([2, 0])).tolist() == [[2.0, 2.5, 3.0], [-1.0, -0.5, 0.0]]
    assert output.real().shape == (1, 4, 3)


@given(st.floats(1e-5, 10), st.integers(-128, 127), st.floats(-400, 400))
def test_no_row_at_or_above_a_value_is_missed_and_few_below_are_kept(
    scale: float, zero_point: int, steps: float
) -> None:
    output, least = Output(CODES, scale, zero_point), steps * scale
    kept, real = output.may_reach(least), output.real().ravel()
    assert kept[real >= least].all()
    assert np.count_nonzero(kept & (real < least)) <= 3


def test_real_numbers_are_compared_as_they_are_and_nan_reaches_nothing() -> None:
    output = Output(np.array([[[0.5], [math.nan], [0.49], [math.inf]]], np.float32))
    assert output.may_reach(0.5).tolist() == [True, False, False, True]
