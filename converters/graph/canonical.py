"""Bring a float network into canonical form: batch 1, static shapes, folded constants, no L2 normalization."""

from __future__ import annotations

import numpy as np

from converters.errors import SourceError
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.rewrites.fuse_activations import fuse_activations, split_clips
from converters.graph.rewrites.max_pool_padding import replace_max_pool_padding
from converters.graph.rewrites.static_shapes import fold_constants, infer_shapes, make_batch_one
from converters.graph.rewrites.strip_l2norm import strip_l2norm
from converters.graph.rewrites.unshare import unshare_constants
from edge_sdk.errors import ModelError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.types import FloatArray


def unique_names(graph: Graph) -> None:
    """Make tensor names unique, in place, because quantizers and reports use them as keys and converters may repeat them."""
    seen: set[str] = set()
    for index, tensor in enumerate(graph.tensors):
        name = graph.name(index) or f"tensor_{index}"
        if name in seen:
            name = f"{name}#{index}"
        seen.add(name)
        tensor.name = name.encode()


def bring_into_form(graph: Graph, contract: AnyContract) -> list[str]:
    """Rewrite a float network into canonical form, in place; its function stays the same without the L2 normalization.

    Returns:
        Notes for the report.
    """
    notes = []
    batch = make_batch_one(graph)
    if batch != 1:
        notes.append(f"the batch was {'dynamic' if batch < 0 else batch} and is 1 now")
    infer_shapes(graph, contract)
    folded = fold_constants(graph, contract)
    if folded:
        notes.append(f"{folded} operators that only computed constants or shapes were folded")
    if strip_l2norm(graph):
        notes.append("the L2 normalization was taken out of the network; the host does it")
    before = len(graph.operators)
    fuse_activations(graph)
    graph.prune()
    if len(graph.operators) < before:
        notes.append(
            f"{before - len(graph.operators)} operators were removed: each decomposed activation is one operator now"
        )
    split_clips(graph)
    replace_max_pool_padding(graph)
    unshare_constants(graph)
    unique_names(graph)
    graph.drop_metadata()
    graph.set_signature("image", "embedding")
    graph.prune()
    return notes


def run_float(network: Network, inputs: FloatArray) -> FloatArray:
    """Run a float network; return its raw outputs, shape (n, D), float32, not normalized.

    Raises:
        SourceError: The interpreter refuses the network.
    """
    try:
        backend = LiteRtBackend(network.data)
    except ModelError as error:
        raise SourceError(f"the converted network does not run: {error}", hint=error.hint) from error
    outputs = np.empty((len(inputs), int(np.prod(backend.output.shape))), np.float32)
    for position, image in enumerate(inputs):
        np.copyto(backend.input_view()[0], image)
        backend.invoke()
        outputs[position] = backend.output_view().reshape(-1)
    return outputs
