"""Protocols of backends, which run networks for the SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.input_tensor import InputTensor


@dataclass(frozen=True)
class TensorInfo:
    """Shape, dtype and quantization of an input or output tensor.

    Args:
        shape: Shape, such as (1, 112, 112, 3).
        dtype: Data type of the elements.
        scale: Quantization scale, 0 for a float tensor.
        zero_point: Quantization zero point, 0 for a float tensor.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0

    def stated(self) -> InputTensor:
        """Return type and quantization as a model card states them."""
        return InputTensor(str(self.dtype), float(self.scale), int(self.zero_point))


class InputBackend(Protocol):
    """Runs a network with one input. Views show the runtime's own memory; do not keep them across ``invoke``."""

    input: TensorInfo

    def input_view(self) -> NDArray[Any]:
        """Return the memory of the input tensor, to be written."""

    def invoke(self) -> None:
        """Run the network on the content of the input view."""


class Backend(InputBackend, Protocol):
    """Runs a network with one input and one output.

    ``runtime`` is a package and its version, such as ``ai-edge-litert 2.3.0``. ``kernels`` is ``xnnpack``,
    ``reference``, or the file name of a delegate's library. Two backends with the same runtime and kernels compute the
    same outputs.
    """

    runtime: str
    kernels: str
    output: TensorInfo

    def output_view(self) -> NDArray[Any]:
        """Return the memory of the output tensor, valid until the next ``invoke``."""


class NetworkBackend(InputBackend, Protocol):
    """Runs a network with one input and several outputs, such as a detector; ``Backend`` describes the fields."""

    runtime: str
    kernels: str
    outputs: tuple[TensorInfo, ...]

    def output_view(self, position: int) -> NDArray[Any]:
        """Return the memory of one output tensor, valid until the next ``invoke``."""
