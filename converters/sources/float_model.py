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
from converters.graph.canonical import bring_into_form, run_float
from converters.graph.graph import Graph
from converters.sources import SourceModel
from edge_sdk.matching import cosine
from edge_sdk.model.card import InputContract
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
