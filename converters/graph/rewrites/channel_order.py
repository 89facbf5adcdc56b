"""Let a network that was trained on BGR take RGB, as cameras and this SDK give it."""

from __future__ import annotations

import numpy as np

from converters.graph.graph import Graph, indices


def take_rgb(graph: Graph) -> bool:
    """Turn the input channels of the first convolution's weights round, in place; exact.

    The device then copies pixels as they lie, where it would have to turn each one round on every frame.

    Returns:
        Whether it was done: the image must go, through padding at most, into one plain convolution alone.
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
    turned = np.ascontiguousarray(weights[..., ::-1])
    # A tensor of its own: other convolutions may share the constant.
    name = f"{graph.name(operands[1])}/rgb"
    operands[1] = graph.add_tensor(name, turned.shape, turned.dtype, turned)
    reader.inputs = operands
    return True
