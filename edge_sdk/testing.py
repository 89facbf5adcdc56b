"""Parts that stand in for hardware and networks in tests; they ship, so that a user's tests patch nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.runtime.backends.base import TensorInfo


class FakeBackend:
    """A backend whose network is a Python function.

    Args:
        function: From the input tensor to the output tensor.
        input: What the input tensor is.
        output: What the output tensor is.
        runtime: What it says it is.
        kernels: What it says computes in it.
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
        self.runtime = runtime
        self.kernels = kernels
        self.input = input
        self.output = output
        self.invocations = 0
        self._function = function
        self._input = np.zeros(input.shape, input.dtype)
        self._output = np.zeros(output.shape, output.dtype)

    def input_view(self) -> NDArray[Any]:
        """The input tensor's memory, to be written."""
        return self._input

    def invoke(self) -> None:
        """Run the function on what the input view holds."""
        self.invocations += 1
        np.copyto(self._output, self._function(self._input))

    def output_view(self) -> NDArray[Any]:
        """The output tensor's memory, to be read before the next invoke."""
        return self._output


class FakeNetwork:
    """A backend with several outputs whose network is a Python function.

    Args:
        function: From the input tensor to the output tensors.
        input: What the input tensor is.
        outputs: What the output tensors are.
    """

    def __init__(
        self,
        function: Callable[[NDArray[Any]], Sequence[NDArray[Any]]],
        *,
        input: TensorInfo,
        outputs: Sequence[TensorInfo],
    ) -> None:
        self.input = input
        self.outputs = tuple(outputs)
        self.invocations = 0
        self._function = function
        self._input = np.zeros(input.shape, input.dtype)
        self._outputs = [np.zeros(output.shape, output.dtype) for output in outputs]

    def input_view(self) -> NDArray[Any]:
        """The input tensor's memory, to be written."""
        return self._input

    def invoke(self) -> None:
        """Run the function on what the input view holds."""
        self.invocations += 1
        for output, value in zip(self._outputs, self._function(self._input), strict=True):
            np.copyto(output, value)

    def output_view(self, position: int) -> NDArray[Any]:
        """An output tensor's memory, to be read before the next invoke."""
        return self._outputs[position]
