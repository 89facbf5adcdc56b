"""Conversion of pixels or arrays to the network's input tensor, and of its output tensor to a unit embedding.

Affine quantization as in Jacob et al. 2018 (arXiv:1712.05877): real = scale * (q - zero_point).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.types import FloatArray, SampleArray, UInt8Array

#: Writes one sample into the input tensor's view: a uint8 (H, W, C) image, or an array of the contract's shape and type.
Encoder = Callable[[SampleArray, "NDArray[Any]"], None]

_PIXELS = np.arange(256)
# Round halves down. For example, (p - 127.5) / 128 at scale 1/128 is halfway between two codes for every pixel value
# p. If all are rounded in the same direction, the 256 pixel values get 256 different codes.
_TIE = 0.5 + 1e-4
# Number of rows that are looked up at a time: numpy converts indices to 64 bits, eight times the size of the pixels.
_ROWS = 16


def real_table(contract: InputContract) -> FloatArray:
    """Compute the real value of each pixel value: shape (256, C), float32."""
    mean = np.asarray(contract.mean, np.float64)
    scale = np.asarray(contract.scale, np.float64)
    return ((_PIXELS[:, None] - mean) / scale).astype(np.float32)


def code_table(contract: InputContract, tensor: TensorInfo) -> NDArray[Any]:
    """Compute the input tensor's value for each pixel value: shape (256, C), in the tensor's dtype."""
    real = real_table(contract)
    if tensor.dtype == np.float32:
        return real
    _check_integer(tensor)
    limits = np.iinfo(tensor.dtype)
    codes = np.ceil(real.astype(np.float64) / tensor.scale + tensor.zero_point - _TIE)
    return codes.clip(limits.min, limits.max).astype(tensor.dtype)


def _check_integer(tensor: TensorInfo) -> None:
    if tensor.dtype not in (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16)) or tensor.scale <= 0:
        raise ModelContractError(
            f"expected a float32, int8, uint8 or int16 input tensor, found {tensor.dtype} scale {tensor.scale:g}"
        )


def make_encoder(contract: AnyContract, tensor: TensorInfo) -> Encoder:
    """Choose the fastest exact conversion from samples to the input tensor.

    ``make_array_encoder`` describes the conversion of arrays; the rest holds for pixels.

    A value takes one bit flip if the int8 codes are pixel - 128, one cast if the codes equal the pixels, and otherwise
    float arithmetic or a table lookup.
    Integer tensors are computed without a float image. Every conversion gives exactly the values of `code_table`.

    Raises:
        ModelContractError: The tensor does not match the contract.
    """
    if tensor.shape != (1, *contract.shape):
        raise ModelContractError(
            f"expected an input tensor of shape {[1, *contract.shape]}, found {list(tensor.shape)}",
            hint="the contract and the graph must agree",
        )
    if isinstance(contract, ArrayContract):
        return make_array_encoder(tensor)
    table = code_table(contract, tensor)
    reverse = contract.color == "bgr"
    if (table == table[:, :1]).all():
        column = np.ascontiguousarray(table[:, 0])
        mean, scale = np.float32(contract.mean[0]), np.float32(contract.scale[0])
        if table.dtype == np.float32 and np.array_equal((_PIXELS.astype(np.float32) - mean) / scale, column):
            return _arithmetic(mean, scale, reverse)
        return _one_table(column, reverse)
    return _table_per_channel(table, reverse)


def make_array_encoder(tensor: TensorInfo) -> Encoder:
    """Convert values that ``ArrayContract.sample`` has checked to the input tensor.

    An integer tensor receives ``value / scale`` rounded half to even, plus the zero point, computed in float64 and limited
    to the tensor's type: a value outside the calibrated range becomes the end of that range.

    Raises:
        ModelContractError: The tensor is neither float32 nor a quantized int8, uint8 or int16.
    """
    if tensor.dtype == np.float32:

        def copy(values: SampleArray, view: NDArray[Any]) -> None:
            view[0] = values

        return copy
    _check_integer(tensor)
    limits = np.iinfo(tensor.dtype)
    scale, zero_point = float(tensor.scale), tensor.zero_point

    def quantize(values: SampleArray, view: NDArray[Any]) -> None:
        codes = np.rint(values.astype(np.float64) / scale) + zero_point
        view[0] = codes.clip(limits.min, limits.max)

    return quantize


def _arithmetic(mean: np.float32, scale: np.float32, reverse: bool) -> Encoder:
    """Encode a float tensor in two vector operations, three times faster than a lookup; used only if exact."""

    def shift_and_scale(face: UInt8Array, view: NDArray[Any]) -> None:
        np.subtract(face[..., ::-1] if reverse else face, mean, out=view[0], dtype=np.float32)
        if scale != 1:
            np.divide(view[0], scale, out=view[0])

    return shift_and_scale


def _one_table(table: NDArray[Any], reverse: bool) -> Encoder:
    def ordered(face: UInt8Array) -> UInt8Array:
        return face[..., ::-1] if reverse else face

    if table.dtype == np.int8 and np.array_equal(table, _PIXELS - 128):

        def flip(face: UInt8Array, view: NDArray[Any]) -> None:
            np.bitwise_xor(ordered(face), np.uint8(128), out=view[0].view(np.uint8))

        return flip
    if np.array_equal(table, _PIXELS):

        def cast(face: UInt8Array, view: NDArray[Any]) -> None:
            np.copyto(view[0], ordered(face))

        return cast

    def look_up(face: UInt8Array, view: NDArray[Any]) -> None:
        # Indices are never out of range (uint8 into 256 entries); mode "wrap" avoids a buffer in np.take.
        for top in range(0, len(face), _ROWS):
            rows = slice(top, top + _ROWS)
            np.take(table, ordered(face[rows]), out=view[0, rows], mode="wrap")

    return look_up


def _table_per_channel(table: NDArray[Any], reverse: bool) -> Encoder:
    channels = table.shape[1]
    tables = [np.ascontiguousarray(table[:, c]) for c in range(channels)]

    def look_up(face: UInt8Array, view: NDArray[Any]) -> None:
        for top in range(0, len(face), _ROWS):
            rows = slice(top, top + _ROWS)
            for c, column in enumerate(tables):
                view[0, rows, :, c] = column[face[rows, :, channels - 1 - c if reverse else c]]

    return look_up


def unit_embedding(raw: NDArray[Any], zero_point: int) -> FloatArray:
    """Convert the output tensor to a unit embedding; the quantization scale cancels out.

    Args:
        raw: The output tensor, any shape with D elements, float or integer.
        zero_point: Quantization zero point of the tensor, 0 for a float tensor.

    Returns:
        Shape (D,), float32, L2 norm 1 within 1e-5.

    Raises:
        InputError: The output is all zero or not finite, so it has no direction.
    """
    # Copy, because the tensor's memory belongs to the interpreter and changes at the next invoke.
    embedding = raw.reshape(-1).astype(np.float32)
    # The traceback of the error below keeps local variables alive, and the interpreter refuses to run while its memory
    # is referenced.
    del raw
    if zero_point:
        embedding -= np.float32(zero_point)
    norm = math.sqrt(embedding.dot(embedding))
    if not 0 < norm < math.inf:
        raise InputError(
            f"expected an embedding with a direction, found norm {norm}",
            hint="the network's output is all zero or not finite for this image; check the input contract",
        )
    embedding /= np.float32(norm)
    return embedding
