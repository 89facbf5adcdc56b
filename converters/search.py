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

#: Steps that cost nothing on the device.
_FREE_STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("plain: true min/max ranges", {}),
    ("equalize what depthwise convolutions read", {"equalize": "depthwise"}),
    ("equalize every group", {"equalize": "all"}),
    ("correct biases", {"bias_correction": True}),
)
_COUNTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"}
#: How many operators are tried in float at once, and the share of all that may be: beyond it a float16
#: file is the better answer.
_FLOAT_COUNTS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24)
_LARGEST_FLOAT_SHARE = 0.25
_SENSITIVITY_IMAGES = 24


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Args:
        what: The recipe in words.
        cosine_mean: Mean cosine to float on the selection images.
        cosine_min: The least.
        standard_error: Of the mean.
        kept: Whether the search went on from here.
    """

    what: str
    cosine_mean: float
    cosine_min: float
    standard_error: float
    kept: bool

    def keeps(self, budget: float) -> bool:
        """Whether the budget is kept on other images too, as far as one standard error can tell."""
        return self.cosine_mean - self.standard_error >= budget


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        recipe: The best recipe, to be replayed.
        network: The int8 network it makes.
        trials: Everything that was tried, in order.
        budget: Least mean cosine that was asked for.
        met: Whether the best recipe keeps it on the selection images, with one standard error to spare.
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

    def __init__(self, model: FloatModel, images: CalibrationSet, start: Recipe) -> None:
        self.model, self.images = model, images
        self.recipe, self.network = start, b""
        self.best: Trial | None = None
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

    def cosines(self, network: bytes, *, count: int | None = None) -> FloatArray:
        found = embed_crops(network, self.model.contract, self.images.selection.pixels[:count])
        return cosine(self.baseline[:count], found)

    def trial(self, recipe: Recipe, what: str) -> bool:
        """Make and measure a candidate; it becomes the best where it is better."""
        network = self.make(recipe)
        found = self.cosines(network)
        trial = Trial(
            what,
            float(found.mean()),
            float(found.min()),
            float(found.std() / len(found) ** 0.5),
            kept=self.best is None or float(found.mean()) > self.best.cosine_mean,
        )
        self.trials.append(trial)
        if trial.kept:
            self.best, self.recipe, self.network = trial, recipe, network
        return trial.kept

    def result(self, budget: float) -> SearchResult:
        met = self.best is not None and self.best.keeps(budget)
        return SearchResult(self.recipe, self.network, tuple(self.trials), budget, met)


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
    bench = _Bench(model, images, start)
    for what, change in _FREE_STEPS:
        with stage(what):
            bench.trial(replace(bench.recipe, **change), what)
        if bench.best is not None and bench.best.keeps(budget):
            return bench.result(budget)
    ordered = _by_sensitivity(bench)
    for count in _FLOAT_COUNTS:
        if count > _LARGEST_FLOAT_SHARE * len(ordered):
            break
        what = f"leave the {count} most sensitive operator{'s' if count > 1 else ''} in float"
        with stage(what):
            bench.trial(replace(bench.recipe, keep_float=tuple(sorted(ordered[:count]))), what)
        if bench.best is not None and bench.best.keeps(budget):
            break
    return bench.result(budget)


def _by_sensitivity(bench: _Bench) -> list[str]:
    """Operators by how much the cosine gains with that one in float, most first; one at a time."""
    quick = replace(bench.recipe, bias_correction=False)
    graph = Graph.parse(bench.model.network)
    names: Sequence[str] = [
        graph.name(indices(op.outputs)[0]) for op in graph.operators if graph.op_name(op) in _COUNTED
    ]
    gains: dict[str, float] = {}
    with stage("measure the sensitivity of every operator") as progress:
        for position, name in enumerate(names):
            network = bench.make(replace(quick, keep_float=(name,)))
            gains[name] = float(bench.cosines(network, count=_SENSITIVITY_IMAGES).mean())
            progress(position + 1, len(names))
    return sorted(names, key=lambda name: -gains[name])
