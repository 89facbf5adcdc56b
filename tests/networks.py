"""Small .tflite networks, built operator by operator, for tests that need an exact structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from converters.graph.graph import Graph
from converters.graph.network import Network
from edge_sdk.model.card import InputContract

CONTRACT = InputContract(16, 16, "rgb", (127.5,) * 3, (128.0,) * 3)
SAME, VALID = 0, 1


class NetworkBuilder:
    """Builder of a network with one image input; each method appends an operator and returns its output."""

    def __init__(self, shape: tuple[int, ...] = (1, 16, 16, 3), *, seed: int = 0) -> None:
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes, model.metadata, model.signatureDefs = [], [], []
        model.buffers = [schema.BufferT()]
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
        model.subgraphs = [subgraph]
        self.graph = Graph(model)
        self.random = np.random.default_rng(seed)
        self.input = self.graph.add_tensor("image", shape, np.float32)
        subgraph.inputs = [self.input]

    def finish(self, *outputs: int, signature: bool = True) -> Network:
        self.graph.set_outputs(outputs)
        if signature:
            others = [f"output_{position}" for position in range(1, len(outputs))]
            self.graph.set_signature("image", "embedding", *others)
        return Network.of(self.graph)

    def constant(self, value: Any, name: str = "") -> int:
        value = np.asarray(value)
        return self.graph.add_tensor(name or f"c{len(self.graph.tensors)}", value.shape, value.dtype, value)

    def op(
        self, name: str, inputs: list[int], shape: tuple[int, ...], options: Any = None, **extra: Any
    ) -> int:
        output = self.graph.add_tensor(
            f"{name.lower()}_{len(self.graph.tensors)}", shape, extra.pop("dtype", np.float32)
        )
        kind = (
            0 if options is None else getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        )
        self.graph.add_operator(
            name, inputs, [output], at=len(self.graph.operators), options=options, options_type=kind, **extra
        )
        return output

    def shape(self, index: int) -> tuple[int, ...]:
        return self.graph.shape(index)

    def conv(self, x: int, channels: int, *, size: int = 3, stride: int = 2) -> int:
        batch, height, width, depth = self.shape(x)
        weights = self.random.normal(0, 1 / (size * depth**0.5), (channels, size, size, depth))
        bias = self.random.normal(0, 0.1, channels)
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = SAME, stride, stride
        options.dilationHFactor = options.dilationWFactor = 1
        operands = [x, self.constant(weights.astype(np.float32)), self.constant(bias.astype(np.float32))]
        out = (batch, -(-height // stride), -(-width // stride), channels)
        return self.op("CONV_2D", operands, out, options)

    def unary(self, name: str, x: int, options: Any = None) -> int:
        return self.op(name, [x], self.shape(x), options)

    def binary(self, name: str, x: int, y: int) -> int:
        has_options = {
            "ADD": schema.AddOptionsT,
            "SUB": schema.SubOptionsT,
            "MUL": schema.MulOptionsT,
            "DIV": schema.DivOptionsT,
        }
        options = has_options[name]() if name in has_options else schema.MaximumMinimumOptionsT()
        return self.op(name, [x, y], max(self.shape(x), self.shape(y), key=len), options)

    def prelu(self, x: int, slopes: Any) -> int:
        alpha = np.asarray(slopes, np.float32).reshape(1, 1, -1)
        return self.op("PRELU", [x, self.constant(alpha)], self.shape(x))

    def mean(self, x: int) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = False
        batch, _, _, channels = self.shape(x)
        return self.op("MEAN", [x, self.constant(np.array([1, 2], np.int32))], (batch, channels), options)

    def dense(self, x: int, values: int) -> int:
        batch, depth = self.shape(x)
        weights = self.random.normal(0, depth**-0.5, (values, depth)).astype(np.float32)
        options = schema.FullyConnectedOptionsT()
        return self.op("FULLY_CONNECTED", [x, self.constant(weights), -1], (batch, values), options)

    def reshape(self, x: int, shape: tuple[int, ...]) -> int:
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self.op("RESHAPE", [x, self.constant(np.array(shape, np.int32))], shape, options)

    def embedding(self, x: int, values: int = 8) -> int:
        """Append the usual end of a network: mean over the image, then a dense layer."""
        return self.dense(self.mean(x), values)


def tiny(*, values: int = 8, seed: int = 0) -> Network:
    """Build a network of two convolutions with a PReLU between them, a mean and a dense layer."""
    net = NetworkBuilder(seed=seed)
    x = net.prelu(net.conv(net.input, 8), np.linspace(0.05, 0.4, 8))
    return net.finish(net.embedding(net.conv(x, 16), values))


def crops(count: int = 12, shape: tuple[int, int, int] = (16, 16, 3), *, seed: int = 1) -> np.ndarray:
    """Return smooth random images, uint8; on pure noise all embeddings would be nearly equal."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 4, 4, shape[2]))
    big = np.repeat(np.repeat(coarse, shape[0] // 4 + 1, 1), shape[1] // 4 + 1, 2)[:, : shape[0], : shape[1]]
    return np.clip(big + random.normal(0, 12, big.shape), 0, 255).astype(np.uint8)


def to_convert(folder: Path, count: int = 36) -> tuple[Path, Path]:
    """Write the tiny network and calibration crops to a folder and return their paths."""
    network, images = folder / "tiny.tflite", folder / "crops"
    images.mkdir()
    for number, pixels in enumerate(crops(count)):
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    network.write_bytes(tiny().data)
    return network, images
