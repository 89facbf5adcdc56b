"""Dynamic range quantization that leaves the first operators with weights in float if that keeps the embeddings.

The runtime rounds the input of each operator to int8 by one scale. An input whose values differ by orders of magnitude, such
as the power of sound, loses its small values; an image does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from converters.data.embedding import embed_crops
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.quantize.ai_edge_quantizer import quantize_dynamic
from converters.quantize.budget import SEARCH_COSINE
from converters.quantize.recipe import Recipe
from edge_sdk.matching import cosine
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")


def choose_dynamic(
    network: Network, recipe: Recipe, contract: AnyContract, samples: NDArray[Any], baseline: FloatArray
) -> tuple[Recipe, Network]:
    """Quantize the weights; if the mean cosine is below the default budget, also with the first operators in float.

    Args:
        network: The canonical float network.
        recipe: A recipe of the precision ``dynamic``.
        contract: The input contract.
        samples: Images or arrays to compare embeddings on, shape (n, ...).
        baseline: Embeddings of the float network, shape (n, D).

    Returns:
        The recipe and the network with the higher mean cosine.
    """

    def built(candidate: Recipe) -> tuple[float, Recipe, Network]:
        quantized = quantize_dynamic(
            network, float_operators=candidate.float_operators, keep_float=candidate.keep_float
        )
        mean = float(cosine(baseline, embed_crops(quantized, contract, samples)).mean())
        return mean, candidate, quantized

    plain = built(recipe)
    first = first_weighted(network.graph)
    if plain[0] >= SEARCH_COSINE or not first:
        return plain[1:]
    with_float = built(replace(recipe, keep_float=first))
    return max(plain, with_float, key=lambda candidate: candidate[0])[1:]


def first_weighted(graph: Graph) -> tuple[str, ...]:
    """List the outputs of the operators with weights that read the network's input, directly or through operators without weights."""
    reached, first = set(graph.inputs), []
    for operator in graph.operators:
        if not reached & set(indices(operator.inputs)):
            continue
        if graph.op_name(operator) in _WEIGHTED:
            first.append(graph.name(indices(operator.outputs)[0]))
        else:
            reached |= set(indices(operator.outputs))
    return tuple(sorted(first))
