"""Normalizations of batches, layers, groups and vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, aligned, channels_last, identity, stored


def _by_channel(array: Any, rank: int) -> Placed:
    """Shape a vector of one value per channel so that it broadcasts to (N, C, ...)."""
    return Placed(np.reshape(array, (-1, *[1] * (rank - 2))), identity(rank - 1))


def _scaled(tf: Any, value: Placed, scale: Placed | None, bias: Placed | None) -> Placed:
    for other, add in ((scale, False), (bias, True)):
        if other is None:
            continue
        (a, b), order = aligned(tf, [value, other])
        value = Placed(a + b if add else a * b, order)
    return value


def _batch(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    if call.get("training_mode", 0):
        raise UnsupportedOperatorError("training mode: export the model after model.eval()")
    scale, bias, mean, variance = (call.constant(index).astype(np.float64) for index in range(1, 5))
    factor = scale / np.sqrt(variance + call.get("epsilon", 1e-5))
    offset = bias - mean * factor
    return _scaled(
        tf,
        value,
        _by_channel(factor.astype(np.float32), max(value.rank, 2)),
        _by_channel(offset.astype(np.float32), max(value.rank, 2)),
    )


def _standardized(tf: Any, data: Any, positions: Sequence[int], epsilon: float) -> Any:
    centred = data - tf.reduce_mean(data, positions, keepdims=True)
    variance = tf.reduce_mean(centred * centred, positions, keepdims=True)
    return centred * tf.math.rsqrt(variance + epsilon)


def _instance(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    positions = [value.position(axis) for axis in range(2, value.rank)]
    result = value.with_data(_standardized(tf, value.data, positions, call.get("epsilon", 1e-5)))
    scale, bias = (_by_channel(call.constant(index), value.rank) for index in (1, 2))
    return _scaled(tf, result, scale, bias)


def _layer(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    if any(call.outputs[1:]):
        raise UnsupportedOperatorError("mean and deviation as further outputs")
    axis = call.get("axis", -1) % value.rank
    positions = [value.position(other) for other in range(axis, value.rank)]
    epsilon = call.get("epsilon", 1e-5)
    if call.kind == "RMSNormalization":
        square = tf.reduce_mean(value.data * value.data, positions, keepdims=True)
        data = value.data * tf.math.rsqrt(square + epsilon)
    else:
        data = _standardized(tf, value.data, positions, epsilon)
    return _scaled(tf, value.with_data(data), call.optional(1), call.optional(2))


def _group(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    groups, channels = call.get("num_groups"), value.shape[1]
    data = stored(tf, value, channels_last(value.rank))
    sides = [int(side) for side in data.shape]
    split = tf.reshape(data, [*sides[:-1], groups, channels // groups])
    positions = [*range(1, value.rank - 1), value.rank]
    data = tf.reshape(_standardized(tf, split, positions, call.get("epsilon", 1e-5)), sides)
    scale, bias = call.constant(1), call.constant(2)
    if len(scale) != channels:  # opset 18 has one value per group
        scale, bias = np.repeat(scale, channels // groups), np.repeat(bias, channels // groups)
    result = Placed(data, channels_last(value.rank))
    return _scaled(tf, result, _by_channel(scale, value.rank), _by_channel(bias, value.rank))


def _mean_variance(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    positions = [value.position(axis) for axis in call.get("axes", [0, 2, 3])]
    return value.with_data(_standardized(tf, value.data, positions, 1e-9))


def _lp(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    order = value.with_axis_last(call.get("axis", -1))
    data = stored(tf, value, order)
    if call.get("p", 2) == 2:
        return Placed(tf.math.l2_normalize(data, -1), order)
    return Placed(data / tf.reduce_sum(tf.abs(data), -1, keepdims=True), order)


def _local_response(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    order = channels_last(value.rank)
    size = call.get("size")
    if value.rank != 4 or size % 2 == 0:
        raise UnsupportedOperatorError(f"size {size} of a tensor with {value.rank} axes")
    data = tf.nn.local_response_normalization(
        stored(tf, value, order),
        depth_radius=size // 2,
        bias=call.get("bias", 1.0),
        alpha=call.get("alpha", 1e-4) / size,
        beta=call.get("beta", 0.75),
    )
    return Placed(data, order)


OPERATORS: Mapping[str, Lowering] = {
    "BatchNormalization": _batch,
    "GroupNormalization": _group,
    "InstanceNormalization": _instance,
    "LRN": _local_response,
    "LayerNormalization": _layer,
    "LpNormalization": _lp,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": _layer,
}
