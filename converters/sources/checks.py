"""Check that a source of any kind has the contract's image as input and one embedding as output.

These functions only compute with shapes and arrays; the parent and the child process both use them.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence

import numpy as np

from converters.errors import SourceError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray

#: Least cosine between the converted network's embedding and the source's own, on each image.
EQUAL_COSINE = 0.99999
MIN_DIMENSION = 2
MAX_DIMENSION = 4096
_SHOWN = 4  # most names listed in a message
_CONSTANT = 1e-6  # relative difference; two runs on one image differ by less


def check_input(sides: Sequence[int | None], contract: AnyContract) -> None:
    """Compare the graph's image or array with the contract.

    Args:
        sides: Shape of one sample in the graph, for images (height, width, channels); None for a side that the graph leaves
            open.
        contract: The input contract.

    Raises:
        SourceError: A side or the channel count differs.
    """
    if len(sides) == len(contract.shape) and all(
        side is None or side == expected for side, expected in zip(sides, contract.shape, strict=True)
    ):
        return
    shape = "x".join("?" if side is None else str(side) for side in sides)
    if isinstance(contract, ArrayContract):
        raise SourceError(
            f"graph input is {shape or 'a single number'}, expected {'x'.join(map(str, contract.shape))} as in the contract",
            hint=f"use --shape {shape}"
            if sides and None not in sides
            else "give the shape that the network was trained with",
        )
    raise SourceError(
        f"graph input is {shape}, expected {contract.height}x{contract.width} {contract.color} as in the contract",
        hint=_image_hint(sides, contract),
    )


def _image_hint(sides: Sequence[int | None], contract: InputContract) -> str:
    if len(sides) != 3:
        return "give a network that takes one image: batch, height, width, channels"
    height, width, channels = sides
    if channels not in (None, contract.channels):
        if channels in (1, 3):
            return "use --color gray" if channels == 1 else "use --color rgb or --color bgr"
        if height in (1, 3):
            return "the graph takes channels first; save the model with data_format='channels_last'"
        return "the network must take images of 1 or 3 channels"
    return f"use --size {height or contract.height}x{width or contract.width}"


def embedding_dimension(shape: Sequence[int]) -> int:
    """Return the length of the embedding of one image.

    Args:
        shape: The output's shape for one image, with or without axes of length 1.

    Raises:
        SourceError: The output is a map, a single number, or a vector whose length is not 2..4096.
    """
    long = [side for side in shape if side != 1]
    text = "x".join(str(side) for side in shape) or "a single number"
    if len(long) > 1:
        raise SourceError(
            f"graph output is {text} per image: expected an embedding, that is one vector, found a map",
            hint="save the model up to the embedding, after the pooling or the last fully connected layer",
        )
    dimension = long[0] if long else 1
    if not MIN_DIMENSION <= dimension <= MAX_DIMENSION:
        raise SourceError(
            f"graph output is {text} per image: expected an embedding of {MIN_DIMENSION}..{MAX_DIMENSION} values",
            hint="save the model up to the embedding",
        )
    return dimension


def check_single(inputs: Sequence[str], outputs: Sequence[str], best: str = "") -> None:
    """Refuse a network with more than one input or output.

    Args:
        inputs: Names of the inputs, with their shapes if known.
        outputs: Names of the outputs, with their shapes if known.
        best: Name of the output to offer with ``--output-name``; empty for the first one.

    Raises:
        SourceError: There is not exactly one input and one output.
    """
    for side, names in (("input", inputs), ("output", outputs)):
        if len(names) != 1:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise SourceError(
                f"expected one {side}, found {len(names)}{': ' if names else ''}{shown}",
                hint=_choose_output(best or names[0].split()[0])
                if side == "output" and names
                else "save the part from the image to the embedding as a model of its own"
                " (without labels, margin head or further branches)",
            )


def check_one_input(inputs: Sequence[str]) -> None:
    """Refuse a network with more than one input.

    Args:
        inputs: Names of the inputs, with their shapes if known.
    """
    if len(inputs) != 1:
        raise SourceError(
            f"expected one input, an image, found {len(inputs)}: {', '.join(inputs[:_SHOWN])}",
            hint="save the part of the network that computes from one image; make the other inputs constant",
        )


def no_output(name: str, outputs: Iterable[str], others: Iterable[str] = ()) -> SourceError:
    """Describe a name of ``--output-name`` that the source does not have.

    Args:
        name: The name.
        outputs: Names of the source's outputs.
        others: Names of further tensors or layers that could be chosen.
    """
    outputs = list(outputs)
    near = difflib.get_close_matches(name, list(dict.fromkeys([*outputs, *others])), n=_SHOWN, cutoff=0.4)
    shown = ", ".join(outputs[:_SHOWN]) + (", ..." if len(outputs) > _SHOWN else "")
    return SourceError(
        f"expected --output-name to name an output or a tensor of the network, found {name!r}; its outputs are {shown}",
        hint=f"the most similar names are {', '.join(map(shlex.quote, near))}"
        if near
        else "choose one of its outputs",
    )


def _choose_output(name: str) -> str:
    return f"choose one with --output-name, such as --output-name {shlex.quote(name)}"


def check_witness(witness: FloatArray, inputs: FloatArray) -> None:
    """Refuse outputs that cannot be embeddings.

    Args:
        witness: Shape (n, D), the network's outputs.
        inputs: Shape (n, H, W, C), the images.

    Raises:
        SourceError: The outputs are not finite, or are the same for different images.
    """
    if not np.isfinite(witness).all():
        bad = int((~np.isfinite(witness).all(axis=1)).sum())
        raise SourceError(
            f"the network's output is NaN or infinity for {bad} of {len(witness)} images",
            hint="check the contract's mean and scale, and that the training converged",
        )
    differ = (inputs != inputs[:1]).reshape(len(inputs), -1).any()
    spread = np.abs(witness - witness[:1]).max()
    if differ and spread <= _CONSTANT * max(float(np.abs(witness).max()), _CONSTANT):
        raise SourceError(
            "the network's output is the same for every image",
            hint="check the contract (mean, scale, colour order) and that the weights are the trained ones",
        )
