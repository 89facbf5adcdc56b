"""Read a network with any named outputs as a float network in canonical form, for auxiliary networks and other tasks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.calibration import CalibrationSet, real_inputs
from converters.errors import SourceError
from converters.graph.canonical import unique_names
from converters.graph.network import Network
from converters.graph.rewrites.fuse_activations import fuse_activations, split_clips
from converters.graph.rewrites.input_channels import reverse_input_channels
from converters.graph.rewrites.max_pool_padding import replace_max_pool_padding
from converters.graph.rewrites.static_shapes import fold_constants, infer_shapes, make_batch_one
from converters.progress import stage
from converters.sources import kinds
from converters.sources.read import convert_in_child
from converters.sources.source_request import Converted
from edge_sdk.errors import ModelError
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.litert import LiteRtNetwork
from edge_sdk.types import FloatArray

#: Largest allowed difference of an output to that of the source's own runtime, as a share of the output's largest value.
EQUAL_SHARE = 1e-4
_WITNESS_IMAGES = 4
_AS_TFLITE = "convert it to a float .tflite first: tf.lite.TFLiteConverter, or litert_torch for PyTorch"


@dataclass(frozen=True)
class OutputNetwork:
    """A float network in canonical form with named outputs.

    Args:
        network: The network.
        contract: Its input contract; RGB, if the channels of the source could be reversed.
        outputs: Names of its outputs, sorted.
        source: Kind, file name, SHA-256 and tools of the source.
        notes: Notes for the reader of the report.
        agreement: Largest difference of an output to that of the source's own runtime, as a share of the output's
            largest value.
    """

    network: Network
    contract: InputContract
    outputs: tuple[str, ...]
    source: Mapping[str, Any]
    notes: tuple[str, ...]
    agreement: float


def read_output_network(
    model: Path, contract: InputContract, images: CalibrationSet | None, *, allowed: Sequence[str] = ("onnx",)
) -> OutputNetwork:
    """Read a trained file as a float network with named outputs.

    Args:
        model: The file.
        contract: The input contract of the file.
        images: Calibration images to compare outputs on; None compares them on noise.
        allowed: Kinds of files that are accepted, of ``onnx`` and ``tflite``.

    Raises:
        SourceError: The file is of another kind, cannot be read or converted, or the outputs differ from the source's.
    """
    inputs = _witness_inputs(contract, images)
    with stage("convert to float .tflite"):
        kind, converted = _convert(model, contract, inputs, allowed)
    network, outputs, as_rgb = _canonical(Network(converted.tflite), contract)
    notes = converted.notes
    if as_rgb:
        contract, inputs = replace(contract, color="rgb"), inputs[..., ::-1]
        notes += (
            "the source takes BGR, the converted network RGB: the channels of the first weights were reversed",
        )
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OutputNetwork(
        network=network,
        contract=contract,
        outputs=outputs,
        source={
            "kind": kind,
            "file": os.fsencode(model.name).decode(errors="replace"),
            "sha256": digest,
            "tools": dict(converted.tools),
        },
        notes=notes,
        agreement=_agreement(network, outputs, inputs, converted.witness),
    )


def _convert(
    model: Path, contract: InputContract, inputs: FloatArray, allowed: Sequence[str]
) -> tuple[str, Converted]:
    kind = kinds.recognize(model)
    if kind not in allowed:
        names = {"onnx": "an ONNX file", "tflite": "a float .tflite"}
        hint = _AS_TFLITE if "tflite" in allowed else None
        raise SourceError(
            f"{model}: expected {' or '.join(names[name] for name in allowed)}, found {kind}", hint=hint
        )
    converted = convert_in_child(f"{kind}_outputs", model, contract=contract, inputs=inputs)
    if not np.isfinite(converted.witness).all():
        raise SourceError(
            f"{model}: its output is NaN or infinity", hint="check the input contract and the file"
        )
    return kind, converted


def _witness_inputs(contract: InputContract, images: CalibrationSet | None) -> FloatArray:
    if images is not None:
        return real_inputs(images.held_out.pixels[:_WITNESS_IMAGES], contract)
    noise = np.random.default_rng(0).integers(0, 256, (_WITNESS_IMAGES, *contract.shape))
    return real_inputs(noise.astype(np.uint8), contract)


def _canonical(source: Network, contract: InputContract) -> tuple[Network, tuple[str, ...], bool]:
    """Bring a network into canonical form: batch 1, static shapes, folded constants, RGB, outputs sorted by name.

    Returns:
        The network, its outputs' names, and True if the input was changed from BGR to RGB.
    """
    graph = source.edit()
    outputs = dict(sorted(graph.signature_outputs().items()))
    graph.set_outputs(list(outputs.values()))
    make_batch_one(graph)
    infer_shapes(graph, contract)
    fold_constants(graph, contract)
    fuse_activations(graph)
    graph.prune()
    split_clips(graph)
    replace_max_pool_padding(graph)
    as_rgb = contract.color == "bgr" and reverse_input_channels(graph)
    unique_names(graph)
    graph.drop_metadata()
    graph.set_signature("image", *outputs)
    graph.prune()
    return Network.of(graph), tuple(outputs), as_rgb


def _agreement(network: Network, names: tuple[str, ...], inputs: FloatArray, witness: FloatArray) -> float:
    """Compute the largest difference to the source's outputs, as in ``OutputNetwork``; refuse more than EQUAL_SHARE."""
    try:
        backend = LiteRtNetwork(network.data)
    except ModelError as error:
        raise SourceError(f"the converted network does not run: {error}", hint=error.hint) from error
    sizes = [int(np.prod(info.shape)) for info in backend.outputs]
    if sum(sizes) != witness.shape[1]:
        raise SourceError(
            f"expected {witness.shape[1]} output values, as the source computes them, found {sum(sizes)}"
        )
    parts = np.split(witness, np.cumsum(sizes)[:-1], axis=1)
    worst, worst_output = 0.0, ""
    for row, image in enumerate(inputs):
        np.copyto(backend.input_view()[0], image)
        backend.invoke()
        for position, (name, part) in enumerate(zip(names, parts, strict=True)):
            difference = float(np.abs(backend.output_view(position).ravel() - part[row]).max())
            share = difference / max(float(np.abs(part).max()), 1e-6)
            if share > worst:
                worst, worst_output = share, name
    if worst > EQUAL_SHARE:
        raise SourceError(
            f"expected the outputs of the source within {EQUAL_SHARE} of their largest value, found a difference of"
            f" {worst:.2e} in output {worst_output}",
            hint="report this network as a bug; another export of it may convert",
        )
    return worst
