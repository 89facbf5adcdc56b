"""Distill the float network into the int8 network of a recipe, without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.quantize.distill.child_process import train_in_child_process
from converters.quantize.distill.leaky_relu import choose_prelus, replace_prelus
from converters.quantize.distill.schedule import REPLACED_RATE, ROUNDED_RATE, TrainingLength
from converters.quantize.distill.training_result import CurvePoint, slope_name
from converters.quantize.int8 import build_float_reference, find_recipe_ranges, quantize_int8
from converters.quantize.recipe import Recipe
from converters.quantize.statistics import channel_statistics
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from edge_sdk.types import FloatArray


@dataclass(frozen=True)
class DistillationResult:
    """Result of a distillation.

    Args:
        recipe: A recipe that builds this network again. It has the number of training steps, or 0 if training did not
            help.
        network: The int8 network before or after training, whichever is better.
        float_reference: Float reference of this int8 network.
        before: Mean cosine to the original float network on the selection images, before training.
        after: Mean cosine to the original float network on the selection images, after training.
        images: Number of training crops.
        curve: Mean cosine of the student on the selection images by step.
        images_per_second: Training speed.
        note: Warning for the user, empty if there is none.
    """

    recipe: Recipe
    network: Network = field(repr=False)
    float_reference: Network = field(repr=False)
    before: float
    after: float
    images: int
    curve: tuple[CurvePoint, ...]
    images_per_second: float
    note: str = ""

    @property
    def kept(self) -> bool:
        """True if training increased the cosine."""
        return self.after > self.before

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values for the report."""
        return {
            "before": self.before,
            "after": self.after,
            "kept": self.kept,
            "steps": self.curve[-1].step,
            "images": self.images,
            "images_per_second": self.images_per_second,
            "leaky": len(self.recipe.leaky),
            "note": self.note,
            "curve": [asdict(point) for point in self.curve],
        }


def add_leaky_relus(model: FloatModel, images: CalibrationSet, recipe: Recipe, *, share: float) -> Recipe:
    """Change a recipe to full int8, and replace the PReLUs that cost least accuracy by LeakyReLUs.

    Args:
        model: The float network.
        images: Calibration images; the PReLUs are chosen on the part ``ranges``.
        recipe: An int8 recipe.
        share: Largest share of all PReLU output values that LeakyReLUs may compute, 0..1.

    Returns:
        The recipe, equalized and without float operators.
    """
    pixels = images.ranges.pixels
    decomposed = tuple(
        dict.fromkeys(("PRELU", *(name for name in recipe.decomposed if name != "LEAKY_RELU")))
    )
    whole = replace(
        recipe,
        quantizer="integer",
        # Training hardly reduces the differences between the ranges of channels, so equalize them first.
        equalize=recipe.equalize or "all",
        bound_slopes=True,
        float_operators=(),
        keep_float=(),
        decomposed=decomposed,
    )
    statistics = channel_statistics(model.network, model.contract, pixels)
    reference = build_float_reference(model.network, replace(whole, decomposed=()), statistics).network
    return replace(whole, leaky=choose_prelus(reference, share, model.contract, pixels))


def distill(
    model: FloatModel,
    images: CalibrationSet,
    recipe: Recipe,
    *,
    length: TrainingLength,
    progress: Callable[[int, int], None],
) -> DistillationResult:
    """Train the int8 network of a recipe to reproduce the embeddings of the float network.

    Args:
        model: The float network, which is also the reference for the cosines.
        images: ``training`` is used to train, ``ranges`` for the initial ranges, ``selection`` to choose the best step.
        recipe: An int8 recipe; its ``leaky`` PReLUs are replaced by LeakyReLUs first.
        length: Number of steps or time limit; a replay uses the recipe's ``distillation_steps``.
        progress: Called with (done, total).

    Returns:
        The int8 network before or after training, whichever is better.

    Raises:
        ConversionError: the recipe or the network cannot be trained.
    """
    contract, pixels = model.contract, images.ranges.pixels
    crops = images.training or images.ranges
    teacher, reference = _build_references(model, images, recipe)
    # The reference is equalized and decomposed already.
    finish = replace(recipe, equalize="", bound_slopes=False, decomposed=(), leaky=())
    statistics = channel_statistics(reference, contract, pixels)
    ranges = find_recipe_ranges(reference, finish, statistics, contract, pixels)
    uncorrected = quantize_int8(
        reference, replace(finish, bias_correction=False), statistics, contract, pixels, ranges=ranges
    ).network
    before = uncorrected
    if finish.bias_correction:
        before = quantize_int8(reference, finish, statistics, contract, pixels, ranges=ranges).network
    trained = train_in_child_process(
        teacher,
        reference,
        uncorrected,
        contract,
        pixels=crops.pixels,
        selection=images.selection.pixels,
        length=length,
        seed=recipe.distillation_seed,
        highest_rate=REPLACED_RATE if recipe.leaky else ROUNDED_RATE,
        progress=progress,
    )
    after_reference = replace_constants(reference, trained.constants)
    after = quantize_int8(
        after_reference,
        replace(finish, bias_correction=False),  # training has already removed the mean errors
        channel_statistics(after_reference, contract, pixels),
        contract,
        pixels,
        ranges={**ranges, **trained.ranges},
    ).network
    baseline = embed_crops(model.network, contract, images.selection.pixels)
    cosines = [
        float(cosine(baseline, embed_crops(network, contract, images.selection.pixels)).mean())
        for network in (before, after)
    ]
    digest = after.digest
    helped = cosines[1] > cosines[0]
    done = replace(recipe, distillation_steps=trained.steps, distilled_sha256=digest)
    return DistillationResult(
        recipe=done if helped else replace(recipe, distillation_steps=0, distilled_sha256=""),
        network=after if helped else before,
        float_reference=after_reference if helped else reference,
        before=cosines[0],
        after=cosines[1],
        images=len(crops),
        curve=trained.curve,
        images_per_second=trained.images_per_second,
        note=_note(recipe, digest, helped=helped),
    )


def _build_references(model: FloatModel, images: CalibrationSet, recipe: Recipe) -> tuple[Network, Network]:
    """Build the teacher, whose channels match the student's, and the float reference of the student."""
    pixels = images.ranges.pixels
    statistics = channel_statistics(model.network, model.contract, pixels)
    if not recipe.leaky:
        reference = build_float_reference(model.network, recipe, statistics).network
        return reference, reference
    # Replace PReLUs by LeakyReLUs before decomposing, which removes the tensor of slopes.
    whole = build_float_reference(model.network, replace(recipe, decomposed=()), statistics).network
    teacher, replaced = replace_prelus(whole, recipe.leaky, model.contract, pixels)
    rest = replace(recipe, bound_slopes=False, equalize="")
    return teacher, build_float_reference(
        replaced, rest, channel_statistics(replaced, model.contract, pixels)
    ).network


def _note(recipe: Recipe, digest: str, *, helped: bool) -> str:
    if not helped:
        return "distillation did not increase the cosine on the selection images; the network before training is used"
    if recipe.distilled_sha256 not in ("", digest):
        return (
            "distillation gave other weights than those of the recipe, because processors, TensorFlow versions or images"
            " differ; the figures are those of the new weights"
        )
    return ""


def replace_constants(network: Network, constants: Mapping[str, FloatArray]) -> Network:
    """Replace the weights of a network.

    Args:
        network: A float network.
        constants: New constants by tensor name, LeakyReLU slopes by ``slope_name``.
    """
    graph = network.edit()
    for index in range(len(graph.tensors)):
        name = graph.name(index)
        if name in constants and graph.constant(index) is not None:
            graph.set_constant(index, np.asarray(constants[name], np.float32))
    for operator in graph.operators:
        slope = constants.get(slope_name(graph.name(indices(operator.outputs)[0])))
        if slope is not None:
            operator.builtinOptions.alpha = float(slope)
    graph.prune()
    return Network.of(graph)
