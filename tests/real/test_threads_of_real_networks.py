"""The number of threads does not change a bit of what a real network computes, so that evidence need not name it."""

from pathlib import Path

import numpy as np
import pytest

from edge_sdk.runtime.backends.litert import load_interpreter_class

pytestmark = pytest.mark.real

INT8 = ("mobilefacenet_y1_published_uint8",)
FLOAT = ("mobilefacenet_y1_float32", "blazeface_short_range", "blazeface_full_range")


@pytest.mark.parametrize("name", INT8 + FLOAT)
def test_threads_change_no_bit(shared: Path, name: str) -> None:
    data = (shared / "zoo" / f"{name}.tflite").read_bytes()
    expected: list[bytes] = []
    for threads in (1, 2, 3, 4):
        interpreter = load_interpreter_class()(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
        (info,) = interpreter.get_input_details()
        pixels = np.random.default_rng(0).integers(0, 256, info["shape"])
        scaled = pixels / 127.5 - 1 if info["dtype"] == np.float32 else pixels
        interpreter.set_tensor(info["index"], scaled.astype(info["dtype"]))
        interpreter.invoke()
        outputs = [
            interpreter.get_tensor(output["index"]).tobytes() for output in interpreter.get_output_details()
        ]
        expected = expected or outputs
        assert outputs == expected
        assert len(set(outputs[0])) > 1
