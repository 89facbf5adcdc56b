"""Convert a network trained on BGR images to RGB input, the order that cameras and this SDK use."""

from __future__ import annotations

import numpy as np

from converters.graph.graph import Graph, indices


def reverse_input_channels(graph: Graph) -> bool:
    """Reverse the input channels of the first convolution's weights, in place; the result is exact.

    The device can then copy pixels without reordering their channels in every frame.

    Returns:
        True if the weights were reversed; False if anything but one CONV_2D, with only padding before it, reads the image.
    """
    index = graph.inputs[0]
    while True:
        readers = graph.consumers(index)
        if len(readers) != 1 or index in graph.outputs:
            return False
        (reader,) = readers
        if graph.op_name(reader) != "PAD":
            break
        index = indices(reader.outputs)[0]
    operands = indices(reader.inputs)
    weights = graph.constant(operands[1]) if graph.op_name(reader) == "CONV_2D" else None
    if weights is None or operands[0] != index or weights.shape[-1] != 3 or weights.dtype != np.float32:
        return False
    reversed_weights = np.ascontiguousarray(weights[..., ::-1])
    # Add a new tensor: other convolutions may share the constant.
    name = f"{graph.name(operands[1])}/rgb"
    operands[1] = graph.add_tensor(name, weights.shape, weights.dtype, reversed_weights)
    reader.inputs = operands
    return True
