"""The cheapest recipe whose int8 network keeps the evidence; every step is measured and kept only if it helps.

Steps in the order of what they cost on the device: none (equalization, bias correction), then operators left
in float, fewest first. Candidates are compared on images that neither gave the ranges nor are reported on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from converters.calibration import CalibrationSet, ChannelStatistics, channel_statistics
from converters.embedding import embed_crops
from converters.float_model import FloatModel
from converters.graph import Graph, indices
from converters.progress import stage
from converters.quantizers.int8 import make_int8
from converters.recipe import Recipe
from edge_sdk.decision.matching import cosine
from edge_sdk.types import FloatArray

_COUNTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"}
#: How many operators are tried in float at once, and the share of all that may be: beyond it a float16
#: file is the better answer.
_FLOAT_COUNTS = (1, 2, 4, 6, 8, 12, 16)
_LARGEST_FLOAT_SHARE = 0.25
_SENSITIVITY_IMAGES = 24


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Args:
        what: The recipe in words.
        cosine_mean: Mean cosine to float on the selection images.
        cosine_min: The least.
        kept: Whether the search went on from here.
    """

    what: str
    cosine_mean: float
    cosine_min: float
    kept: bool


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        recipe: The best recipe, to be replayed.
        network: The int8 network it makes.
        trials: Everything that was tried, in order.
        budget: Least mean cosine that was asked for.
        met: Whether the best recipe keeps it, on the selection images.
    """

    recipe: Recipe
    network: bytes
    trials: tuple[Trial, ...]
    budget: float
    met: bool

    def to_json(self) -> dict[str, Any]:
        """What a report keeps."""
        return {"budget": self.budget, "met": self.met, "trials": [asdict(trial) for trial in self.trials]}


class _Bench:
    """Makes candidates and measures them."""

    def __init__(self, model: FloatModel, images: CalibrationSet) -> None:
        self.model, self.images = model, images
        with stage("calibrate") as progress:
            self.statistics: Mapping[str, ChannelStatistics] = channel_statistics(
                model.network, model.contract, images.ranges.pixels, progress=progress
            )
        self.baseline: FloatArray = embed_crops(model.network, model.contract, images.selection.pixels)
        self.trials: list[Trial] = []

    def make(self, recipe: Recipe) -> bytes:
        return make_int8(
            self.model.network, recipe, self.statistics, self.model.contract, self.images.ranges.pixels
        )

    def measure(self, network: bytes, *, count: int | None = None) -> tuple[float, float]:
        found = embed_crops(network, self.model.contract, self.images.selection.pixels[:count])
        cosines = cosine(self.baseline[:count], found)
        return float(cosines.mean()), float(cosines.min())

    def trial(
        self, recipe: Recipe, what: str, best: tuple[float, float]
    ) -> tuple[bytes, tuple[float, float], bool]:
        network = self.make(recipe)
        found = self.measure(network)
        better = found[0] > best[0]
        self.trials.append(Trial(what, *found, kept=better))
        return network, found, better


def search(model: FloatModel, images: CalibrationSet, start: Recipe, *, budget: float) -> SearchResult:
    """Find the cheapest recipe whose mean cosine to float reaches the budget.

    Args:
        model: The float network.
        images: Ranges come from one part, candidates are compared on another.
        start: The plain recipe of the target; what it allows stays allowed.
        budget: Least mean cosine wanted.

    Returns:
        The first recipe that reaches the budget, else the best one found.
    """
    bench = _Bench(model, images)
    recipe, network, best = start, b"", (-1.0, -1.0)
    steps = [
        ("plain: true min/max ranges", {}),
        ("equalize what depthwise convolutions read", {"equalize": "depthwise"}),
        ("equalize every group", {"equalize": "all"}),
        ("correct biases", {"bias_correction": True}),
    ]
    for what, change in steps:
        candidate = replace(recipe, **change)  # type: ignore[arg-type]
        with stage(what):
            made, found, better = bench.trial(candidate, what, best)
        if better:
            recipe, network, best = candidate, made, found
        if best[0] >= budget:
            return SearchResult(recipe, network, tuple(bench.trials), budget, met=True)
    ordered = _by_sensitivity(bench, recipe)
    limit = int(_LARGEST_FLOAT_SHARE * len(ordered))
    for count in _FLOAT_COUNTS:
        if count > limit:
            break
        candidate = replace(recipe, keep_float=tuple(sorted(ordered[:count])))
        what = f"leave the {count} most sensitive operator{'s' if count > 1 else ''} in float"
        with stage(what):
            made, found, better = bench.trial(candidate, what, best)
        if better:
            recipe, network, best = candidate, made, found
        if best[0] >= budget:
            break
    return SearchResult(recipe, network, tuple(bench.trials), budget, met=best[0] >= budget)


def _by_sensitivity(bench: _Bench, recipe: Recipe) -> list[str]:
    """Operators by how much the cosine gains with that one in float, most first; one at a time."""
    quick = replace(recipe, bias_correction=False)
    graph = Graph.parse(bench.model.network)
    names: Sequence[str] = [
        graph.name(indices(op.outputs)[0]) for op in graph.operators if graph.op_name(op) in _COUNTED
    ]
    gains: dict[str, float] = {}
    with stage("measure the sensitivity of every operator") as progress:
        for position, name in enumerate(names):
            network = bench.make(replace(quick, keep_float=(name,)))
            gains[name] = bench.measure(network, count=_SENSITIVITY_IMAGES)[0]
            progress(position + 1, len(names))
    return sorted(names, key=lambda name: -gains[name])
