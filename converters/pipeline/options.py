"""Options of a conversion; options that contradict each other raise OptionsError when they are created."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from converters.analyze.gates import ALLOWABLE, STRICT
from converters.errors import ConversionError, OptionsError
from converters.output import check_name
from converters.quantize.budget import CosineBudget
from converters.targets import targets as all_targets
from converters.targets.base import Target, target_options
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import InputContract


@dataclass(frozen=True)
class Plain:
    """Quantize each int8 artefact by the plain recipe, which is shipped for its target."""


@dataclass(frozen=True)
class Replay:
    """Quantize by recipes that an earlier conversion saved.

    Args:
        recipe: A ``.recipe.json`` file, or several; each replaces the plain recipe of the artefact it was saved for.
            Recipes with statistics need no calibration images.
    """

    recipe: Path | Sequence[Path]

    def __post_init__(self) -> None:
        files = [self.recipe] if isinstance(self.recipe, str | Path) else self.recipe
        _require_type("recipe", files, Sequence)
        for file in files:
            _require_type("recipe", file, Path, str)
        if not files:
            raise OptionsError("recipe: expected one recipe file or more, found none")
        object.__setattr__(self, "recipe", tuple(Path(file) for file in files))

    @property
    def files(self) -> tuple[Path, ...]:
        """The recipe files."""
        return (self.recipe,) if isinstance(self.recipe, Path) else tuple(self.recipe)


@dataclass(frozen=True)
class DrawnCalibration:
    """Calibrate on pictures that the converter draws, without photographs. Photographs give better files.

    Args:
        seed: Seed of the pictures, 0 or more; the same seed gives the same pictures.
    """

    seed: int = 1

    def __post_init__(self) -> None:
        _require_type("seed", self.seed, int)
        if self.seed < 0:
            raise OptionsError(f"seed: expected 0 or more, found {self.seed}")


@dataclass(frozen=True)
class ErrorRateLimit:
    """A limit on the increase of FNMR over the float model's; each network is measured at its own threshold.

    Args:
        images: Folder or archive of labelled crops, ``subject/image``; the search compares all pairs of them.
        max_fnmr_loss: Largest increase of FNMR, a share above 0 and up to 1: 0.01 is one percentage point.
        at_fmr: The FMR at which FNMR is compared, 0..1.
    """

    images: Path
    max_fnmr_loss: float
    at_fmr: float = 1e-3

    def __post_init__(self) -> None:
        _make_paths(self, "images")
        _require_positive("max_fnmr_loss", self.max_fnmr_loss)
        _require_share("max_fnmr_loss", self.max_fnmr_loss)
        _require_share("at_fmr", self.at_fmr)
        if not 0 < self.at_fmr < 1:
            raise OptionsError(f"at_fmr: expected a rate above 0 and below 1, found {self.at_fmr!r}")


@dataclass(frozen=True)
class Search:
    """Search for the cheapest recipe that keeps a budget.

    Args:
        budget: A mean cosine to the float model (default 0.995), or a limit on error rates. If no recipe keeps a
            limit on error rates, the conversion fails.
        max_time_ratio: Largest inference time of an artefact for XNNPACK, as a share of the float network's time on
            this machine: 0.85 is 85 %. If no recipe keeps it, the conversion fails. None for no limit.
    """

    budget: CosineBudget | ErrorRateLimit = field(default_factory=CosineBudget)
    max_time_ratio: float | None = None

    def __post_init__(self) -> None:
        _require_type("budget", self.budget, CosineBudget, ErrorRateLimit)
        if isinstance(self.budget, CosineBudget):
            _require_share("least", self.budget.least)
        if self.max_time_ratio is not None:
            _require_positive("max_time_ratio", self.max_time_ratio)


@dataclass(frozen=True)
class Distillation:
    """Train each int8 artefact, without labels, to compute the float network's embeddings.

    Args:
        minutes: Longest training time of each int8 artefact, above 0.
        leaky_share: Replace PReLUs that compute up to this share of all PReLU values by LeakyReLUs, which run in int8;
            0..1.
    """

    minutes: float
    leaky_share: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("minutes", self.minutes)
        _require_share("leaky_share", self.leaky_share)


@dataclass(frozen=True)
class ConversionOptions:
    """Model, images, targets and quantization of a conversion.

    Args:
        model: The trained model: Keras, SavedModel, ONNX, PyTorch or float .tflite.
        contract: The network's input contract; None for the contract in the recipe of a replay.
        calibration: Folder or archive of crops as the device will see them; drawn pictures; or None to replay the
            statistics of a recipe. With images or pictures, a recipe's statistics are measured again.
        output: Folder for the files.
        targets: Names of the targets to make artefacts for.
        name: The model's name; None for the source file's stem.
        min_cosine: Least mean cosine of each artefact to the float model, 0..1; None for no limit.
        quantization: How the recipe of the int8 artefacts is chosen.
        distillation: How to train the int8 artefacts; None for no training.
        version: The model's own version, for the card.
        description: Description of the model, for the card.
        licence: Licence of the model, for the card.
        allow: Names of target rules whose refusals do not stop the conversion; ``contract`` for a refused input contract;
            ``collapse`` for a network that gives different images the same embedding; ``partitions`` and ``integer`` for
            these gates.
        output_name: Name of the source's output to convert, for a source with several; in ONNX and TFLite of any tensor, in
            Keras of any layer. None if the source has one output.
        settings: Settings of targets, such as ``{"ethos-u.accelerators": "ethos-u65-256"}``.
        task: ``embedding``; ``none`` for a network of another task, for ``convert_any_task``.

    Raises:
        OptionsError: A value out of range, or options that contradict each other.
        ConversionError: An unknown target or setting, a name that cannot begin a file name, text that is not UTF-8.
    """

    model: Path
    contract: AnyContract | None
    calibration: Path | DrawnCalibration | None
    output: Path
    targets: Sequence[str] = ("cpu",)
    name: str | None = None
    min_cosine: float | None = None
    quantization: Plain | Replay | Search = field(default_factory=Plain)
    distillation: Distillation | None = None
    version: str = "1"
    description: str = ""
    licence: str = ""
    allow: Collection[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    task: Literal["embedding", "none"] = "embedding"
    output_name: str | None = None

    def __post_init__(self) -> None:
        _make_paths(self, "model", "output")
        if self.calibration is not None and not isinstance(self.calibration, DrawnCalibration):
            _make_paths(self, "calibration")
        _require_type("contract", self.contract, InputContract, ArrayContract, type(None))
        _require_type("quantization", self.quantization, Plain, Replay, Search)
        _require_type("distillation", self.distillation, Distillation, type(None))
        if isinstance(self.targets, str):
            raise OptionsError(
                f"targets: expected a sequence of names, found the text {self.targets!r}",
                hint=f"give ({self.targets!r},)",
            )
        object.__setattr__(self, "targets", tuple(self.targets))
        if not self.targets:
            raise OptionsError("targets: expected one target or more, found none")
        for target in known_targets(self.targets):
            target_options(target, self.settings)
        if self.name is not None:
            check_name(self.name)
        for what in ("version", "description", "licence"):
            _require_utf8(what, getattr(self, what))
        if self.output_name is not None:
            _require_utf8("output_name", self.output_name)
            if not self.output_name:
                raise OptionsError("output_name: expected the name of an output, found an empty text")
        if self.min_cosine is not None:
            _require_share("min_cosine", self.min_cosine)
        if strict := sorted(set(STRICT) & set(self.allow)):
            raise OptionsError(
                f"allow: the gate {strict[0]!r} cannot be allowed, because such a file gives no usable answers",
                hint=f"gates that can be allowed: {', '.join(ALLOWABLE)}",
            )
        if isinstance(self.quantization, Search):
            self._check_search(self.quantization)
        self._check_what_is_left_to_a_recipe()
        self._check_task()

    def _check_task(self) -> None:
        if self.task not in ("embedding", "none"):
            raise OptionsError(f"task: expected embedding or none, found {self.task!r}")
        without_effect = {
            "min_cosine": self.min_cosine is not None,
            "distillation": self.distillation is not None,
            "quantization": not isinstance(self.quantization, Plain),
            "output_name": self.output_name is not None,
            "settings": bool(self.settings),
        }
        unfit = [name for name, given in without_effect.items() if given]
        if self.task == "none" and isinstance(self.contract, ArrayContract):
            raise OptionsError(
                "contract: expected a contract of images for the task none, found one of arrays"
            )
        if self.task == "none" and isinstance(self.calibration, DrawnCalibration):
            raise OptionsError("calibration: expected images for the task none, found drawn pictures")
        if self.task == "none" and unfit:
            raise OptionsError(
                f"{unfit[0]}: expected no recipe, search, training or cosine, no choice of an output and no settings of targets for a"
                " network of the task none, which has no embedding and no by-products",
                hint="the report states the error of each output",
            )

    def _check_what_is_left_to_a_recipe(self) -> None:
        if isinstance(self.calibration, DrawnCalibration) and isinstance(self.contract, ArrayContract):
            raise OptionsError(
                "calibration: expected a folder or archive of .npy files for a network that reads arrays, found drawn pictures"
            )
        replayed = isinstance(self.quantization, Replay)
        if self.contract is None and not replayed:
            raise OptionsError(
                "contract: expected an input contract, or a recipe that contains one; found none"
            )
        if self.calibration is None and not replayed:
            raise OptionsError(
                "calibration: expected calibration images, or a recipe with statistics to replay; found none",
                hint="give a folder or archive of crops like those that the device will embed, or calibrate without images:"
                " --calibration none",
            )
        if not isinstance(self.calibration, Path) and self.distillation is not None:
            raise OptionsError("distillation: expected calibration images to train on, found none")

    def _check_search(self, search: Search) -> None:
        least = search.budget.least if isinstance(search.budget, CosineBudget) else None
        if least is not None and self.min_cosine is not None and least < self.min_cosine:
            raise OptionsError(
                f"expected a search budget of at least min_cosine, {self.min_cosine:g}, found a cosine of {least:g}",
                hint="raise the budget of the search or lower min_cosine",
            )
        timed = any(target.on_xnnpack for target in known_targets(self.targets))
        if search.max_time_ratio is not None and not timed:
            raise OptionsError(
                "max_time_ratio: expected a target that runs on this machine, such as cpu, found"
                f" {', '.join(self.targets)}"
            )

    @property
    def model_name(self) -> str:
        """The model's name: ``name`` if it is given, otherwise the source's file name without its suffix."""
        if self.name is not None:
            return self.name
        path = self.model.resolve()  # the path of a SavedModel folder may be "."
        if path.is_dir():
            return path.name
        # In net.py:make, the file name is the part before the colon.
        name = path.name if path.exists() else path.name.partition(":")[0]
        return name.removesuffix(Path(name).suffix)


def known_targets(names: Sequence[str]) -> tuple[Target, ...]:
    """Look up targets by name; a target named twice is returned once.

    Raises:
        ConversionError: An unknown target.
    """
    known = all_targets()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConversionError(f"expected a target of {', '.join(known)}, found {unknown[0]!r}")
    return tuple(known[name] for name in dict.fromkeys(names))


def _make_paths(options: object, *names: str) -> None:
    """Convert the named fields of a frozen dataclass, which may be text, to paths."""
    for name in names:
        value = getattr(options, name)
        _require_type(name, value, Path, str)
        object.__setattr__(options, name, Path(value))


def _require_type(what: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds):
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise OptionsError(f"{what}: expected {names}, found {type(value).__name__}")


def _require_positive(what: str, value: float) -> None:
    _require_type(what, value, int, float)
    if not 0 < value < float("inf"):
        raise OptionsError(f"{what}: expected a number above 0, found {value!r}")


def _require_share(what: str, value: float) -> None:
    _require_type(what, value, int, float)
    if not 0 <= value <= 1:
        raise OptionsError(f"{what}: expected a number in 0..1, found {value!r}")


def _require_utf8(what: str, text: str) -> None:
    try:
        _require_type(what, text, str)
        # Python turns bytes of the command line that are not UTF-8 into lone surrogates.
        text.encode()
    except UnicodeEncodeError as error:
        raise ConversionError(f"{what}: expected UTF-8 text, found {text!r}") from error
