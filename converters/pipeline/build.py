"""How the network of each artefact is made: by a shipped recipe, a saved one, or a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.errors import ConversionError
from converters.progress import stage
from converters.quantize.aeq import quantize_weights
from converters.quantize.budget import (
    SEARCH_COSINE,
    Budget,
    BudgetVerdict,
    Candidate,
    CosineBudget,
    TimedBudget,
)
from converters.quantize.distill.distill import Distilled, distill, with_leaky_relu
from converters.quantize.distill.options import Length, Wish
from converters.quantize.float16 import to_float16
from converters.quantize.int8 import float_twin, make_int8
from converters.quantize.recipe import Recipe, read, shipped
from converters.quantize.search import SearchResult, search
from converters.quantize.statistics import channel_statistics
from converters.sources.float_model import FloatModel
from converters.targets import targets as all_targets
from converters.targets.base import Target
from edge_sdk.matching import cosine


@dataclass(frozen=True)
class BuiltNetwork:
    """One artefact's network.

    Args:
        recipe: How it was made; its name is the artefact's.
        network: The network.
        twin: The float network whose tensors are its tensors, channel for channel: after equalization
            they are not the original's.
        search: How the recipe was found, where it was searched for.
        recovered: What training gave, where it was trained.
        verdict: What the search's budget says of it after training.
    """

    recipe: Recipe
    network: bytes
    twin: bytes
    search: SearchResult | None = None
    recovered: Distilled | None = None
    verdict: BudgetVerdict | None = None

    @property
    def met(self) -> bool:
        """Whether it keeps the budget of the search that it comes from; true where there was none."""
        if self.verdict is not None:
            return self.verdict.met
        return self.search is None or self.search.met


def make_all(
    model: FloatModel,
    images: CalibrationSet,
    targets: Sequence[Target],
    *,
    recipe: str = "",
    budget: Budget | None = None,
    recovery: Wish | None = None,
) -> list[BuiltNetwork]:
    """Make every network that the targets ask for, the float one first; equal ones are made once.

    Args:
        model: The float network.
        images: The calibration images.
        targets: What to make networks for.
        recipe: Of the integer artefacts: plain where empty, ``auto``, or a saved recipe's file.
        budget: What a search may lose; a mean cosine of ``SEARCH_COSINE`` where None.
        recovery: How to train the integer artefacts, where that is wished.

    Raises:
        ConversionError: An unreadable recipe or one for another target, a quantizer refuses the network.
    """
    wanted = recipes_of(targets)
    adapt = {name: target.adapt for target in targets for name in target.recipes}
    if recipe not in ("", "auto"):
        wanted = _with_saved(recipe, wanted)
    made: dict[Recipe, BuiltNetwork] = {}
    artefacts = []
    for plain in wanted:
        nameless = replace(plain, name="", target="", partitions=0)
        first = made.get(nameless)
        if first is None:
            one = made[nameless] = _make(model, images, plain, recipe, budget, recovery)
        else:
            # A search is told once, with the artefact that it was done for.
            named = replace(first.recipe, name=plain.name, target=plain.target, partitions=plain.partitions)
            one = replace(first, recipe=named, search=None, recovered=None)
        if plain.name in adapt:
            one = replace(one, network=adapt[plain.name](one.network))
        artefacts.append(one)
    return artefacts


def recipes_of(targets: Sequence[Target]) -> list[Recipe]:
    """The recipe of every artefact that targets ask for, the float network's first."""
    found = {"float32": shipped("float32")}
    for target in targets:
        for name, source in target.recipes.items():
            plain = shipped(source)
            if name != source or plain.target == target.name:
                partitions = plain.partitions if target.on_xnnpack else 0
                plain = replace(plain, name=name, target=target.name, partitions=partitions)
            found[name] = plain
    return list(found.values())


def known_targets(names: Sequence[str]) -> tuple[Target, ...]:
    """Targets by their names, each once.

    Raises:
        ConversionError: An unknown target.
    """
    known = all_targets()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConversionError(f"expected a target of {', '.join(known)}, found {unknown[0]!r}")
    return tuple(known[name] for name in dict.fromkeys(names))


def _with_saved(path: str, wanted: Sequence[Recipe]) -> list[Recipe]:
    """The saved recipe in the place of the artefact that it was saved beside; others stay plain."""
    saved = read(Path(path))
    integer = [plain for plain in wanted if plain.precision == "int8"]
    fitting = [
        plain for plain in integer if (plain.target, plain.precision) == (saved.target, saved.precision)
    ]
    if not fitting:
        asked = " or ".join(f"{plain.target} {plain.precision}" for plain in integer)
        raise ConversionError(
            f"{path}: expected a recipe for {asked}, found {saved.target} {saved.precision}"
        )
    return [saved if plain == fitting[0] else plain for plain in wanted]


def _make(
    model: FloatModel,
    images: CalibrationSet,
    plain: Recipe,
    recipe: str,
    budget: Budget | None,
    recovery: Wish | None,
) -> BuiltNetwork:
    if plain.precision == "float32":
        return BuiltNetwork(plain, model.network, model.network)
    if plain.precision == "float16":
        return BuiltNetwork(plain, to_float16(model.network), model.network)
    if plain.precision == "dynamic":
        network = quantize_weights(model.network, float_operators=plain.float_operators)
        return BuiltNetwork(plain, network, model.network)
    if plain.recovery_steps:
        return _recovered(model, images, BuiltNetwork(plain, b"", b""), Length(steps=plain.recovery_steps))
    budget = budget or CosineBudget(SEARCH_COSINE)
    if isinstance(budget, TimedBudget) and not plain.partitions:
        budget = budget.budget  # the time on this CPU says nothing of another target's
    made = _searched(model, images, plain, budget) if recipe == "auto" else _by_recipe(model, images, plain)
    if recovery is None:
        return made
    if recovery.leaky_share:
        with stage("choose PReLUs"):
            leaky = with_leaky_relu(model, images, made.recipe, share=recovery.leaky_share)
        made = replace(made, recipe=leaky)
    made = _recovered(model, images, made, Length(seconds=60 * recovery.minutes))
    if made.search is None:
        return made
    selection = images.selection.pixels
    cosines = cosine(
        embed_crops(model.network, model.contract, selection),
        embed_crops(made.network, model.contract, selection),
    )
    return replace(made, verdict=budget.keeps(Candidate(made.network, cosines)))


def _recovered(model: FloatModel, images: CalibrationSet, made: BuiltNetwork, length: Length) -> BuiltNetwork:
    with stage("distill") as progress:
        found = distill(model, images, made.recipe, length=length, progress=progress)
    return replace(made, recipe=found.recipe, network=found.network, twin=found.twin, recovered=found)


def _by_recipe(model: FloatModel, images: CalibrationSet, recipe: Recipe) -> BuiltNetwork:
    with stage("calibrate") as progress:
        statistics = channel_statistics(
            model.network, model.contract, images.ranges.pixels, progress=progress
        )
    with stage("quantize") as progress:
        network = make_int8(
            model.network, recipe, statistics, model.contract, images.ranges.pixels, progress=progress
        )
    return BuiltNetwork(recipe, network, float_twin(model.network, recipe, statistics)[0])


def _searched(model: FloatModel, images: CalibrationSet, plain: Recipe, budget: Budget) -> BuiltNetwork:
    found = search(model, images, plain, budget=budget)
    return BuiltNetwork(found.recipe, found.network, found.twin, found)
