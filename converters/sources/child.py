"""Run a conversion in a child process, so that the frameworks' memory, logs and crashes stay there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import converters
from converters.errors import SourceError
from converters.jobs.child_process import run_logged
from converters.sources.source_request import Converted
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray

TIMEOUT_S = 1800.0
_MAX_LOG_BYTES = 1 << 16
_NOISE = re.compile(r"^([IWE]\d{4} |WARNING: All log messages|\s|Traceback |\d{4}-\d\d-\d\d |INFO: |WARNING)")
_RUNTIMES = {
    "keras": "TensorFlow",
    "saved_model": "TensorFlow",
    "onnx": "the ONNX converter",
    "onnx_outputs": "the ONNX converter",
    "pytorch": "PyTorch",
    "tflite": "the interpreter",
}


def convert(kind: str, path: Path, *, contract: InputContract, inputs: FloatArray) -> Converted:
    """Convert a source in a child process.

    Args:
        kind: As ``kinds.recognize`` says.
        path: The file or folder.
        contract: The input contract.
        inputs: Shape (n, H, W, C), float32.

    Raises:
        SourceError: What the child found, or how it ended.
    """
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as name:
        folder = Path(name)
        np.save(folder / "inputs.npy", inputs)
        request = {"kind": kind, "path": str(path.resolve()), "contract": contract.to_json()}
        (folder / "request.json").write_text(json.dumps(request))
        code, log = _run(folder, kind, path)
        return _answer(folder, kind, path, code, log)


def environment(folder: Path) -> dict[str, str]:
    """The child's environment: quiet, on the CPU, one answer on every run."""
    kept = {name: value for name, value in os.environ.items() if name not in ("TF_USE_LEGACY_KERAS",)}
    root = str(Path(converters.__file__).resolve().parent.parent)
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_DETERMINISTIC_OPS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN rounds by the processor at hand; it saved no time here
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": str(folder),  # a user's keras.json could turn the image layout around
        "OPENBLAS_NUM_THREADS": "1",
    }


def _run(folder: Path, kind: str, path: Path) -> tuple[int, str]:
    try:
        code, log = run_logged(
            ["-m", "converters.sources.worker", str(folder)],
            folder,
            environment=environment(folder),
            timeout_s=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"{path}: {_RUNTIMES[kind]} took longer than {TIMEOUT_S:g} s on it",
            hint="give a smaller network, or convert on a faster machine",
        ) from error
    return code, log[-_MAX_LOG_BYTES:].decode(errors="replace")


def _answer(folder: Path, kind: str, path: Path, code: int, log: str) -> Converted:
    result = folder / "result.json"
    if not result.is_file():
        raise _died(kind, path, code, log)
    value: dict[str, Any] = json.loads(result.read_text())
    if "error" in value:
        raise SourceError(f"{path}: {value['error']}", hint=value.get("hint"))
    return Converted(
        tflite=(folder / "network.tflite").read_bytes(),
        witness=np.load(folder / "witness.npy"),
        tools=value["tools"],
        notes=tuple(value["notes"]),
    )


def _died(kind: str, path: Path, code: int, log: str) -> SourceError:
    """What to say of a child that left no answer: crashed, killed, or could not start."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = "the file is damaged or foreign; export it again"
        if -code == signal.SIGKILL:
            hint = "the machine may have run out of memory"
        return SourceError(f"{path}: {_RUNTIMES[kind]} crashed on it ({name})", hint=hint)
    line = last_line(log) or f"exit code {code}"
    return SourceError(f"{path}: {_RUNTIMES[kind]} gave up on it: {line}")


def last_line(log: str) -> str:
    """The last line of a log that says something: no blank, no traceback frame, no logger's prefix."""
    lines = [line.rstrip() for line in log.splitlines()]
    said = [line for line in lines if line and not _NOISE.match(line)]
    return said[-1][:300] if said else ""
