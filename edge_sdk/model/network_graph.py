"""Operators, tensors and constants of a .tflite network, read without a FlatBuffer library.

Only the parts that a description of the network needs are read (schema of TensorFlow Lite, version 3). Every offset is
checked against the length of the data. The parts may not use the same bytes again and again, so time and memory are at most
proportional to the length.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelError
from edge_sdk.types import FloatArray

#: Bytes that the vectors of a file may use beyond the length of the file: a writer may store equal vectors once.
_SHARED_BYTES = 1 << 20
#: Smallest size of a table and its place in a vector.
_TABLE_BYTES = 12
#: Element types by code; constants of other types are not read.
_DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    2: np.dtype("<i4"),
    3: np.dtype(np.uint8),
    4: np.dtype("<i8"),
    7: np.dtype("<i2"),
    9: np.dtype(np.int8),
}
#: Names of the operators that have a meaning here; the others are named by their number.
OPERATOR_NAMES = {
    **{0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D"},
    **{6: "DEQUANTIZE", 9: "FULLY_CONNECTED", 11: "L2_NORMALIZATION", 14: "LOGISTIC", 17: "MAX_POOL_2D"},
    **{18: "MUL", 19: "RELU", 20: "RELU_N1_TO_1", 21: "RELU6", 22: "RESHAPE", 25: "SOFTMAX", 28: "TANH"},
    **{32: "CUSTOM", 34: "PAD", 36: "GATHER", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV"},
    **{43: "SQUEEZE", 44: "UNIDIRECTIONAL_SEQUENCE_LSTM", 45: "STRIDED_SLICE", 54: "PRELU", 55: "MAXIMUM"},
    **{57: "MINIMUM", 65: "SLICE", 70: "EXPAND_DIMS", 74: "SUM", 75: "SQRT", 76: "RSQRT", 78: "POW"},
    **{82: "REDUCE_MAX", 92: "SQUARE", 98: "LEAKY_RELU", 111: "ELU", 114: "QUANTIZE", 117: "HARD_SWISH"},
    **{126: "BATCH_MATMUL", 150: "GELU"},
}


@dataclass(frozen=True)
class GraphTensor:
    """One tensor of a network.

    Args:
        name: Its name.
        shape: Its shape.
        dtype: Element type; None for a type that is not read.
        scales: Quantization scales, one or one for each index of `axis`; empty for a tensor without quantization.
        zero_points: Quantization zero points, as many as scales.
        axis: Axis of the scales.
        data: Bytes of a constant; None for a tensor that is computed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    data: memoryview | None = field(default=None, repr=False)

    def stored(self) -> NDArray[Any]:
        """Return a constant as stored; raises ModelError if it is computed, or of a type that is not read."""
        if self.data is None or self.dtype is None:
            raise ModelError(f"expected a constant of a plain number type, found tensor {self.name!r}")
        if len(self.data) != math.prod(self.shape) * self.dtype.itemsize:
            raise ModelError(
                f"expected {list(self.shape)} {self.dtype} in tensor {self.name!r}, found another size"
            )
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    def real(self, values: NDArray[Any] | None = None) -> FloatArray:
        """Dequantize the constant, or values that the interpreter computed for this tensor: its shape, float32."""
        stored = self.stored() if values is None else values
        if not self.scales:
            return stored.astype(np.float32)
        along = [1] * stored.ndim
        if len(self.scales) > 1:
            along[self.axis] = len(self.scales)
        shifted = stored.astype(np.float64) - np.array(self.zero_points, np.float64).reshape(along)
        return np.asarray(shifted * np.array(self.scales, np.float64).reshape(along), np.float32)


@dataclass(frozen=True)
class GraphOperator:
    """One operator of a network.

    Args:
        name: Its name in the schema, such as ``CONV_2D``; ``operator 99`` for an operator without a name here.
        inputs: Indices of its inputs; -1 for an omitted one.
        outputs: Indices of its outputs.
        options: Its options table, read with ``option``.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: _Table | None = field(default=None, repr=False)

    def option(self, number: int, kind: str = "b", default: int = 0) -> int:
        """Read a scalar of the options: the field's number in its table, its struct format and its default."""
        return default if self.options is None else int(self.options.scalar(number, kind, default))


@dataclass(frozen=True)
class NetworkGraph:
    """The first subgraph of a network.

    Args:
        tensors: All tensors.
        operators: Operators in execution order.
        inputs: Indices of the network's inputs.
        outputs: Indices of the network's outputs.
        outputs_at: Position of the first output's index in the file's bytes.
    """

    tensors: tuple[GraphTensor, ...]
    operators: tuple[GraphOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    outputs_at: int

    @classmethod
    def read(cls, data: bytes) -> NetworkGraph:
        """Read a network.

        Args:
            data: Content of a .tflite, with or without an appended archive.

        Raises:
            ModelError: The data are no .tflite network, or refer to parts outside of it.
        """
        try:
            return _read(_Content(data))
        except (struct.error, LookupError, ValueError, UnicodeDecodeError) as error:
            raise ModelError(
                f"expected a whole .tflite network, found a part that cannot be read ({error})",
                hint="copy or convert the file again",
            ) from error

    def producer(self, tensor: int) -> GraphOperator | None:
        """Return the operator that computes a tensor; None for inputs and constants."""
        return next((o for o in self.operators if tensor in o.outputs), None)

    def constant(self, tensor: int) -> FloatArray | None:
        """Return the real values of a constant, also of one that a DEQUANTIZE expands; None if it is computed."""
        if tensor < 0:
            return None
        if self.tensors[tensor].data is not None:
            return self.tensors[tensor].real()
        source = self.producer(tensor)
        if source is None or source.name != "DEQUANTIZE" or self.tensors[source.inputs[0]].data is None:
            return None
        return self.tensors[source.inputs[0]].real()

    def with_output(self, data: bytes, tensor: int) -> bytes:
        """Return the network's bytes with another tensor as the first output."""
        if not 0 <= tensor < len(self.tensors):
            raise ModelError(f"expected a tensor below {len(self.tensors)}, found {tensor}")
        at = self.outputs_at
        return data[:at] + struct.pack("<i", tensor) + data[at + 4 :]


class _Content:
    """The bytes of a file, and the number of bytes that its vectors may still use."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self._left = len(data) + _SHARED_BYTES

    def scalar(self, at: int, kind: str) -> int:
        if at < 0:
            raise ValueError("an offset before the data")
        value: int = struct.unpack_from(f"<{kind}", self.data, at)[0]
        return value

    def use(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("parts that together are larger than the data")


class _Table:
    """A FlatBuffer table at a position of the data."""

    def __init__(self, content: _Content, at: int) -> None:
        self._content = content
        self._at = at
        self._fields = at - content.scalar(at, "i")
        self._size = content.scalar(self._fields, "H")

    def _field(self, number: int) -> int:
        """Return the position of a field; 0 if the table omits it."""
        entry = 4 + 2 * number
        if entry + 2 > self._size:
            return 0
        offset = self._content.scalar(self._fields + entry, "H")
        return self._at + offset if offset else 0

    def scalar(self, number: int, kind: str, default: int = 0) -> int:
        at = self._field(number)
        return self._content.scalar(at, kind) if at else default

    def table(self, number: int) -> _Table | None:
        at = self._field(number)
        return _Table(self._content, at + self._content.scalar(at, "I")) if at else None

    def vector(self, number: int, width: int, used: int | None = None) -> tuple[int, int]:
        """Return the position of a vector's first element and the number of its elements.

        Args:
            number: The field.
            width: Size of an element in bytes.
            used: Bytes of the data that an element uses, if it refers to others.
        """
        at = self._field(number)
        if not at:
            return 0, 0
        start = at + self._content.scalar(at, "I")
        count = self._content.scalar(start, "I")
        if start + 4 + count * width > len(self._content.data):
            raise ValueError("a vector beyond the end of the data")
        self._content.use(count * (used or width))
        return start + 4, count

    def numbers(self, number: int, kind: str) -> tuple[Any, ...]:
        start, count = self.vector(number, struct.calcsize(f"<{kind}"))
        return struct.unpack_from(f"<{count}{kind}", self._content.data, start) if count else ()

    def tables(self, number: int) -> Iterator[_Table]:
        start, count = self.vector(number, 4, _TABLE_BYTES)
        for position in range(start, start + 4 * count, 4):
            yield _Table(self._content, position + self._content.scalar(position, "I"))

    def content(self, number: int) -> memoryview:
        start, count = self.vector(number, 1)
        return self._content.data[start : start + count]


def _read(content: _Content) -> NetworkGraph:
    model = _Table(content, content.scalar(0, "I"))
    codes = [max(code.scalar(0, "b"), code.scalar(3, "i")) for code in model.tables(1)]
    buffers = [buffer.content(0) for buffer in model.tables(4)]
    subgraph = next(model.tables(2), None)
    if subgraph is None:
        raise ValueError("no subgraph")
    tensors = tuple(_tensor(table, buffers) for table in subgraph.tables(0))
    operators = tuple(_operator(table, codes, len(tensors)) for table in subgraph.tables(3))
    inputs, outputs = subgraph.numbers(1, "i"), subgraph.numbers(2, "i")
    if not outputs or not all(0 <= index < len(tensors) for index in (*inputs, *outputs)):
        raise ValueError("inputs or outputs that are no tensors")
    return NetworkGraph(tensors, operators, inputs, outputs, subgraph.vector(2, 4)[0])


def _tensor(table: _Table, buffers: list[memoryview]) -> GraphTensor:
    shape = table.numbers(0, "i")
    quantization = table.table(4)
    scales: tuple[float, ...] = () if quantization is None else quantization.numbers(2, "f")
    zero_points = () if quantization is None else quantization.numbers(3, "q")
    axis = 0 if quantization is None else quantization.scalar(6, "i")
    if any(n < 0 for n in shape):
        raise ValueError(f"the shape {list(shape)}")
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise ValueError(f"{len(scales)} scales for the shape {list(shape)}")
    if len(zero_points) != len(scales):
        zero_points = (0,) * len(scales)
    content = buffers[table.scalar(2, "I")]
    # Sparse constants have an index beside their values; they are not read.
    dtype = None if table.table(6) is not None else _DTYPES.get(table.scalar(1, "b"))
    name = bytes(table.content(3)).decode("utf-8", "replace")
    return GraphTensor(name, shape, dtype, scales, zero_points, axis, content if len(content) else None)


def _operator(table: _Table, codes: list[int], tensors: int) -> GraphOperator:
    inputs, outputs = table.numbers(1, "i"), table.numbers(2, "i")
    if not all(-1 <= index < tensors for index in inputs) or not all(
        0 <= index < tensors for index in outputs
    ):
        raise ValueError("an operator with an operand that is no tensor")
    code = codes[table.scalar(0, "I")]
    return GraphOperator(OPERATOR_NAMES.get(code, f"operator {code}"), inputs, outputs, table.table(4))
