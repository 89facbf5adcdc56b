"""Full int8: every tensor of the network an integer, for NPUs, microcontrollers and NNAPI.

Weights are symmetric int8 with a scale per output channel (per tensor in FULLY_CONNECTED), biases int32,
activations affine int8 with a scale per tensor, as LiteRT's quantization specification asks (ai.google.dev/edge/litert/models/quantization_spec; Jacob et
al. 2018, arXiv:1712.05877). The ranges are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.quantize.statistics import TensorRange
from edge_sdk.types import Float64Array

_LOW, _HIGH = -128, 127
# Sums of products must have room beside the bias in 32 bits.
_LARGEST_BIAS = 1 << 30
# Kernels hold a scale ratio as a mantissa and a shift of at most 31 bits.
_SMALLEST_RATIO = 2.0**-30


@dataclass(frozen=True)
class Affine:
    """real = scale * (q - zero_point), q in -128..127."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, found: TensorRange) -> Affine:
        """The int8 codes of a range, widened to hold zero, which is one code exactly."""
        low, high = min(found.low, 0.0), max(found.high, 0.0)
        if high <= low:
            return cls(1.0, 0)  # always zero
        scale = float(np.float32((high - low) / (_HIGH - _LOW)))
        return cls(scale, int(np.clip(round(_LOW - low / scale), _LOW, _HIGH)))

    def round(self, values: NDArray[np.float32]) -> NDArray[np.int8]:
        """The codes of real values."""
        codes = np.rint(values.astype(np.float64) / self.scale) + self.zero_point
        return codes.clip(_LOW, _HIGH).astype(np.int8)


@dataclass(frozen=True)
class _Form:
    """What an operator's int8 form asks of its tensors.

    Args:
        version: Of the operator, the first that has int8.
        scales: ``own``, the output has its range's; ``operand``, the output has its operand's; ``one``, all
            operands have the output's; ``weighted``, constant weights per channel and an int32 bias.
        fixed: The output's, where the kernel knows no other.
    """

    version: int
    scales: str
    fixed: Affine | None = None


_FORMS = {
    **{name: _Form(3, "weighted") for name in ("CONV_2D", "DEPTHWISE_CONV_2D")},
    "FULLY_CONNECTED": _Form(4, "weighted"),
    **{name: _Form(1, "own") for name in ("PRELU", "LEAKY_RELU", "RELU_N1_TO_1", "HARD_SWISH")},
    **{
        name: _Form(2, "own")
        for name in (
            "ADD",
            "SUB",
            "MUL",
            "SQUARED_DIFFERENCE",
            "BATCH_MATMUL",
            "RELU",
            "RELU6",
            "ABS",
            "RSQRT",
            "MEAN",
            "SUM",
        )
    },
    **{name: _Form(1, "operand") for name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")},
    **{
        name: _Form(2, "operand")
        for name in (
            "PAD",
            "MIRROR_PAD",
            "TRANSPOSE",
            "MAX_POOL_2D",
            "AVERAGE_POOL_2D",
            "REDUCE_MAX",
            "STRIDED_SLICE",
            "SLICE",
            "SPLIT",
            "UNPACK",
            "GATHER",
            "RESIZE_BILINEAR",
            "RESIZE_NEAREST_NEIGHBOR",
            "DEPTH_TO_SPACE",
            "SPACE_TO_DEPTH",
            "BATCH_TO_SPACE_ND",
            "SPACE_TO_BATCH_ND",
        )
    },
    **{name: _Form(2, "one") for name in ("CONCATENATION", "PACK", "MAXIMUM", "MINIMUM")},
    "LOGISTIC": _Form(2, "own", Affine(1 / 256, _LOW)),
    "SOFTMAX": _Form(2, "own", Affine(1 / 256, _LOW)),
    "TANH": _Form(2, "own", Affine(1 / 128, 0)),
    "L2_NORMALIZATION": _Form(2, "own", Affine(1 / 128, 0)),
}
#: Which operand an operator hands on, where that is not the first.
_HANDED_ON = {"SPLIT": 1}
#: Which axis of the weights is the output channel.
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": -1, "FULLY_CONNECTED": 0}


def quantize_integer(network: Network, ranges: Mapping[str, TensorRange]) -> Network:
    """Make every tensor of a float network an integer.

    Args:
        network: A canonical float network.
        ranges: Range of every activation by tensor name, the input's with them.

    Returns:
        The int8 network; tensors keep their names, and what it computes in between, its input and its
        embedding are int8.

    Raises:
        ConversionError: An operator has no int8 form; the error names it.
    """
    graph = network.edit()
    _check_forms(graph)
    writer = _Writer(graph, ranges)
    for operator in list(graph.operators):
        writer.quantize(operator)
    writer.settle()
    graph.prune()
    return Network.of(graph)


def _check_forms(graph: Graph) -> None:
    found = []
    for operator in graph.operators:
        name, operands = graph.op_name(operator), indices(operator.inputs)
        form = _FORMS.get(name)
        constant = form is None or form.scales != "weighted" or graph.constant(operands[1]) is not None
        if form is None or not constant:
            found.append((name, graph.name(indices(operator.outputs)[0])))
    if found:
        name, output = found[0]
        raise ConversionError(
            f"full int8: {name} {output!r} has no int8 form"
            + (f", and {len(found) - 1} other operators have none" if len(found) > 1 else ""),
            hint="train with another layer in its place, or take a target that runs it in float, such as cpu",
        )


class _Writer:
    """Writes one network's integers, operator by operator in execution order."""

    def __init__(self, graph: Graph, ranges: Mapping[str, TensorRange]) -> None:
        self.graph, self.ranges = graph, ranges
        self.codes: dict[int, Affine] = {}
        self.producers = {i: op for op in graph.operators for i in indices(op.outputs)}
        self.readers: dict[int, int] = {}
        for operator in graph.operators:
            for i in indices(operator.inputs):
                self.readers[i] = self.readers.get(i, 0) + 1
        for i in graph.inputs:
            self.codes[i] = self._of_range(i)

    def quantize(self, operator: schema.OperatorT) -> None:
        """Give one operator's tensors their codes."""
        name, outputs = self.graph.op_name(operator), indices(operator.outputs)
        form = _FORMS[name]
        if form.scales == "operand":
            handed_on = indices(operator.inputs)[_HANDED_ON.get(name, 0)]
            self.codes.update(dict.fromkeys(outputs, self.codes[handed_on]))
        else:
            self.codes.update({i: form.fixed or self._of_range(i) for i in outputs})
        if form.scales == "one":
            self._share(operator, self.codes[outputs[0]])
        if form.scales == "weighted":
            self._weights(operator, _CHANNEL_AXIS[name])
        else:
            self._constants(operator, self.codes[outputs[0]] if form.scales == "one" else None)
        self._renew(operator, name, form.version)

    def settle(self) -> None:
        """Write the codes of every activation; only now, since a later operator may change them."""
        for index, codes in self.codes.items():
            tensor = self.graph.tensors[index]
            tensor.type = schema.TensorType.INT8
            tensor.quantization = _parameters([codes.scale], [codes.zero_point])

    def _of_range(self, index: int) -> Affine:
        name = self.graph.name(index)
        if name not in self.ranges:
            raise ConversionError(f"full int8: expected a range of every activation, found none of {name!r}")
        return Affine.of(self.ranges[name])

    def _share(self, operator: schema.OperatorT, codes: Affine) -> None:
        """Bring every computed operand to the output's codes, by its producer where that is free to choose."""
        graph = self.graph
        operands = indices(operator.inputs)
        for position, index in enumerate(operands):
            if self.codes.get(index, codes) == codes:
                continue
            producer = self.producers.get(index)
            form = None if producer is None else _FORMS[graph.op_name(producer)]
            free = form is not None and form.scales in ("own", "weighted") and form.fixed is None
            if free and self.readers[index] == 1 and index not in graph.outputs:
                self.codes[index] = codes
                continue
            again = graph.add_tensor(
                f"{graph.name(indices(operator.outputs)[0])}/operand_{position}", graph.shape(index), np.int8
            )
            self.codes[again] = codes
            graph.add_operator(
                "QUANTIZE",
                [index],
                [again],
                at=graph.operators.index(operator),
                options=schema.QuantizeOptionsT(),
                options_type=schema.BuiltinOptions.QuantizeOptions,
            )
            operands[position] = again
        operator.inputs = operands

    def _constants(self, operator: schema.OperatorT, codes: Affine | None) -> None:
        """Constant operands as int8 of their own range, or in the codes of the output."""
        operands = indices(operator.inputs)
        for position, index in enumerate(operands):
            value = self.graph.constant(index)
            if value is None or value.dtype != np.float32:
                continue
            chosen = codes or Affine.of(TensorRange(float(value.min()), float(value.max())))
            operands[position] = self._constant(
                index, chosen.round(value), [chosen.scale], [chosen.zero_point]
            )
        operator.inputs = operands

    def _weights(self, operator: schema.OperatorT, axis: int) -> None:
        graph = self.graph
        operands = indices(operator.inputs)
        source, output = self.codes[operands[0]], self.codes[indices(operator.outputs)[0]]
        weights = graph.constant(operands[1])
        if weights is None:  # pragma: no cover  _check_forms has looked
            return
        axis %= weights.ndim
        channels = weights.shape[axis]
        bias = graph.constant(operands[2]) if len(operands) > 2 else None
        real = np.zeros(channels) if bias is None else bias.astype(np.float64).reshape(-1)
        scales = channel_scales(weights, axis, real, source.scale, output.scale)
        if graph.op_name(operator) == "FULLY_CONNECTED":
            # Kernels of before 2024 read the first scale alone, in the same operator version, without a word.
            scales = np.full_like(scales, scales.max())
        shape = [1] * weights.ndim
        shape[axis] = -1
        codes = np.rint(weights / scales.reshape(shape)).clip(-_HIGH, _HIGH).astype(np.int8)
        steps = scales * source.scale
        name = graph.name(indices(operator.outputs)[0])
        held = operands[2] if bias is not None else graph.add_tensor(f"{name}/bias", (channels,), np.int32)
        operator.inputs = [
            operands[0],
            self._constant(operands[1], codes, scales, np.zeros(channels, np.int64), axis),
            self._constant(held, np.rint(real / steps).astype(np.int32), steps, np.zeros(channels, np.int64)),
        ]

    def _constant(
        self, index: int, value: NDArray[np.int8], scales: object, zero_points: object, axis: int = 0
    ) -> int:
        """A constant of its own for one reader: others may read the float one in another way."""
        graph = self.graph
        new = graph.add_tensor(graph.name(index), value.shape, value.dtype, value)
        graph.tensors[new].quantization = _parameters(scales, zero_points, axis)
        return new

    def _renew(self, operator: schema.OperatorT, name: str, version: int) -> None:
        """The operator in the version that its int8 form asks for."""
        options = operator.builtinOptions
        if name == "FULLY_CONNECTED" and options.keepNumDims:
            version = 5
        if name == "CONV_2D":
            depth = self.graph.shape(indices(operator.inputs)[1])[-1]
            version = 6 if depth != self.graph.shape(indices(operator.inputs)[0])[-1] else version
        if name == "MUL":
            first, second, product = self._scales(operator)
            version = 3 if first * second >= product else version
        # A bias was added where there was none: what the float version stood for is gone.
        old = 0 if name == "FULLY_CONNECTED" else self.graph.version(operator)
        self.graph.set_version(operator, max(version, old))

    def _scales(self, operator: schema.OperatorT) -> list[float]:
        tensors = [*indices(operator.inputs), *indices(operator.outputs)]
        return [
            self.codes[i].scale if i in self.codes else float(self.graph.tensors[i].quantization.scale[0])
            for i in tensors
        ]


def channel_scales(
    weights: NDArray[np.float32], axis: int, bias: Float64Array, source: float, output: float
) -> Float64Array:
    """One weight scale per output channel: its greatest magnitude is 127, its bias fits into 32 bits.

    Args:
        weights: Any shape.
        axis: Of the output channel.
        bias: Shape (C,), real.
        source: Scale of what the weights are multiplied with.
        output: Scale of what comes out.

    Returns:
        Shape (C,), each a float32's value.
    """
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scales = np.abs(weights).max(axis=others).astype(np.float64) / _HIGH
    # A channel that training has switched off has weights of 1e-20, or none, and a bias like the others.
    least = np.maximum(np.abs(bias) / (_LARGEST_BIAS * source), _SMALLEST_RATIO * output / source)
    chosen: Float64Array = np.maximum(scales, least).astype(np.float32).astype(np.float64)
    return chosen


def _parameters(scales: object, zero_points: object, axis: int = 0) -> schema.QuantizationParametersT:
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.asarray(scales, np.float32)
    parameters.zeroPoint = np.asarray(zero_points, np.int64)
    parameters.quantizedDimension = axis
    return parameters
