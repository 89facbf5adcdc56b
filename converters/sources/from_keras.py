"""Read a Keras file (``.keras`` or ``.h5``, of Keras 3 or 2); imported only in the child process."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks, keras_file, tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools
from converters.sources.tensorflow_export import write_tflite
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray


def convert(request: SourceRequest) -> Converted:
    """Load a Keras model, fix its batch and size, and write it as ``.tflite``.

    Raises:
        SourceError: The file is damaged or contains only weights; or the model has Lambda layers, unknown layers, more
            than one input or output, or another image than the contract's.
    """
    request.stage = "reading the Keras file"
    model, package, notes = keras_file.load(request.path, request.folder)
    if request.output_name is not None:
        model = _with_output(model, package, request.output_name)
    batch = _check_interface(model, request.contract)
    request.stage = f"running the model with {package}"
    witness = _witness(model, request.inputs, batch)
    if batch not in (None, 1):
        model = _with_batch_of_one(model, batch, request.contract, package)
        notes += (f"the batch of the Keras model was {batch} and is 1 now",)
    request.stage = "converting the Keras model with TensorFlow"
    tflite = write_tflite(
        lambda image: model(image, training=False),
        owner=_variables(model),
        contract=request.contract,
        folder=request.folder,
    )
    notes += tflite_network.inspect(tflite, request.contract)
    return Converted(tflite, witness, tools(package, "tensorflow"), notes)


def _check_interface(model: Any, contract: AnyContract) -> int | None:
    """Compare the model's inputs and outputs with the contract; return the fixed batch, or None."""
    if not model.built or not getattr(model, "inputs", None):
        raise SourceError(
            "the model has no input shape, because it was saved before its first call",
            hint="call it once on an image before saving, or build it from a keras.Input",
        )
    checks.check_single(
        [_describe(tensor) for tensor in model.inputs], [_describe(tensor) for tensor in model.outputs]
    )
    image = model.inputs[0]
    dtype = np.dtype(_dtype(image))
    if dtype != np.float32:
        raise SourceError(
            f"input is {dtype.name}, expected float32", hint="save the model with a float32 input"
        )
    batch, *sides = image.shape
    checks.check_input(sides, contract)
    return None if batch is None else int(batch)


def _with_output(model: Any, package: str, name: str) -> Any:
    """Return a model of the same layers whose only output is a named one, or that of a named layer."""
    import importlib

    names = list(getattr(model, "output_names", ()))
    layers = {layer.name: layer for layer in model.layers}
    if name in names and len(names) == len(model.outputs):
        output = model.outputs[names.index(name)]
    elif name in layers:
        output = layers[name].output
    else:
        raise checks.no_output(name, names, layers)
    return importlib.import_module(package).Model(model.inputs, output)


def _dtype(tensor: Any) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype))


def _describe(tensor: Any) -> str:
    sides = "x".join("?" if side is None else str(side) for side in tensor.shape)
    return f"{tensor.name} {sides}"


def _witness(model: Any, inputs: FloatArray, batch: int | None) -> FloatArray:
    if batch is None:
        outputs = np.asarray(model.predict(inputs, batch_size=len(inputs), verbose=0), np.float32)
        return outputs.reshape(len(inputs), -1)
    rows = [
        model.predict(np.repeat(image[None], batch, axis=0), batch_size=batch, verbose=0) for image in inputs
    ]
    return np.stack([np.asarray(row, np.float32).reshape(batch, -1)[0] for row in rows])


def _with_batch_of_one(model: Any, batch: int | None, contract: AnyContract, package: str) -> Any:
    """Rebuild the model with the same layers and weights and an input of batch 1."""
    import importlib

    framework = importlib.import_module(package)
    image = framework.Input(batch_shape=(1, *contract.shape))
    try:
        fixed = framework.models.clone_model(model, input_tensors=image)
        fixed.set_weights(model.get_weights())
    except keras_file.LOADING_ERRORS as error:
        raise SourceError(
            f"the model is made for batches of {batch} and cannot be rebuilt for one image",
            hint="save it with a batch of None or 1",
        ) from error
    return fixed


def _variables(model: Any) -> list[Any]:
    """List the TensorFlow variables of a Keras 3 or Keras 2 model."""
    import tensorflow as tf

    return [v if isinstance(v, tf.Variable) else v.value for v in model.variables]
