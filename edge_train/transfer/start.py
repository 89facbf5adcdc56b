"""Open a user's Keras network as the start of a training."""

from __future__ import annotations

import difflib
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from converters.errors import SourceError
from converters.sources import checks, keras_file
from edge_sdk.model.card import InputContract
from edge_train.errors import TrainingError
from edge_train.transfer.contract_file import read_contract_of

_EXPECTED = "expected a Keras network from one image to one embedding"


@dataclass(frozen=True, eq=False)
class StartNetwork:
    """A network to start from.

    Args:
        path: The file.
        model: Model from normalized pixels to the embedding, every weight trainable.
        contract: Its input contract.
        sha256: SHA-256 of the file, hex.
        notes: Changes made to the network, one line each.
    """

    path: Path
    model: keras.Model
    contract: InputContract
    sha256: str
    notes: tuple[str, ...]

    @property
    def dimension(self) -> int:
        """Length of the embedding."""
        return int(self.model.output_shape[-1])


def read_start(path: Path, *, contract: Path | None = None, layer: str | None = None) -> StartNetwork:
    """Open a ``.keras`` or ``.h5`` file, and cut it at its embedding.

    A softmax at the end, with the dense layer that feeds it, is a classifier's head and is cut off; so are dropout and L2
    normalization, which the host does. A dense layer without softmax at the end counts as the embedding, unless ``layer``
    names another one.

    Args:
        path: The file.
        contract: JSON file with the input contract; None for ``NAME.contract.json`` beside the network.
        layer: Name of the layer whose output is the embedding; None to take the end.

    Raises:
        TrainingError: The file cannot be read; the network has several inputs or outputs, an input of an open size, another
            input than the contract's, or no embedding; or only Keras 2 can read it.
        ModelCardError: The contract is malformed.
    """
    stated = read_contract_of(path, contract)
    if stated.color == "bgr":
        raise TrainingError(
            f"{path}: expected a network for rgb or gray images, found bgr in its contract",
            hint="exchange the first layer's input channels 0 and 2, and state rgb",
        )
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        model, notes = _load(path)
        notes += _cast(model)
        embedding, head = _embedding(model, layer)
        _check_interface(model, embedding, stated)
    except OSError as error:
        raise TrainingError(
            f"{path}: expected a Keras file, found none: {error.strerror or error}"
        ) from error
    except SourceError as error:
        raise TrainingError(f"{path}: {_EXPECTED}: {error}", hint=error.hint) from error
    network = keras.Model(model.inputs[0], embedding, name="start")
    # A network that was saved frozen is trained too.
    network.trainable = True
    for part in network._flatten_layers():
        part.trainable = True
    return StartNetwork(path, network, stated, digest, (*notes, *head))


def _load(path: Path) -> tuple[keras.Model, tuple[str, ...]]:
    with tempfile.TemporaryDirectory(prefix="edge-train-") as folder:
        model, package, notes = keras_file.load(path.resolve(), Path(folder))
    if package != "keras":
        raise SourceError(
            "only Keras 2 can read the file", hint="save it again with Keras 3: model.save('mine.keras')"
        )
    if not model.built or not getattr(model, "inputs", None):
        raise SourceError(
            "the model has no input shape, because it was saved before its first call, or is a subclass of keras.Model",
            hint="build it from a keras.Input and layers, and save it again",
        )
    return model, notes


def _cast(model: keras.Model) -> tuple[str, ...]:
    kind = str(keras.backend.standardize_dtype(model.inputs[0].dtype))
    if kind != "float32":
        raise SourceError(f"input is {kind}, expected float32", hint="save the model with a float32 input")
    return ()


def _check_interface(model: keras.Model, embedding: Any, contract: InputContract) -> None:
    checks.check_single([str(tensor.name) for tensor in model.inputs], [str(embedding.name)])
    batch, *sides = model.inputs[0].shape
    if batch is not None:
        raise SourceError(
            f"the input has a fixed batch of {batch}", hint="save it with a keras.Input without batch_size"
        )
    if None in sides:
        shape = "x".join("?" if side is None else str(side) for side in sides)
        raise SourceError(
            f"the input has an open size, {shape}",
            hint="build it from keras.Input of the size that you use, load the weights, and save it again",
        )
    checks.check_input(sides, contract)
    if len(embedding.shape) != 2:
        checks.embedding_dimension([side or 0 for side in embedding.shape[1:]])
        raise SourceError(
            f"the output has shape {list(embedding.shape)}, expected [None, D]",
            hint="end the network with keras.layers.Flatten()",
        )
    checks.embedding_dimension([int(embedding.shape[1])])


def _embedding(model: keras.Model, layer: str | None) -> tuple[Any, tuple[str, ...]]:
    """Return the tensor of the embedding, and notes on what comes after it."""
    if layer is not None:
        layers = {part.name: part for part in model.layers}
        if layer not in layers:
            near = difflib.get_close_matches(layer, list(layers), 3, 0.4)
            raise SourceError(
                f"expected --start-layer to name a layer of the network, found {layer!r}",
                hint=f"similar names: {', '.join(near)}"
                if near
                else f"its last layer is {model.layers[-1].name}",
            )
        return layers[layer].output, (f"the embedding is the output of layer {layer}",)
    checks.check_single([str(tensor.name) for tensor in model.inputs], [str(t.name) for t in model.outputs])
    tensor, cut, probabilities = model.outputs[0], [], False
    while True:
        operation = tensor._keras_history.operation
        softmax = _is_softmax(operation)
        dense = isinstance(operation, keras.layers.Dense)
        head = dense and (softmax or probabilities)
        skipped = isinstance(operation, keras.layers.UnitNormalization | keras.layers.Dropout)
        if not (softmax or head or skipped):
            break
        probabilities = softmax and not dense
        cut.append(operation.name)
        tensor = operation.input
        if head:
            probabilities = False
    notes = () if not cut else (f"left out at the end: {', '.join(reversed(cut))}",)
    return tensor, notes


def _is_softmax(operation: Any) -> bool:
    if isinstance(operation, keras.layers.Softmax):
        return True
    return getattr(operation, "activation", None) is keras.activations.softmax
