"""Input tensors contain (pixel - mean) / scale, quantized with the tensor's scale; embeddings are unit vectors."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.quantization import code_table, make_encoder, unit_embedding

Make = Callable[..., Any]
SIDES = (24, 20)
# Every pixel value occurs in every channel.
FACE = np.random.default_rng(0).permutation(np.arange(SIDES[0] * SIDES[1] * 3) % 256).astype(np.uint8)
FACE = FACE.reshape(*SIDES, 3)

WAYS = {
    "bit flip": ("int8", 1 / 128, 0, 127.5, 128.0),
    "bit flip by zero point": ("int8", 1.0, -128, 0.0, 1.0),
    "cast to uint8": ("uint8", 1.0, 0, 0.0, 1.0),
    "cast to int16": ("int16", 1.0, 0, 0.0, 1.0),
    "cast to float32": ("float32", 0.0, 0, 0.0, 1.0),
    "lookup int8": ("int8", 1 / 50, 3, 127.5, 128.0),
    "lookup uint8": ("uint8", 1 / 100, 128, 127.5, 128.0),
    "lookup int16": ("int16", 1 / 30000, 0, 127.5, 128.0),
    "lookup float32": ("float32", 0.0, 0, 127.5, 128.0),
    "per channel int8": ("int8", 0.021, -14, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "per channel int16": ("int16", 1e-4, 0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "per channel float32": ("float32", 0.0, 0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


def contract_and_tensor(way: str, color: str) -> tuple[InputContract, TensorInfo]:
    dtype, scale, zero_point, mean, deviation = WAYS[way]
    channels = 1 if color == "gray" else 3

    def values(value: Any) -> tuple[float, ...]:
        return tuple(value[:channels]) if isinstance(value, tuple) else (value,) * channels

    contract = InputContract(*SIDES, color, values(mean), values(deviation))
    return contract, TensorInfo((1, *contract.shape), np.dtype(dtype), scale, zero_point)


def plain(face: np.ndarray, contract: InputContract, tensor: TensorInfo) -> np.ndarray:
    """Compute the formula value by value; halves are rounded down."""
    out = np.zeros(tensor.shape, tensor.dtype)
    for row, column, channel in np.ndindex(*contract.shape):
        from_channel = contract.channels - 1 - channel if contract.color == "bgr" else channel
        pixel = float(face[row, column, from_channel])
        real = np.float32((pixel - contract.mean[channel]) / contract.scale[channel])
        if tensor.dtype == np.float32:
            out[0, row, column, channel] = real
            continue
        limits = np.iinfo(tensor.dtype)
        code = math.ceil(float(real) / tensor.scale + tensor.zero_point - 0.5 - 1e-4)
        out[0, row, column, channel] = min(max(code, limits.min), limits.max)
    return out


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_into_the_tensor_equals_the_plain_formula(way: str, color: str) -> None:
    contract, tensor = contract_and_tensor(way, color)
    face = FACE[..., :1] if color == "gray" else FACE
    view = np.full(tensor.shape, 77, tensor.dtype)
    before = face.copy()
    make_encoder(contract, tensor)(face, view)
    np.testing.assert_array_equal(view, plain(face, contract, tensor))
    np.testing.assert_array_equal(face, before)


@pytest.mark.parametrize("way", WAYS)
def test_a_part_of_a_larger_frame_is_taken_as_it_lies(way: str) -> None:
    contract, tensor = contract_and_tensor(way, "bgr")
    frame = np.zeros((40, 50, 3), np.uint8)
    part = frame[5 : 5 + SIDES[0], 7 : 7 + SIDES[1]]
    part[:] = FACE
    views = [np.zeros(tensor.shape, tensor.dtype) for _ in range(2)]
    for face, view in zip((part, FACE), views, strict=True):
        make_encoder(contract, tensor)(face, view)
    np.testing.assert_array_equal(*views)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_256_pixel_values_keep_256_codes(make_contract: Make, dtype: str) -> None:
    zero_point = 0 if dtype == "int8" else 128
    table = code_table(make_contract(), TensorInfo((1, 96, 96, 3), np.dtype(dtype), 1 / 128, zero_point))
    limits = np.iinfo(dtype)
    for channel in range(3):
        assert table[:, channel].tolist() == list(range(limits.min, limits.max + 1))


@settings(max_examples=100, deadline=None)
@given(
    mean=st.floats(-300, 300),
    scale=st.floats(0.5, 500),
    step=st.floats(1e-3, 1.0),
    zero_point=st.integers(-128, 127),
)
def test_a_code_is_within_half_a_step_of_its_pixel_or_at_the_end_of_the_range(
    mean: float, scale: float, step: float, zero_point: int
) -> None:
    contract = InputContract(16, 16, "gray", (mean,), (scale,))
    codes = code_table(contract, TensorInfo((1, 16, 16, 1), np.dtype(np.int8), step, zero_point))[
        :, 0
    ].astype(int)
    real = (np.arange(256) - mean) / scale
    error = np.abs((codes - zero_point) * step - real)
    inside = (codes > -128) & (codes < 127)
    assert (error[inside] <= 0.501 * step + 1e-5 * np.abs(real[inside])).all()
    assert (np.diff(codes) >= 0).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "scale"),
    [
        ((1, 96, 96, 1), "int8", 1.0),
        ((1, 3, 96, 96), "int8", 1.0),
        ((2, 96, 96, 3), "int8", 1.0),
        ((1, 96, 96, 3), "int8", 0.0),
        ((1, 96, 96, 3), "int32", 1.0),
        ((1, 96, 96, 3), "float16", 0.0),
    ],
)
def test_a_tensor_that_the_contract_does_not_describe_is_refused(
    make_contract: Make, shape: tuple[int, ...], dtype: str, scale: float
) -> None:
    with pytest.raises(ModelContractError, match="expected"):
        make_encoder(make_contract(), TensorInfo(shape, np.dtype(dtype), scale))


@pytest.mark.parametrize(
    ("raw", "zero_point"),
    [
        (np.array([[3, -4, 0, 12]], np.float32), 0),
        (np.array([[[[-128, 127, 0, 5]]]], np.int8), -7),
        (np.array([0, 255, 17], np.uint8), 128),
        (np.array([[-32768, 32767]], np.int16), 0),
    ],
)
def test_an_embedding_has_length_one_and_the_outputs_direction(raw: np.ndarray, zero_point: int) -> None:
    embedding = unit_embedding(raw, zero_point)
    assert embedding.dtype == np.float32
    assert embedding.shape == (raw.size,)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
    exact = raw.reshape(-1).astype(float) - zero_point
    assert embedding == pytest.approx(exact / np.linalg.norm(exact), abs=1e-6)


@pytest.mark.parametrize(
    ("raw", "zero_point"),
    [
        (np.zeros((1, 4), np.float32), 0),
        (np.full((1, 4), 3, np.int8), 3),
        (np.array([[1, np.nan]], np.float32), 0),
        (np.array([[1, np.inf]], np.float32), 0),
    ],
)
def test_an_output_without_a_direction_is_refused(raw: np.ndarray, zero_point: int) -> None:
    with pytest.raises(InputError, match="direction") as refused:
        unit_embedding(raw, zero_point)
    assert "input contract" in (refused.value.hint or "")


def test_an_embedding_does_not_change_with_the_tensor_it_came_from() -> None:
    raw = np.array([[3, 4]], np.float32)
    embedding = unit_embedding(raw, 0)
    raw[:] = 9
    assert embedding == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "codes"),
    [
        # Half to even; values outside the calibrated range become its ends.
        ("int8", 0.5, 10, [10, 10, 12, 12, 127, -128]),
        ("uint8", 0.5, 3, [3, 3, 5, 5, 255, 0]),
        ("int16", 0.5, 0, [0, 0, 2, 2, 400, -400]),
        ("float32", 0.0, 0, [0, 0.25, 0.75, 1.0, 200, -200]),
    ],
)
def test_arrays_are_rounded_and_saturate(
    dtype: str, scale: float, zero_point: int, codes: list[float]
) -> None:
    contract = ArrayContract((6,), low=-200, high=200)
    values = contract.sample(np.array([0, 0.25, 0.75, 1.0, 200, -200]))
    view = np.full((1, 6), 99, dtype)
    make_encoder(contract, TensorInfo((1, 6), np.dtype(dtype), scale, zero_point))(values, view)
    np.testing.assert_array_equal(view[0], codes)


def test_an_array_input_must_match_its_contract() -> None:
    contract = ArrayContract((6,))
    with pytest.raises(ModelContractError, match=r"shape \[1, 6\], found \[1, 7\]"):
        make_encoder(contract, TensorInfo((1, 7), np.dtype("float32")))
    with pytest.raises(ModelContractError, match="found int32"):
        make_encoder(contract, TensorInfo((1, 6), np.dtype("int32")))
