"""The partitions into which XNNPACK, LiteRT's CPU delegate, splits a network."""

from __future__ import annotations

from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from edge_sdk.runtime.backends.litert import load_interpreter_class


def is_sign_change(graph: Graph, operator: schema.OperatorT) -> bool:
    """Whether an operator changes between uint8 and int8 where the network begins or ends."""
    if graph.op_name(operator) != "QUANTIZE":
        return False
    source, target = indices(operator.inputs)[0], indices(operator.outputs)[0]
    types = {graph.dtype_name(source), graph.dtype_name(target)}
    return types == {"int8", "uint8"} and (source in graph.inputs or target in graph.outputs)


@dataclass(frozen=True)
class Partitions:
    """How LiteRT's CPU delegate, XNNPACK, takes a network.

    Args:
        count: Stretches of the network that it runs.
        outside: Operators that it leaves to LiteRT's own, slower kernels.
    """

    count: int
    outside: tuple[str, ...]


def xnnpack_partitions(network: Network) -> Partitions:
    """Load the network and see what XNNPACK took; measured on this host, not predicted."""
    interpreter = load_interpreter_class()(model_content=network.data, num_threads=1)
    interpreter.allocate_tensors()
    # LiteRT appends one DELEGATE operator for each partition; there is no public way to ask.
    details = interpreter._get_ops_details()
    delegates = [d for d in details if d["op_name"] == "DELEGATE"]
    inside = {int(i) for d in delegates for i in d["outputs"]}
    operators = [d for d in details if d["op_name"] != "DELEGATE"]
    # Whatever a delegate or the network's edge reads, and no delegate gives, comes from outside. So does
    # what those operators read, back to a delegate's output.
    producers = {int(i): d for d in operators for i in d["outputs"]}
    wanted = [int(i) for d in delegates for i in d["inputs"]]
    wanted += [int(d["index"]) for d in interpreter.get_output_details()]
    outside: dict[int, str] = {}
    while wanted:
        index = wanted.pop()
        producer = producers.get(index)
        if index in inside or producer is None or producer["index"] in outside:
            continue
        outside[producer["index"]] = producer["op_name"]
        wanted += [int(i) for i in producer["inputs"]]
    return Partitions(len(delegates), tuple(outside[i] for i in sorted(outside)))
