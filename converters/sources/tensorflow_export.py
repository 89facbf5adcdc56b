"""Write a TensorFlow function as a ``.tflite`` with a static shape; only in the child process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_sdk.model.card import InputContract

OUTPUT = "embedding"


def write_tflite(
    call: Callable[[Any], Any],
    *,
    owner: Any,
    contract: InputContract,
    folder: Path,
    outputs: Sequence[str] = (OUTPUT,),
) -> bytes:
    """Freeze a function of one image into a float32 ``.tflite``.

    A SavedModel lies in between: TFLiteConverter.from_concrete_functions leaves the variables of Keras 3
    unfrozen without an error.

    Args:
        call: Takes shape (1, H, W, C) float32, gives one tensor, or a list where there are several outputs.
        owner: What holds the function's variables, or a list of them. A whole Keras model would work
            too; its layers' configurations then cost half a minute and gigabytes where they hold weights.
        contract: The input contract.
        folder: Where the SavedModel may lie.
        outputs: What the signature calls the tensors.
    """
    import tensorflow as tf

    image = tf.TensorSpec((1, *contract.shape), tf.float32, name="image")
    network = tf.Module()
    network.owner = owner

    def answer(image: Any) -> dict[str, Any]:
        found = call(image)
        return dict(zip(outputs, found if isinstance(found, (list, tuple)) else [found], strict=True))

    network.embed = tf.function(answer, input_signature=[image])
    target = str(folder / "static_saved_model")
    tf.saved_model.save(network, target, signatures=network.embed.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_saved_model(target)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return bytes(converter.convert())
