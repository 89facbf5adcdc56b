"""LiteRT (ai-edge-litert) as the backend; tflite-runtime where that is what is installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import BackendUnavailableError, InputError, ModelContractError, ModelError
from edge_sdk.inference.backends.base import TensorInfo

_MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def load_interpreter_class() -> Any:
    """The first interpreter class that imports.

    Raises:
        BackendUnavailableError: None is installed.
    """
    for module in _MODULES:
        try:
            return importlib.import_module(module).Interpreter
        except ImportError:
            continue
    raise BackendUnavailableError("no LiteRT interpreter is installed", hint="pip install 'edge-sdk[litert]'")


class LiteRtBackend:
    """A network in a LiteRT interpreter.

    Args:
        data: A whole .tflite; an appended archive does no harm.
        threads: Interpreter threads, 1 or more.

    Raises:
        BackendUnavailableError: No interpreter is installed.
        InputError: Fewer than one thread.
        ModelError: The interpreter refuses the network.
        ModelContractError: Not exactly one input and one output, or dynamic shapes.
    """

    def __init__(self, data: bytes, *, threads: int = 1) -> None:
        if not isinstance(threads, int) or threads < 1:
            raise InputError(f"expected 1 or more interpreter threads, found {threads!r}")
        interpreter_class = load_interpreter_class()
        try:
            self._interpreter = interpreter_class(model_content=data, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"the interpreter refuses the network: {error}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelContractError(
                f"expected one input and one output, found {len(inputs)} and {len(outputs)}"
            )
        self.input = tensor_info(inputs[0])
        self.output = tensor_info(outputs[0])
        self._input = self._interpreter.tensor(inputs[0]["index"])
        self._output = self._interpreter.tensor(outputs[0]["index"])

    def input_view(self) -> NDArray[Any]:
        """The input tensor's memory, to be written."""
        view: NDArray[Any] = self._input()
        return view

    def output_view(self) -> NDArray[Any]:
        """The output tensor's memory, to be read before the next invoke."""
        view: NDArray[Any] = self._output()
        return view

    def invoke(self) -> None:
        """Run the network on what the input view holds.

        Raises:
            ModelError: The interpreter cannot run it, or a view of its memory is still held.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(
                f"the interpreter cannot run the network: {' '.join(str(error).split())}"
            ) from error


def tensor_info(detail: dict[str, Any]) -> TensorInfo:
    """An interpreter's own description of a tensor; raises ModelContractError where it is dynamic."""
    if -1 in detail.get("shape_signature", ()):
        raise ModelContractError(
            f"expected static shapes, found {list(detail['shape_signature'])} at {detail['name']!r}",
            hint="edge-convert convert makes a static file of it",
        )
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]), float(scale), int(zero_point)
    )
