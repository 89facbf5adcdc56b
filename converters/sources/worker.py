"""The child process: ``python -m converters.sources.worker FOLDER``.

FOLDER holds ``request.json`` and ``inputs.npy``; it gets ``network.tflite``, ``witness.npy`` and, last and
whole, ``result.json``.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources.source_request import Converted, SourceRequest
from edge_sdk.model.card import InputContract

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
_OTHER_FORM = "the file may be damaged, or beyond this converter; export it again, or as another kind"
_WRAPPER = "Exception encountered"  # Keras puts a line of its own before what went wrong
_REPLACE = "replace it in the network; small devices run only built-in operators"
_MODULES = {
    "keras": "converters.sources.from_keras",
    "saved_model": "converters.sources.from_saved_model",
    "onnx": "converters.sources.from_onnx",
    "onnx_outputs": "converters.sources.from_onnx_outputs",
    "pytorch": "converters.sources.from_pytorch",
    "tflite": "converters.sources.from_tflite",
}


def main(folder: Path) -> int:
    """Answer the request in the folder; 0 where it was answered, with an error or without."""
    request = _request(folder)
    try:
        converted: Converted = importlib.import_module(_MODULES[request.kind]).convert(request)
    except SourceError as error:
        return _refuse(folder, str(error), error.hint)
    except Exception as error:  # noqa: BLE001 - the outermost boundary of a process that exists to
        # contain other libraries, which raise anything
        traceback.print_exc()
        return _refuse(folder, *_explain(request.stage, error))
    (folder / "network.tflite").write_bytes(converted.tflite)
    np.save(folder / "witness.npy", converted.witness)
    return _finish(folder, {"tools": dict(converted.tools), "notes": list(converted.notes)})


def _request(folder: Path) -> SourceRequest:
    value = json.loads((folder / "request.json").read_text())
    return SourceRequest(
        kind=value["kind"],
        path=Path(value["path"]),
        contract=InputContract.from_json(value["contract"]),
        inputs=np.load(folder / "inputs.npy"),
        folder=folder,
    )


def _explain(stage: str, error: Exception) -> tuple[str, str | None]:
    """One line and a hint for what a library raised."""
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if missing in _EXTRA:
        return f"{missing} is not installed", "pip install 'edge-sdk[convert]'"
    if missing in _PYTORCH:
        return f"{missing} is not installed", "pip install 'edge-sdk[convert,pytorch]'"
    text = str(error)
    for mark in ("Flex ops: ", "Custom ops: "):
        if mark in text:
            names = text.partition(mark)[2].splitlines()[0].strip()
            return f"{stage}: no TFLite operator exists for {names}", _REPLACE
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if not line.startswith(_WRAPPER)), "")
    return f"{stage} failed: {type(error).__name__}{': ' if line else ''}{line[:300]}", _OTHER_FORM


def _refuse(folder: Path, message: str, hint: str | None) -> int:
    return _finish(folder, {"error": message, "hint": hint})


def _finish(folder: Path, value: dict[str, Any]) -> int:
    """Write the result under another name first, so that the parent never reads half of it."""
    draft = folder / "result.json.part"
    draft.write_text(json.dumps(value))
    draft.replace(folder / "result.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
