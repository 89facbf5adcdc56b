"""Activation equalization: scale channels so that the channels of a tensor have similar ranges.

With one int8 scale per tensor, a channel with a range of 2 gets the step of a channel with a range of 40. If tensors
are connected by positively homogeneous operators (f(s x) = s f(x) for s > 0: PReLU, ReLU, padding with zeros,
pooling, addition), each channel can be divided by s > 0 in the producers' weights and multiplied by s in the
consumers' weights; the float function stays the same. This is cross-layer equalization (Nagel et al. 2019,
arXiv:1906.04721), with the split of SmoothQuant (arXiv:2211.10438) if consumers mix channels, applied to whole
groups of tensors.

A clip such as ReLU6 is not homogeneous. Groups that contain clips are found on request. They are divided by s <= 1 only,
and by no less than the share of the limit that the channel reaches, so a channel that reaches the limit keeps it, and
another channel is clipped at or above its largest calibrated value instead. The function is then exact on the
calibration images. The int8 range of a tensor clips in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.graph.graph import Graph, indices
from edge_sdk.types import Float64Array

_SAME_CHANNELS = {
    "RELU",
    "LEAKY_RELU",
    "PRELU",
    "PAD",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "ADD",
    "SUB",
    "MEAN",
}
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_NONE, _RELU = 0, 1
#: Limits of clips, as magnitudes, by fused activation and by operator.
_FUSED_LIMITS = {schema.ActivationFunctionType.RELU6: 6.0, schema.ActivationFunctionType.RELU_N1_TO_1: 1.0}
_CLIP_LIMITS = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0, "RELU_0_TO_1": 1.0}
_CLIPS = {*_CLIP_LIMITS, "MINIMUM", "MAXIMUM"}
# Limits the consumers' weights of a channel that is almost always zero.
LARGEST_SCALE = 1e3
#: Room above the largest calibrated value of a clipped channel: other images exceed it now and then.
_CLIP_MARGIN = 1.25


@dataclass(frozen=True)
class Group:
    """Tensors whose channels must be scaled together.

    Args:
        tensors: Tensor indices.
        channels: Number of channels of each tensor.
        producers: Weighted operators that write into the group.
        consumers: Weighted operators that read from the group.
        limits: Limit of each clip in the group, as a magnitude, by the clipped tensor.
    """

    tensors: tuple[int, ...]
    channels: int
    producers: tuple[schema.OperatorT, ...]
    consumers: tuple[schema.OperatorT, ...]
    limits: Mapping[int, float] = field(default_factory=dict)


def find_groups(graph: Graph, *, clips: bool = False) -> list[Group]:
    """Find the groups of tensors that can be scaled channel by channel without changing the float function.

    Args:
        graph: A float network.
        clips: True to find groups that contain clips too; scaling them is exact on the calibration images only.
    """
    parent = {i: i for i in range(len(graph.tensors))}

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for operator in graph.operators:
        if _carries_channels(graph, operator) and (clips or clip_limit(graph, operator) is None):
            computed = [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
            for i in computed:
                parent[find(i)] = find(indices(operator.outputs)[0])
    members: dict[int, list[int]] = {}
    for i in [*graph.inputs, *graph.computed()]:
        members.setdefault(find(i), []).append(i)
    groups = [_group(graph, tensors) for tensors in members.values()]
    return [group for group in groups if group is not None and (clips or not group.limits)]


def equalize(
    graph: Graph,
    groups: Sequence[Group],
    largest: Mapping[int, Float64Array],
    *,
    weight_share: float = 0.5,
) -> list[Float64Array]:
    """Scale the channels of every group, in place.

    Args:
        graph: The float network.
        groups: Groups to scale.
        largest: Largest magnitude of each channel by tensor index, shape (C,), for all tensors of the groups.
        weight_share: Share of the differences between channels that moves from activations into weights, 0..1, if a
            consumer mixes channels: s = (activation / weight) ** weight_share. If all consumers are depthwise, all of
            the difference moves into their weights, which have a scale per channel.

    Returns:
        The divisors of the channels of each group, shape (C,), in the order of the groups; ``apply_scales`` repeats them.
    """
    scales: list[Float64Array] = []
    for group in groups:
        reach = np.max([largest[i] for i in group.tensors], axis=0)
        alive = reach > 0
        scale, share = np.ones(group.channels), weight_share
        if not alive.any():
            scales.append(scale)
            continue
        if all(graph.op_name(op) == "DEPTHWISE_CONV_2D" for op in group.consumers):
            scale[alive], share = reach[alive], 1.0
        else:
            weight = np.max([_reading_magnitude(graph, op, group.channels) for op in group.consumers], axis=0)
            usable = alive & (weight > 0)
            scale[usable] = (reach[usable] / weight[usable]) ** weight_share
            alive = usable
        if alive.any():
            scale[alive] /= np.exp(np.log(scale[alive]).mean())
        if group.limits:
            scale = _keep_limits(group, scale, alive, share, largest)
        scale = np.clip(scale, 1 / LARGEST_SCALE, LARGEST_SCALE)
        _apply(graph, group, scale)
        scales.append(scale)
    return scales


def _keep_limits(
    group: Group,
    scale: Float64Array,
    alive: NDArray[np.bool_],
    share: float,
    largest: Mapping[int, Float64Array],
) -> Float64Array:
    """Move scales between 1 and the share of the limit that each channel reaches, so that clips change no calibrated value."""
    reached = np.max(
        [np.minimum(_CLIP_MARGIN * largest[i] / limit, 1.0) for i, limit in group.limits.items()], axis=0
    )
    if (alive & (reached > 0)).any():
        middle = np.exp(np.log(reached[alive & (reached > 0)]).mean())
        scale = np.where(alive, scale * middle**share, 1.0)
    limited: Float64Array = np.clip(scale, reached, 1.0)
    return limited


def apply_scales(graph: Graph, groups: Sequence[Group], scales: Sequence[Float64Array]) -> None:
    """Divide the channels of each group by known scales, in place, as ``equalize`` did when it returned them."""
    for group, scale in zip(groups, scales, strict=True):
        _apply(graph, group, scale)


def _carries_channels(graph: Graph, operator: schema.OperatorT) -> bool:
    """Return True if f(s x) = s f(x) for this operator without its clip, with one s > 0 per channel of the last axis."""
    name = graph.op_name(operator)
    if name not in _SAME_CHANNELS and not (name in _CLIPS and clip_limit(graph, operator)):
        return False
    if fused_activation(operator) not in (_NONE, _RELU, *_FUSED_LIMITS):
        return False
    output = indices(operator.outputs)[0]
    computed = [i for i in indices(operator.inputs) if i >= 0 and graph.constant(i) is None]
    if any(graph.shape(i)[-1:] != graph.shape(output)[-1:] for i in computed):
        return False
    if name == "MEAN":
        axes = graph.constant(indices(operator.inputs)[1])
        rank = len(graph.shape(computed[0]))
        return axes is not None and all(int(a) % rank != rank - 1 for a in np.atleast_1d(axes))
    # A constant operand would have to be scaled too, and a broadcast constant has no value per channel.
    return name not in {"ADD", "SUB"} or len(computed) == 2


def _group(graph: Graph, tensors: list[int]) -> Group | None:
    """Return the group of these tensors, or None if an operator at its boundary cannot absorb the scale."""
    inside = set(tensors)
    if inside & {*graph.inputs, *graph.outputs}:
        return None
    producers, consumers = [], []
    for operator in graph.operators:
        writes = inside & set(indices(operator.outputs))
        reads = inside & set(indices(operator.inputs))
        if writes and not reads:
            if not _can_write_scaled(graph, operator):
                return None
            producers.append(operator)
        elif reads and not writes:
            if not _can_read_scaled(graph, operator):
                return None
            consumers.append(operator)
        elif reads and not _carries_channels(graph, operator):
            return None
    channels = {graph.shape(i)[-1] for i in tensors}
    if not producers or not consumers or len(channels) != 1:
        return None
    writers = {i: op for op in graph.operators for i in indices(op.outputs) if i in inside}
    limits = {i: limit for i, op in writers.items() if (limit := clip_limit(graph, op)) is not None}
    return Group(tuple(tensors), channels.pop(), tuple(producers), tuple(consumers), limits)


def clip_limit(graph: Graph, operator: schema.OperatorT) -> float | None:
    """Return the magnitude to which an operator clips its output; None if it does not clip."""
    fused = _FUSED_LIMITS.get(fused_activation(operator))
    if fused is not None or graph.op_name(operator) not in {"MINIMUM", "MAXIMUM"}:
        return fused or _CLIP_LIMITS.get(graph.op_name(operator))
    constants = [value for i in indices(operator.inputs) if (value := graph.constant(i)) is not None]
    if len(constants) != 1 or constants[0].size != 1 or constants[0].dtype != np.float32:
        return None
    limit = float(constants[0].reshape(-1)[0])
    bounds = limit > 0 if graph.op_name(operator) == "MINIMUM" else limit < 0
    return abs(limit) if bounds else None


def _can_write_scaled(graph: Graph, operator: schema.OperatorT) -> bool:
    return (
        graph.op_name(operator) in _WEIGHTED
        and _has_own_weights(graph, operator)
        and fused_activation(operator) in (_NONE, _RELU, *_FUSED_LIMITS)
    )


def _can_read_scaled(graph: Graph, operator: schema.OperatorT) -> bool:
    name = graph.op_name(operator)
    if name not in _WEIGHTED or not _has_own_weights(graph, operator):
        return False
    weights = graph.constant(indices(operator.inputs)[1])
    source = graph.shape(indices(operator.inputs)[0])
    # With depth multipliers, groups or a dense layer on a flattened image, input channels do not match weight channels.
    return (
        weights is not None
        and weights.shape[-1] == source[-1]
        and (name != "DEPTHWISE_CONV_2D" or operator.builtinOptions.depthMultiplier == 1)
    )


def _has_own_weights(graph: Graph, operator: schema.OperatorT) -> bool:
    """Return True if all operands after the first are float constants that no other operator reads."""
    operands = [i for i in indices(operator.inputs)[1:] if i >= 0]
    values = [graph.constant(i) for i in operands]
    return all(v is not None and v.dtype == np.float32 for v in values) and all(
        len(graph.consumers(i)) == 1 for i in operands
    )


def fused_activation(operator: schema.OperatorT) -> int:
    """Return the code of the operator's fused activation, 0 for none."""
    return int(getattr(operator.builtinOptions, "fusedActivationFunction", 0) or 0)


def _reading_magnitude(graph: Graph, operator: schema.OperatorT, channels: int) -> Float64Array:
    """Return the largest magnitude, per input channel, of the weights that read the channel, shape (C,)."""
    weights = graph.constant(indices(operator.inputs)[1])
    if weights is None:  # pragma: no cover  _can_read_scaled has checked
        return np.ones(channels)
    magnitude = np.abs(weights.astype(np.float64))
    if graph.op_name(operator) == "DEPTHWISE_CONV_2D":
        per_channel: Float64Array = magnitude.reshape(-1, channels).max(axis=0)
        return per_channel
    rows = magnitude.reshape(weights.shape[0], -1, channels).max(axis=1)
    reading: Float64Array = rows.max(axis=0)
    return reading


def _apply(graph: Graph, group: Group, scale: Float64Array) -> None:
    for operator in group.producers:
        multiply_channels(graph, operator, 1 / scale, output=True)
    for operator in group.consumers:
        multiply_channels(graph, operator, scale, output=False)


def multiply_channels(
    graph: Graph, operator: schema.OperatorT, factor: Float64Array, *, output: bool
) -> None:
    """Multiply the weights of an operator by a factor per output channel or per input channel, in place.

    Args:
        graph: The float network.
        operator: A producer or consumer of a group, so its weights have no other reader.
        factor: Shape (C,).
        output: True for output channels (weights and bias), False for input channels.
    """
    operands = indices(operator.inputs)
    last = not output or graph.op_name(operator) == "DEPTHWISE_CONV_2D"
    _multiply(graph, operands[1], factor, axis=-1 if last else 0)
    if output and len(operands) > 2 and operands[2] >= 0:
        _multiply(graph, operands[2], factor, axis=0)


def _multiply(graph: Graph, index: int, factor: Float64Array, *, axis: int) -> None:
    value = graph.constant(index)
    if value is None:  # pragma: no cover  _has_own_weights has checked
        return
    shape = [1] * value.ndim
    shape[axis] = -1
    graph.set_constant(index, (value.astype(np.float64) * factor.reshape(shape)).astype(np.float32))
