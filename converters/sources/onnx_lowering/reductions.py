"""Operators that combine the values along axes: sums, extremes, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, as_onnx, plain, reshaped, stored


def without_axes(value: Placed, data: Any, axes: Sequence[int]) -> Placed:
    """Describe data whose axes were removed; ``axes`` are axes of ``value``, not negative."""
    kept = [axis for axis in range(value.rank) if axis not in axes]
    return Placed(data, tuple(kept.index(axis) for axis in value.order if axis not in axes))


def _axes(call: Call, value: Placed) -> list[int]:
    axes = call.parameter("axes", 1)
    if axes is None or not len(axes):
        return [] if call.get("noop_with_empty_axes", 0) else list(range(value.rank))
    return sorted({int(axis) % value.rank for axis in axes})


def _reduce(compute: Callable[[Any, Any, list[int], bool], Any]) -> Lowering:
    def lowering(tf: Any, call: Call) -> Placed:
        value = call.value(0)
        axes = _axes(call, value)
        keep = bool(call.get("keepdims", 1))
        data = compute(tf, value.data, sorted(value.position(axis) for axis in axes), keep)
        return value.with_data(data) if keep else without_axes(value, data, axes)

    return lowering


def _log_sum_exp(tf: Any, x: Any, axes: list[int], keep: bool) -> Any:
    most = tf.reduce_max(x, axes, keepdims=True)
    total = tf.math.log(tf.reduce_sum(tf.exp(x - most), axes, keepdims=True)) + most
    return total if keep else tf.squeeze(total, axes)


def _arg(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    if call.get("select_last_index", 0):
        raise UnsupportedOperatorError("select_last_index=1")
    axis = call.get("axis", 0) % value.rank
    position = value.position(axis)
    compute = tf.argmax if call.kind == "ArgMax" else tf.argmin
    data = compute(value.data, position, output_type=tf.int32)
    if call.get("keepdims", 1):
        return value.with_data(tf.expand_dims(data, position))
    return without_axes(value, data, [axis])


def _softmax(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    compute = tf.nn.log_softmax if call.kind == "LogSoftmax" else tf.nn.softmax
    axis = call.get("axis", -1 if call.opset >= 13 else 1) % value.rank
    rest = value.shape[axis + 1 :]
    if call.opset < 13 and any(side != 1 for side in rest):
        # Up to opset 12, all axes from this one on are one.
        flat = reshaped(tf, value, [*value.shape[:axis], math.prod(value.shape[axis:])])
        return reshaped(tf, plain(compute(as_onnx(tf, flat))), value.shape)
    order = value.with_axis_last(axis)
    return Placed(compute(stored(tf, value, order)), order)


def _top_k(tf: Any, call: Call) -> list[Placed]:
    value = call.value(0)
    count = int(np.reshape(call.parameter("k", 1), ()))
    order = value.with_axis_last(call.get("axis", -1))
    data = stored(tf, value, order)
    if not call.get("largest", 1):
        data = -data
    values, positions = tf.math.top_k(data, count)
    return [Placed(values if call.get("largest", 1) else -values, order), Placed(positions, order)]


def _cumulative(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    axis = int(np.reshape(call.constant(1), ()))
    reverse, exclusive = bool(call.get("reverse", 0)), bool(call.get("exclusive", 0))
    return value.with_data(tf.cumsum(value.data, value.position(axis), exclusive=exclusive, reverse=reverse))


OPERATORS: Mapping[str, Lowering] = {
    "ReduceMean": _reduce(lambda tf, x, axes, keep: tf.reduce_mean(x, axes, keep)),
    "ReduceSum": _reduce(lambda tf, x, axes, keep: tf.reduce_sum(x, axes, keep)),
    "ReduceMax": _reduce(lambda tf, x, axes, keep: tf.reduce_max(x, axes, keep)),
    "ReduceMin": _reduce(lambda tf, x, axes, keep: tf.reduce_min(x, axes, keep)),
    "ReduceProd": _reduce(lambda tf, x, axes, keep: tf.reduce_prod(x, axes, keep)),
    "ReduceL1": _reduce(lambda tf, x, axes, keep: tf.reduce_sum(tf.abs(x), axes, keep)),
    "ReduceL2": _reduce(lambda tf, x, axes, keep: tf.sqrt(tf.reduce_sum(x * x, axes, keep))),
    "ReduceSumSquare": _reduce(lambda tf, x, axes, keep: tf.reduce_sum(x * x, axes, keep)),
    "ReduceLogSum": _reduce(lambda tf, x, axes, keep: tf.math.log(tf.reduce_sum(x, axes, keep))),
    "ReduceLogSumExp": _reduce(_log_sum_exp),
    "ArgMax": _arg,
    "ArgMin": _arg,
    "CumSum": _cumulative,
    "LogSoftmax": _softmax,
    "Softmax": _softmax,
    "TopK": _top_k,
}
