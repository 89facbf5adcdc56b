"""Read any trained file as one float32 ``.tflite`` with witness embeddings from its own runtime."""

from __future__ import annotations

from converters.sources.read import read_source
from converters.sources.source_model import SourceModel

__all__ = ["SourceModel", "read_source"]
