"""Read any trained file as a float network in canonical form, from which the artefacts of all targets are made.

The canonical form has batch 1, static shapes, folded constants, one operator for each activation, no L2
normalization (the host does it) and one signature ``image -> embedding``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.graph.canonical import bring_into_form, run_float
from converters.graph.network import Network
from converters.sources.checks import EQUAL_COSINE
from converters.sources.read import SourceModel, read_source
from edge_sdk.matching import cosine
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray


@dataclass(frozen=True)
class FloatModel:
    """A float network in canonical form.

    Args:
        network: The network.
        contract: Its input contract.
        dimension: Length D of the embedding.
        source: Kind, file name, SHA-256 and tools of the source.
        notes: Notes on the conversion for the report.
        agreement: Least cosine to the embeddings of the source's own runtime, on the images that both have run.
    """

    network: Network
    contract: AnyContract
    dimension: int
    source: dict[str, Any]
    notes: tuple[str, ...]
    agreement: float


def read_float_model(
    path: str | Path, *, contract: AnyContract, inputs: FloatArray, output_name: str | None = None
) -> FloatModel:
    """Read any trained file as a float network in canonical form.

    Args:
        path: A trained model of any kind; see ``read_source``.
        contract: The input contract.
        inputs: Shape (n, H, W, C), float32: images to compare embeddings on, normalized by the contract.
        output_name: See ``read_source``.

    Raises:
        SourceError: The file cannot be read or brought into canonical form, or the embeddings differ from the source's.
        InputError: ``inputs`` contradict the contract.
    """
    source = read_source(path, contract=contract, inputs=inputs, output_name=output_name)
    return canonical(source, contract, inputs)


def canonical(source: SourceModel, contract: AnyContract, inputs: FloatArray) -> FloatModel:
    """Bring a source's network into canonical form and compare its embeddings with the source's.

    Args:
        source: Result of ``read_source``.
        contract: The input contract.
        inputs: Shape (n, H, W, C), float32, the images of ``source.witness``.

    Raises:
        SourceError: The network cannot be brought into canonical form, or its embeddings differ from the source's.
    """
    graph = source.network.edit()
    notes = [*source.notes, *bring_into_form(graph, contract)]
    network = Network.of(graph)
    agreement = _agreement(network, inputs, source)
    described = {
        "kind": source.kind,
        "file": os.fsencode(source.path.name).decode(errors="replace"),
        "sha256": source.sha256,
        "tools": dict(source.tools),
        **({} if source.output_name is None else {"output_name": source.output_name}),
    }
    return FloatModel(network, contract, source.witness.shape[1], described, tuple(notes), agreement)


def _agreement(network: Network, inputs: FloatArray, source: SourceModel) -> float:
    embeddings = run_float(network, inputs)
    if embeddings.shape != source.witness.shape:
        raise SourceError(
            f"expected embeddings of shape {list(source.witness.shape)}, as the source computes them,"
            f" found {list(embeddings.shape)}"
        )
    if not np.isfinite(embeddings).all():
        raise SourceError(
            "the converted network computes NaN or infinity for images where its source does not"
        )
    agreement = cosine(embeddings, source.witness)
    worst = int(np.argmin(agreement))
    if agreement[worst] < EQUAL_COSINE:
        difference = np.abs(embeddings[worst] - source.witness[worst])
        value = int(np.argmax(difference))
        raise SourceError(
            f"expected a cosine of at least {EQUAL_COSINE} between the embeddings of the converted network and the"
            f" source, found {agreement[worst]:.6f} on image {worst}: value {value} is"
            f" {embeddings[worst, value]:.6g}, the source's {source.witness[worst, value]:.6g}",
            hint="report this model as a bug; another source format of it (ONNX, SavedModel) may convert",
        )
    return float(agreement[worst])
