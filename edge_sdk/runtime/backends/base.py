"""The seam between the SDK and whatever runs a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TensorInfo:
    """One tensor at the network's edge.

    Args:
        shape: Such as (1, 112, 112, 3).
        dtype: Of the elements.
        scale: Quantization scale, 0 where the tensor is float.
        zero_point: Quantization zero point, 0 where the tensor is float.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0


class Backend(Protocol):
    """Runs a network with one input and one output.

    The views are into the runtime's own memory. They must not be kept across ``invoke``. ``runtime`` is
    package and version, such as ``ai-edge-litert 2.3.0``; ``kernels`` is what computes in it: ``xnnpack``,
    ``reference``, or a delegate's library without its folder. Two backends with both alike answer alike.
    """

    runtime: str
    kernels: str
    input: TensorInfo
    output: TensorInfo

    def input_view(self) -> NDArray[Any]:
        """The input tensor's memory, to be written."""

    def invoke(self) -> None:
        """Run the network on what the input view holds."""

    def output_view(self) -> NDArray[Any]:
        """The output tensor's memory, to be read before the next invoke."""


class NetworkBackend(Protocol):
    """Runs a network with one input and several outputs, such as a detector.

    The views are into the runtime's own memory. They must not be kept across ``invoke``.
    """

    input: TensorInfo
    outputs: tuple[TensorInfo, ...]

    def input_view(self) -> NDArray[Any]:
        """The input tensor's memory, to be written."""

    def invoke(self) -> None:
        """Run the network on what the input view holds."""

    def output_view(self, position: int) -> NDArray[Any]:
        """An output tensor's memory, to be read before the next invoke."""
