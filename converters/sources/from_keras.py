"""Read a Keras file (``.keras`` or ``.h5``, of Keras 3 or 2); imported only in the child process."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.data.archives import MAX_DIRECTORY_BYTES, MAX_MEMBERS
from converters.errors import SourceError
from converters.sources import checks, tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools
from converters.sources.tensorflow_export import write_tflite
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.zip_archive import open_zip, read_member
from edge_sdk.types import FloatArray

_OTHER_WAY = "save the part up to the embedding without it, or give a SavedModel (model.export) or ONNX"
_MAX_CONFIG_BYTES = 64 << 20
_BROKEN = "copy it again, or save it again with model.save()"
_UNKNOWN_CLASS = re.compile(r"(?:Could not locate class|Unknown layer:) '([^']+)'")
# Keras's errors for damaged files and for files of other versions have no common base class.
_LOADING = (ValueError, TypeError, KeyError, AttributeError, IndexError, ImportError, OSError, RuntimeError)


def convert(request: SourceRequest) -> Converted:
    """Load a Keras model, fix its batch and size, and write it as ``.tflite``.

    Raises:
        SourceError: The file is damaged or contains only weights; or the model has Lambda layers, unknown layers, more
            than one input or output, or another image than the contract's.
    """
    request.stage = "reading the Keras file"
    _refuse_code(_architecture(request))
    model, package, notes = _load(request)
    notes += _in_float32(model, package)
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


def _architecture(request: SourceRequest) -> Any:
    """Read the model's configuration as JSON, before the model is built."""
    text = _zip_config(request) if zipfile.is_zipfile(request.path) else _h5_config(request)
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError(f"the Keras configuration is not JSON: {error}", hint=_BROKEN) from error


def _zip_config(request: SourceRequest) -> bytes:
    try:
        with open_zip(
            request.path, max_members=MAX_MEMBERS, max_directory_bytes=MAX_DIRECTORY_BYTES
        ) as archive:
            broken = archive.testzip()
            text = read_member(archive, archive.getinfo("config.json"), max_bytes=_MAX_CONFIG_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"the .keras file is damaged: {error}", hint=_BROKEN) from error
    if broken is not None:
        raise SourceError(f"the .keras file is damaged: {broken} has a wrong checksum", hint=_BROKEN)
    return text


def _h5_config(request: SourceRequest) -> str | bytes:
    import h5py

    try:
        with h5py.File(request.path, "r") as file:
            text: str | bytes | None = file.attrs.get("model_config")
    except OSError as error:
        raise SourceError(f"the HDF5 file is damaged: {error}", hint=_BROKEN) from error
    if text is None:
        raise SourceError(
            "the HDF5 file contains weights without the network",
            hint="save the whole model with model.save('model.keras')",
        )
    return text


def _nodes(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a configuration that names a class, except losses and metrics, which are not loaded."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for key, value in config.items():
            if key != "compile_config":
                yield from _nodes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _nodes(value)


def _refuse_code(config: Any) -> None:
    """Refuse a file with Python code before the file is loaded, because the loader of old files would run the code."""
    for node in _nodes(config):
        inner = node.get("config")
        name = inner.get("name", "?") if isinstance(inner, dict) else "?"
        if node["class_name"] == "Lambda":
            raise SourceError(
                f"layer {name!r} is a Lambda: Python code in a model file is not run", hint=_OTHER_WAY
            )
        # Only custom classes have a registered name and no module.
        if node.get("registered_name") and node.get("module") is None:
            raise _custom(str(node["class_name"]))


def _custom(name: str) -> SourceError:
    return SourceError(f"the code of the custom class {name!r} is not in the file", hint=_OTHER_WAY)


def _load(request: SourceRequest) -> tuple[Any, str, tuple[str, ...]]:
    """Load with Keras 3, or with Keras 2 if only Keras 2 can read the file."""
    import keras

    file = _named(request)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True), "keras", ()
    except _LOADING as error:
        first = error
    import tf_keras

    try:
        model = tf_keras.models.load_model(file, compile=False, safe_mode=True)
    except _LOADING:
        raise _cannot_load(first) from first
    return model, "tf_keras", ("the file was read with Keras 2 (tf_keras), because Keras 3 cannot read it",)


def _in_float32(model: Any, package: str) -> tuple[str, ...]:
    """Set a network that was trained in mixed precision to compute in float32, in place; return notes.

    TFLite has no float16 convolution. The network's variables are float32 already.
    """
    mixed = [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "compute_dtype", None) in ("float16", "bfloat16")
    ]
    if not mixed:
        return ()
    if package != "keras":
        raise SourceError(
            f"the model computes in {mixed[0].compute_dtype}, expected float32",
            hint="build the same network under the policy float32, load the weights into it, and save it",
        )
    kind = mixed[0].compute_dtype
    for layer in mixed:
        layer.dtype_policy = "float32"
    return (f"the Keras model computes in {kind} and is converted in float32",)


def _named(request: SourceRequest) -> str:
    """Return a path to the file with the suffix that Keras expects for its content; make a link if needed."""
    suffix = ".keras" if zipfile.is_zipfile(request.path) else ".h5"
    if request.path.suffix.lower() in (suffix, ".hdf5" if suffix == ".h5" else suffix):
        return str(request.path)
    link = request.folder / f"model{suffix}"
    link.symlink_to(request.path)
    return str(link)


def _cannot_load(error: BaseException) -> SourceError:
    text = str(error)
    if unknown := _UNKNOWN_CLASS.search(text):
        return _custom(unknown.group(1))
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return SourceError(f"Keras cannot load it: {line[:300]}", hint=_BROKEN)


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
    except _LOADING as error:
        raise SourceError(
            f"the model is made for batches of {batch} and cannot be rebuilt for one image",
            hint="save it with a batch of None or 1",
        ) from error
    return fixed


def _variables(model: Any) -> list[Any]:
    """List the TensorFlow variables of a Keras 3 or Keras 2 model."""
    import tensorflow as tf

    return [v if isinstance(v, tf.Variable) else v.value for v in model.variables]
