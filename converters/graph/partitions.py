"""The partitions into which XNNPACK, LiteRT's CPU delegate, splits a network."""

from __future__ import annotations

from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from edge_sdk.runtime.backends.litert import load_interpreter_class


def is_sign_change(graph: Graph, operator: schema.OperatorT) -> bool:
    """Return True for an operator that converts between uint8 and int8 at the network's input or output."""
    if graph.op_name(operator) != "QUANTIZE":
        return False
    source, target = indices(operator.inputs)[0], indices(operator.outputs)[0]
    types = {graph.dtype_name(source), graph.dtype_name(target)}
    return types == {"int8", "uint8"} and (source in graph.inputs or target in graph.outputs)


@dataclass(frozen=True)
class Partitions:
    """Partitions of a network in XNNPACK, LiteRT's CPU delegate.

    Args:
        count: Number of partitions.
        outside: Operators in no partition, which LiteRT's own, slower kernels run.
    """

    count: int
    outside: tuple[str, ...]


def xnnpack_partitions(network: Network) -> Partitions:
    """Load the network and list the partitions of XNNPACK; measured on this host, not predicted."""
    interpreter = load_interpreter_class()(model_content=network.data, num_threads=1)
    interpreter.allocate_tensors()
    # LiteRT appends one DELEGATE operator for each partition; it has no public API for them.
    details = interpreter._get_ops_details()
    delegates = [d for d in details if d["op_name"] == "DELEGATE"]
    inside = {int(i) for d in delegates for i in d["outputs"]}
    operators = [d for d in details if d["op_name"] != "DELEGATE"]
    # Find the operators outside the partitions: begin at the tensors that delegates read and at the network's outputs,
    # and follow their producers back to the outputs of delegates.
    producers = {int(i): d for d in operators for i in d["outputs"]}
    pending = [int(i) for d in delegates for i in d["inputs"]]
    pending += [int(d["index"]) for d in interpreter.get_output_details()]
    outside: dict[int, str] = {}
    while pending:
        index = pending.pop()
        producer = producers.get(index)
        if index in inside or producer is None or producer["index"] in outside:
            continue
        outside[producer["index"]] = producer["op_name"]
        pending += [int(i) for i in producer["inputs"]]
    return Partitions(len(delegates), tuple(outside[i] for i in sorted(outside)))
