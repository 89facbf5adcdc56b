"""Read a SavedModel folder; imported only in the child process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks, tflite_network
from converters.sources.source_request import Converted, SourceRequest, tools
from converters.sources.tensorflow_export import write_tflite
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray

_SIGNATURE = "serving_default"
_EXPORT = "export it again (in Keras: model.export(folder))"


def convert(request: SourceRequest) -> Converted:
    """Load a SavedModel's signature, fix its shape, and write it as ``.tflite``.

    Raises:
        SourceError: The folder is damaged or has no usable signature, there is more than one input or output, the dtype is
            not float32, the batch is fixed above 1, or the image is not the contract's.
    """
    import tensorflow as tf

    request.stage = "loading the SavedModel"
    loaded = _load(request)
    signature, notes = _signature(loaded)
    call = _caller(signature, request)
    request.stage = "running the SavedModel"
    witness = _witness(tf.function(call), request.inputs)
    request.stage = "converting the SavedModel with TensorFlow"
    tflite = write_tflite(call, owner=loaded, contract=request.contract, folder=request.folder)
    notes += tflite_network.inspect(tflite, request.contract)
    return Converted(tflite, witness, tools("tensorflow"), notes)


def _load(request: SourceRequest) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(request.path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise SourceError(f"TensorFlow cannot load the SavedModel: {line[:300]}", hint=_EXPORT) from error


def _signature(loaded: Any) -> tuple[Any, tuple[str, ...]]:
    signatures = getattr(loaded, "signatures", {})
    names = [name for name in signatures if not name.startswith("__")]
    if _SIGNATURE in names:
        return signatures[_SIGNATURE], ()
    if len(names) == 1:
        return signatures[names[0]], (f"the only signature of the SavedModel, {names[0]!r}, was used",)
    raise SourceError(
        f"expected the signature {_SIGNATURE!r}, found {', '.join(sorted(names)) or 'none'}",
        hint="save it with tf.saved_model.save(module, folder, signatures=...) or model.export(folder)",
    )


def _caller(signature: Any, request: SourceRequest) -> Callable[[Any], Any]:
    """Check the input and output of a signature, and wrap it as a function of one image."""
    specs: dict[str, Any] = signature.structured_input_signature[1]
    outputs: dict[str, Any] = signature.structured_outputs
    name = request.output_name
    if name is not None:
        if name not in outputs:
            raise checks.no_output(name, outputs)
        outputs = {name: outputs[name]}
    checks.check_single(
        [_describe(name, spec) for name, spec in specs.items()],
        [_describe(name, spec) for name, spec in outputs.items()],
    )
    (name, spec), (output, _) = next(iter(specs.items())), next(iter(outputs.items()))
    _check_image(spec, request.contract)
    return lambda image: signature(**{name: image})[output]


def _check_image(spec: Any, contract: AnyContract) -> None:
    if spec.dtype.name != "float32":
        raise SourceError(
            f"input is {spec.dtype.name}, expected float32",
            hint="export a signature that takes the normalized image, not a file's bytes or pixels",
        )
    if spec.shape.rank is None:
        return
    batch, *sides = spec.shape.as_list() if spec.shape.rank else [None]
    checks.check_input(sides, contract)
    if batch not in (None, 1):
        raise SourceError(
            f"the signature takes batches of {batch}, expected None or 1",
            hint="export it with a batch of None or 1",
        )


def _witness(call: Callable[[Any], Any], inputs: FloatArray) -> FloatArray:
    import tensorflow as tf

    rows = [np.asarray(call(tf.constant(image[None])), np.float32).reshape(-1) for image in inputs]
    return np.stack(rows)


def _describe(name: str, spec: Any) -> str:
    sides = (
        "" if spec.shape.rank is None else " " + "x".join("?" if s is None else str(s) for s in spec.shape)
    )
    return f"{name}{sides}"
