"""Example of a source plug-in: reads a linear embedding from an .npz file with the array `projection`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph
from converters.sources.source_request import Converted, SourceRequest


def recognize(path: Path) -> bool:
    """Recognize an .npz file with the array `projection`, shape (D, H * W * C)."""
    try:
        return path.suffix == ".npz" and "projection" in np.load(path)
    except (OSError, ValueError):
        return False


def convert(request: SourceRequest) -> Converted:
    """Write the projection as one FULLY_CONNECTED operator, and compute its embeddings with numpy."""
    request.stage = "reading the projection"
    projection = np.load(request.path)["projection"].astype(np.float32)
    contract = request.contract
    dimension, size = projection.shape
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
    model.subgraphs = [subgraph]
    graph = Graph(model)
    image = graph.add_tensor("image", [1, *contract.shape], np.float32)
    rows = graph.add_tensor("rows", [1, size], np.float32)
    shape = graph.add_tensor("shape", [2], np.int32, np.array([1, size], np.int32))
    weights = graph.add_tensor("projection", [dimension, size], np.float32, projection)
    embedding = graph.add_tensor("embedding", [1, dimension], np.float32)
    subgraph.inputs, subgraph.outputs = [image], [embedding]
    kinds = schema.BuiltinOptions
    graph.add_operator(
        "RESHAPE",
        [image, shape],
        [rows],
        at=0,
        options=schema.ReshapeOptionsT(),
        options_type=kinds.ReshapeOptions,
    )
    graph.add_operator(
        "FULLY_CONNECTED",
        [rows, weights, -1],
        [embedding],
        at=1,
        options=schema.FullyConnectedOptionsT(),
        options_type=kinds.FullyConnectedOptions,
    )
    witness = request.inputs.reshape(len(request.inputs), -1) @ projection.T
    return Converted(tflite=graph.to_bytes(), witness=witness, tools={"numpy": np.__version__})
