"""How the network of each artefact is made: by a shipped recipe, a saved one, or a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.budget import SEARCH_COSINE, Budget, CosineBudget
from converters.calibration import CalibrationSet, channel_statistics
from converters.errors import ConversionError
from converters.float_model import FloatModel
from converters.progress import stage
from converters.quantizers.float16 import to_float16
from converters.quantizers.int8 import float_twin, make_int8
from converters.recipe import Recipe, read, shipped
from converters.search import SearchResult, search

#: Which recipes each target asks for, first the one that fidelity is measured against.
TARGETS = {"cpu": ("float32", "float16", "cpu_int8")}


@dataclass(frozen=True)
class Made:
    """One artefact's network.

    Args:
        recipe: How it was made.
        network: The network.
        twin: The float network whose tensors are its tensors, channel for channel: after equalization
            they are not the original's.
        search: How the recipe was found, where it was searched for.
    """

    recipe: Recipe
    network: bytes
    twin: bytes
    search: SearchResult | None = None


def make_all(
    model: FloatModel,
    images: CalibrationSet,
    targets: Sequence[str],
    *,
    recipe: str = "",
    budget: Budget | None = None,
) -> list[Made]:
    """Make every network that the targets ask for, the float one first.

    Args:
        model: The float network.
        images: The calibration images.
        targets: Names in ``TARGETS``.
        recipe: Of the integer artefact: plain where empty, ``auto``, or a saved recipe's file.
        budget: What a search may lose; a mean cosine of ``SEARCH_COSINE`` where None.

    Raises:
        ConversionError: An unreadable recipe, a quantizer refuses the network.
    """
    wanted = [shipped(name) for name in dict.fromkeys(name for t in targets for name in TARGETS[t])]
    made = []
    for plain in wanted:
        if plain.precision == "float32":
            made.append(Made(plain, model.network, model.network))
        elif plain.precision == "float16":
            made.append(Made(plain, to_float16(model.network), model.network))
        elif recipe == "auto":
            made.append(_searched(model, images, plain, budget or CosineBudget(SEARCH_COSINE)))
        else:
            made.append(_by_recipe(model, images, _saved(recipe, plain) if recipe else plain))
    return made


def check_targets(targets: Sequence[str]) -> None:
    """Refuse a target that is not known, before any work.

    Raises:
        ConversionError: An unknown target.
    """
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        raise ConversionError(f"expected a target of {', '.join(TARGETS)}, found {unknown[0]!r}")


def _saved(path: str, plain: Recipe) -> Recipe:
    found = read(Path(path))
    if (found.target, found.precision) != (plain.target, plain.precision):
        raise ConversionError(
            f"{path}: expected a recipe for {plain.target} {plain.precision}, found {found.target} {found.precision}"
        )
    return found


def _by_recipe(model: FloatModel, images: CalibrationSet, recipe: Recipe) -> Made:
    with stage("calibrate") as progress:
        statistics = channel_statistics(
            model.network, model.contract, images.ranges.pixels, progress=progress
        )
    with stage("quantize") as progress:
        network = make_int8(
            model.network, recipe, statistics, model.contract, images.ranges.pixels, progress=progress
        )
    return Made(recipe, network, float_twin(model.network, recipe, statistics)[0])


def _searched(model: FloatModel, images: CalibrationSet, plain: Recipe, budget: Budget) -> Made:
    found = search(model, images, plain, budget=budget)
    return Made(found.recipe, found.network, found.twin, found)
