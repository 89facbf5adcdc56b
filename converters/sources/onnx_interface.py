"""Inspect input and output of an ONNX graph, and fix it to one image; imported only in the child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.types import FloatArray

TO_NHWC = [0, 2, 3, 1]
TO_NCHW = [0, 3, 1, 2]
_ODD = re.compile(r"[^A-Za-z0-9_./:-]")


@dataclass(frozen=True)
class Interface:
    """The image input of a graph.

    Args:
        name: The input's name.
        batch: The fixed batch; None if the batch is open.
        channels_first: True for NCHW, False for NHWC.
        open_size: True if the file leaves a side of the image open.
    """

    name: str
    batch: int | None
    channels_first: bool
    open_size: bool

    @property
    def order(self) -> tuple[int, ...] | None:
        """The order in which the converted network stores the graph's axes; None if it is the graph's own."""
        return tuple(TO_NHWC) if self.channels_first else None

    def as_onnx(self, inputs: FloatArray) -> FloatArray:
        """Return inputs of the contract's shape in the order of the graph's axes."""
        return np.ascontiguousarray(inputs.transpose(TO_NCHW)) if self.channels_first else inputs


def drop_unread_inputs(model: Any) -> tuple[str, ...]:
    """Remove inputs that are initializers too, or that no operator reads; return notes."""
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {tensor.values.name for tensor in graph.sparse_initializer}
    read = set(names_read(graph))
    unread = [value for value in graph.input if value.name not in stored and value.name not in read]
    if len(unread) == sum(value.name not in stored for value in graph.input):
        unread = []  # another check refuses a graph that reads none of its inputs
    kept = [value for value in graph.input if value.name not in stored and value not in unread]
    del graph.input[:]
    graph.input.extend(kept)
    # Up to version 3 every initializer must be an input too, and onnxruntime refuses the graph otherwise.
    model.ir_version = max(model.ir_version, 4)
    return (f"graph inputs that no operator reads, dropped: {len(unread)}",) if unread else ()


def names_read(graph: Any) -> Iterator[str]:
    """Yield the names of the tensors that a graph's outputs, operators and their subgraphs read."""
    yield from (value.name for value in graph.output)
    for node in graph.node:
        yield from names_read_by(node)


def names_read_by(node: Any) -> Iterator[str]:
    """Yield the names of the tensors that an operator and its subgraphs read."""
    yield from node.input
    for inner in subgraphs(node):
        yield from names_read(inner)


def subgraphs(node: Any) -> list[Any]:
    """List the graphs in the attributes of an operator."""
    return [
        inner
        for attribute in node.attribute
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
    ]


def opset(model: Any) -> int:
    """Return the version of the standard's operators that a model uses; 1 if it states none."""
    return next((int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def examine(model: Any, contract: AnyContract) -> Interface:
    """Find the image input and compare it with the contract.

    Raises:
        SourceError: The graph has more than one input, or another type than float32; or its input is not the contract's
            image.
    """
    graph = model.graph
    checks.check_single([describe(value) for value in graph.input], ["output"])
    for side, value in (("input", graph.input[0]), ("output", graph.output[0])):
        _check_float(side, value)
    sides = _sides(graph.input[0])
    if isinstance(contract, ArrayContract):
        checks.check_input(sides[1:], contract)
        return Interface(graph.input[0].name, sides[0] if sides else None, False, None in sides[1:])
    if len(sides) != 4:
        raise SourceError(
            f"graph input is {describe(graph.input[0])}, expected batch, channels, height and width",
            hint="export a network that takes one image",
        )
    first = channels_first(sides, contract.channels)
    image = [*sides[2:], sides[1]] if first else sides[1:]
    checks.check_input(image, contract)
    return Interface(graph.input[0].name, sides[0], first, None in image)


def _check_float(side: str, value: Any) -> None:
    import onnx

    if not value.type.HasField("tensor_type"):
        raise SourceError(f"{side} {value.name} is not a tensor", hint="export the network with tensors only")
    kind = value.type.tensor_type.elem_type
    if kind == onnx.TensorProto.FLOAT:
        return
    name = onnx.TensorProto.DataType.Name(kind).lower()
    if name in ("int8", "uint8"):
        raise SourceError(
            f"{side} is {name}: already quantized, or the preprocessing is in the graph",
            hint="give the float model, exported with a float32 input",
        )
    raise SourceError(f"{side} is {name}, expected float32", hint="export the network in float32")


def channels_first(sides: list[int | None], channels: int) -> bool:
    """Distinguish NCHW from NHWC by the contract's channels, or by a side of 1 or 3."""
    _, second, _, last = sides
    if (second == channels) != (last == channels):
        return second == channels
    if (second in (1, 3)) != (last in (1, 3)):
        return second in (1, 3)
    return True  # the layout of most exporters, if the shape does not decide


def _sides(value: Any) -> list[int | None]:
    shape = value.type.tensor_type.shape
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in shape.dim]


def describe(value: Any) -> str:
    """Name a tensor with its sides; an unknown side is a question mark."""
    sides = "x".join("?" if side is None else str(side) for side in _sides(value))
    return f"{value.name} {sides}".strip()


def fix_shape(model: Any, interface: Interface, contract: AnyContract) -> tuple[str, ...]:
    """Fix the input to one image of the contract's size, in place; return notes."""
    fixed = [1, *contract.shape]
    if interface.channels_first:
        fixed = [fixed[axis] for axis in TO_NCHW]
    value = model.graph.input[0]
    if _sides(value) == fixed:
        return ()
    del value.type.tensor_type.shape.dim[:]
    for side in fixed:
        value.type.tensor_type.shape.dim.add().dim_value = side
    # Inferred shapes of the old input would contradict the new one; inference fills them again.
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    notes = []
    if interface.batch != 1:
        notes.append(f"the batch of the ONNX file was {interface.batch or 'dynamic'} and is 1 now")
    if interface.open_size:
        notes.append("the image size of the ONNX file was open and is the contract's now")
    if interface.batch not in (None, 1):
        _unbatch_reshapes(model, interface.batch)
    return tuple(notes)


def _unbatch_reshapes(model: Any, batch: int | None) -> None:
    """Set the batch in the target of Reshape operators to 1; the caller compares the outputs afterwards."""
    from onnx import numpy_helper

    targets = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            stored |= {output: a.t for output in node.output for a in node.attribute if a.name == "value"}
    for name in targets & set(stored):
        shape = numpy_helper.to_array(stored[name])
        if shape.ndim == 1 and len(shape) and shape[0] == batch:
            fixed = np.array([1, *shape[1:]], shape.dtype)
            stored[name].CopyFrom(numpy_helper.from_array(fixed, name))


def put_channels_first(model: Any) -> None:
    """Give an NHWC graph an NCHW input, in place: onnx2tf reads every image input as NCHW.

    Removes the exporter's Transpose to NCHW, or inserts a Transpose to NHWC if there is none.
    """
    from onnx import helper

    graph = model.graph
    value = graph.input[0]
    _, height, width, channels = _sides(value)
    readers = [node for node in graph.node if value.name in node.input]
    new = f"{value.name}_nchw"
    if readers and all(_transposes(node, TO_NCHW) for node in readers):
        _bypass(graph, readers, new)
    else:
        back = helper.make_node("Transpose", [new], [value.name], name=f"{new}_to_nhwc", perm=TO_NHWC)
        graph.node.insert(0, back)
    fixed = helper.make_tensor_value_info(new, value.type.tensor_type.elem_type, [1, channels, height, width])
    value.CopyFrom(fixed)


def simplify_names(model: Any) -> None:
    """Give tensors and operators names that TensorFlow accepts for layers, in place; most names are kept."""
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    names = [value.name for value in values]
    names += [name for node in graph.node for name in (*node.input, *node.output)]
    plain: dict[str, str] = {"": ""}
    taken = {name for name in names if not _ODD.search(name)}
    for name in names:
        if name in plain:
            continue
        unique = base = _ODD.sub("_", name)
        number = 0
        while unique != name and unique in taken:
            number += 1
            unique = f"{base}_{number}"
        taken.add(unique)
        plain[name] = unique
    for value in values:
        value.name = plain[value.name]
    for node in graph.node:
        node.name = _ODD.sub("_", node.name)
        for side in (node.input, node.output):
            side[:] = [plain[name] for name in side]


def drop_dead(graph: Any) -> None:
    """Remove the operators and initializers that no output depends on, in place."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # a valid graph is sorted topologically
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(names_read_by(node))
    keep_nodes(graph, kept[::-1])
    stored = [tensor for tensor in graph.initializer if tensor.name in needed]
    if len(stored) < len(graph.initializer):
        copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in stored]
        del graph.initializer[:]
        graph.initializer.extend(copies)


def keep_nodes(graph: Any, nodes: list[Any]) -> None:
    """Keep these operators of the graph and remove all others."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _transposes(node: Any, order: list[int]) -> bool:
    if node.op_type != "Transpose":
        return False
    return any(a.name == "perm" and list(a.ints) == order for a in node.attribute)


def _bypass(graph: Any, nodes: list[Any], name: str) -> None:
    bypassed = {output for node in nodes for output in node.output}
    keep_nodes(graph, [node for node in graph.node if not bypassed & set(node.output)])
    for node in graph.node:
        for index, read in enumerate(node.input):
            if read in bypassed:
                node.input[index] = name
