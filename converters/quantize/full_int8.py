"""Full int8 quantization: every tensor is an integer, for NPUs, microcontrollers and NNAPI.

Weights are symmetric int8 with a scale per output channel, but one scale per tensor in FULLY_CONNECTED. Biases are
int32. Activations are affine int8 with a scale per tensor. This follows LiteRT's quantization specification
(ai.google.dev/edge/litert/models/quantization_spec; Jacob et al. 2018, arXiv:1712.05877). The caller gives the ranges.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.quantize.int16_islands import VERSIONS, insert_conversions
from converters.quantize.statistics import TensorRange
from edge_sdk.types import Float64Array

_LOW, _HIGH, _HIGH_16 = -128, 127, 32767
# The bias plus the sum of products must fit in 32 bits.
_LARGEST_BIAS = 1 << 30
# Kernels store the ratio of product scale and output scale as a mantissa and a shift of at most 31 bits.
_SMALLEST_RATIO = 2.0**-30


@dataclass(frozen=True)
class Affine:
    """Affine integer codes q of real values: real = scale * (q - zero_point), with 8 or 16 bits."""

    scale: float
    zero_point: int
    bits: int = 8

    @classmethod
    def of(cls, ends: TensorRange) -> Affine:
        """Choose the int8 codes for a range. The range is extended to include zero, which must have an exact code."""
        low, high = min(ends.low, 0.0), max(ends.high, 0.0)
        if high <= low:
            return cls(1.0, 0)  # the tensor is always zero
        scale = float(np.float32((high - low) / (_HIGH - _LOW)))
        return cls(scale, int(np.clip(round(_LOW - low / scale), _LOW, _HIGH)))

    @classmethod
    def wide(cls, ends: TensorRange) -> Affine:
        """Choose the int16 codes for a range: symmetric, as the 16-bit kernels require."""
        largest = max(abs(ends.low), abs(ends.high))
        return cls(float(np.float32(largest / _HIGH_16)) if largest else 1.0, 0, 16)

    def round(self, values: NDArray[np.float32]) -> NDArray[np.int8] | NDArray[np.int16]:
        """Quantize real values."""
        codes = np.rint(values.astype(np.float64) / self.scale) + self.zero_point
        if self.bits == 16:
            return codes.clip(-_HIGH_16, _HIGH_16).astype(np.int16)
        return codes.clip(_LOW, _HIGH).astype(np.int8)


@dataclass(frozen=True)
class _Form:
    """Requirements that the int8 form of an operator sets for its tensors. Codes are a scale and a zero point.

    Args:
        version: First version of the operator with int8.
        scales: ``own``: the output's codes come from its range; ``operand``: the output has the operand's codes;
            ``shared``: all operands have the output's codes; ``weighted``: the output's codes come from its range, the
            weights are constant with a scale per channel, and the bias is int32.
        fixed: The output's codes if the kernel supports only these.
    """

    version: int
    scales: str
    fixed: Affine | None = None


_OWN = (
    "ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "BATCH_MATMUL", "RELU", "RELU6", "ABS", "RSQRT", "MEAN", "SUM",
)  # fmt: skip
_OPERAND = (
    "PAD", "MIRROR_PAD", "TRANSPOSE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "REDUCE_MAX", "STRIDED_SLICE", "SLICE", "SPLIT",
    "UNPACK", "GATHER", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH",
    "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND",
)  # fmt: skip
_FORMS = {
    **{name: _Form(3, "weighted") for name in ("CONV_2D", "DEPTHWISE_CONV_2D")},
    "FULLY_CONNECTED": _Form(4, "weighted"),
    **{name: _Form(1, "own") for name in ("PRELU", "LEAKY_RELU", "RELU_N1_TO_1", "HARD_SWISH")},
    **{name: _Form(2, "own") for name in _OWN},
    **{name: _Form(1, "operand") for name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")},
    **{name: _Form(2, "operand") for name in _OPERAND},
    **{name: _Form(2, "shared") for name in ("CONCATENATION", "PACK", "MAXIMUM", "MINIMUM")},
    "LOGISTIC": _Form(2, "own", Affine(1 / 256, _LOW)),
    "SOFTMAX": _Form(2, "own", Affine(1 / 256, _LOW)),
    "TANH": _Form(2, "own", Affine(1 / 128, 0)),
    "L2_NORMALIZATION": _Form(2, "own", Affine(1 / 128, 0)),
}
#: For ``operand``: index of the operand with the output's codes, if it is not 0.
_DATA_OPERAND = {"SPLIT": 1}
#: Clips with a constant, and the code at which they cut.
CLIPS = {"MINIMUM": _HIGH, "MAXIMUM": _LOW}
#: Axis of the output channel in the weights.
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": -1, "FULLY_CONNECTED": 0}


def quantize_full_int8(
    network: Network,
    ranges: Mapping[str, TensorRange],
    *,
    int16: Collection[str] = (),
    folded: Collection[str] = (),
) -> Network:
    """Quantize every tensor of a float network to integers.

    Args:
        network: A canonical float network.
        ranges: Range of every activation by tensor name, including the input.
        int16: Names of the output tensors of operators with 16-bit activations.
        folded: Kinds of ``CLIPS`` to remove if the codes of the operand end at the constant.

    Returns:
        The int8 network. Tensors keep their names; input, activations and embedding are int8.

    Raises:
        ConversionError: an operator has no int8 form; the message names it.
    """
    graph = network.edit()
    _check_forms(graph)
    quantizer = _Quantizer(graph, ranges, insert_conversions(graph, int16))
    for operator in list(graph.operators):
        quantizer.quantize(operator)
    quantizer.fold_clips(folded)
    quantizer.write_codes()
    graph.prune()
    return Network.of(graph)


def _check_forms(graph: Graph) -> None:
    unsupported = []
    for operator in graph.operators:
        name, operands = graph.op_name(operator), indices(operator.inputs)
        form = _FORMS.get(name)
        constant = form is None or form.scales != "weighted" or graph.constant(operands[1]) is not None
        if form is None or not constant:
            unsupported.append((name, graph.name(indices(operator.outputs)[0])))
    if unsupported:
        name, output = unsupported[0]
        raise ConversionError(
            f"full int8: {name} {output!r} has no int8 form"
            + (f", and {len(unsupported) - 1} other operators have none" if len(unsupported) > 1 else ""),
            hint="train with another layer instead, or use a target that runs it in float, such as cpu",
        )


class _Quantizer:
    """Quantizes the operators of a network in execution order."""

    def __init__(self, graph: Graph, ranges: Mapping[str, TensorRange], wide: Collection[int] = ()) -> None:
        self.graph, self.ranges, self.wide = graph, ranges, wide
        self.codes: dict[int, Affine] = {}
        self.producers = {i: op for op in graph.operators for i in indices(op.outputs)}
        self.readers: dict[int, int] = {}
        for operator in graph.operators:
            for i in indices(operator.inputs):
                self.readers[i] = self.readers.get(i, 0) + 1
        for i in graph.inputs:
            self.codes[i] = self._of_range(i)

    def quantize(self, operator: schema.OperatorT) -> None:
        """Choose the codes of an operator's outputs and quantize its constants."""
        name, outputs = self.graph.op_name(operator), indices(operator.outputs)
        if name == "QUANTIZE":  # the source has no such operator: it is a conversion of an int16 island
            self.codes[outputs[0]] = self._of_range(outputs[0], indices(operator.inputs)[0])
            return
        form = _FORMS[name]
        if form.scales == "operand":
            operand = indices(operator.inputs)[_DATA_OPERAND.get(name, 0)]
            self.codes.update(dict.fromkeys(outputs, self.codes[operand]))
        else:
            self.codes.update({i: form.fixed or self._of_range(i) for i in outputs})
        if form.scales == "shared":
            self._share(operator, self.codes[outputs[0]])
        if form.scales == "weighted":
            self._weights(operator, _CHANNEL_AXIS[name])
        else:
            self._constants(operator, self.codes[outputs[0]] if form.scales == "shared" else None)
        self._set_version(operator, name, form.version)

    def fold_clips(self, kinds: Collection[str]) -> None:
        """Remove clips of these kinds that change no code: the operator before them, which no other operator reads, saturates there."""
        graph = self.graph
        for operator in list(graph.operators):
            kind = graph.op_name(operator)
            end = CLIPS[kind] if kind in kinds else None
            computed = [i for i in indices(operator.inputs) if graph.constant(i) is None]
            constants = [value for i in indices(operator.inputs) if (value := graph.constant(i)) is not None]
            if end is None or len(computed) != 1 or len(constants) != 1 or (constants[0] != end).any():
                continue
            source, output = computed[0], indices(operator.outputs)[0]
            producer = graph.producer(source)
            alone = len(graph.consumers(source)) == 1 and source not in graph.outputs
            if producer is not None and alone and self.codes[source] == self.codes[output]:
                producer.outputs = [output if i == source else i for i in indices(producer.outputs)]
                graph.operators.remove(operator)

    def write_codes(self) -> None:
        """Write the codes of every activation into the graph; call it last, because later operators may change them."""
        for index, codes in self.codes.items():
            tensor = self.graph.tensors[index]
            tensor.type = schema.TensorType.INT8 if codes.bits == 8 else schema.TensorType.INT16
            tensor.quantization = _parameters([codes.scale], [codes.zero_point])

    def _of_range(self, index: int, source: int | None = None) -> Affine:
        name = self.graph.name(index if source is None else source)
        if name not in self.ranges:
            raise ConversionError(
                f"full int8: expected a range for every activation, found none for {name!r}"
            )
        return (Affine.wide if index in self.wide else Affine.of)(self.ranges[name])

    def _share(self, operator: schema.OperatorT, codes: Affine) -> None:
        """Give every computed operand the output's codes: change its producer if possible, otherwise add a QUANTIZE."""
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
            requantized = graph.add_tensor(
                f"{graph.name(indices(operator.outputs)[0])}/operand_{position}", graph.shape(index), np.int8
            )
            self.codes[requantized] = codes
            graph.add_operator(
                "QUANTIZE",
                [index],
                [requantized],
                at=graph.operators.index(operator),
                options=schema.QuantizeOptionsT(),
                options_type=schema.BuiltinOptions.QuantizeOptions,
            )
            operands[position] = requantized
        operator.inputs = operands

    def _constants(self, operator: schema.OperatorT, codes: Affine | None) -> None:
        """Quantize constant operands to int8 with the given codes, or with codes from their own range."""
        operands = indices(operator.inputs)
        for position, index in enumerate(operands):
            value = self.graph.constant(index)
            if value is None or value.dtype != np.float32:
                continue
            ends = TensorRange(float(value.min()), float(value.max()))
            chosen = codes or (Affine.wide if indices(operator.outputs)[0] in self.wide else Affine.of)(ends)
            operands[position] = self._constant(
                index, chosen.round(value), [chosen.scale], [chosen.zero_point]
            )
        operator.inputs = operands

    def _weights(self, operator: schema.OperatorT, axis: int) -> None:
        graph = self.graph
        operands = indices(operator.inputs)
        source, output = self.codes[operands[0]], self.codes[indices(operator.outputs)[0]]
        weights = graph.constant(operands[1])
        if weights is None:  # pragma: no cover  _check_forms has checked
            return
        axis %= weights.ndim
        channels = weights.shape[axis]
        bias = graph.constant(operands[2]) if len(operands) > 2 else None
        real = np.zeros(channels) if bias is None else bias.astype(np.float64).reshape(-1)
        scales = choose_weight_scales(weights, axis, real, source.scale, output.scale)
        if graph.op_name(operator) == "FULLY_CONNECTED":
            # Kernels older than 2024 use only the first of several scales and report no error.
            scales = np.full_like(scales, scales.max())
        shape = [1] * weights.ndim
        shape[axis] = -1
        codes = np.rint(weights / scales.reshape(shape)).clip(-_HIGH, _HIGH).astype(np.int8)
        steps = scales * source.scale
        name = graph.name(indices(operator.outputs)[0])
        dtype = np.dtype(np.int32 if source.bits == 8 else np.int64)
        bias_index = operands[2] if bias is not None else graph.add_tensor(f"{name}/bias", (channels,), dtype)
        operator.inputs = [
            operands[0],
            self._constant(operands[1], codes, scales, np.zeros(channels, np.int64), axis),
            self._constant(
                bias_index, np.rint(real / steps).astype(dtype), steps, np.zeros(channels, np.int64)
            ),
        ]

    def _constant(
        self, index: int, value: NDArray[Any], scales: object, zero_points: object, axis: int = 0
    ) -> int:
        """Add an int8 constant for this operator only, because other operators may quantize the float constant differently."""
        graph = self.graph
        new = graph.add_tensor(graph.name(index), value.shape, value.dtype, value)
        graph.tensors[new].quantization = _parameters(scales, zero_points, axis)
        return new

    def _set_version(self, operator: schema.OperatorT, name: str, version: int) -> None:
        """Set the operator version that the int8 form requires."""
        options = operator.builtinOptions
        if indices(operator.outputs)[0] in self.wide:
            if name == "ADD":
                options.potScaleInt16 = False
            self.graph.set_version(operator, VERSIONS[name])
            return
        if name == "FULLY_CONNECTED" and options.keepNumDims:
            version = 5
        if name == "CONV_2D":
            depth = self.graph.shape(indices(operator.inputs)[1])[-1]
            version = 6 if depth != self.graph.shape(indices(operator.inputs)[0])[-1] else version
        if name == "MUL":
            first, second, product = self._scales(operator)
            version = 3 if first * second >= product else version
        # FULLY_CONNECTED without a bias needs a newer version; the bias has been added, so the older version is enough.
        old = 0 if name == "FULLY_CONNECTED" else self.graph.version(operator)
        self.graph.set_version(operator, max(version, old))

    def _scales(self, operator: schema.OperatorT) -> list[float]:
        tensors = [*indices(operator.inputs), *indices(operator.outputs)]
        return [
            self.codes[i].scale if i in self.codes else float(self.graph.tensors[i].quantization.scale[0])
            for i in tensors
        ]


def choose_weight_scales(
    weights: NDArray[np.float32], axis: int, bias: Float64Array, source: float, output: float
) -> Float64Array:
    """Choose a weight scale per output channel so that the largest magnitude becomes 127 and the bias fits in 32 bits.

    Args:
        weights: Any shape.
        axis: Axis of the output channel.
        bias: Shape (C,), real values.
        source: Scale of the operand that the weights are multiplied with.
        output: Scale of the output.

    Returns:
        Shape (C,), values representable as float32.
    """
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scales = np.abs(weights).max(axis=others).astype(np.float64) / _HIGH
    # A channel disabled by training has weights of about 1e-20 or 0, but a normal bias.
    least = np.maximum(np.abs(bias) / (_LARGEST_BIAS * source), _SMALLEST_RATIO * output / source)
    chosen: Float64Array = np.maximum(scales, least).astype(np.float32).astype(np.float64)
    return chosen


def _parameters(scales: object, zero_points: object, axis: int = 0) -> schema.QuantizationParametersT:
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.asarray(scales, np.float32)
    parameters.zeroPoint = np.asarray(zero_points, np.int64)
    parameters.quantizedDimension = axis
    return parameters
