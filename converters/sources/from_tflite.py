"""A float32 ``.tflite`` as a source: checked, run, and passed on untouched."""

from __future__ import annotations

from converters.sources import tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools


def convert(request: SourceRequest) -> Converted:
    """Check a ``.tflite`` and let LiteRT answer the images.

    Raises:
        SourceError: See ``tflite_network.inspect``.
    """
    tflite = request.path.read_bytes()
    request.stage = "looking into the file"
    notes = tflite_network.inspect(tflite, request.contract)
    request.stage = "running the file"
    witness = tflite_network.embed(tflite, request.inputs, request.contract)
    return Converted(tflite, witness, tools("ai-edge-litert"), notes)
