"""Run an ONNX model with onnxruntime, its reference runtime; imported only in the child process."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources.onnx_interface import Interface
from edge_sdk.types import FloatArray


def open_session(model: Any) -> Any:
    """Open an onnxruntime session on one thread, without logs.

    Raises:
        SourceError: onnxruntime refuses the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except run_errors() as error:
        raise SourceError(f"onnxruntime refuses it: {_line(error)}", hint="export it again") from error


def embed(model: Any, interface: Interface, inputs: FloatArray) -> FloatArray:
    """Run a model on one image at a time; a fixed batch is filled with copies of the image.

    Args:
        model: The onnx.ModelProto.
        interface: The model's image input.
        inputs: Shape (n, H, W, C), float32.

    Returns:
        Shape (n, D), float32.

    Raises:
        SourceError: onnxruntime cannot run the model.
    """
    session = open_session(model)
    batch = interface.batch or 1
    name = session.get_inputs()[0].name
    rows = []
    for image in inputs:
        batched = np.repeat(image[None], batch, axis=0)
        try:
            (output,) = session.run(None, {name: interface.as_onnx(batched)})
        except run_errors() as error:
            raise SourceError(f"onnxruntime cannot run it: {_line(error)}", hint="export it again") from error
        rows.append(np.asarray(output, np.float32).reshape(batch, -1)[0])
    return np.stack(rows)


def run_errors() -> tuple[type[Exception], ...]:
    """List onnxruntime's errors, which have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (
        state.EPFail,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )
    return (*kinds, ValueError)


def _line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text.rpartition(" : ")[2][:300] or text[:300]
