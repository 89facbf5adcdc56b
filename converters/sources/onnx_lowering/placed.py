"""Tensors together with the order in which their axes are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Order = tuple[int, ...]


def channels_last(rank: int) -> Order:
    """Return the order N, spatial axes, C of a tensor whose ONNX axes are N, C, spatial axes."""
    return (0, *range(2, rank), 1) if rank > 2 else identity(rank)


def identity(rank: int) -> Order:
    """Return the order of the ONNX axes themselves."""
    return tuple(range(rank))


@dataclass(frozen=True, eq=False)
class Placed:
    """An ONNX tensor as it is stored.

    Args:
        data: A TensorFlow tensor, or a numpy array if the tensor is constant; its shape is static.
        order: For each stored axis, the ONNX axis that it is.
        flattened: The tensor of which this is a Reshape to (N, C x H x W); None for all others.
    """

    data: Any
    order: Order
    flattened: Placed | None = None

    @property
    def constant(self) -> bool:
        """True if the value is known."""
        return isinstance(self.data, np.ndarray)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides in the order of the ONNX axes."""
        sides = [0] * self.rank
        for axis, side in zip(self.order, self.data.shape, strict=True):
            sides[axis] = int(side)
        return tuple(sides)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def position(self, axis: int) -> int:
        """Return the stored position of an ONNX axis, which may be negative."""
        return self.order.index(axis % self.rank)

    def with_axis_last(self, axis: int) -> Order:
        """Return the stored order with an ONNX axis moved to the end."""
        axis %= self.rank
        return (*(other for other in self.order if other != axis), axis)

    def with_data(self, data: Any) -> Placed:
        """Return another value of the same order."""
        return Placed(data, self.order)


def plain(data: Any) -> Placed:
    """Wrap a value that is stored in the order of its ONNX axes."""
    return Placed(data, identity(len(data.shape)))


def stored(tf: Any, value: Placed, order: Order) -> Any:
    """Return a tensor's data in another order of its axes."""
    permutation = [value.order.index(axis) for axis in order]
    if permutation == list(range(value.rank)):
        return value.data
    if value.constant:
        return np.transpose(value.data, permutation)
    sides = [int(side) for side in value.data.shape]
    moved = [position for position in permutation if sides[position] != 1]
    if moved == sorted(moved):
        return tf.reshape(value.data, [sides[position] for position in permutation])
    return tf.transpose(value.data, permutation)


def as_onnx(tf: Any, value: Placed) -> Any:
    """Return a tensor's data in the order of its ONNX axes."""
    return stored(tf, value, identity(value.rank))


def lift(tf: Any, value: Placed, rank: int) -> Placed:
    """Add leading axes of length 1, as broadcasting does."""
    more = rank - value.rank
    if more <= 0:
        return value
    shape = [1] * more + [int(side) for side in value.data.shape]
    data = np.reshape(value.data, shape) if value.constant else tf.reshape(value.data, shape)
    return Placed(data, (*range(more), *(axis + more for axis in value.order)))


def common_order(values: Sequence[Placed]) -> Order:
    """Choose the order of tensors of one rank that moves the fewest values: that of the largest computed tensor."""
    computed = [value for value in values if not value.constant] or list(values)
    return max(computed, key=lambda value: (value.size, value.order != identity(value.rank))).order


def aligned(tf: Any, values: Sequence[Placed]) -> tuple[list[Any], Order]:
    """Bring tensors that broadcast into one order; return their data and the order."""
    rank = max(value.rank for value in values)
    lifted = [lift(tf, value, rank) for value in values]
    order = common_order(lifted)
    return [_short(value, stored(tf, value, order)) for value in lifted], order


def _short(value: Placed, data: Any) -> Any:
    """Remove leading axes of length 1 of a constant, as TFLite fuses a bias only from a vector."""
    if not value.constant:
        return data
    leading = next((i for i, side in enumerate(data.shape) if side != 1), data.ndim)
    return data.reshape(data.shape[leading:])


def reshaped(tf: Any, value: Placed, shape: Sequence[int]) -> Placed:
    """Reshape, and keep the stored order if the new axes split or join neighbouring axes of the old ones."""
    shape = [int(side) for side in shape]
    if value.constant:
        return plain(np.reshape(as_onnx(tf, value), shape))
    groups = _groups(value.shape, shape)
    sequence = [axis for axis in value.order if value.shape[axis] != 1]
    joined: list[int] = []
    result: list[int] = []
    for axis in sequence:
        group = next(group for group in groups if axis in group[0])
        if group[0][0] not in joined:
            joined += group[0]
            result += group[1]
    ones_old = tuple(axis for axis in range(value.rank) if value.shape[axis] == 1)
    data = value.data
    if joined != sequence:
        data = stored(tf, value, (*ones_old, *joined))
    order = _place_ones(tuple(result), shape)
    target = [shape[axis] for axis in order]
    if [int(side) for side in data.shape] != target:
        data = tf.reshape(data, target)
    flattened = value if len(shape) == 2 and value.rank > 2 and shape[0] == value.shape[0] else None
    return Placed(data, order, flattened)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Match axes of two shapes of the same size: the smallest runs of old and new axes with equal products, without 1."""
    left = [axis for axis, side in enumerate(old) if side != 1]
    right = [axis for axis, side in enumerate(new) if side != 1]
    groups = []
    while left:
        a, b = [left.pop(0)], [right.pop(0)]
        while (p := math.prod(old[i] for i in a)) != (q := math.prod(new[i] for i in b)):
            if p < q:
                a.append(left.pop(0))
            else:
                b.append(right.pop(0))
        groups.append((a, b))
    return groups


def _place_ones(sequence: Order, shape: Sequence[int]) -> Order:
    """Complete an order of the longer axes by the axes of length 1, as channels last or as identity if possible."""
    rank = len(shape)
    for order in (channels_last(rank), identity(rank)) if rank == 4 else (identity(rank),):
        if tuple(axis for axis in order if shape[axis] != 1) == sequence:
            return order
    return (*(axis for axis in range(rank) if shape[axis] == 1), *sequence)
