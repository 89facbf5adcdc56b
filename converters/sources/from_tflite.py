"""Read a float32 ``.tflite``: check it, run it, and return it unchanged."""

from __future__ import annotations

from converters.sources import tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools


def convert(request: SourceRequest) -> Converted:
    """Check a ``.tflite`` and run it in LiteRT on the images.

    Raises:
        SourceError: See ``tflite_network.inspect``.
    """
    tflite = request.path.read_bytes()
    request.stage = "reading the file"
    notes = tflite_network.inspect(tflite, request.contract)
    request.stage = "running the file"
    witness = tflite_network.embed(tflite, request.inputs, request.contract)
    return Converted(tflite, witness, tools("ai-edge-litert"), notes)
