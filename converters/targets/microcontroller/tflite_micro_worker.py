"""The child process that runs tflite-micro: it may crash, and it writes its log where C++ writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Answer one request: ``network.tflite``, ``inputs.npy`` and ``request.json`` in, ``*.answer.npy`` out.

    Args:
        folder: Shared with the parent. The request says the arena's size and which tensors to keep.
    """
    from tflite_micro.python.tflite_micro import runtime

    request = json.loads((folder / "request.json").read_text())
    tensors = request["tensors"]
    kept = runtime.InterpreterConfig.kPreserveAllTensors
    recorded = runtime.InterpreterConfig.kAllocationRecording
    interpreter = runtime.Interpreter.from_bytes(
        (folder / "network.tflite").read_bytes(),
        arena_size=request["arena_bytes"],
        intrepreter_config=kept if tensors else recorded,  # the package's spelling
    )
    answer: dict[str, list[np.ndarray]] = {"output": []}
    for codes in np.load(folder / "inputs.npy"):
        interpreter.set_input(codes[None], 0)
        interpreter.invoke()
        answer["output"].append(interpreter.get_output(0).reshape(-1))
        for index in tensors:
            values = np.asarray(interpreter.GetTensor(index, 0)["tensor_data"]).reshape(-1)
            answer.setdefault(str(index), []).append(values)
    if not tensors:
        interpreter.print_allocations()
    for name, found in answer.items():
        np.save(folder / f"{name}.answer.npy", np.stack(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
