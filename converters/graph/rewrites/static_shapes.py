"""Give a network batch 1 and static shapes, and fold constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.graph.graph import Graph, indices
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.runtime.backends.litert import load_interpreter_class


def make_batch_one(graph: Graph) -> int:
    """Set the batch to 1 in the input shape and in the constants of RESHAPE operators. Call ``infer_shapes`` afterwards.

    Returns:
        The batch before, -1 if it was dynamic.
    """
    shape = graph.shape(graph.inputs[0])
    batch = shape[0]
    graph.set_shape(graph.inputs[0], (1, *shape[1:]))
    if batch in (1, -1):
        return batch
    for operator in graph.operators:
        if graph.op_name(operator) != "RESHAPE":
            continue
        options = operator.builtinOptions
        if options is not None and options.newShape is not None and len(options.newShape):
            options.newShape = [
                1 if i == 0 and n == batch else int(n) for i, n in enumerate(options.newShape)
            ]
        operands = indices(operator.inputs)
        target = graph.constant(operands[1]) if len(operands) > 1 else None
        if target is not None and target.size and target.flat[0] == batch:
            # Add a new tensor: an operator that uses the number for another purpose may share the constant.
            new_shape = np.array([1, *target.reshape(-1)[1:]], target.dtype)
            name = f"{graph.name(indices(operator.outputs)[0])}/shape"
            operator.inputs = [
                operands[0],
                graph.add_tensor(name, new_shape.shape, new_shape.dtype, new_shape),
            ]
    return batch


def infer_shapes(graph: Graph, contract: AnyContract) -> None:
    """Set the shape of every tensor to the shape that the interpreter derives from the input shape, in place.

    Raises:
        SourceError: The graph contradicts the contract, or a shape does not follow from the input shape.
    """
    graph.set_shape(graph.inputs[0], (1, *contract.shape))
    interpreter = _run_once(graph, contract)
    for index in graph.computed():
        graph.set_shape(index, _tensor(interpreter, graph, index).shape)


def fold_constants(graph: Graph, contract: AnyContract) -> int:
    """Replace tensors that do not depend on the image (shapes, unpacked weights) by their values, in place.

    Returns:
        Number of removed operators.
    """
    dependent = set(graph.inputs)
    foldable = []
    for operator in graph.operators:
        # All shapes are static by now, so the output of SHAPE is always a constant.
        reads = () if graph.op_name(operator) == "SHAPE" else indices(operator.inputs)
        if dependent.intersection(reads):
            dependent.update(indices(operator.outputs))
        else:
            foldable.append(operator)
    if foldable:
        interpreter = _run_once(graph, contract)
        for operator in foldable:
            for index in indices(operator.outputs):
                graph.set_constant(index, _tensor(interpreter, graph, index))
            graph.operators.remove(operator)
    return len(foldable)


def _run_once(graph: Graph, contract: AnyContract) -> Any:
    """Run on one noise image and keep every tensor; without delegates, because they hide intermediate tensors."""
    from ai_edge_litert.interpreter import OpResolverType

    try:
        interpreter = load_interpreter_class()(
            model_content=graph.to_bytes(),
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        low, high = contract.real_range
        noise = np.random.default_rng(0).uniform(low, high, (1, *contract.shape)).astype(np.float32)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], noise)
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise SourceError(
            f"the network does not run on a batch of one, {contract.describe()}: {error}",
            hint="export it with a batch of 1 and fixed shapes",
        ) from error
    return interpreter


def _tensor(interpreter: Any, graph: Graph, index: int) -> Any:
    try:
        return interpreter.get_tensor(index)
    except ValueError as error:
        raise SourceError(f"tensor {graph.name(index)!r} has no value after a run: {error}") from error
