"""What a conversion is asked for; what is wrong with it is said before the long work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from converters.data.calibration import CalibrationSet
from converters.errors import ConversionError
from converters.output import check_name
from converters.progress import stage
from converters.quantize.budget import (
    SEARCH_COSINE,
    Budget,
    CosineBudget,
    ErrorRateBudget,
    LabelledCrops,
    TimedBudget,
    check_support,
    read_labelled,
)
from converters.quantize.distill.options import Wish
from converters.quantize.recipe import read
from converters.sources.float_model import FloatModel
from edge_sdk.model.card import InputContract


@dataclass(frozen=True)
class ConversionOptions:
    """What to convert and what to say of it.

    Args:
        model: The trained model: Keras, SavedModel, ONNX or float .tflite.
        contract: What the network wants to see.
        calibration: Folder or archive of crops as the device will see them.
        output: Folder for what is made.
        targets: Which targets to make artefacts for.
        name: The model's name; the source file's stem where empty.
        min_cosine: Least mean cosine of each artefact to the float model; 0 asks for none.
        recipe: Of the integer artefact: the target's plain one where empty, ``auto`` to search for the
            cheapest that keeps the budget, or a saved recipe's file. The budget is ``max_fnmr_loss`` where
            that is given, else ``min_cosine`` (0.995 where that is 0).
        max_fnmr_loss: How much higher FNMR may be than the float model's, a share; 0 asks for nothing.
        max_time_ratio: With a search: what an artefact for a CPU may take of the float network's time on this
            machine; 0 asks for nothing.
        at_fmr: At which FMR, each network at its own threshold, over all pairs of ``images``.
        images: Folder or archive of labelled crops, ``subject/image``. The recipe is chosen on them.
        version: The model's own version, for the card.
        description: For the card.
        licence: For the card.
        recover: Minutes to train each int8 artefact to answer as the float network does, without labels; 0 for
            none. Training looks at the calibration images that measure nothing.
        leaky_share: With ``recover``: of all values that PReLUs compute, how many LeakyReLUs shall, 0..1.
        allow: Rules of targets whose refusals are taken as they are.
        settings: What targets are told, such as ``{"ethos-u.accelerator": "ethos-u65-256"}``.
    """

    model: Path
    contract: InputContract
    calibration: Path
    output: Path
    targets: Sequence[str] = ("cpu",)
    name: str = ""
    min_cosine: float = 0.0
    recipe: str = ""
    max_fnmr_loss: float = 0.0
    max_time_ratio: float = 0.0
    at_fmr: float = 1e-3
    images: Path | None = None
    version: str = "1"
    description: str = ""
    licence: str = ""
    recover: float = 0.0
    leaky_share: float = 0.0
    allow: Collection[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def check_request(request: ConversionOptions) -> None:
    """Refuse a name that leaves the output folder, and bytes that are not UTF-8.

    Raises:
        ConversionError: Such a name or text.
    """
    check_name(model_name(request))
    for what in ("version", "description", "licence"):
        text: str = getattr(request, what)
        try:
            # A command line hands other bytes on as lone surrogates.
            text.encode()
        except UnicodeEncodeError as error:
            raise ConversionError(f"{what}: expected UTF-8 text, found {text!r}") from error


def model_name(request: ConversionOptions) -> str:
    """The model's name: the one asked for, else the source file's."""
    if request.name:
        return request.name
    path = request.model.resolve()  # "." is a SavedModel folder's name too
    if path.is_dir():
        return path.name
    # What stands before the function in net.py:make is the file.
    name = path.name if path.exists() else path.name.partition(":")[0]
    return name.removesuffix(Path(name).suffix)


def wished_recovery(request: ConversionOptions) -> Wish | None:
    """What to train, if anything.

    Raises:
        ConversionError: A saved recipe cannot be read, or asks for something else.
    """
    saved = None if request.recipe in ("", "auto") else read(request.recipe)
    if saved is not None and saved.recovery_steps:
        if request.recover:
            raise ConversionError(
                f"{request.recipe}: its recovery takes {saved.recovery_steps} steps, found {request.recover:g} minutes",
                hint="leave --recover out to replay it",
            )
        return Wish(0.0)
    if request.leaky_share and not request.recover:
        raise ConversionError(
            "LeakyReLU is another function than PReLU: it takes recovery", hint="say --recover MINUTES"
        )
    return Wish(request.recover, request.leaky_share) if request.recover else None


def labelled_crops(request: ConversionOptions) -> LabelledCrops | None:
    """The images of a budget of error rates; None where there is no such budget.

    Raises:
        ConversionError: They cannot be read, or cannot support the budget.
    """
    if not request.max_fnmr_loss:
        return None
    if request.images is None or request.recipe != "auto":
        raise ConversionError(
            "a budget of error rates takes labelled images and a search",
            hint="--recipe auto --images DIR, with one folder per subject",
        )
    with stage("read labelled images") as progress:
        labelled = read_labelled(request.images, request.contract, progress=progress)
    check_support(labelled.subjects, fmr=request.at_fmr, max_loss=request.max_fnmr_loss)
    return labelled


def budget_of(
    request: ConversionOptions, model: FloatModel, labelled: LabelledCrops | None, images: CalibrationSet
) -> Budget:
    """What a search may lose, in the request's terms.

    Args:
        request: What is asked.
        model: The float network.
        labelled: From ``labelled_crops``.
        images: The calibration images.
    """
    budget = _fidelity_budget(request, model, labelled)
    if not request.max_time_ratio:
        return budget
    return TimedBudget.of(
        budget, request.max_time_ratio, model.network, model.contract, images.selection.pixels[0]
    )


def _fidelity_budget(request: ConversionOptions, model: FloatModel, labelled: LabelledCrops | None) -> Budget:
    if labelled is None:
        return CosineBudget(request.min_cosine or SEARCH_COSINE)
    with stage("measure the float model on labelled images") as progress:
        return ErrorRateBudget.of(
            model.network,
            model.contract,
            labelled,
            fmr=request.at_fmr,
            max_loss=request.max_fnmr_loss,
            progress=progress,
        )
