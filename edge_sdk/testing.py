"""Parts that stand in for hardware and networks in tests; they ship, so that a user's tests patch nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.inference.backends.base import TensorInfo


class FakeBackend:
    """A backend whose network is a Python function.

    Args:
        function: From the input tensor to the output tensor.
        input: What the input tensor is.
        output: What the output tensor is.
    """

    def __init__(
        self,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        *,
        input: TensorInfo,
        output: TensorInfo,
    ) -> None:
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
