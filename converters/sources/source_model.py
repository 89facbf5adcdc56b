"""What every kind of source becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk.types import FloatArray


@dataclass(frozen=True)
class SourceModel:
    """A trained network as a float32 ``.tflite``, and what its own runtime answers.

    Args:
        kind: ``keras``, ``saved_model``, ``onnx``, ``pytorch`` or ``tflite``, by content.
        path: The file or folder that was read.
        sha256: Hex digest of the file; of a SavedModel, over the sorted relative paths and contents.
        tflite: The network as converted: NHWC, float32, one input, one output. The batch is 1, except
            that a ``.tflite`` source is passed on untouched and may have another or a dynamic one.
        witness: Shape (n, D), float32: what the source's own runtime answers to the n images.
        tools: Versions of the packages that read and converted it.
        notes: What a person should know, such as a batch that was changed.
    """

    kind: str
    path: Path
    sha256: str
    tflite: bytes = field(repr=False)
    witness: FloatArray = field(repr=False)
    tools: Mapping[str, str]
    notes: tuple[str, ...] = ()
