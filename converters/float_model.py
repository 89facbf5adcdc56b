"""One float network, the same form whatever it came from; every target starts here.

Batch 1, static shapes, constants folded, activations in one operator each, no L2 normalization (the
host does it), one signature ``image -> embedding``. It must answer as its source does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.graph import Graph
from converters.rewrites.activations import fuse_activations, split_clips
from converters.rewrites.head import strip_normalization
from converters.rewrites.padded_pooling import unpad_max_pools
from converters.rewrites.static import fold_constants, make_batch_one, settle_shapes
from converters.sources import SourceModel
from edge_sdk.decision.matching import cosine
from edge_sdk.errors import ModelError
from edge_sdk.inference.backends.litert import LiteRtBackend
from edge_sdk.inference.card import InputContract
from edge_sdk.types import FloatArray

#: Least cosine between the canonical network's embedding and the source's own, on every image tried.
EQUAL_COSINE = 0.99999


@dataclass(frozen=True)
class FloatModel:
    """A float network in canonical form.

    Args:
        network: The FlatBuffer.
        contract: Its input contract.
        dimension: Length D of the embedding.
        source: What it was converted from: kind, file name, SHA-256, tools.
        notes: What a person should know about the conversion.
        agreement: Least cosine to the source's own runtime on the images tried.
    """

    network: bytes
    contract: InputContract
    dimension: int
    source: dict[str, Any]
    notes: tuple[str, ...]
    agreement: float


def canonical(source: SourceModel, contract: InputContract, inputs: FloatArray) -> FloatModel:
    """Bring a source's network into canonical form and hold it against its source.

    Args:
        source: What ``read_source`` gave.
        contract: The input contract.
        inputs: Shape (n, H, W, C), float32, the real inputs that ``source.witness`` answers.

    Raises:
        SourceError: The network cannot be brought into the form, or answers otherwise than its source.
    """
    graph = Graph.parse(source.tflite)
    notes = [*source.notes, *bring_into_form(graph, contract)]
    network = graph.to_bytes()
    agreement = _agreement(network, inputs, source)
    described = {
        "kind": source.kind,
        "file": os.fsencode(source.path.name).decode(errors="replace"),
        "sha256": source.sha256,
        "tools": dict(source.tools),
    }
    return FloatModel(network, contract, source.witness.shape[1], described, tuple(notes), agreement)


def unique_names(graph: Graph) -> None:
    """Quantizers and reports name tensors by name; converters do not promise that names are unique."""
    seen: set[str] = set()
    for index, tensor in enumerate(graph.tensors):
        name = graph.name(index) or f"tensor_{index}"
        if name in seen:
            name = f"{name}#{index}"
        seen.add(name)
        tensor.name = name.encode()


def bring_into_form(graph: Graph, contract: InputContract) -> list[str]:
    """Rewrite a float network into canonical form, in place; its function stays, its L2 normalization aside.

    Returns:
        What a person should know of it.
    """
    notes = []
    batch = make_batch_one(graph)
    if batch != 1:
        notes.append(f"the batch was {'dynamic' if batch < 0 else batch} and is 1 now")
    settle_shapes(graph, contract)
    folded = fold_constants(graph, contract)
    if folded:
        notes.append(f"{folded} operators that only computed constants or shapes were folded")
    if strip_normalization(graph):
        notes.append("the L2 normalization was taken out of the network; the host does it")
    before = len(graph.operators)
    fuse_activations(graph)
    graph.prune()
    if len(graph.operators) < before:
        notes.append(
            f"{before - len(graph.operators)} operators went: activations spelled out in several are one each"
        )
    split_clips(graph)
    unpad_max_pools(graph)
    unique_names(graph)
    graph.drop_metadata()
    graph.set_signature("image", "embedding")
    graph.prune()
    return notes


def _agreement(network: bytes, inputs: FloatArray, source: SourceModel) -> float:
    ours = run_float(network, inputs)
    if ours.shape != source.witness.shape:
        raise SourceError(
            f"expected embeddings of shape {list(source.witness.shape)}, as the source gives them,"
            f" found {list(ours.shape)}"
        )
    if not np.isfinite(ours).all():
        raise SourceError("the converted network answers NaN or infinity where its source does not")
    agreement = cosine(ours, source.witness)
    worst = int(np.argmin(agreement))
    if agreement[worst] < EQUAL_COSINE:
        difference = np.abs(ours[worst] - source.witness[worst])
        value = int(np.argmax(difference))
        raise SourceError(
            f"the converted network is not the source: cosine {agreement[worst]:.6f} on image {worst}"
            f" (at least {EQUAL_COSINE} wanted); value {value} of the embedding is"
            f" {ours[worst, value]:.6g}, the source says {source.witness[worst, value]:.6g}",
            hint="report the model; another source format of it (ONNX, SavedModel) may convert",
        )
    return float(agreement[worst])


def run_float(network: bytes, inputs: FloatArray) -> FloatArray:
    """Raw outputs of a float network: shape (n, D), float32, not normalized.

    Raises:
        SourceError: The interpreter refuses the network.
    """
    try:
        backend = LiteRtBackend(network)
    except ModelError as error:
        raise SourceError(f"the converted network does not run: {error}", hint=error.hint) from error
    outputs = np.empty((len(inputs), int(np.prod(backend.output.shape))), np.float32)
    for position, image in enumerate(inputs):
        np.copyto(backend.input_view()[0], image)
        backend.invoke()
        outputs[position] = backend.output_view().reshape(-1)
    return outputs
