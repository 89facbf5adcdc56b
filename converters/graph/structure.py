"""Check that the parts of a parsed .tflite refer to parts that exist and have fitting sizes."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converters.errors import SourceError
from edge_sdk.errors import EdgeSdkError

# Bits per number of the fixed-size types; strings, resources and variants have none.
_BITS: dict[int, int] = {
    getattr(schema.TensorType, name): bits
    for name, bits in {
        **{"FLOAT64": 64, "INT64": 64, "UINT64": 64, "COMPLEX64": 64, "COMPLEX128": 128},
        **{
            "FLOAT32": 32,
            "INT32": 32,
            "UINT32": 32,
            "FLOAT16": 16,
            "BFLOAT16": 16,
            "INT16": 16,
            "UINT16": 16,
        },
        **{"INT8": 8, "UINT8": 8, "BOOL": 8, "INT4": 4, "UINT4": 4, "INT2": 2},
    }.items()
    if hasattr(schema.TensorType, name)
}
_MAX_NUMBERS = 1 << 40


# Errors of code that reads an operator's inputs, options or constants, if the file has other ones than its kind needs.
_READING_ERRORS = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    struct.error,
)


@contextlib.contextmanager
def analysis(path: object) -> Iterator[None]:
    """Report a network whose operators do not have the parts that their kind needs as one error.

    Args:
        path: The file, for the message.

    Raises:
        SourceError: The analysis inside the block failed.
    """
    try:
        yield
    except _READING_ERRORS as error:
        if isinstance(error, EdgeSdkError):
            raise
        raise SourceError(
            f"{path}: expected a whole .tflite, found an operator with missing or wrong parts"
            f" ({type(error).__name__}: {error})",
            hint="copy or convert the file again; if another runtime loads it, report it",
        ) from error


def structure_fault(model: schema.ModelT) -> str:
    """Return the first fault of a model's structure; empty if there is none.

    Args:
        model: Object form of the FlatBuffer, with the data of its buffers.
    """
    return next(_faults(model), "")


def _faults(model: schema.ModelT) -> Iterator[str]:
    subgraph = model.subgraphs[0]
    if not model.buffers or not subgraph.tensors:
        yield "it has no tensors"
        return
    if subgraph.operators is None or subgraph.inputs is None or subgraph.outputs is None:
        yield "it has no operators, no inputs or no outputs"
        return
    for number, tensor in enumerate(subgraph.tensors):
        for fault in _tensor_faults(model, tensor):
            yield f"tensor {number} {fault}"
    count = len(subgraph.tensors)
    for name, indices in (("input", subgraph.inputs), ("output", subgraph.outputs)):
        if not all(0 <= index < count for index in indices):
            yield f"an {name} of the network is no tensor"
    for number, operator in enumerate(subgraph.operators):
        if not 0 <= operator.opcodeIndex < len(model.operatorCodes or ()):
            yield f"operator {number} has no operator code"
        if not all(-1 <= index < count for index in _values(operator.inputs)):
            yield f"an input of operator {number} is no tensor"
        if not all(0 <= index < count for index in _values(operator.outputs)):
            yield f"an output of operator {number} is no tensor"


def _tensor_faults(model: schema.ModelT, tensor: schema.TensorT) -> Iterator[str]:
    shape = [int(n) for n in _values(tensor.shape)]
    if any(n < 0 for n in shape) or math.prod(shape) > _MAX_NUMBERS:
        yield f"has the shape {shape}"
        return
    if not 0 <= tensor.buffer < len(model.buffers):
        yield f"refers to buffer {tensor.buffer} of {len(model.buffers)}"
        return
    signature = [int(n) for n in _values(tensor.shapeSignature)]
    if signature and len(signature) != len(shape):
        yield f"has the shape {shape} and the signature {signature}"
    data = model.buffers[tensor.buffer].data
    bits = _BITS.get(tensor.type)
    if data is not None and len(data) and bits is not None and tensor.sparsity is None:
        expected = (math.prod(shape) * bits + 7) // 8
        if len(data) != expected:
            yield f"has {len(data)} bytes, expected {expected} for its shape {shape}"
    yield from _quantization_faults(tensor, shape)


def _quantization_faults(tensor: schema.TensorT, shape: Sequence[int]) -> Iterator[str]:
    quantization = tensor.quantization
    if quantization is None:
        return
    scales, zero_points = list(_values(quantization.scale)), list(_values(quantization.zeroPoint))
    if len(zero_points) not in (0, len(scales)):
        yield f"has {len(scales)} scales and {len(zero_points)} zero points"
    if not all(math.isfinite(scale) for scale in scales):
        yield "has a scale that is no number"
    if len(scales) > 1:
        axis = quantization.quantizedDimension
        if not 0 <= axis < len(shape) or shape[axis] != len(scales):
            yield f"has {len(scales)} scales along dimension {axis} of its shape {list(shape)}"


def _values(vector: Any) -> Sequence[Any]:
    """Return a vector of the FlatBuffer; an absent one is None."""
    return () if vector is None else vector
