"""Operators that move, join, cut or select values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import (
    Placed,
    aligned,
    as_onnx,
    channels_last,
    common_order,
    lift,
    plain,
    reshaped,
    stored,
)


def _reshape(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    target = [int(side) for side in call.parameter("shape", 1)]
    if not call.get("allowzero", 0):
        target = [value.shape[i] if side == 0 else side for i, side in enumerate(target)]
    if -1 in target:
        known = int(np.prod([side for side in target if side != -1]))
        target[target.index(-1)] = value.size // known
    return reshaped(tf, value, target)


def _flatten(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    axis = call.get("axis", 1)
    axis = axis % value.rank if axis < 0 else axis
    rows = int(np.prod(value.shape[:axis]))
    return reshaped(tf, value, [rows, value.size // rows])


def _squeeze(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    axes = call.parameter("axes", 1)
    chosen = (
        {axis for axis, side in enumerate(value.shape) if side == 1}
        if axes is None
        else {int(axis) % value.rank for axis in axes}
    )
    return reshaped(tf, value, [side for axis, side in enumerate(value.shape) if axis not in chosen])


def _unsqueeze(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    axes = [int(axis) for axis in np.atleast_1d(call.parameter("axes", 1))]
    rank = value.rank + len(axes)
    new = {axis % rank for axis in axes}
    sides = iter(value.shape)
    return reshaped(tf, value, [1 if axis in new else next(sides) for axis in range(rank)])


def _transpose(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    order = list(call.get("perm", range(value.rank)[::-1]))
    return Placed(value.data, tuple(order.index(axis) for axis in value.order))


def _concat(tf: Any, call: Call) -> Placed:
    values = [call.value(index) for index in range(len(call.inputs))]
    order = common_order(values)
    axis = call.get("axis") % values[0].rank
    return Placed(tf.concat([stored(tf, value, order) for value in values], order.index(axis)), order)


def _split(tf: Any, call: Call) -> list[Placed]:
    value = call.value(0)
    axis = call.get("axis", 0) % value.rank
    sizes = call.parameter("split", 1)
    if sizes is None:
        side, count = value.shape[axis], len(call.outputs)
        size = -(-side // count)
        sizes = [min(size, side - start) for start in range(0, side, size)]
    parts = tf.split(value.data, [int(size) for size in sizes], value.position(axis))
    return [value.with_data(part) for part in parts]


def _slice(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    starts, ends = call.parameter("starts", 1), call.parameter("ends", 2)
    axes = call.parameter("axes", 3, range(len(starts)))
    steps = call.constant(4)
    slices: list[slice] = [slice(None)] * value.rank
    for axis, start, end, step in zip(
        axes, starts, ends, np.ones(len(starts), int) if steps is None else steps, strict=True
    ):
        position = value.position(int(axis))
        begin, stop, stride = slice(int(start), int(end), int(step)).indices(value.data.shape[position])
        slices[position] = slice(begin, None if stop < 0 else stop, stride)
    return value.with_data(value.data[tuple(slices)])


def _gather(tf: Any, call: Call) -> Placed:
    value, indices = call.value(0), call.value(1)
    axis = call.get("axis", 0) % value.rank
    if not indices.constant:
        return plain(tf.gather(as_onnx(tf, value), tf.cast(as_onnx(tf, indices), tf.int32), axis=axis))
    chosen = call.constant(1) % value.shape[axis]
    position = value.position(axis)
    if chosen.ndim == 0:
        cut = [slice(None)] * value.rank
        cut[position] = slice(int(chosen), int(chosen) + 1)
        part = value.with_data(value.data[tuple(cut)])
        return reshaped(tf, part, [side for other, side in enumerate(value.shape) if other != axis])
    if chosen.ndim == 1:
        return value.with_data(_along(tf, value.data, position, chosen))
    return plain(tf.gather(as_onnx(tf, value), chosen.astype(np.int32), axis=axis))


def _along(tf: Any, data: Any, position: int, chosen: Any) -> Any:
    """Select values along one stored axis; a run with one step is a slice."""
    steps = set(np.diff(chosen).tolist())
    if len(chosen) == 1 or (len(steps) == 1 and min(steps) > 0):
        cut = [slice(None)] * len(data.shape)
        cut[position] = slice(int(chosen[0]), int(chosen[-1]) + 1, min(steps, default=1))
        return data[tuple(cut)]
    return tf.gather(data, chosen.astype(np.int32), axis=position)


def _expand(tf: Any, call: Call) -> Placed:
    target = [int(side) for side in call.constant(1)]
    value = lift(tf, call.value(0), len(target))
    sides = [*[1] * (value.rank - len(target)), *target]
    shape = [max(a, b) for a, b in zip(value.shape, sides, strict=True)]
    if tuple(shape) == value.shape:
        return value
    return value.with_data(tf.broadcast_to(value.data, [shape[axis] for axis in value.order]))


def _tile(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    repeats = call.constant(1)
    return value.with_data(tf.tile(value.data, [int(repeats[axis]) for axis in value.order]))


def _pad(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    flat = [int(side) for side in call.parameter("pads", 1)]
    axes = call.constant(3)
    chosen = list(range(value.rank)) if axes is None else [int(axis) % value.rank for axis in axes]
    pads = {axis: (flat[i], flat[i + len(chosen)]) for i, axis in enumerate(chosen)}
    stored_pads = [pads.get(axis, (0, 0)) for axis in value.order]
    data = value.data
    if any(side < 0 for pair in stored_pads for side in pair):
        cut = [
            slice(max(-a, 0), int(n) - max(-b, 0)) for (a, b), n in zip(stored_pads, data.shape, strict=True)
        ]
        data = data[tuple(cut)]
        stored_pads = [(max(a, 0), max(b, 0)) for a, b in stored_pads]
    mode = call.get("mode", "constant")
    if mode == "constant":
        fill = call.parameter("value", 2, 0.0)
        return value.with_data(tf.pad(data, stored_pads, constant_values=np.float32(np.reshape(fill, ()))))
    if mode == "reflect":
        return value.with_data(tf.pad(data, stored_pads, mode="REFLECT"))
    if mode not in ("edge", "wrap"):
        raise UnsupportedOperatorError(f"mode {mode!r}")
    for position, (before, after) in enumerate(stored_pads):
        side = int(data.shape[position])
        index = np.arange(-before, side + after)
        index = np.clip(index, 0, side - 1) if mode == "edge" else index % side
        if before or after:
            data = tf.gather(data, index.astype(np.int32), axis=position)
    return value.with_data(data)


def _depth_to_space(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    block = call.get("blocksize")
    data = stored(tf, value, channels_last(4))
    channels = value.shape[1]
    if call.get("mode", "DCR") == "CRD":
        depth = channels // block**2
        index = np.arange(channels).reshape(depth, block, block).transpose(1, 2, 0).ravel()
        data = tf.gather(data, index.astype(np.int32), axis=-1)
    return Placed(tf.nn.depth_to_space(data, block), channels_last(4))


def _space_to_depth(tf: Any, call: Call) -> Placed:
    block = call.get("blocksize")
    data = tf.nn.space_to_depth(stored(tf, call.value(0), channels_last(4)), block)
    if call.get("mode", "DCR") == "CRD":
        channels = int(data.shape[-1])
        index = np.arange(channels).reshape(block, block, -1).transpose(2, 0, 1).ravel()
        data = tf.gather(data, index.astype(np.int32), axis=-1)
    return Placed(data, channels_last(4))


def _gather_nd(tf: Any, call: Call) -> Placed:
    if call.get("batch_dims", 0):
        raise UnsupportedOperatorError("batch_dims")
    return plain(tf.gather_nd(as_onnx(tf, call.value(0)), call.constant(1).astype(np.int32)))


def _gather_elements(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    index = call.constant(1)
    axis = call.get("axis", 0) % value.rank
    index = np.where(index < 0, index + value.shape[axis], index)
    grid = list(np.indices(index.shape))
    grid[axis] = index
    return plain(tf.gather_nd(as_onnx(tf, value), np.stack(grid, -1).astype(np.int32)))


def _trilu(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    offset = call.constant(1)
    mask = np.ones(value.shape[-2:], np.float32)
    cut = np.triu if call.get("upper", 1) else np.tril
    mask = cut(mask, 0 if offset is None else int(np.reshape(offset, ())))
    (a, b), order = aligned(tf, [value, plain(mask)])
    return Placed(a * b, order)


def _reverse_sequence(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    time = call.get("time_axis", 0)
    lengths = call.constant(1)
    if set(map(int, lengths)) != {value.shape[time]}:
        raise UnsupportedOperatorError("sequences that are shorter than their axis")
    return value.with_data(tf.reverse(value.data, [value.position(time)]))


OPERATORS: Mapping[str, Lowering] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
