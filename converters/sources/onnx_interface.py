"""What an ONNX graph takes and gives, and how to fix it to one image; only in the child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks
from edge_sdk.model.card import InputContract

TO_NHWC = [0, 2, 3, 1]
TO_NCHW = [0, 3, 1, 2]
_ODD = re.compile(r"[^A-Za-z0-9_./:-]")


@dataclass(frozen=True)
class Interface:
    """The one input and output of a graph.

    Args:
        name: The input's name.
        batch: A fixed batch, or None.
        channels_first: NCHW, else NHWC.
        open_size: Whether the file leaves a side of the image open.
    """

    name: str
    batch: int | None
    channels_first: bool
    open_size: bool


def drop_unread_inputs(model: Any) -> tuple[str, ...]:
    """Take inputs off the graph that are initializers too, or that no operator reads; returns notes."""
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {tensor.values.name for tensor in graph.sparse_initializer}
    read = set(_names_read(graph))
    unread = [value for value in graph.input if value.name not in stored and value.name not in read]
    if len(unread) == sum(value.name not in stored for value in graph.input):
        unread = []  # a graph that reads none of its inputs is refused later, by what it is
    kept = [value for value in graph.input if value.name not in stored and value not in unread]
    del graph.input[:]
    graph.input.extend(kept)
    return (f"graph inputs that no operator reads, dropped: {len(unread)}",) if unread else ()


def _names_read(graph: Any) -> Iterator[str]:
    yield from (value.name for value in graph.output)
    for node in graph.node:
        yield from names_read_by(node)


def names_read_by(node: Any) -> Iterator[str]:
    """Names of the tensors that an operator reads, its subgraphs included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _names_read(inner)


def examine(model: Any, contract: InputContract) -> Interface:
    """Find the image input and hold it against the contract.

    Raises:
        SourceError: More than one input or output, not float32, not an image, or not the contract's.
    """
    graph = model.graph
    checks.check_single([_say(value) for value in graph.input], [_say(value) for value in graph.output])
    for side, value in (("input", graph.input[0]), ("output", graph.output[0])):
        _check_float(side, value)
    sides = _sides(graph.input[0])
    if len(sides) != 4:
        raise SourceError(
            f"graph input is {_say(graph.input[0])}, expected batch, channels, height and width",
            hint="export a network that takes one image",
        )
    first = _channels_first(sides, contract)
    image = [*sides[2:], sides[1]] if first else sides[1:]
    checks.check_image(image, contract)
    return Interface(graph.input[0].name, sides[0], first, None in image)


def _check_float(side: str, value: Any) -> None:
    import onnx

    if not value.type.HasField("tensor_type"):
        raise SourceError(f"{side} {value.name} is not a tensor", hint="export the network alone")
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


def _channels_first(sides: list[int | None], contract: InputContract) -> bool:
    """Tell NCHW from NHWC: by the contract's channels, else by a side that only channels can be."""
    _, second, _, last = sides
    if (second == contract.channels) != (last == contract.channels):
        return second == contract.channels
    if (second in (1, 3)) != (last in (1, 3)):
        return second in (1, 3)
    return True  # what exporters write where the shape does not tell


def _sides(value: Any) -> list[int | None]:
    shape = value.type.tensor_type.shape
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in shape.dim]


def _say(value: Any) -> str:
    sides = "x".join("?" if side is None else str(side) for side in _sides(value))
    return f"{value.name} {sides}".strip()


def fix_shape(model: Any, interface: Interface, contract: InputContract) -> tuple[str, ...]:
    """Fix the input to one image of the contract's size, in place; returns notes."""
    height, width, channels = contract.shape
    wanted = [1, channels, height, width] if interface.channels_first else [1, height, width, channels]
    value = model.graph.input[0]
    if _sides(value) == wanted:
        return ()
    del value.type.tensor_type.shape.dim[:]
    for side in wanted:
        value.type.tensor_type.shape.dim.add().dim_value = side
    # Shapes noted for the old input would contradict the new one; inference fills them again.
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
    """Let Reshape operators that name the old batch name 1; the answers are compared afterwards."""
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


def take_channels_first(model: Any) -> None:
    """Give an NHWC graph an NCHW input, in place: onnx2tf reads every image input as NCHW.

    The exporter's own Transpose to NCHW falls away where it is there, else one is put in.
    """
    from onnx import helper

    graph = model.graph
    value = graph.input[0]
    _, height, width, channels = _sides(value)
    readers = [node for node in graph.node if value.name in node.input]
    own = f"{value.name}_nchw"
    if readers and all(_transposes(node, TO_NCHW) for node in readers):
        _bypass(graph, readers, own)
    else:
        back = helper.make_node("Transpose", [own], [value.name], name=f"{own}_to_nhwc", perm=TO_NHWC)
        graph.node.insert(0, back)
    fixed = helper.make_tensor_value_info(own, value.type.tensor_type.elem_type, [1, channels, height, width])
    value.CopyFrom(fixed)


def say_names_plainly(model: Any) -> None:
    """Give tensors and operators names that TensorFlow takes for layers, in place; most have one already."""
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    names = [value.name for value in values]
    names += [name for node in graph.node for name in (*node.input, *node.output)]
    plain: dict[str, str] = {"": ""}
    taken = {name for name in names if not _ODD.search(name)}
    for name in names:
        if name in plain:
            continue
        wanted = base = _ODD.sub("_", name)
        number = 0
        while wanted != name and wanted in taken:
            number += 1
            wanted = f"{base}_{number}"
        taken.add(wanted)
        plain[name] = wanted
    for value in values:
        value.name = plain[value.name]
    for node in graph.node:
        node.name = _ODD.sub("_", node.name)
        for side in (node.input, node.output):
            side[:] = [plain[name] for name in side]


def keep_nodes(graph: Any, nodes: list[Any]) -> None:
    """Leave only these operators in the graph."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _transposes(node: Any, order: list[int]) -> bool:
    if node.op_type != "Transpose":
        return False
    return any(a.name == "perm" and list(a.ints) == order for a in node.attribute)


def _bypass(graph: Any, nodes: list[Any], name: str) -> None:
    gone = {output for node in nodes for output in node.output}
    keep_nodes(graph, [node for node in graph.node if not gone & set(node.output)])
    for node in graph.node:
        for index, read in enumerate(node.input):
            if read in gone:
                node.input[index] = name
