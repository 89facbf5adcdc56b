"""Convert a network without an embedding, such as a face detector or a presentation attack detector.

The conversion uses the same child process, rewrites and quantizer as ``convert``, but allows several outputs, makes no
search, and writes a network card instead of a model card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from converters.data.calibration import read_calibration
from converters.errors import ConversionError
from converters.output import check_name, staged, write_all
from converters.pipeline.artefacts import json_bytes
from converters.pipeline.auxiliary_int8 import (
    read_auxiliary_recipe,
    replay_auxiliary,
    write_int8,
    write_network,
)
from converters.pipeline.auxiliary_report import AuxiliaryReport
from converters.pipeline.output_network import read_output_network
from converters.progress import stage
from converters.quantize.saved_recipe import SavedRecipe
from edge_sdk.model.array_contract import image_contract
from edge_sdk.model.card import InputContract
from edge_sdk.model.network_card import FACE_DETECTOR, PRESENTATION_ATTACK_DETECTOR, NetworkCard


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
        model = read_output_network(request.model, contract, images)
        network = model.network
        base = NetworkCard(
            name=name,
            task=method.task,
            method=request.method,
            precision="float32",
            input=model.contract,
            outputs=model.outputs,
            network_sha256="",
            parameters=dict(request.parameters),
            version=request.version,
            licence=request.licence,
            source=model.source,
        )
        artefacts = [write_network(folder, f"{name}.float32.tflite", network, base, {})]
        if images is not None:
            artefacts.append(write_int8(folder, network, base, images, saved))
        elif saved is not None and saved.recording is not None:
            artefacts.append(replay_auxiliary(folder, network, base, saved, saved.recording))
        report = AuxiliaryReport(
            name,
            request.method,
            model.contract,
            model.source,
            model.notes,
            model.agreement,
            tuple(artefacts),
        )
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
    contract = image_contract(saved.recording.contract)
    recorded = contract.height, contract.width
    if request.size is not None and request.size != recorded and request.calibration is None:
        raise ConversionError(
            f"{saved.path}: expected the input size of the recipe, {recorded[0]}x{recorded[1]}, found"
            f" {request.size[0]}x{request.size[1]}",
            hint="leave --size out, or measure the statistics again with --calibration",
        )
    return request.size or recorded
