"""Convolution and transposed convolution in one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, channels_last, stored
from converters.sources.onnx_lowering.windows import Windows, as_planes, from_planes


def _bias(tf: Any, call: Call, data: Any) -> Any:
    bias = call.optional(2)
    return data if bias is None else data + bias.data


def _conv(tf: Any, call: Call) -> Placed:
    value, kernel = call.value(0), call.constant(1)
    group = call.get("group", 1)
    spatial = value.rank - 2
    windows = Windows.of(call, value.shape[2:], kernel.shape[2:])
    data = stored(tf, value, channels_last(value.rank))
    filters = np.transpose(kernel, (*range(2, kernel.ndim), 1, 0))
    if spatial == 1:
        data, filters, windows = as_planes(tf, data), filters[None], windows.as_planes()
    depthwise = spatial < 3 and group > 1 and group == value.shape[1]
    data, padding = windows.padded(tf, data, 0.0, same=not depthwise or len(set(windows.strides)) == 1)
    if spatial == 3:
        if group != 1:
            raise UnsupportedOperatorError(f"a grouped convolution in three dimensions (group={group})")
        strides, dilations = [1, *windows.strides, 1], [1, *windows.dilations, 1]
        result = tf.nn.conv3d(data, filters, strides, padding, dilations=dilations)
    elif depthwise:
        result = _depthwise(tf, data, filters, windows, padding)
    else:
        # A filter with fewer channels than the image is a grouped convolution, in TensorFlow and in TFLite.
        result = tf.nn.conv2d(
            data, filters, list(windows.strides), padding, dilations=list(windows.dilations)
        )
    result = _bias(tf, call, result)
    if spatial == 1:
        result = from_planes(tf, result)
    return Placed(result, channels_last(value.rank))


def _depthwise(tf: Any, data: Any, filters: Any, windows: Windows, padding: str) -> Any:
    height, width, _, outputs = filters.shape
    channels = int(data.shape[-1])
    filters = np.reshape(filters, (height, width, channels, outputs // channels))
    strides = windows.strides
    if strides[0] != strides[1] and 1 in data.shape[1:3]:
        strides = (max(strides), max(strides))  # a side of length 1 has one window at any stride
    step: tuple[int, int] = (1, 1)
    if strides[0] != strides[1]:  # the operator has one stride for both directions
        strides, step = (1, 1), (strides[0], strides[1])
    result = tf.raw_ops.DepthwiseConv2dNative(
        input=data,
        filter=tf.constant(filters),
        strides=[1, *strides, 1],
        padding=padding,
        dilations=[1, *windows.dilations, 1],
    )
    return result if step == (1, 1) else result[:, :: step[0], :: step[1]]


def _conv_transpose(tf: Any, call: Call) -> Placed:
    value, kernel = call.value(0), call.constant(1)
    spatial = value.rank - 2
    if spatial > 2:
        raise UnsupportedOperatorError("a transposed convolution in three dimensions")
    group = call.get("group", 1)
    strides = list(call.get("strides", [1] * spatial))
    kernel = _dilated(_joined_groups(kernel, group), call.get("dilations", [1] * spatial))
    sides = value.shape[2:]
    full = [
        (side - 1) * step + size for side, step, size in zip(sides, strides, kernel.shape[2:], strict=True)
    ]
    begin, sides_out = _crop(call, sides, strides, kernel.shape[2:], full)
    data = stored(tf, value, channels_last(value.rank))
    filters = np.transpose(kernel, (*range(2, kernel.ndim), 1, 0))
    if spatial == 1:
        data, filters = as_planes(tf, data), filters[None]
        strides, full, begin, sides_out = [1, *strides], [1, *full], [0, *begin], [1, *sides_out]
    shape = [int(data.shape[0]), *full, filters.shape[2]]
    result = tf.nn.conv2d_transpose(data, filters, shape, strides, "VALID")
    missing = [max(b + w - f, 0) for b, w, f in zip(begin, sides_out, full, strict=True)]
    if any(missing):  # output_padding beyond the last window
        result = tf.pad(result, [[0, 0], *([0, more] for more in missing), [0, 0]])
    slices = [slice(b, b + w) for b, w in zip(begin, sides_out, strict=True)]
    if begin != [0, 0] or sides_out != full:
        result = result[(slice(None), *slices, slice(None))]
    result = _bias(tf, call, result)
    return Placed(from_planes(tf, result) if spatial == 1 else result, channels_last(value.rank))


def _joined_groups(kernel: Any, group: int) -> Any:
    """Write a grouped kernel (C, M / group, ...) as a full one (C, M, ...) with zeros between the groups."""
    if group == 1:
        return kernel
    inputs, outputs = kernel.shape[0] // group, kernel.shape[1]
    joined = np.zeros((kernel.shape[0], outputs * group, *kernel.shape[2:]), kernel.dtype)
    for index in range(group):
        rows = slice(index * inputs, (index + 1) * inputs)
        joined[rows, index * outputs : (index + 1) * outputs] = kernel[rows]
    return joined


def _dilated(kernel: Any, dilations: Sequence[int]) -> Any:
    sides = [(side - 1) * step + 1 for side, step in zip(kernel.shape[2:], dilations, strict=True)]
    result = np.zeros((*kernel.shape[:2], *sides), kernel.dtype)
    result[(slice(None), slice(None), *(slice(None, None, step) for step in dilations))] = kernel
    return result


def _crop(
    call: Call, sides: Sequence[int], strides: Sequence[int], window: Sequence[int], full: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return where the output begins in the full result, and its sides."""
    count = len(sides)
    more = list(call.get("output_padding", [0] * count))
    pads = list(call.get("pads", [0] * 2 * count))
    mode = call.get("auto_pad", "NOTSET")
    shape = call.get("output_shape")
    if shape is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        shape = [side * step for side, step in zip(sides, strides, strict=True)]
    if shape is None:
        begin = pads[:count]
        return begin, [f + m - a - b for f, m, a, b in zip(full, more, begin, pads[count:], strict=True)]
    sides_out = list(shape)[-count:]
    total = [f + m - w for f, m, w in zip(full, more, sides_out, strict=True)]
    # The standard cuts the larger half at the beginning, except for SAME_UPPER.
    return [max(t // 2 if mode == "SAME_UPPER" else t - t // 2, 0) for t in total], sides_out


OPERATORS: Mapping[str, Lowering] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
