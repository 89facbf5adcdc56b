"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering
from converters.sources.onnx_lowering.placed import Placed, aligned, as_onnx, identity, plain, stored


def _matmul(tf: Any, call: Call) -> Placed:
    a, b = call.value(0), call.value(1)
    if b.constant and b.rank == 2 and a.rank >= 2:
        return _dense(tf, a, call.constant(1))
    left, right = as_onnx(tf, a), as_onnx(tf, b)
    if a.rank == 1:
        left = left[None]
    if b.rank == 1:
        right = right[:, None]
    result = tf.matmul(left, right)
    if b.rank == 1:
        result = result[..., 0]
    if a.rank == 1:
        result = result[0] if b.rank == 1 else result[..., 0, :]
    return plain(result)


def _dense(tf: Any, value: Placed, weights: Any) -> Placed:
    """Multiply the last axis by constant weights (K, N).

    If the value is a flattened image whose values are stored with channels last, the rows of the weights are moved instead
    of the values.
    """
    image = value.flattened
    if image is not None and image.order != identity(image.rank) and image.order[0] == 0:
        sides = image.shape[1:]
        rows = np.reshape(weights, (*sides, -1))
        rows = np.transpose(rows, (*(axis - 1 for axis in image.order[1:]), len(sides)))
        data = tf.reshape(image.data, [value.shape[0], value.shape[1]])
        return plain(tf.matmul(data, np.reshape(rows, weights.shape)))
    order = value.with_axis_last(value.rank - 1)
    data = stored(tf, value, order)
    # TFLite's converter makes FULLY_CONNECTED of a product with a constant matrix, for any number of axes.
    return Placed(tf.matmul(data, weights), order)


def _gemm(tf: Any, call: Call) -> Placed:
    a, b = call.value(0), call.value(1)
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if b.constant and not call.get("transA", 0):
        weights = call.constant(1)
        weights = weights.T if call.get("transB", 0) else weights
        result = _dense(tf, a, weights if alpha == 1 else weights * np.float32(alpha))
    else:
        data = tf.matmul(
            as_onnx(tf, a),
            as_onnx(tf, b),
            transpose_a=bool(call.get("transA", 0)),
            transpose_b=bool(call.get("transB", 0)),
        )
        result = plain(data if alpha == 1 else data * alpha)
    bias = call.optional(2)
    if bias is None or beta == 0:
        return result
    (x, c), order = aligned(tf, [result, bias if beta == 1 else bias.with_data(bias.data * np.float32(beta))])
    return Placed(x + c, order)


def _einsum(tf: Any, call: Call) -> Placed:
    equation = call.get("equation").replace(" ", "")
    return plain(tf.einsum(equation, *(as_onnx(tf, call.value(i)) for i in range(len(call.inputs)))))


OPERATORS: Mapping[str, Lowering] = {"Einsum": _einsum, "Gemm": _gemm, "MatMul": _matmul}
