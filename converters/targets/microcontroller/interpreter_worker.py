"""Child process that runs tflite-micro, which can crash and writes its log to the C++ standard error stream."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.jobs.worker import serve


def work(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run ``network.tflite`` on ``inputs.npy``, and write the values of the output and of each kept tensor as arrays.

    Args:
        request: Values ``arena_bytes`` (size of the arena) and ``tensors`` (indices of the tensors to keep).
        folder: The job's folder.

    Returns:
        Names of the arrays under ``answers``: ``output``, and the index of each tensor kept.
    """
    from tflite_micro.python.tflite_micro import runtime

    tensors = request["tensors"]
    kept = runtime.InterpreterConfig.kPreserveAllTensors
    recorded = runtime.InterpreterConfig.kAllocationRecording
    interpreter = runtime.Interpreter.from_bytes(
        (folder / "network.tflite").read_bytes(),
        arena_size=request["arena_bytes"],
        intrepreter_config=kept if tensors else recorded,  # spelled so in the package
    )
    answers: dict[str, list[np.ndarray]] = {"output": []}
    for codes in np.load(folder / "inputs.npy"):
        interpreter.set_input(codes[None], 0)
        interpreter.invoke()
        answers["output"].append(interpreter.get_output(0).reshape(-1))
        for index in tensors:
            values = np.asarray(interpreter.GetTensor(index, 0)["tensor_data"]).reshape(-1)
            answers.setdefault(str(index), []).append(values)
    if not tensors:
        interpreter.print_allocations()
    for name, rows in answers.items():
        np.save(folder / f"{name}.npy", np.stack(rows))
    return {"answers": list(answers)}


if __name__ == "__main__":
    serve(Path(sys.argv[1]), work)
