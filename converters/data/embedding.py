"""Embed many samples with the code that runs on the device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.graph.network import Network
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder, unit_embedding
from edge_sdk.types import FloatArray, SampleArray


def embed_crops(
    network: Network,
    contract: AnyContract,
    pixels: SampleArray,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Embed crops or arrays one at a time, as the device does.

    Args:
        network: A .tflite with one input and one output, float or integer.
        contract: Its input contract.
        pixels: Images: shape (n, H, W, C), uint8, at the network's size. Arrays: shape (n, ...).
        threads: Interpreter threads.
        progress: Called with (done, total).

    Returns:
        Shape (n, D), float32, unit rows.

    Raises:
        ModelError: The interpreter refuses the network.
        ModelContractError: The network contradicts the contract.
        InputError: An embedding is zero or not finite.
    """
    backend = LiteRtBackend(network.data, threads=threads)
    encode = make_encoder(contract, backend.input)
    embeddings = np.empty((len(pixels), int(np.prod(backend.output.shape))), np.float32)
    for position, crop in enumerate(pixels):
        encode(crop, backend.input_view())
        backend.invoke()
        embeddings[position] = unit_embedding(backend.output_view(), backend.output.zero_point)
        if progress is not None:
            progress(position + 1, len(pixels))
    return embeddings
