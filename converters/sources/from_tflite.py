"""Read a float32 ``.tflite``: check it, run it, and return it unchanged, or up to a chosen tensor."""

from __future__ import annotations

from converters.graph.network import Network
from converters.sources import checks, tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools


def convert(request: SourceRequest) -> Converted:
    """Check a ``.tflite`` and run it in LiteRT on the images.

    Raises:
        SourceError: See ``tflite_network.inspect``.
    """
    tflite = request.path.read_bytes()
    request.stage = "reading the file"
    notes: tuple[str, ...] = ()
    if request.output_name is not None:
        tflite = _cut(tflite, request.output_name)
        notes = (f"the output is the tensor {request.output_name!r}, as chosen",)
    notes += tflite_network.inspect(tflite, request.contract)
    request.stage = "running the file"
    witness = tflite_network.embed(tflite, request.inputs, request.contract)
    return Converted(tflite, witness, tools("ai-edge-litert"), notes)


def _cut(tflite: bytes, name: str) -> bytes:
    """Make a tensor the only output, and remove the operators after it."""
    graph = Network(tflite).edit()
    outputs = graph.signature_outputs()
    names = {graph.name(index): index for index in graph.computed()}
    index = outputs.get(name, names.get(name))
    if index is None:
        raise checks.no_output(name, outputs or [graph.name(i) for i in graph.outputs], names)
    graph.set_outputs([index])
    graph.set_signature("image", "embedding")
    graph.prune()
    return Network.of(graph).data
