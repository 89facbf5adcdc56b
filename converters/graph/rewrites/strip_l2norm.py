"""Remove the L2 normalization after the embedding; the host normalizes instead."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices

_PASSES_THROUGH = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


def strip_l2norm(graph: Graph) -> bool:
    """Remove a final L2 normalization, in place. Call ``graph.prune()`` afterwards.

    The function removes L2_NORMALIZATION, or the form in which frameworks decompose it: a final MUL or DIV of the
    embedding by one computed number. Cosine depends only on the embedding's direction, which stays the same; the caller
    compares the result with the source. An int8 L2 normalization in the graph would have the fixed scale 1/128 and add
    about four times the noise of a normalization on the host.

    Returns:
        True if a normalization was removed.
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
        # The reshape stays and reads the embedding before normalization.
        normalized = indices(operator.outputs)[0]
        for reader in graph.consumers(normalized):
            reader.inputs = [embedding if i == normalized else i for i in indices(reader.inputs)]
    else:
        graph.set_outputs([embedding])
    return True


def _normalized(graph: Graph, operator: schema.OperatorT) -> int | None:
    """Return the tensor that an operator normalizes, or None if the operator does something else."""
    name = graph.op_name(operator)
    operands = indices(operator.inputs)
    if name == "L2_NORMALIZATION":
        return operands[0]
    if name not in {"MUL", "DIV"}:
        return None
    if name == "MUL" and _is_one_number(graph, operands[0]):
        operands = operands[::-1]
    return operands[0] if _size(graph, operands[0]) > 1 and _is_one_number(graph, operands[1]) else None


def _is_one_number(graph: Graph, index: int) -> bool:
    """Return True for a tensor with a single computed number, or with that number repeated for every value."""
    if graph.constant(index) is not None:
        return False
    if _size(graph, index) == 1:
        return True
    # torch.nn.functional.normalize expands the norm; in TFLite that is a product with ones.
    producer = graph.producer(index)
    if producer is None or graph.op_name(producer) not in {"MUL", "BROADCAST_TO", "TILE"}:
        return False
    operands = indices(producer.inputs)
    if graph.op_name(producer) != "MUL":
        return _is_one_number(graph, operands[0])
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
