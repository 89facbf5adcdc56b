"""Read a float32 ``.tflite`` with any outputs, such as a pose network; imported only in the child process."""

from __future__ import annotations

import re

import numpy as np

from converters.errors import SourceError
from converters.graph.network import Network
from converters.sources import tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools
from edge_sdk.model.network_card import MAX_OUTPUTS

_ODD = re.compile(r"[^A-Za-z0-9_]")


def convert(request: SourceRequest) -> Converted:
    """Check a ``.tflite``, run it in LiteRT on the images, and name its outputs in a signature.

    The witness holds, for each image, the values of all outputs in the order of their names.

    Raises:
        SourceError: The file is damaged or quantized, has unsupported operators, more than one input, or another image than
            the contract's.
    """
    tflite = request.path.read_bytes()
    interpreter = tflite_network.open_outputs(tflite, request.contract)
    request.stage = "naming the outputs"
    graph = Network(tflite).edit()
    tensors = list(dict.fromkeys(graph.outputs))
    signature = {tensor: name for name, tensor in graph.signature_outputs().items()}
    if set(signature) != set(tensors):
        signature = {}
    names = _different([_ODD.sub("_", signature.get(tensor) or graph.name(tensor)) for tensor in tensors])
    graph.set_outputs(tensors)
    graph.set_signature("image", *names)
    request.stage = "running the file"
    image = interpreter.get_input_details()[0]["index"]
    places = [tensor for _, tensor in sorted(zip(names, tensors, strict=True))]
    rows = []
    for sample in request.inputs:
        interpreter.set_tensor(image, sample[None])
        interpreter.invoke()
        rows.append(np.concatenate([interpreter.get_tensor(tensor).ravel() for tensor in places]))
    witness = np.stack(rows).astype(np.float32)
    return Converted(Network.of(graph).data, witness, tools("ai-edge-litert"))


def _different(names: list[str]) -> list[str]:
    """Make names different by their position."""
    if not 1 <= len(names) <= MAX_OUTPUTS:
        raise SourceError(f"expected 1 to {MAX_OUTPUTS} outputs, found {len(names)}")
    if all(names) and len(set(names)) == len(names):
        return names
    return [f"{name or 'output'}_{position}" for position, name in enumerate(names)]
