"""The child process that converts one source: ``python -m converters.sources.worker FOLDER``.

It reads ``inputs.npy`` in the job's folder, and writes ``network.tflite`` and ``witness.npy`` there.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.jobs.worker import serve
from converters.sources.kinds import PLUGIN_GROUP
from converters.sources.source_request import Converted, SourceRequest
from edge_sdk.extras import install_command
from edge_sdk.model.array_contract import read_contract
from edge_sdk.plugins import load_plugin, need_plugin

_EXTRA = (
    "tensorflow",
    "keras",
    "tf_keras",
    "h5py",
    "onnx",
    "onnxruntime",
    "onnx2tf",
    "onnx_graphsurgeon",
    "sng4onnx",
    "psutil",
    "ai_edge_litert",
)
_PYTORCH = ("torch", "litert_torch")
_OTHER_FORM = (
    "this is a limit of the converter; give the network in another format (ONNX, SavedModel, Keras, TFLite)"
)
_WRAPPER = "Exception encountered"  # begins a line that Keras puts before the message
_REPLACE = "replace it in the network; small devices run only built-in operators"
_MODULES = {
    "keras": "converters.sources.from_keras",
    "saved_model": "converters.sources.from_saved_model",
    "onnx": "converters.sources.from_onnx",
    "onnx_outputs": "converters.sources.from_onnx_outputs",
    "pytorch": "converters.sources.from_pytorch",
    "tflite": "converters.sources.from_tflite",
    "tflite_outputs": "converters.sources.from_tflite_outputs",
}


def main(folder: Path) -> None:
    """Convert the source that the job's request names."""
    stage = "reading the file"

    def work(value: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        nonlocal stage
        request = SourceRequest(
            kind=value["kind"],
            path=Path(value["path"]),
            contract=read_contract(value["contract"]),
            inputs=np.load(folder / "inputs.npy"),
            folder=folder,
            output_name=value["output_name"],
        )
        try:
            module = _MODULES.get(request.kind)
            source = (
                importlib.import_module(module)
                if module
                else load_plugin(need_plugin(PLUGIN_GROUP, request.kind))
            )
            converted: Converted = source.convert(request)
        finally:
            stage = request.stage
        (folder / "network.tflite").write_bytes(converted.tflite)
        np.save(folder / "witness.npy", converted.witness)
        return {"tools": dict(converted.tools), "notes": list(converted.notes)}

    def explain(error: Exception) -> tuple[str, str | None]:
        traceback.print_exc()
        return _explain(stage, error)

    serve(folder, work, explain=explain)


def _explain(stage: str, error: Exception) -> tuple[str, str | None]:
    """Return one line and a hint for an exception of a library."""
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if missing in _EXTRA:
        return f"{missing} is not installed", install_command("convert")
    if missing in _PYTORCH:
        return f"{missing} is not installed", install_command("convert", "pytorch")
    text = str(error)
    for mark in ("Flex ops: ", "Custom ops: "):
        if mark in text:
            names = text.partition(mark)[2].splitlines()[0].strip()
            return f"{stage}: no TFLite operator exists for {names}", _REPLACE
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if not line.startswith(_WRAPPER)), "")
    return f"{stage} failed: {type(error).__name__}{': ' if line else ''}{line[:300]}", _OTHER_FORM


if __name__ == "__main__":
    main(Path(sys.argv[1]))
