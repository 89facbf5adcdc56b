"""Builder of equal networks in integers and in float, to test which operators a target supports."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.networks import SAME, NetworkBuilder

#: Default (scale, zero point) of activations.
ACTIVATION = (0.05, 0)
WEIGHT_SCALE = 0.01


class IntegerNetwork(NetworkBuilder):
    """Builder that quantizes each tensor to ``dtype``; with float32 it builds the same network without quantization."""

    def __init__(
        self, shape: tuple[int, ...] = (1, 16, 16, 8), *, dtype: Any = np.int8, seed: int = 0
    ) -> None:
        super().__init__(shape, seed=seed)
        self.dtype = np.dtype(dtype)
        self.graph.tensors[self.input].type = {
            "float32": schema.TensorType.FLOAT32,
            "int8": schema.TensorType.INT8,
            "uint8": schema.TensorType.UINT8,
            "int16": schema.TensorType.INT16,
        }[self.dtype.name]
        self.quantize(self.input)

    @property
    def integer(self) -> bool:
        return self.dtype != np.float32

    def quantize(
        self, index: int, scale: Any = ACTIVATION[0], zero_point: int = ACTIVATION[1], axis: int = 0
    ) -> int:
        if self.integer:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization = schema.QuantizationParametersT()
            quantization.scale = list(map(float, scales))
            quantization.zeroPoint = [zero_point] * len(scales)
            quantization.quantizedDimension = axis
            self.graph.tensors[index].quantization = quantization
        return index

    def apply(
        self,
        name: str,
        inputs: list[int],
        shape: tuple[int, ...],
        options: Any = None,
        *,
        quantization: tuple[float, int] = ACTIVATION,
        **extra: Any,
    ) -> int:
        """Append an operator whose output has the network's dtype and return the output."""
        output = self.op(name, inputs, shape, options, dtype=extra.pop("dtype", self.dtype), **extra)
        if self.graph.dtype_name(output) in ("int8", "uint8", "int16"):
            self.quantize(output, *quantization)
        return output

    def weights(self, shape: tuple[int, ...], *, axis: int | None = 0, dtype: Any = None) -> int:
        """Add random weights, with one scale per channel of ``axis`` unless it is None."""
        if not self.integer:
            return self.constant(self.random.normal(0, 0.3, shape).astype(np.float32))
        kind = np.dtype(dtype or (np.uint8 if self.dtype == np.uint8 else np.int8))
        values = self.random.integers(1, 100, shape).astype(kind)
        index = self.constant(values)
        count = 1 if axis is None else shape[axis]
        return self.quantize(index, [WEIGHT_SCALE] * count, 0, axis or 0)

    def bias(self, channels: int, *, per_channel: bool = True) -> int:
        if not self.integer:
            return self.constant(np.zeros(channels, np.float32))
        kind = np.int64 if self.dtype == np.int16 else np.int32
        count = channels if per_channel else 1
        return self.quantize(self.constant(np.zeros(channels, kind)), [ACTIVATION[0] * WEIGHT_SCALE] * count)

    def convolution(
        self,
        x: int,
        channels: int = 8,
        *,
        size: int = 3,
        stride: int = 1,
        dilation: tuple[int, int] = (1, 1),
        **extra: Any,
    ) -> int:
        batch, height, width, depth = self.shape(x)
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = SAME, stride, stride
        options.dilationHFactor, options.dilationWFactor = dilation
        options.fusedActivationFunction = extra.pop("fused", 0)
        weights = extra.pop("weights", None)
        if weights is None:
            weights = self.weights((channels, size, size, depth))
        out = (batch, -(-height // stride), -(-width // stride), channels)
        return self.apply(
            "CONV_2D",
            [x, weights, self.bias(channels)],
            out,
            options,
            version=3 if self.integer else 1,
            **extra,
        )

    def depthwise(
        self, x: int, *, size: int = 3, stride: int = 1, dilation: tuple[int, int] = (1, 1), **extra: Any
    ) -> int:
        batch, height, width, depth = self.shape(x)
        options = schema.DepthwiseConv2DOptionsT()
        options.padding, options.strideH, options.strideW, options.depthMultiplier = SAME, stride, stride, 1
        options.dilationHFactor, options.dilationWFactor = dilation
        weights = self.weights((1, size, size, depth), axis=3)
        out = (batch, -(-height // stride), -(-width // stride), depth)
        return self.apply(
            "DEPTHWISE_CONV_2D",
            [x, weights, self.bias(depth)],
            out,
            options,
            version=3 if self.integer else 1,
            **extra,
        )

    def fully_connected(self, x: int, values: int = 8, *, axis: int | None = None, **extra: Any) -> int:
        depth = int(np.prod(self.shape(x)[1:]))
        options = schema.FullyConnectedOptionsT()
        options.weightsFormat = extra.pop("weights_format", 0)
        weights = extra.pop("weights", None)
        if weights is None:
            weights = self.weights((values, depth), axis=axis)
        version = extra.pop("version", 4 if self.integer else 1)
        return self.apply(
            "FULLY_CONNECTED",
            [x, weights, self.bias(values, per_channel=axis is not None)],
            (self.shape(x)[0], values),
            options,
            version=version,
            **extra,
        )

    def prelu_of(self, x: int, alpha_shape: tuple[int, ...] | None = None) -> int:
        alpha = self.weights(alpha_shape or (1, 1, self.shape(x)[-1]), axis=None)
        return self.apply("PRELU", [x, alpha], self.shape(x))

    def pooled(self, x: int, name: str = "AVERAGE_POOL_2D", *, size: int = 2, fused: int = 0) -> int:
        batch, height, width, depth = self.shape(x)
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = SAME, size, size
        options.filterHeight = options.filterWidth = size
        options.fusedActivationFunction = fused
        return self.apply(
            name,
            [x],
            (batch, height // size, width // size, depth),
            options,
            version=2 if self.integer else 1,
        )

    def reduced(
        self, x: int, name: str = "MEAN", *, axes: tuple[int, ...] = (1, 2), keep: bool = False
    ) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = keep
        shape = tuple(1 if i in axes else n for i, n in enumerate(self.shape(x)) if keep or i not in axes)
        return self.apply(
            name,
            [x, self.constant(np.array(axes, np.int32))],
            shape,
            options,
            version=2 if self.integer else 1,
        )

    def head(self, x: int, values: int = 8) -> int:
        """Append the usual end of a network: mean over the image, then a dense layer."""
        return self.fully_connected(self.reduced(x), values)
