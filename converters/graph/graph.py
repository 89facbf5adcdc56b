"""Read and rewrite the operators and tensors of a .tflite with one subgraph.

Constants are numpy arrays of the tensor's dtype and shape; tensors and operators are objects of LiteRT's object API.
"""

from __future__ import annotations

import copy
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.errors import SourceError
from converters.graph.structure import structure_fault

_IDENTIFIER = b"TFL3"
_OP_NAMES: dict[int, str] = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
_DTYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.INT64: np.dtype(np.int64),
    schema.TensorType.BOOL: np.dtype(np.bool_),
    schema.TensorType.INT16: np.dtype(np.int16),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.FLOAT64: np.dtype(np.float64),
    schema.TensorType.UINT32: np.dtype(np.uint32),
}
_TYPES = {dtype: code for code, dtype in _DTYPES.items()}
_TYPE_NAMES: dict[int, str] = {
    v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")
}


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose data begins at a multiple of 16, as the schema requires (``force_align: 16``).

    The generated code aligns constants to multiples of 4, which is not enough for microcontrollers and 64-bit
    constants.
    """

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802  the generated code's name
        vector = None
        if self.data is not None and len(self.data):
            raw = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(raw), 16)
            builder.head = builder.Head() - len(raw)
            builder.Bytes[builder.Head() : builder.Head() + len(raw)] = raw
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        offset: int = schema.BufferEnd(builder)
        return offset


class Graph:
    """The operators and tensors of a .tflite with one subgraph.

    Args:
        model: Object form of the FlatBuffer; the rewriting methods change it in place.
    """

    def __init__(self, model: schema.ModelT) -> None:
        self.model = model
        self._subgraph = model.subgraphs[0]

    @classmethod
    def parse(cls, data: bytes) -> Graph:
        """Read a .tflite's FlatBuffer.

        Raises:
            SourceError: The file is not a .tflite, is damaged, or has more than one subgraph.
        """
        if data[4:8] != _IDENTIFIER:
            raise SourceError(f"expected a .tflite (identifier TFL3 at byte 4), found {data[4:8]!r}")
        try:
            model = schema.ModelT.InitFromPackedBuf(data, 0)
            subgraphs = len(model.subgraphs)
            _inline_buffers(model, data)
            _complete_operator_codes(model)
        except (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise SourceError(
                f"expected a whole .tflite, found a file that is damaged or cut short ({error})",
                hint="copy the file again",
            ) from error
        if subgraphs != 1:
            raise SourceError(
                f"expected a network with one subgraph, found {subgraphs}",
                hint="export the network without control flow (IF, WHILE)",
            )
        fault = structure_fault(model)
        if fault:
            raise SourceError(
                f"expected a whole .tflite, found a file that is damaged: {fault}", hint="copy the file again"
            )
        return cls(model)

    def to_bytes(self) -> bytes:
        """Write the FlatBuffer; the same graph gives the same bytes."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def copy(self) -> Graph:
        """Return an independent graph; constants, which are never written in place, are shared."""
        shared = {id(b.data): b.data for b in self.model.buffers}
        return Graph(copy.deepcopy(self.model, shared))

    # Reading

    @property
    def tensors(self) -> list[schema.TensorT]:
        """All tensors; operators refer to them by their index."""
        tensors: list[schema.TensorT] = self._subgraph.tensors
        return tensors

    @property
    def operators(self) -> list[schema.OperatorT]:
        """The operators in execution order."""
        operators: list[schema.OperatorT] = self._subgraph.operators
        return operators

    @property
    def inputs(self) -> list[int]:
        """Indices of the network's input tensors."""
        return [int(i) for i in self._subgraph.inputs]

    @property
    def outputs(self) -> list[int]:
        """Indices of the network's output tensors."""
        return [int(i) for i in self._subgraph.outputs]

    def op_name(self, operator: schema.OperatorT) -> str:
        """Return the kind of an operator, such as ``CONV_2D``, or a custom operator's name in quotes."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        if code.customCode:
            return f"'{_text(code.customCode)}'"
        return _OP_NAMES.get(code.builtinCode, "UNKNOWN")

    def operator_counts(self) -> dict[str, int]:
        """Count the operators by kind, the most frequent first."""
        return dict(Counter(self.op_name(op) for op in self.operators).most_common())

    def name(self, index: int) -> str:
        """Return a tensor's name."""
        return _text(self.tensors[index].name)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return a tensor's shape, with -1 for a dynamic dimension."""
        tensor = self.tensors[index]
        signature = tensor.shapeSignature
        shape = tensor.shape if signature is None or len(signature) == 0 else signature
        return () if shape is None else tuple(int(n) for n in shape)

    def dtype_name(self, index: int) -> str:
        """Return a tensor's type, such as ``float32``, ``int8`` or ``resource``."""
        return _TYPE_NAMES.get(self.tensors[index].type, "unknown")

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return a constant's value as a view that must not be written, or None for a computed tensor."""
        if index < 0:
            return None
        tensor = self.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or tensor.type not in _DTYPES:
            return None
        raw = np.asarray(data, np.uint8)
        shape = () if tensor.shape is None else tuple(int(n) for n in tensor.shape)
        value: NDArray[Any] = raw.view(_DTYPES[tensor.type]).reshape(shape)
        return value

    def producer(self, index: int) -> schema.OperatorT | None:
        """Find the operator that computes a tensor; None for constants and inputs."""
        for operator in self.operators:
            if index in indices(operator.outputs):
                return operator
        return None

    def consumers(self, index: int) -> list[schema.OperatorT]:
        """List the operators that read a tensor."""
        return [operator for operator in self.operators if index in indices(operator.inputs)]

    def computed(self) -> list[int]:
        """List the indices of the tensors that operators compute, in execution order."""
        return [index for operator in self.operators for index in indices(operator.outputs)]

    # Rewriting

    def set_constant(self, index: int, value: NDArray[Any]) -> None:
        """Make a tensor a constant, with the dtype and shape of the value."""
        tensor = self.tensors[index]
        value = np.ascontiguousarray(value)
        tensor.buffer = self._add_buffer(value)
        tensor.type = _TYPES[value.dtype]
        _set_shape(tensor, value.shape)

    def set_shape(self, index: int, shape: Sequence[int]) -> None:
        """Give a tensor a static shape."""
        _set_shape(self.tensors[index], shape)

    def add_tensor(
        self, name: str, shape: Sequence[int], dtype: Any, value: NDArray[Any] | None = None
    ) -> int:
        """Append a tensor, which is constant if a value is given; return its index."""
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = 0 if value is None else self._add_buffer(np.ascontiguousarray(value))
        tensor.quantization = schema.QuantizationParametersT()
        _set_shape(tensor, shape)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_operator(
        self,
        op: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        at: int,
        version: int = 1,
        options: Any = None,
        options_type: int = 0,
    ) -> schema.OperatorT:
        """Insert a builtin operator before position ``at`` of the execution order."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._operator_code(getattr(schema.BuiltinOperator, op), version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptions, operator.builtinOptionsType = options, options_type
        self.operators.insert(at, operator)
        return operator

    def set_version(self, operator: schema.OperatorT, version: int) -> None:
        """Set the version of a builtin operator."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        operator.opcodeIndex = self._operator_code(code.builtinCode, version)

    def version(self, operator: schema.OperatorT) -> int:
        """Return the version of an operator."""
        return int(self.model.operatorCodes[operator.opcodeIndex].version)

    def set_outputs(self, outputs: Sequence[int]) -> None:
        """Make other tensors the network's outputs, and remove the signatures, which refer to the old outputs."""
        self._subgraph.outputs = list(outputs)
        self.model.signatureDefs = []

    def set_signature(self, input_name: str, *output_names: str) -> None:
        """Replace all signatures by ``serving_default``, with a name for the input and for each output."""

        def tensor_map(name: str, index: int) -> schema.TensorMapT:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), index
            return entry

        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.inputs = [tensor_map(input_name, self.inputs[0])]
        signature.outputs = [
            tensor_map(name, index) for name, index in zip(output_names, self.outputs, strict=True)
        ]
        signature.subgraphIndex = 0
        self.model.signatureDefs = [signature]

    def signature_outputs(self) -> dict[str, int]:
        """Map the output names of the first signature to tensors; empty if there is no signature."""
        signatures = self.model.signatureDefs or []
        entries = signatures[0].outputs or [] if signatures else []
        return {_text(entry.name): int(entry.tensorIndex) for entry in entries}

    def set_metadata(self, name: str, data: bytes) -> None:
        """Add a named metadata buffer, or replace the buffer of that name."""
        entries = [m for m in self.model.metadata or [] if _text(m.name) != name]
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self._add_buffer(np.frombuffer(data, np.uint8))
        self.model.metadata = [*entries, entry]

    def drop_metadata(self) -> None:
        """Remove every metadata buffer: a converter's metadata is not valid after a rewrite."""
        self.model.metadata = []
        self.model.metadataBuffer = None

    def prune(self) -> None:
        """Remove operators whose outputs nothing reads, then unused tensors, buffers and operator codes."""
        needed = set(self.outputs)
        kept: list[schema.OperatorT] = []
        for operator in reversed(self.operators):
            if needed.intersection(indices(operator.outputs)):
                needed.update(i for i in indices(operator.inputs) if i >= 0)
                kept.append(operator)
        self._subgraph.operators = kept[::-1]
        used = needed | set(self.inputs)
        used.update(i for op in self.operators for i in indices(op.outputs))
        used.update(i for op in self.operators for i in indices(op.intermediates) if i >= 0)
        self._renumber_tensors(sorted(used))
        self._renumber_buffers()
        self._renumber_codes()

    def _renumber_tensors(self, used: list[int]) -> None:
        new = {old: position for position, old in enumerate(used)}
        new[-1] = -1
        self._subgraph.tensors = [self.tensors[old] for old in used]
        for operator in self.operators:
            operator.inputs = [new[i] for i in indices(operator.inputs)]
            operator.outputs = [new[i] for i in indices(operator.outputs)]
            if operator.intermediates is not None:
                operator.intermediates = [new[i] for i in indices(operator.intermediates)]
        self._subgraph.inputs = [new[i] for i in self.inputs]
        self._subgraph.outputs = [new[i] for i in self.outputs]
        for signature in self.model.signatureDefs or []:
            for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
                entry.tensorIndex = new[entry.tensorIndex]

    def _renumber_buffers(self) -> None:
        # In this format buffer 0 is empty and means "no data".
        used = sorted({0} | {t.buffer for t in self.tensors} | {m.buffer for m in self.model.metadata or []})
        new = {old: position for position, old in enumerate(used)}
        self.model.buffers = [self.model.buffers[old] for old in used]
        for tensor in self.tensors:
            tensor.buffer = new[tensor.buffer]
        for entry in self.model.metadata or []:
            entry.buffer = new[entry.buffer]

    def _renumber_codes(self) -> None:
        used = sorted({operator.opcodeIndex for operator in self.operators})
        new = {old: position for position, old in enumerate(used)}
        self.model.operatorCodes = [self.model.operatorCodes[old] for old in used]
        for operator in self.operators:
            operator.opcodeIndex = new[operator.opcodeIndex]

    def _add_buffer(self, value: NDArray[Any]) -> int:
        self.model.buffers.append(_AlignedBuffer(np.frombuffer(value.tobytes(), np.uint8)))
        return len(self.model.buffers) - 1

    def _operator_code(self, builtin: int, version: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == builtin and code.version == version and not code.customCode:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = builtin, version
        code.deprecatedBuiltinCode = min(builtin, 127)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def _set_shape(tensor: schema.TensorT, shape: Iterable[int]) -> None:
    tensor.shape = [int(n) for n in shape]
    tensor.shapeSignature = None


def indices(values: Any) -> list[int]:
    """Return the tensor indices in an operator's field as integers; -1 stands for an omitted operand."""
    return [] if values is None else [int(v) for v in values]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else (value or "")


def _complete_operator_codes(model: schema.ModelT) -> None:
    """Fill in ``builtinCode``, which is 0 (ADD) in old files, because they use only ``deprecatedBuiltinCode``."""
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)


def _inline_buffers(model: schema.ModelT, data: bytes) -> None:
    """Move buffers that are stored behind the FlatBuffer into it, because the object API can write them only there."""
    for index, buffer in enumerate(model.buffers):
        content = buffer.data
        if buffer.offset > 1:
            end = buffer.offset + buffer.size
            if end > len(data):
                raise ValueError(f"a buffer ends at byte {end} of {len(data)}")
            content = np.frombuffer(data[buffer.offset : end], np.uint8)
        model.buffers[index] = _AlignedBuffer(content)
