"""Measure the quantization error of every tensor of a network, in execution order.

The error is a signal-to-quantization-noise ratio (SQNR) in decibels, 10 log10(signal power / noise power). There are
two: the accumulated error of a tensor, and the error of rounding the float values to the tensor's own 256 steps. The
first shows where the network is inaccurate, the second which tensor causes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from converters.data.tensor_values import Activations
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from edge_sdk.errors import InputError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.types import Float64Array, SampleArray

#: A few images are enough: the SQNR of different sets of images varies by only tenths of a decibel.
LAYER_IMAGES = 16

# Operators that only pass on their input, so that their error comes from earlier operators.
_PASSING = {"PAD", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE"}
_ROUNDED = "_quantized"  # ai-edge-quantizer's name for the integer form of a float operator's output
_FLOOR = 1e-12  # share of the signal power (120 dB); noise below it counts as no difference


@dataclass(frozen=True)
class TensorError:
    """Error of one tensor of the integer network.

    Args:
        position: Position of its operator in the float network, from 0.
        operator: Operator, such as ``CONV_2D``.
        tensor: Name of the tensor.
        shape: Shape for one image.
        sqnr_db: SQNR of the integer network's values, dB; None if there is no difference.
        rounding_db: SQNR of the float values rounded to this tensor's steps, dB; None if rounding changes nothing or the
            tensor is float in both networks.
        cosine: Mean cosine of the two tensors.
        channel_steps: Median of the channels' ranges, in steps of the tensor; None if it is float in both networks.
    """

    position: int
    operator: str
    tensor: str
    shape: tuple[int, ...]
    sqnr_db: float | None
    rounding_db: float | None
    cosine: float
    channel_steps: float | None


@dataclass(frozen=True)
class LayerErrors:
    """Errors of all tensors that both networks have.

    Args:
        baseline: Name of the float file.
        candidate: Name of the integer file.
        images: Number of images.
        tensors: Errors in execution order.
        unmatched: Number of tensors of the float network that the integer network does not have.
    """

    baseline: str
    candidate: str
    images: int
    tensors: tuple[TensorError, ...]
    unmatched: int

    def worst(self, count: int = 5) -> tuple[TensorError, ...]:
        """Return the tensors with the largest rounding error, worst first."""
        own = [
            (t.rounding_db, t)
            for t in self.tensors
            if t.rounding_db is not None and t.operator not in _PASSING
        ]
        return tuple(t for _, t in sorted(own, key=lambda pair: (pair[0], pair[1].position))[:count])

    def steepest(self) -> tuple[TensorError, TensorError] | None:
        """Return the neighbours (before, after) between which the share of noise increases most."""
        known = [(t, 0.0 if t.sqnr_db is None else 10 ** (-t.sqnr_db / 10)) for t in self.tensors]
        rises = [(b[1] - a[1], a[0], b[0]) for a, b in pairwise(known)]
        if not rises:
            return None
        _, before, after = max(rises, key=lambda rise: (rise[0], -rise[1].position))
        return before, after

    def to_json(self) -> dict[str, Any]:
        """Return the errors as JSON values."""
        return asdict(self)


def measure_layer_errors(
    baseline: Network,
    candidate: Network,
    contract: AnyContract,
    pixels: SampleArray,
    *,
    names: tuple[str, str] = ("float", "int8"),
    progress: Callable[[int, int], None] | None = None,
) -> LayerErrors:
    """Run both networks on the same images and compare all tensors.

    Args:
        baseline: The float reference: the float network after equalization, which scales the channels of tensors.
        candidate: The quantized network, with the same tensor names.
        contract: The input contract of both networks.
        pixels: Shape (n, H, W, C), uint8, at the network's size, n >= 1.
        names: Names of the two networks in the result.
        progress: Called with (done, total).

    Returns:
        The errors, without tensors if no tensor names match.

    Raises:
        InputError: There is no image.
    """
    graph = baseline.graph
    operators = _computed(graph)
    matches = _match(operators, _computed(candidate.graph))
    if not len(pixels):
        raise InputError("expected at least one image, found none")
    if not matches:
        return LayerErrors(*names, len(pixels), (), len(operators))
    sums: dict[str, _Sums] = {}
    steps: dict[str, _Steps] = {}
    runs = zip(
        _activations(baseline, contract, pixels, list(matches)),
        _activations(candidate, contract, pixels, list(matches.values())),
        strict=True,
    )
    for done, (baseline_values, candidate_values) in enumerate(runs, start=1):
        for name, match in matches.items():
            values, _ = baseline_values[name]
            others, steps[name] = candidate_values[match]
            sums.setdefault(name, _Sums()).add(_channels(values), _channels(others), steps[name])
        if progress is not None:
            progress(done, len(pixels))
    rows = [
        sums[name].row(position, operator, name, shape, steps[name])
        for name, (position, operator, shape) in operators.items()
        if name in matches
    ]
    return LayerErrors(*names, len(pixels), tuple(rows), len(operators) - len(rows))


@dataclass(frozen=True)
class _Steps:
    """Quantization of a tensor: value = scale * (q - zero_point), q in low..high; scale 0 for a float tensor."""

    scale: float
    zero_point: int
    low: int
    high: int

    def round(self, values: Float64Array) -> Float64Array:
        codes = np.round(values / self.scale) + self.zero_point
        return (np.clip(codes, self.low, self.high) - self.zero_point) * self.scale


class _Sums:
    """Sums over images from which the errors of one tensor are computed."""

    def __init__(self) -> None:
        self._signal = self._noise = self._rounding = self._cosine = 0.0
        self._images = 0
        self._low: Float64Array | None = None
        self._high: Float64Array | None = None

    def add(self, values: Float64Array, others: Float64Array, steps: _Steps) -> None:
        """Add the values of one image; both shapes are (positions, channels)."""
        power, other_power = float((values**2).sum()), float((others**2).sum())
        self._signal += power
        self._noise += float(((others - values) ** 2).sum())
        both = (power * other_power) ** 0.5
        self._cosine += float((values * others).sum()) / both if both else float(power == other_power)
        self._images += 1
        if steps.scale:
            self._rounding += float(((steps.round(values) - values) ** 2).sum())
            low, high = values.min(0), values.max(0)
            self._low = low if self._low is None else np.minimum(self._low, low)
            self._high = high if self._high is None else np.maximum(self._high, high)

    def row(
        self, position: int, operator: str, name: str, shape: tuple[int, ...], steps: _Steps
    ) -> TensorError:
        spans = None
        if self._low is not None and self._high is not None:
            spans = float(np.median((self._high - self._low) / steps.scale))
        return TensorError(
            position=position,
            operator=operator,
            tensor=name,
            shape=shape,
            sqnr_db=_decibels(self._signal, self._noise),
            rounding_db=_decibels(self._signal, self._rounding) if steps.scale else None,
            cosine=self._cosine / self._images,
            channel_steps=spans,
        )


def _decibels(signal: float, noise: float) -> float | None:
    if noise <= _FLOOR * signal or signal == 0:
        return None
    return float(10 * np.log10(signal / noise))


def _computed(graph: Graph) -> dict[str, tuple[int, str, tuple[int, ...]]]:
    """Return position, operator and shape of every computed tensor by its name, in execution order."""
    return {
        graph.name(index): (position, graph.op_name(operator), graph.shape(index))
        for position, operator in enumerate(graph.operators)
        for index in indices(operator.outputs)
        if graph.dtype_name(index) in {"float32", "int8", "uint8", "int16"}
    }


def _match(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, str]:
    """Match each float tensor with its counterpart in the integer network, in the form that later operators read."""
    matches = {}
    for name in baseline:
        for match in (name + _ROUNDED, name):
            if match in candidate:
                matches[name] = match
                break
    return matches


def _activations(
    network: Network, contract: AnyContract, pixels: SampleArray, names: list[str]
) -> Iterator[dict[str, tuple[Float64Array, _Steps]]]:
    inside = Activations(network, contract, names)
    for crop in pixels:
        inside.run(crop)
        yield {name: _real(inside[name], tensor) for name, tensor in inside.tensors.items()}


def _real(values: Any, tensor: TensorInfo) -> tuple[Float64Array, _Steps]:
    wide = np.asarray(values, np.float64)
    if not tensor.scale:
        return wide, _Steps(0.0, 0, 0, 0)
    limits = np.iinfo(values.dtype)
    steps = _Steps(tensor.scale, tensor.zero_point, int(limits.min), int(limits.max))
    return (wide - tensor.zero_point) * tensor.scale, steps


def _channels(values: Float64Array) -> Float64Array:
    return values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
