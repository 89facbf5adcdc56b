"""Recovery of an int8 network without labels: what a recipe makes, trained to answer as the float network does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.quantize.distill import child
from converters.quantize.distill.options import Length, Point, slope_name
from converters.quantize.distill.schedule import FAR_RATE, NEAR_RATE
from converters.quantize.distill.sections import choose_leaky, with_leaky
from converters.quantize.int8 import float_reference, make_int8, ranges_of
from converters.quantize.recipe import Recipe
from converters.quantize.statistics import channel_statistics
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from edge_sdk.types import FloatArray


@dataclass(frozen=True)
class Distilled:
    """What recovery gave.

    Args:
        recipe: The recipe with the steps that were done, to be replayed; as it was where training did not help.
        network: The better int8 network of before and after.
        float_reference: Its float network.
        before: Mean cosine to the original float network on the selection images, of the int8 file before.
        after: Of the int8 file after.
        images: How many crops were trained on.
        curve: The student's mean cosine on the selection images by step.
        images_per_second: How fast training went.
        note: What a person should know; empty where all is as expected.
    """

    recipe: Recipe
    network: Network = field(repr=False)
    float_reference: Network = field(repr=False)
    before: float
    after: float
    images: int
    curve: tuple[Point, ...]
    images_per_second: float
    note: str = ""

    @property
    def kept(self) -> bool:
        """Whether training helped."""
        return self.after > self.before

    def to_json(self) -> dict[str, Any]:
        """What a report keeps."""
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


def with_leaky_relu(model: FloatModel, images: CalibrationSet, recipe: Recipe, *, share: float) -> Recipe:
    """The recipe with LeakyReLUs for PReLUs where they do least harm, and so without an operator in float; equalized.

    Args:
        model: The float network.
        images: What ``ranges`` shows says which.
        recipe: An int8 recipe.
        share: Of all values that PReLUs compute, how many a LeakyReLU may, 0..1.
    """
    pixels = images.ranges.pixels
    spelled = tuple(dict.fromkeys(("PRELU", *(name for name in recipe.spelled if name != "LEAKY_RELU"))))
    whole = replace(
        recipe,
        quantizer="integer",
        equalize=recipe.equalize or "all",  # training hardly changes how far channels reach apart
        bound_slopes=True,
        float_operators=(),
        keep_float=(),
        spelled=spelled,
    )
    statistics = channel_statistics(model.network, model.contract, pixels)
    reference = float_reference(model.network, replace(whole, spelled=()), statistics)[0]
    return replace(whole, leaky=choose_leaky(reference, share, model.contract, pixels))


def distill(
    model: FloatModel,
    images: CalibrationSet,
    recipe: Recipe,
    *,
    length: Length,
    progress: Callable[[int, int], None],
) -> Distilled:
    """Train what a recipe makes until it answers as the float network does.

    Args:
        model: The float network; fidelity is measured against it, whatever the student's float reference is.
        images: ``training`` is trained on, ``ranges`` gives the first ranges, ``selection`` chooses.
        recipe: How to quantize, after its ``leaky`` PReLUs became LeakyReLUs.
        length: How long to train; a replay takes the recipe's ``recovery_steps``.
        progress: Called with (done, total).

    Returns:
        The better of the int8 networks before and after.

    Raises:
        ConversionError: The recipe or the network cannot be recovered.
    """
    contract, pixels = model.contract, images.ranges.pixels
    crops = images.training or images.ranges
    teacher, reference = _float_references(model, images, recipe)
    # The reference is equalized and decomposed already.
    finish = replace(recipe, equalize="", bound_slopes=False, spelled=(), leaky=())
    statistics = channel_statistics(reference, contract, pixels)
    ranges = ranges_of(reference, finish, statistics, contract, pixels)
    uncorrected = make_int8(
        reference, replace(finish, bias_correction=False), statistics, contract, pixels, ranges=ranges
    )
    before = uncorrected
    if finish.bias_correction:
        before = make_int8(reference, finish, statistics, contract, pixels, ranges=ranges)
    trained = child.train(
        teacher,
        reference,
        uncorrected,
        contract,
        pixels=crops.pixels,
        selection=images.selection.pixels,
        length=length,
        seed=recipe.recovery_seed,
        highest_rate=FAR_RATE if recipe.leaky else NEAR_RATE,
        progress=progress,
    )
    after_reference = with_constants(reference, trained.constants)
    after = make_int8(
        after_reference,
        replace(finish, bias_correction=False),  # what is left of a mean error was trained away
        channel_statistics(after_reference, contract, pixels),
        contract,
        pixels,
        ranges={**ranges, **trained.ranges},
    )
    wanted = embed_crops(model.network, contract, images.selection.pixels)
    cosines = [
        float(cosine(wanted, embed_crops(network, contract, images.selection.pixels)).mean())
        for network in (before, after)
    ]
    digest = after.digest
    helped = cosines[1] > cosines[0]
    done = replace(recipe, recovery_steps=trained.steps, recovered_sha256=digest)
    return Distilled(
        recipe=done if helped else replace(recipe, recovery_steps=0, recovered_sha256=""),
        network=after if helped else before,
        float_reference=after_reference if helped else reference,
        before=cosines[0],
        after=cosines[1],
        images=len(crops),
        curve=trained.curve,
        images_per_second=trained.images_per_second,
        note=_note(recipe, digest, helped=helped),
    )


def _float_references(model: FloatModel, images: CalibrationSet, recipe: Recipe) -> tuple[Network, Network]:
    """The float network channel for channel as the student's, and the float network that the student rounds."""
    pixels = images.ranges.pixels
    statistics = channel_statistics(model.network, model.contract, pixels)
    if not recipe.leaky:
        reference = float_reference(model.network, recipe, statistics)[0]
        return reference, reference
    # What is spelled out has no slopes any more, so LeakyReLUs come first.
    whole = float_reference(model.network, replace(recipe, spelled=()), statistics)[0]
    teacher, replaced = with_leaky(whole, recipe.leaky, model.contract, pixels)
    rest = replace(recipe, bound_slopes=False, equalize="")
    return teacher, float_reference(replaced, rest, channel_statistics(replaced, model.contract, pixels))[0]


def _note(recipe: Recipe, digest: str, *, helped: bool) -> str:
    if not helped:
        return "recovery did not raise the cosine on the selection images; the file is the one from before"
    if recipe.recovered_sha256 not in ("", digest):
        return (
            "recovery gave other weights than the recipe's did, as other processors, TensorFlow versions or images"
            " round otherwise; the figures are this file's own"
        )
    return ""


def with_constants(network: Network, constants: Mapping[str, FloatArray]) -> Network:
    """The network with other weights.

    Args:
        network: A float network.
        constants: Constants by tensor name, LeakyReLU slopes by ``slope_name``.
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
