"""Child process that runs tflite-micro, which can crash and writes its log to the C++ standard error stream."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Run ``network.tflite`` on ``inputs.npy`` and write ``output.answer.npy`` and one ``INDEX.answer.npy`` for each requested tensor.

    Args:
        folder: Folder of these files and of ``request.json``, which gives the size of the arena and the indices of the tensors.
    """
    from tflite_micro.python.tflite_micro import runtime

    request = json.loads((folder / "request.json").read_text())
    tensors = request["tensors"]
    preserve = runtime.InterpreterConfig.kPreserveAllTensors
    record = runtime.InterpreterConfig.kAllocationRecording
    interpreter = runtime.Interpreter.from_bytes(
        (folder / "network.tflite").read_bytes(),
        arena_size=request["arena_bytes"],
        intrepreter_config=preserve if tensors else record,  # the package's spelling
    )
    results: dict[str, list[np.ndarray]] = {"output": []}
    for codes in np.load(folder / "inputs.npy"):
        interpreter.set_input(codes[None], 0)
        interpreter.invoke()
        results["output"].append(interpreter.get_output(0).reshape(-1))
        for index in tensors:
            values = np.asarray(interpreter.GetTensor(index, 0)["tensor_data"]).reshape(-1)
            results.setdefault(str(index), []).append(values)
    if not tensors:
        interpreter.print_allocations()
    for name, arrays in results.items():
        np.save(folder / f"{name}.answer.npy", np.stack(arrays))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
