"""Write a TensorFlow function as a ``.tflite`` with a static shape; imported only in the child process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_sdk.model.array_contract import AnyContract

OUTPUT = "embedding"


def write_tflite(
    call: Callable[[Any], Any],
    *,
    owner: Any,
    contract: AnyContract,
    folder: Path,
    outputs: Sequence[str] = (OUTPUT,),
    autograph: bool = True,
) -> bytes:
    """Freeze a function of one image into a float32 ``.tflite``.

    The function is first saved as a SavedModel, because TFLiteConverter.from_concrete_functions leaves the variables of
    Keras 3 unfrozen and reports no error.

    Args:
        call: Takes shape (1, H, W, C) float32, returns one tensor or a list of tensors.
        owner: The function's variables in a list, or an object that holds them. Do not give a whole Keras model: saving
            the configurations of its layers takes half a minute and gigabytes.
        contract: The input contract.
        folder: Folder for the SavedModel.
        outputs: Names of the output tensors in the signature.
        autograph: False to leave the function as it is; AutoGraph puts a traceback before the message of its errors.
    """
    import tensorflow as tf

    image = tf.TensorSpec((1, *contract.shape), tf.float32, name="image")
    network = tf.Module()
    network.owner = owner

    def embed(image: Any) -> dict[str, Any]:
        values = call(image)
        return dict(zip(outputs, values if isinstance(values, (list, tuple)) else [values], strict=True))

    network.embed = tf.function(embed, input_signature=[image], autograph=autograph)
    target = str(folder / "static_saved_model")
    tf.saved_model.save(network, target, signatures=network.embed.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_saved_model(target)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return bytes(converter.convert())
