"""What follows the embedding and does not belong into an integer network."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices

_PASSES_THROUGH = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


def strip_normalization(graph: Graph) -> bool:
    """Take a final L2 normalization off the network; the host does it after the integers.

    Recognized are L2_NORMALIZATION, and any final MUL or DIV of the embedding by one single computed
    number, as frameworks spell it out. The direction, which is all that cosine sees, stays; whoever
    calls this compares with the source afterwards. An int8 L2 norm inside the graph has the fixed scale
    1/128 and costs about four times the noise of one done by the host.

    Returns:
        Whether there was one. Call ``graph.prune()`` afterwards.
    """
    output = graph.outputs[0]
    seen_reshape = False
    operator = graph.producer(output)
    while operator is not None and graph.op_name(operator) in _PASSES_THROUGH:
        seen_reshape = True
        operator = graph.producer(indices(operator.inputs)[0])
    if operator is None:
        return False
    embedding = _normalized(graph, operator)
    if embedding is None:
        return False
    if seen_reshape:
        # The reshape stays and reads the embedding itself.
        normalized = indices(operator.outputs)[0]
        for reader in graph.consumers(normalized):
            reader.inputs = [embedding if i == normalized else i for i in indices(reader.inputs)]
    else:
        graph.set_outputs([embedding])
    return True


def _normalized(graph: Graph, operator: schema.OperatorT) -> int | None:
    """The tensor that an operator normalizes, or None where it does something else."""
    name = graph.op_name(operator)
    operands = indices(operator.inputs)
    if name == "L2_NORMALIZATION":
        return operands[0]
    if name not in {"MUL", "DIV"}:
        return None
    if name == "MUL" and _one_number(graph, operands[0]):
        operands = operands[::-1]
    return operands[0] if _size(graph, operands[0]) > 1 and _one_number(graph, operands[1]) else None


def _one_number(graph: Graph, index: int) -> bool:
    """Whether a tensor is one computed number, or repeats one for every value of the embedding."""
    if graph.constant(index) is not None:
        return False
    if _size(graph, index) == 1:
        return True
    # torch.nn.functional.normalize expands the norm; as TFLite that is a product with ones.
    maker = graph.producer(index)
    if maker is None or graph.op_name(maker) not in {"MUL", "BROADCAST_TO", "TILE"}:
        return False
    operands = indices(maker.inputs)
    if graph.op_name(maker) != "MUL":
        return _one_number(graph, operands[0])
    constants = [value for value in map(graph.constant, operands) if value is not None]
    numbers = [i for i in operands if graph.constant(i) is None]
    return (
        len(constants) == len(numbers) == 1
        and _size(graph, numbers[0]) == 1
        and bool((constants[0] == constants[0].flat[0]).all() and constants[0].flat[0] > 0)
    )


def _size(graph: Graph, index: int) -> int:
    size = 1
    for side in graph.shape(index):
        size *= side
    return size
