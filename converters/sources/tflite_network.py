"""Look into a ``.tflite`` and run it, with LiteRT; only ever in the child process.

A damaged FlatBuffer can end the process that parses it, so nothing here is called by the parent.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray

_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
_CLASS_HEADS = {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"}
_LOOK_THROUGH = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE", "STRIDED_SLICE"}
_GIVE_FLOAT = "give the float file it was made from"
_DELEGATE = "DELEGATE"


def inspect(tflite: bytes, contract: InputContract) -> tuple[str, ...]:
    """Hold a network against the contract and against what an embedding network is.

    Args:
        tflite: The file.
        contract: The input contract.

    Returns:
        Notes for a person.

    Raises:
        SourceError: Damaged, quantized, with foreign operators, more than one input or output, another
            image than the contract's, class probabilities, or a map.
    """
    interpreter = _open(tflite, delegates=False)
    operators: list[dict[str, Any]] = interpreter._get_ops_details()
    names = Counter(operator["op_name"] for operator in operators)
    _check_operators(names)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    _check_types(interpreter.get_tensor_details(), inputs, outputs)
    checks.check_single([_say(detail) for detail in inputs], [_say(detail) for detail in outputs])
    _check_image(inputs[0], contract)
    _check_head(operators, outputs[0]["index"])
    batch = _allocate(interpreter, contract)
    checks.embedding_dimension(_per_image(interpreter.get_output_details()[0]["shape"], batch))
    return _notes(names, inputs[0], interpreter.get_tensor_details())


def embed(tflite: bytes, inputs: FloatArray, contract: InputContract) -> FloatArray:
    """Run a network on images, one at a time; a fixed batch is filled with the same image.

    Args:
        tflite: The file, inspected.
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

    # A delegate hides the operators that it takes, so inspection goes without.
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
            found = np.dtype(detail["dtype"]).name
            if found in ("int8", "uint8", "int16"):
                raise SourceError(f"{side} is {found}: already quantized", hint=_GIVE_FLOAT)
            if found != "float32":
                raise SourceError(f"{side} is {found}, expected float32", hint="save the network in float32")
    if any(len(tensor["quantization_parameters"]["scales"]) for tensor in tensors):
        raise SourceError("its weights are integers: already quantized", hint=_GIVE_FLOAT)


def _check_image(detail: dict[str, Any], contract: InputContract) -> None:
    signature = [None if side < 0 else int(side) for side in detail["shape_signature"]]
    if len(signature) != 4:
        raise SourceError(
            f"graph input is {_say(detail)}, expected batch x height x width x channels",
            hint="give a network that takes one image",
        )
    checks.check_image(signature[1:], contract)


def _check_head(operators: list[dict[str, Any]], output: int) -> None:
    """Refuse a network that ends in class probabilities."""
    makers = {int(made): operator for operator in operators for made in operator["outputs"]}
    maker = makers.get(output)
    while maker is not None and maker["op_name"] in _LOOK_THROUGH:
        maker = makers.get(int(maker["inputs"][0]))
    if maker is not None and maker["op_name"] in _CLASS_HEADS:
        raise SourceError(
            f"the output is class probabilities (the last operator is {maker['op_name']})",
            hint="save the model up to the embedding",
        )


def _allocate(interpreter: Any, contract: InputContract) -> int:
    """Allocate, with an open batch or size fixed by the contract; returns the batch."""
    detail = interpreter.get_input_details()[0]
    signature = [int(side) for side in detail["shape_signature"]]
    wanted = [signature[0] if signature[0] > 0 else 1, *contract.shape]
    if list(detail["shape"]) != wanted:
        interpreter.resize_tensor_input(detail["index"], wanted)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise SourceError(
            f"the interpreter cannot prepare it: {str(error).splitlines()[0]}", hint="export it again"
        ) from error
    return wanted[0]


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


def _say(detail: dict[str, Any]) -> str:
    sides = "x".join("?" if side < 0 else str(side) for side in detail["shape_signature"])
    return f"{detail['name']} {sides}"
