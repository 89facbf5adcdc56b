"""Build the network of each artefact: by a plain recipe, a saved recipe, a search, or recorded statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.errors import ConversionError
from converters.graph.network import Network
from converters.pipeline.options import Distillation
from converters.pipeline.refusals import Refusals
from converters.progress import stage
from converters.quantize.ai_edge_quantizer import quantize_dynamic
from converters.quantize.budget import Budget, BudgetVerdict, Candidate
from converters.quantize.distill.distill import DistillationResult, add_leaky_relus, distill
from converters.quantize.distill.schedule import TrainingLength
from converters.quantize.dynamic import choose_dynamic
from converters.quantize.float16 import to_float16
from converters.quantize.float_measurements import FloatMeasurements
from converters.quantize.int8 import QuantizedNetwork, quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.recorded import RecordedStatistics
from converters.quantize.saved_recipe import SavedRecipe
from converters.quantize.search import SearchResult, search
from converters.quantize.time_budget import TimedBudget
from converters.sources.float_model import FloatModel
from converters.targets.base import Target
from edge_sdk.matching import cosine


@dataclass(frozen=True)
class BuiltNetwork:
    """The network of one artefact.

    Args:
        recipe: Recipe of the quantization; its name is the artefact's name.
        network: The network.
        float_reference: The float network after equalization. Its tensors can be compared with the network's channel by
            channel; those of the original float network have other scales.
        search: The search that found the recipe; None without a search. Artefacts with equal recipes share one search.
        distilled: Result of the distillation; None without distillation. It is shared like the search.
        verdict: Verdict of the search's budget on the distilled network; None without a search or distillation.
        statistics: Statistics from which the network can be built again; None for float networks and after distillation.
    """

    recipe: Recipe
    network: Network
    float_reference: Network
    search: SearchResult | None = None
    distilled: DistillationResult | None = None
    verdict: BudgetVerdict | None = None
    statistics: RecordedStatistics | None = None

    @property
    def met(self) -> bool:
        """True if the network keeps the budget of its search, or if there was no search."""
        if self.verdict is not None:
            return self.verdict.met
        return self.search is None or self.search.met


def build_networks(
    model: FloatModel,
    images: CalibrationSet,
    refusals: Refusals,
    recipes: Sequence[Recipe],
    *,
    budget: Budget | None = None,
    distillation: Distillation | None = None,
) -> list[BuiltNetwork]:
    """Build the network of every artefact that a target needs, in the order of the recipes; equal recipes are built once.

    Args:
        model: The float network.
        images: The calibration images.
        refusals: The targets; a target whose network a quantizer refuses is recorded there.
        recipes: The recipe of each artefact, from ``recipes_of``.
        budget: Budget of a search for the recipes of the int8 artefacts; None to use ``recipes`` unchanged.
        distillation: How to train the int8 artefacts; None for no training.

    Raises:
        ConversionError: Every target was refused.
    """
    timed = isinstance(budget, TimedBudget)
    built: dict[tuple[Recipe, bool], BuiltNetwork] = {}
    networks = []
    measured = FloatMeasurements(model, images)
    for recipe in recipes:
        if not refusals.needs(recipe.name):
            continue
        # The name, the target and the limit of a gate change no network; a time limit holds on XNNPACK alone.
        key = replace(recipe, name="", target="", partitions=0), timed and recipe.partitions > 0
        with refusals.of_recipe(recipe.name):
            if key not in built:
                built[key] = _build(model, images, measured, recipe, budget, distillation)
            first = built[key]
            named = replace(
                first.recipe, name=recipe.name, target=recipe.target, partitions=recipe.partitions
            )
            networks.append(_adapted(replace(first, recipe=named), refusals.passing))
    return networks


def replay_networks(
    model: FloatModel,
    refusals: Refusals,
    recipes: Sequence[Recipe],
    saved: Mapping[str, SavedRecipe],
) -> list[BuiltNetwork]:
    """Build the network of every artefact from recorded statistics, in the order of the recipes.

    Args:
        model: The float network.
        refusals: The targets; a target whose network a quantizer refuses is recorded there.
        recipes: The recipe of each artefact.
        saved: The recipe file with statistics of each int8 artefact, by the name of its recipe.

    Raises:
        ConversionError: Every target was refused: the statistics are those of another network, or a quantizer refuses
            the network.
    """
    networks = []
    for recipe in recipes:
        if not refusals.needs(recipe.name):
            continue
        with refusals.of_recipe(recipe.name):
            built = _without_images(model, recipe)
            if built is None:
                with stage("quantize"):
                    built = _of_quantized(recipe, saved[recipe.name].replay(model.network))
            networks.append(_adapted(built, refusals.passing))
    return networks


def _adapted(built: BuiltNetwork, targets: Sequence[Target]) -> BuiltNetwork:
    for target in reversed(targets):
        if built.recipe.name in target.recipes:
            return replace(built, network=target.adapt(built.network))
    return built


def recipes_of(targets: Sequence[Target]) -> list[Recipe]:
    """List the shipped recipe of every artefact of the targets, beginning with the float network's."""
    recipes = {"float32": shipped("float32")}
    for target in targets:
        for name, source in target.recipes.items():
            recipe = shipped(source)
            if name != source or recipe.target == target.name:
                partitions = recipe.partitions if target.on_xnnpack else 0
                recipe = replace(recipe, name=name, target=target.name, partitions=partitions)
            recipes[name] = recipe
    return list(recipes.values())


def with_saved(recipes: Sequence[Recipe], saved: Recipe, path: Path) -> list[Recipe]:
    """Replace the plain recipe of one artefact by a saved recipe for the same target.

    Args:
        recipes: The plain recipes.
        saved: The saved recipe.
        path: File of the saved recipe, for the message.

    Raises:
        ConversionError: No artefact has the target and precision of the saved recipe.
    """
    integer = [recipe for recipe in recipes if recipe.precision == "int8"]
    fitting = [recipe for recipe in integer if (recipe.target, recipe.precision) == (saved.target, "int8")]
    if saved.precision != "int8" or not fitting:
        expected = " or ".join(f"{recipe.target} {recipe.precision}" for recipe in integer)
        raise ConversionError(
            f"{path}: expected a recipe for {expected}, found {saved.target} {saved.precision}"
        )
    if saved.name != fitting[0].name:
        raise ConversionError(
            f"{path}: expected a recipe named {fitting[0].name!r}, found {saved.name!r}",
            hint="the name is part of the artefact's file name: use the recipe as a conversion saved it",
        )
    return [saved if recipe == fitting[0] else recipe for recipe in recipes]


def _build(
    model: FloatModel,
    images: CalibrationSet,
    measured: FloatMeasurements,
    recipe: Recipe,
    budget: Budget | None,
    distillation: Distillation | None,
) -> BuiltNetwork:
    if recipe.precision == "dynamic":
        chosen, network = choose_dynamic(
            model.network, recipe, model.contract, images.selection.pixels, measured.baseline
        )
        return BuiltNetwork(chosen, network, model.network)
    without_images = _without_images(model, recipe)
    if without_images is not None:
        return without_images
    if recipe.distillation_steps:
        return _distill(model, images, recipe, TrainingLength(steps=recipe.distillation_steps))
    if budget is None:
        if distillation is None:
            return _quantize(model, images, measured, recipe)
        return _distill(model, images, _leaky(model, images, recipe, distillation), _length(distillation))
    if isinstance(budget, TimedBudget) and not recipe.partitions:
        budget = budget.budget  # times on this CPU do not predict times on other targets
    result = search(model, images, recipe, budget=budget, measured=measured)
    if distillation is None:
        return replace(_of_quantized(result.recipe, result.quantized), search=result)
    trained = _distill(
        model, images, _leaky(model, images, result.recipe, distillation), _length(distillation)
    )
    selection = images.selection.pixels
    cosines = cosine(
        measured.baseline,
        embed_crops(trained.network, model.contract, selection),
    )
    return replace(trained, search=result, verdict=budget.check(Candidate(trained.network, cosines)))


def _without_images(model: FloatModel, recipe: Recipe) -> BuiltNetwork | None:
    """Build a network that needs no calibration images; None for int8."""
    if recipe.precision == "float32":
        return BuiltNetwork(recipe, model.network, model.network)
    if recipe.precision == "float16":
        return BuiltNetwork(recipe, to_float16(model.network), model.network)
    if recipe.precision == "dynamic":
        network = quantize_dynamic(
            model.network, float_operators=recipe.float_operators, keep_float=recipe.keep_float
        )
        return BuiltNetwork(recipe, network, model.network)
    return None


def _of_quantized(recipe: Recipe, quantized: QuantizedNetwork) -> BuiltNetwork:
    return BuiltNetwork(recipe, quantized.network, quantized.float_reference, statistics=quantized.statistics)


def _length(distillation: Distillation) -> TrainingLength:
    return TrainingLength(seconds=60 * distillation.minutes)


def _leaky(model: FloatModel, images: CalibrationSet, recipe: Recipe, distillation: Distillation) -> Recipe:
    if not distillation.leaky_share:
        return recipe
    with stage("choose PReLUs"):
        return add_leaky_relus(model, images, recipe, share=distillation.leaky_share)


def _distill(
    model: FloatModel, images: CalibrationSet, recipe: Recipe, length: TrainingLength
) -> BuiltNetwork:
    with stage("distill") as progress:
        result = distill(model, images, recipe, length=length, progress=progress)
    return BuiltNetwork(result.recipe, result.network, result.float_reference, distilled=result)


def _quantize(
    model: FloatModel, images: CalibrationSet, measured: FloatMeasurements, recipe: Recipe
) -> BuiltNetwork:
    statistics, pixels = measured.statistics, images.ranges.pixels
    with stage("quantize") as progress:
        quantized = quantize_int8(
            model.network, recipe, statistics, model.contract, pixels, progress=progress
        )
    return _of_quantized(recipe, quantized)
