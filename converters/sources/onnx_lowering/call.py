"""One ONNX operator with its inputs and attributes, as the lowering functions take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.placed import Placed


class UnsupportedOperatorError(Exception):
    """The operator, or the form in which the graph uses it, has no TFLite form; the message says what was found."""


@dataclass(frozen=True)
class Call:
    """An operator of the graph.

    Args:
        kind: The operator's type.
        opset: Version of the ONNX standard that the file states.
        inputs: Its inputs; None for one that is left out.
        outputs: Names of its outputs; empty for one that is left out.
        attributes: Its attributes as Python values; bytes are text, tensors are arrays.
    """

    kind: str
    opset: int
    inputs: tuple[Placed | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def optional(self, index: int) -> Placed | None:
        """Return an input, or None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int) -> Placed:
        """Return an input that must be there."""
        value = self.optional(index)
        if value is None:
            raise UnsupportedOperatorError(f"expected input {index}, found none")
        return value

    def constant(self, index: int) -> Any:
        """Return the value of an input as an array in the order of its ONNX axes; None if it is left out."""
        value = self.optional(index)
        if value is None:
            return None
        if not value.constant:
            raise UnsupportedOperatorError(f"input {index} is computed by the graph, expected a constant")
        return np.transpose(value.data, np.argsort(value.order))

    def parameter(self, name: str, index: int, default: Any = None) -> Any:
        """Return a parameter that older opsets write as an attribute and newer ones as an input."""
        if name in self.attributes:
            return self.attributes[name]
        value = self.constant(index)
        return default if value is None else value


Lowering = Callable[[Any, Call], "Placed | list[Placed]"]
