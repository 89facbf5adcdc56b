"""Inspect and run a ``.tflite`` with LiteRT; imported only in the child process.

A damaged FlatBuffer can crash the process that parses it, so the parent must not call these functions.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray

_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
_CLASS_HEADS = {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"}
_LOOK_THROUGH = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE", "STRIDED_SLICE"}
_GIVE_FLOAT = "give the float file it was made from; edge-convert lint FILE --target NAME checks a quantized file as it is"
_DELEGATE = "DELEGATE"


def inspect(tflite: bytes, contract: AnyContract) -> tuple[str, ...]:
    """Check that a file is a float embedding network whose input is the contract's image.

    Args:
        tflite: The file.
        contract: The input contract.

    Returns:
        Notes for the report.

    Raises:
        SourceError: The file is damaged or quantized, has unsupported operators or more than one input or output, takes
            another image than the contract's, or returns class probabilities or a map.
    """
    interpreter = _open(tflite, delegates=False)
    operators: list[dict[str, Any]] = interpreter._get_ops_details()
    names = Counter(operator["op_name"] for operator in operators)
    _check_operators(names)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    _check_types(interpreter.get_tensor_details(), inputs, outputs)
    checks.check_single([_describe(detail) for detail in inputs], [_describe(detail) for detail in outputs])
    _check_image(inputs[0], contract)
    _check_head(operators, outputs[0]["index"])
    batch = _allocate(interpreter, contract)
    checks.embedding_dimension(_per_image(interpreter.get_output_details()[0]["shape"], batch))
    return _notes(names, inputs[0], interpreter.get_tensor_details())


def open_outputs(tflite: bytes, contract: AnyContract) -> Any:
    """Open a float network with one image as input and any outputs, with batch 1 and the contract's size.

    Args:
        tflite: The file.
        contract: The input contract.

    Returns:
        The interpreter, with XNNPACK and with its tensors allocated.

    Raises:
        SourceError: The file is damaged or quantized, has unsupported operators or more than one input, or takes another image
            than the contract's.
    """
    interpreter = _open(tflite, delegates=False)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    _check_types(interpreter.get_tensor_details(), inputs, outputs)
    _check_operators(Counter(operator["op_name"] for operator in interpreter._get_ops_details()))
    checks.check_one_input([_describe(detail) for detail in inputs])
    _check_image(inputs[0], contract)
    batch = int(inputs[0]["shape_signature"][0])
    if batch not in (1, -1):
        raise SourceError(f"the batch is {batch}, expected 1", hint="export the network with a batch of 1")
    interpreter = _open(tflite, delegates=True)
    _allocate(interpreter, contract)
    return interpreter


def embed(tflite: bytes, inputs: FloatArray, contract: AnyContract) -> FloatArray:
    """Run a network on one image at a time; a fixed batch is filled with copies of the image.

    Args:
        tflite: The file, after ``inspect``.
        inputs: Shape (n, H, W, C), float32.
        contract: The input contract.

    Returns:
        Shape (n, D), float32.
    """
    interpreter = _open(tflite, delegates=True)
    batch = _allocate(interpreter, contract)
    image = interpreter.get_input_details()[0]["index"]
    embedding = interpreter.get_output_details()[0]["index"]
    rows = []
    for sample in inputs:
        interpreter.set_tensor(image, np.repeat(sample[None], batch, axis=0))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(embedding).reshape(batch, -1)[0].astype(np.float32))
    return np.stack(rows)


def _open(tflite: bytes, *, delegates: bool) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # A delegate hides the operators that it runs, so inspection uses none.
    resolver = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        return Interpreter(model_content=tflite, experimental_op_resolver_type=resolver, num_threads=1)
    except ValueError as error:
        raise SourceError(
            f"not a whole TFLite file: {str(error).splitlines()[0]}", hint="copy it again, or export it again"
        ) from error


def _check_operators(names: Counter[str]) -> None:
    if any("edgetpu" in name for name in names):
        raise SourceError("compiled for the Edge TPU", hint=_GIVE_FLOAT)
    if flex := sorted(name for name in names if name.startswith("Flex")):
        raise SourceError(
            f"it needs TensorFlow operators: {', '.join(flex)}",
            hint="convert it without SELECT_TF_OPS; small devices run only built-in operators",
        )
    if custom := sorted(name for name in names if name != name.upper() and name != _DELEGATE):
        raise SourceError(
            f"it needs custom operators: {', '.join(custom)}",
            hint="save the network without them; small devices run only built-in operators",
        )
    if variables := sorted(_VARIABLES & set(names)):
        raise SourceError(
            f"its weights are variables, not constants: {', '.join(variables)}",
            hint="convert it from a SavedModel, which freezes them",
        )


def _check_types(
    tensors: list[dict[str, Any]], inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]
) -> None:
    for side, details in (("input", inputs), ("output", outputs)):
        for detail in details:
            dtype = np.dtype(detail["dtype"]).name
            if dtype in ("int8", "uint8", "int16"):
                raise SourceError(f"{side} is {dtype}: already quantized", hint=_GIVE_FLOAT)
            if dtype != "float32":
                raise SourceError(f"{side} is {dtype}, expected float32", hint="save the network in float32")
    if any(len(tensor["quantization_parameters"]["scales"]) for tensor in tensors):
        raise SourceError("its weights are integers: already quantized", hint=_GIVE_FLOAT)


def _check_image(detail: dict[str, Any], contract: AnyContract) -> None:
    signature = [None if side < 0 else int(side) for side in detail["shape_signature"]]
    if len(signature) != 4 and isinstance(contract, InputContract):
        raise SourceError(
            f"graph input is {_describe(detail)}, expected batch x height x width x channels",
            hint="give a network that takes one image, or a contract of arrays (--shape)",
        )
    checks.check_input(signature[1:], contract)


def _check_head(operators: list[dict[str, Any]], output: int) -> None:
    """Refuse a network that ends in class probabilities."""
    producers = {int(index): operator for operator in operators for index in operator["outputs"]}
    producer = producers.get(output)
    while producer is not None and producer["op_name"] in _LOOK_THROUGH:
        producer = producers.get(int(producer["inputs"][0]))
    if producer is not None and producer["op_name"] in _CLASS_HEADS:
        raise SourceError(
            f"the output is class probabilities (the last operator is {producer['op_name']})",
            hint="save the model up to the embedding",
        )


def _allocate(interpreter: Any, contract: AnyContract) -> int:
    """Allocate tensors, with an open batch set to 1 and an open size to the contract's; return the batch."""
    detail = interpreter.get_input_details()[0]
    signature = [int(side) for side in detail["shape_signature"]]
    shape = [signature[0] if signature[0] > 0 else 1, *contract.shape]
    if list(detail["shape"]) != shape:
        interpreter.resize_tensor_input(detail["index"], shape)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise SourceError(
            f"the interpreter cannot prepare it: {str(error).splitlines()[0]}", hint="export it again"
        ) from error
    return shape[0]


def _per_image(shape: Any, batch: int) -> list[int]:
    sides = [int(side) for side in shape]
    if batch == 1:
        return sides
    if not sides or sides[0] != batch:
        raise SourceError(
            f"graph output is {'x'.join(map(str, sides))} for a batch of {batch}: expected {batch} embeddings",
            hint="export the network with a batch of 1",
        )
    return sides[1:]


def _notes(names: Counter[str], image: dict[str, Any], tensors: list[dict[str, Any]]) -> tuple[str, ...]:
    notes = []
    batch = int(image["shape_signature"][0])
    if batch != 1:
        notes.append(f"the batch of the file is {'dynamic' if batch < 0 else batch}")
    if names["TRANSPOSE"]:
        notes.append(f"TRANSPOSE operators in the network: {names['TRANSPOSE']}")
    if any(tensor["dtype"] is np.float16 for tensor in tensors):
        notes.append("the weights are stored in float16")
    return tuple(notes)


def _describe(detail: dict[str, Any]) -> str:
    sides = "x".join("?" if side < 0 else str(side) for side in detail["shape_signature"])
    return f"{detail['name']} {sides}"
