"""Pools over windows and over the whole image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, channels_last, stored
from converters.sources.onnx_lowering.windows import Windows, as_planes, from_planes

_LOW = float(np.finfo(np.float32).min)


def _pool(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    spatial = value.rank - 2
    windows = Windows.of(call, value.shape[2:], call.get("kernel_shape"))
    if set(windows.dilations) != {1}:
        raise UnsupportedOperatorError(f"dilations {list(windows.dilations)}")
    if spatial > 2 or len([name for name in call.outputs if name]) > 1:
        raise UnsupportedOperatorError("three spatial dimensions, or indices as a second output")
    data = stored(tf, value, channels_last(value.rank))
    if spatial == 1:
        data, windows = as_planes(tf, data), windows.as_planes()
    if call.kind == "MaxPool":
        data, padding = windows.padded(tf, data, _LOW)
        result = tf.nn.max_pool2d(data, windows.kernel, windows.strides, padding)
    elif call.kind == "AveragePool":
        result = _average(tf, data, windows, bool(call.get("count_include_pad", 0)))
    else:
        power = call.get("p", 2)
        # A sum, so zeros beyond the image add nothing.
        data, padding = windows.padded(tf, tf.pow(tf.abs(data), float(power)), 0.0, same=False)
        result = tf.nn.avg_pool2d(data, windows.kernel, windows.strides, padding) * math.prod(windows.kernel)
        result = tf.pow(result, 1.0 / power)
    return Placed(from_planes(tf, result) if spatial == 1 else result, channels_last(value.rank))


def _average(tf: Any, data: Any, windows: Windows, include: bool) -> Any:
    if not include and windows.is_padded and windows.is_same:
        return tf.nn.avg_pool2d(data, windows.kernel, windows.strides, "SAME")  # counts the image alone
    if windows.is_padded:
        data = tf.pad(data, [(0, 0), *windows.all_pads, (0, 0)])
    result = tf.nn.avg_pool2d(data, windows.kernel, windows.strides, "VALID")
    counts = _counts(windows, include)
    area = math.prod(windows.kernel)
    return result if (counts == area).all() else result * (area / counts).astype(np.float32)[..., None]


def _counts(windows: Windows, include: bool) -> Any:
    """Return how many values each window averages, shape (height, width)."""
    axes = []
    for side, kernel, step, (before, after), (_, end) in zip(
        windows.sides, windows.kernel, windows.strides, windows.pads, windows.all_pads, strict=True
    ):
        counted = np.zeros(side + before + end)
        counted[0 if include else before : before + side + (after if include else 0)] = 1
        starts = range(0, len(counted) - kernel + 1, step)
        axes.append(np.array([counted[start : start + kernel].sum() for start in starts]))
    return np.outer(axes[0], axes[1])


def _global(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    positions = [value.position(axis) for axis in range(2, value.rank)]
    if call.kind == "GlobalLpPool":
        power = call.get("p", 2)
        total = tf.reduce_sum(tf.pow(tf.abs(value.data), float(power)), positions, keepdims=True)
        return value.with_data(tf.pow(total, 1.0 / power))
    reduce = tf.reduce_mean if call.kind == "GlobalAveragePool" else tf.reduce_max
    return value.with_data(reduce(value.data, positions, keepdims=True))


OPERATORS: Mapping[str, Lowering] = {
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global),
}
