"""Fakes of backends for tests, shipped so that users' tests need no patching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.runtime.backends.base import TensorInfo


class _FakeInput:
    """Base class of fake backends: the input tensor and the number of invocations."""

    def __init__(self, input: TensorInfo) -> None:
        self.input = input
        self.invocations = 0
        self._input = np.zeros(input.shape, input.dtype)

    def input_view(self) -> NDArray[Any]:
        """Return the memory of the input tensor, to be written."""
        return self._input


class FakeBackend(_FakeInput):
    """Backend that runs a Python function in place of a network.

    Args:
        function: Computes the output tensor from the input tensor.
        input: Shape, dtype and quantization of the input tensor.
        output: Shape, dtype and quantization of the output tensor.
        runtime: Name and version of the runtime that the backend reports.
        kernels: Name of the kernels that the backend reports.
    """

    def __init__(
        self,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        *,
        input: TensorInfo,
        output: TensorInfo,
        runtime: str = "fake 1",
        kernels: str = "python",
    ) -> None:
        super().__init__(input)
        self.runtime = runtime
        self.kernels = kernels
        self.output = output
        self._function = function
        self._output = np.zeros(output.shape, output.dtype)

    def invoke(self) -> None:
        """Run the function on the content of the input view."""
        self.invocations += 1
        np.copyto(self._output, self._function(self._input))

    def output_view(self) -> NDArray[Any]:
        """Return the memory of the output tensor, valid until the next `invoke`."""
        return self._output


class FakeNetwork(_FakeInput):
    """Backend with several outputs that runs a Python function in place of a network.

    Args:
        function: Computes the output tensors from the input tensor.
        input: Shape, dtype and quantization of the input tensor.
        outputs: Shape, dtype and quantization of each output tensor.
        runtime: Name and version of the runtime that the backend reports.
        kernels: Name of the kernels that the backend reports.
    """

    def __init__(
        self,
        function: Callable[[NDArray[Any]], Sequence[NDArray[Any]]],
        *,
        input: TensorInfo,
        outputs: Sequence[TensorInfo],
        runtime: str = "fake 1",
        kernels: str = "python",
    ) -> None:
        super().__init__(input)
        self.runtime = runtime
        self.kernels = kernels
        self.outputs = tuple(outputs)
        self._function = function
        self._outputs = [np.zeros(output.shape, output.dtype) for output in outputs]

    def invoke(self) -> None:
        """Run the function on the content of the input view."""
        self.invocations += 1
        for output, value in zip(self._outputs, self._function(self._input), strict=True):
            np.copyto(output, value)

    def output_view(self, position: int) -> NDArray[Any]:
        """Return the memory of one output tensor, valid until the next `invoke`."""
        return self._outputs[position]
