"""Convert a network without an embedding, such as a face detector or a presentation attack detector.

The conversion uses the same child process, rewrites and quantizer as ``convert``, but allows several outputs, makes no
search, and writes a network card instead of a model card.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.calibration import CalibrationSet, read_calibration, real_inputs
from converters.errors import ConversionError, SourceError
from converters.graph.canonical import unique_names
from converters.graph.network import Network
from converters.graph.rewrites.fuse_activations import fuse_activations, split_clips
from converters.graph.rewrites.input_channels import reverse_input_channels
from converters.graph.rewrites.max_pool_padding import replace_max_pool_padding
from converters.graph.rewrites.static_shapes import fold_constants, infer_shapes, make_batch_one
from converters.output import check_name, staged, write_all
from converters.pipeline.artefacts import json_bytes
from converters.pipeline.auxiliary_int8 import (
    read_auxiliary_recipe,
    replay_auxiliary,
    write_int8,
    write_network,
)
from converters.pipeline.auxiliary_report import AuxiliaryReport
from converters.progress import stage
from converters.quantize.saved_recipe import SavedRecipe
from converters.sources import kinds
from converters.sources.read import convert_in_child
from converters.sources.source_request import Converted
from edge_sdk.errors import ModelError
from edge_sdk.model.card import InputContract
from edge_sdk.model.network_card import FACE_DETECTOR, PRESENTATION_ATTACK_DETECTOR, NetworkCard
from edge_sdk.runtime.backends.litert import LiteRtNetwork
from edge_sdk.types import FloatArray

#: Largest allowed difference of an output to that of the source's own runtime, as a share of the output's largest value.
EQUAL_SHARE = 1e-4
_WITNESS_IMAGES = 4


@dataclass(frozen=True)
class Method:
    """Task and input of a kind of auxiliary network.

    Args:
        task: Task in the network card.
        size: Default input height and width.
        color: Channel order.
        mean: Mean in the normalization (pixel - mean) / scale.
        scale: Scale in the same normalization.
        parameters: Names of the parameters of the network that the user must give, all above 0.
    """

    task: str
    size: tuple[int, int]
    color: str
    mean: float
    scale: float
    parameters: tuple[str, ...] = ()

    def contract(self, size: tuple[int, int] | None) -> InputContract:
        """Make the input contract for a size; None for the default size."""
        height, width = size or self.size
        return InputContract(height, width, self.color, (self.mean,) * 3, (self.scale,) * 3)


#: YuNet (Wu et al. 2023, doi 10.1007/s11633-023-1423-y) and Minivision's Silent-Face networks, with their authors' inputs.
METHODS: Mapping[str, Method] = {
    "yunet": Method(FACE_DETECTOR, (320, 320), "bgr", 0.0, 1.0),
    "minifasnet": Method(PRESENTATION_ATTACK_DETECTOR, (80, 80), "bgr", 0.0, 1.0, ("crop_scale",)),
}


@dataclass(frozen=True)
class AuxiliaryRequest:
    """Options of the conversion of an auxiliary network.

    Args:
        model: An ONNX file.
        method: One of ``METHODS``.
        output: Folder for the files.
        calibration: Folder or archive of images for int8; None for a float file only, or to replay ``recipe``.
        size: Input height and width; None for the recipe's or the method's default. A convolutional network accepts any size.
        parameters: Parameters of the method, such as ``crop_scale``.
        name: The network's name; empty for the file's stem.
        licence: Licence of the network, for the card.
        version: The network's own version, for the card.
        recipe: A ``.recipe.json`` that an earlier conversion saved; its statistics make an int8 file without images.
    """

    model: Path
    method: str
    output: Path
    calibration: Path | None = None
    size: tuple[int, int] | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    licence: str = ""
    version: str = "1"
    recipe: Path | None = None


def convert_auxiliary(request: AuxiliaryRequest) -> AuxiliaryReport:
    """Convert an auxiliary network; the output folder gets all files or none.

    Raises:
        SourceError: The model is not ONNX, or cannot be read or converted.
        CalibrationError: The calibration images cannot be used.
        ConversionError: An unknown method, a missing parameter, a recipe that cannot be replayed, or the output cannot be
            written.
        AccuracyGateError: A replayed network differs from the recorded one beyond the tolerance.
    """
    method = _method(request)
    name = request.name or request.model.name.removesuffix(request.model.suffix)
    check_name(name)
    saved = None
    if request.recipe is not None:
        saved = read_auxiliary_recipe(request.recipe, with_images=request.calibration is not None)
    contract = method.contract(_size(request, saved))
    with staged(request.output) as folder:
        images = None
        if request.calibration is not None:
            with stage("read calibration images") as progress:
                images = read_calibration(str(request.calibration), contract, progress=progress)
        inputs = _witness_inputs(contract, images)
        with stage("convert to float .tflite"):
            converted, source = _read(request.model, contract, inputs)
        network, names, as_rgb = _canonical(Network(converted.tflite), contract)
        if as_rgb:
            contract, inputs = replace(contract, color="rgb"), inputs[..., ::-1]
        agreement = _agreement(network, names, inputs, converted.witness)
        base = NetworkCard(
            name=name,
            task=method.task,
            method=request.method,
            precision="float32",
            input=contract,
            outputs=names,
            network_sha256="",
            parameters=dict(request.parameters),
            version=request.version,
            licence=request.licence,
            source=source,
        )
        artefacts = [write_network(folder, f"{name}.float32.tflite", network, base, {})]
        if images is not None:
            artefacts.append(write_int8(folder, network, base, images, saved))
        elif saved is not None and saved.recording is not None:
            artefacts.append(replay_auxiliary(folder, network, base, saved, saved.recording))
        notes = (
            *converted.notes,
            *(
                [
                    "the source takes BGR, the converted network RGB: the channels of the first weights were reversed"
                ]
                * as_rgb
            ),
        )
        report = AuxiliaryReport(name, request.method, contract, source, notes, agreement, tuple(artefacts))
        write_all(folder, {f"{name}.report.json": json_bytes(report.to_json())})
    return report


def _method(request: AuxiliaryRequest) -> Method:
    if request.method not in METHODS:
        raise ConversionError(f"expected one of the methods {', '.join(METHODS)}, found {request.method!r}")
    method = METHODS[request.method]
    for parameter in method.parameters:
        if not request.parameters.get(parameter, 0.0) > 0:
            raise ConversionError(
                f"{request.method}: expected {parameter} above 0, found {request.parameters.get(parameter, 'none')}",
                hint=f"give it with --{parameter.replace('_', '-')}; it is a property of the network",
            )
    return method


def _size(request: AuxiliaryRequest, saved: SavedRecipe | None) -> tuple[int, int] | None:
    """Return the given input size, or that of the recipe; None if there is neither.

    Raises:
        ConversionError: The recipe was recorded at another size than the given one.
    """
    if saved is None or saved.recording is None:
        return request.size
    recorded = saved.recording.contract.height, saved.recording.contract.width
    if request.size is not None and request.size != recorded and request.calibration is None:
        raise ConversionError(
            f"{saved.path}: expected the input size of the recipe, {recorded[0]}x{recorded[1]}, found"
            f" {request.size[0]}x{request.size[1]}",
            hint="leave --size out, or measure the statistics again with --calibration",
        )
    return request.size or recorded


def _read(model: Path, contract: InputContract, inputs: FloatArray) -> tuple[Converted, dict[str, Any]]:
    kind = kinds.recognize(model)
    if kind != "onnx":
        raise SourceError(f"{model}: expected an ONNX file, found {kind}")
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    converted = convert_in_child("onnx_outputs", model, contract=contract, inputs=inputs)
    if not np.isfinite(converted.witness).all():
        raise SourceError(f"{model}: its output is NaN or infinity", hint="check the method and the file")
    name = os.fsencode(model.name).decode(errors="replace")
    return converted, {"kind": kind, "file": name, "sha256": digest, "tools": dict(converted.tools)}


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


def _agreement(
    network: Network,
    names: tuple[str, ...],
    inputs: FloatArray,
    witness: FloatArray,
) -> float:
    """Compute the largest difference to the source's outputs, as in ``AuxiliaryReport``; refuse more than EQUAL_SHARE."""
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
