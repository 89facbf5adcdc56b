"""The cheapest recipe whose int8 network keeps a budget; every step is measured and kept only if it helps.

Steps in the order of what they cost: equalization, operators that are hardly slower in float, corrections, then
operators near the image in float, at last the most sensitive ones. Candidates are
compared on images that neither gave the ranges nor are reported on. What each step is worth: docs/explanation/int8.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.graph.graph import indices
from converters.graph.multiplications import multiplications
from converters.graph.network import Network
from converters.progress import stage
from converters.quantize.budget import Budget, BudgetVerdict, Candidate, standard_error
from converters.quantize.int8 import float_reference, make_int8
from converters.quantize.ranges import find_ranges
from converters.quantize.recipe import Recipe
from converters.quantize.statistics import ChannelStatistics, TensorRange, channel_statistics
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from edge_sdk.types import FloatArray

#: Equalization costs nothing on the device.
_EQUALIZE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("plain: true min/max ranges", {}),
    ("equalize what depthwise convolutions read", {"equalize": "depthwise"}),
    ("equalize every group", {"equalize": "all"}),
    ("mirror PReLU channels whose slope exceeds 1", {"equalize": "all", "bound_slopes": True}),
    ("move less of the spread into weights: share 0.3", {"equalize": "all", "weight_share": 0.3}),
    ("move more of the spread into weights: share 0.7", {"equalize": "all", "weight_share": 0.7}),
)
#: So do these, but the first takes most of a search's time, and the second gives up values that are rare.
_CORRECT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("correct biases", {"bias_correction": True}),
    ("clip where rounding and clipping lose least", {"ranges": "mse"}),
)
#: Kinds of operators that are hardly slower in float: few multiplications, and PReLU is in float anyway, so
#: those between two of them save their conversions.
_CHEAP = (("depthwise convolutions", "DEPTHWISE_CONV_2D"), ("additions", "ADD"))
_COUNTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD")
_FIRST_COUNTS = (4, 8, 12, 16, 24)
_SENSITIVE_COUNTS = (1, 2, 4, 6, 8, 12, 16)
#: The share of all multiplications that may be in float: beyond it a float16 file is the better answer.
_LARGEST_FLOAT_SHARE = 0.3
_SENSITIVITY_IMAGES = 24
#: Two measurements of one network's time differ by less, as a share of the float network's.
_TIME_NOISE = 0.03


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Args:
        what: The recipe in words.
        cosine_mean: Mean cosine to float on the selection images.
        cosine_min: The least.
        standard_error: Of the mean.
        float_share: Share of the network's multiplications that it leaves in float, 0..1.
        kept: Whether the search went on from here.
        met: Whether it keeps the budget.
        found: What the budget found, in words.
        over: By how much a ceiling of time is exceeded, a share of the float network's time.
    """

    what: str
    cosine_mean: float
    cosine_min: float
    standard_error: float
    float_share: float
    kept: bool
    met: bool
    found: str
    over: float = 0.0


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        recipe: The best recipe, to be replayed.
        network: The int8 network it makes.
        float_reference: The float network whose tensors are its tensors, channel for channel.
        trials: Everything that was tried, in order.
        best: The trial of that recipe.
        budget: What was asked for, as ``Budget.to_json`` says it.
        sensitive: Operators by what the mean cosine gains with each alone in float, most first; empty
            where the search ended before it measured them.
    """

    recipe: Recipe
    network: Network
    float_reference: Network
    trials: tuple[Trial, ...]
    best: Trial
    budget: Mapping[str, Any]
    sensitive: tuple[tuple[str, float], ...] = ()

    @property
    def met(self) -> bool:
        """Whether the best recipe keeps the budget."""
        return self.best.met

    def to_json(self) -> dict[str, Any]:
        """What a report keeps."""
        return {
            "budget": dict(self.budget),
            "met": self.met,
            "trials": [asdict(trial) for trial in self.trials],
            "sensitive": [list(pair) for pair in self.sensitive],
        }

    def held_back(self) -> str:
        """Why no recipe keeps the budget, in one line: the trials, and the operators that cost most."""
        tried = ", ".join(
            f"{trial.cosine_mean:.4f}{' (too slow)' * (trial.over > 0)} {trial.what}" for trial in self.trials
        )
        names = ", ".join(repr(name) for name, _ in self.sensitive[:3])
        most = f"most sensitive operators: {names}; " if names else ""
        return f"{most}mean cosines of what was tried: {tried}"


class _Bench:
    """Makes candidates and measures them."""

    def __init__(self, model: FloatModel, images: CalibrationSet, start: Recipe, budget: Budget) -> None:
        self.model, self.images, self.recipe, self.budget = model, images, start, budget
        self.graph = model.network.graph
        self.multiplications = multiplications(self.graph)
        with stage("calibrate") as progress:
            self.statistics: Mapping[str, ChannelStatistics] = channel_statistics(
                model.network, model.contract, images.ranges.pixels, progress=progress
            )
        self.baseline: FloatArray = embed_crops(model.network, model.contract, images.selection.pixels)
        self.references: dict[tuple[str, float, bool], tuple[Network, Mapping[str, ChannelStatistics]]] = {}
        self.ranges: dict[tuple[str, str, float, bool], Mapping[str, TensorRange]] = {}
        self.tried: set[Recipe] = set()
        self.trials: list[Trial] = []
        self.sensitive: tuple[tuple[str, float], ...] = ()
        self.reached = -1.0
        self.over = 0.0
        self.answer: tuple[BudgetVerdict, Trial, Recipe, Network] | None = None

    @property
    def met(self) -> bool:
        return self.answer is not None and self.answer[0].met

    def make(self, recipe: Recipe) -> Network:
        # Operators that stay in float and corrected biases change neither the reference nor its ranges.
        form = (recipe.equalize, recipe.weight_share, recipe.bound_slopes)
        contract, pixels = self.model.contract, self.images.ranges.pixels
        if form not in self.references:
            self.references[form] = float_reference(self.model.network, recipe, self.statistics)
        network, statistics = reference = self.references[form]
        key = (recipe.ranges, *form)
        if key not in self.ranges:
            self.ranges[key] = find_ranges(network, recipe.ranges, contract, statistics, pixels)
        return make_int8(
            self.model.network,
            recipe,
            self.statistics,
            contract,
            pixels,
            reference=reference,
            ranges=self.ranges[key],
        )

    def cosines(self, network: Network, *, count: int | None = None) -> FloatArray:
        found = embed_crops(network, self.model.contract, self.images.selection.pixels[:count])
        return cosine(self.baseline[:count], found)

    def float_share(self, names: Sequence[str]) -> float:
        total = sum(self.multiplications.values())
        return sum(self.multiplications.get(name, 0) for name in names) / total if total else 0.0

    def trial(self, recipe: Recipe, what: str) -> bool:
        """Make and measure a candidate; the search goes on from it where it is better. Says whether to stop."""
        if recipe in self.tried:
            return self.met
        self.tried.add(recipe)
        with stage(what):
            network = self.make(recipe)
            cosines = self.cosines(network)
            verdict = self.budget.keeps(Candidate(network, cosines))
        mean = float(cosines.mean())
        kept = verdict.met or self._goes_on(verdict, mean)
        share = self.float_share(recipe.keep_float)
        trial = Trial(
            what,
            mean,
            float(cosines.min()),
            standard_error(cosines),
            share,
            kept,
            verdict.met,
            verdict.found,
            verdict.over,
        )
        self.trials.append(trial)
        if kept:
            self.recipe, self.reached, self.over = recipe, mean, verdict.over
        if self.answer is None or (kept and _rank(verdict) >= _rank(self.answer[0])):
            self.answer = (verdict, trial, recipe, network)
        return self.met

    def _goes_on(self, verdict: BudgetVerdict, mean: float) -> bool:
        """Whether the next steps build on a candidate: nearer to float and no slower, or nearer to the ceiling."""
        if not self.trials:
            return True
        if mean > self.reached:
            return verdict.over <= self.over + (_TIME_NOISE if self.over else 0.0)
        return verdict.margin >= 0 and verdict.over < self.over - _TIME_NOISE

    def result(self) -> SearchResult:
        if self.answer is None:  # pragma: no cover  the plain recipe is always tried
            raise RuntimeError("a search that tried nothing")
        _, trial, recipe, network = self.answer
        reference, _ = self.references[recipe.equalize, recipe.weight_share, recipe.bound_slopes]
        return SearchResult(
            recipe, network, reference, tuple(self.trials), trial, self.budget.to_json(), self.sensitive
        )


def _rank(verdict: BudgetVerdict) -> tuple[float, float]:
    """What is within the ceiling comes before what is not; then what has more to spare."""
    return -verdict.over, verdict.margin


def search(model: FloatModel, images: CalibrationSet, start: Recipe, *, budget: Budget) -> SearchResult:
    """Find the cheapest recipe that keeps the budget.

    Args:
        model: The float network.
        images: Ranges come from one part, candidates are compared on another.
        start: The plain recipe of the target; what it allows stays allowed.
        budget: What may be lost.

    Returns:
        The first recipe that keeps the budget, else the one that comes nearest.
    """
    bench = _Bench(model, images, start, budget)
    for what, change in _EQUALIZE:
        if bench.trial(replace(bench.recipe, **change), what):
            return bench.result()
    if start.quantizer == "integer":
        # Nothing may be left in float; what clips costs less time to find here than what corrects biases.
        for what, change in reversed(_CORRECT):
            if bench.trial(replace(bench.recipe, **change), what):
                break
        return bench.result()
    inside = [op for op in bench.graph.operators if indices(op.outputs)[0] not in bench.graph.outputs]
    named = [(bench.graph.op_name(op), bench.graph.name(indices(op.outputs)[0])) for op in inside]
    for kinds, kind in _CHEAP:
        if _in_float(bench, [name for op, name in named if op == kind], f"leave {kinds} in float"):
            return bench.result()
    for what, change in _CORRECT:
        if bench.trial(replace(bench.recipe, **change), what):
            return bench.result()
    # What is rounded near the image goes through every later operator.
    for count in _FIRST_COUNTS:
        first = [name for _, name in named[:count]]
        if count < len(named) / 2 and _in_float(bench, first, f"leave the first {count} operators in float"):
            return bench.result()
    _pick_sensitive(bench)
    return bench.result()


def _in_float(bench: _Bench, names: Sequence[str], what: str) -> bool:
    """Try to leave these operators in float too, where that is little of the work; says whether to stop."""
    keep = tuple(sorted({*bench.recipe.keep_float, *names}))
    if bench.float_share(keep) > _LARGEST_FLOAT_SHARE:
        return False
    return bench.trial(replace(bench.recipe, keep_float=keep), what)


def _pick_sensitive(bench: _Bench) -> None:
    """Leave more and more of the most sensitive operators in float."""
    ordered = _by_sensitivity(bench)
    for count in _SENSITIVE_COUNTS:
        names = "operator" if count == 1 else f"{count} operators"
        if count <= len(ordered) and _in_float(
            bench, ordered[:count], f"leave the most sensitive {names} in float"
        ):
            return


def _by_sensitivity(bench: _Bench) -> list[str]:
    """Operators still in int8 by how much the cosine gains with that one in float, most first; one at a time."""
    graph, base = bench.graph, bench.recipe
    names = [graph.name(indices(op.outputs)[0]) for op in graph.operators if graph.op_name(op) in _COUNTED]
    edge = {graph.name(index) for index in graph.outputs}  # what a device reads stays int8
    names = [name for name in names if name not in base.keep_float and name not in edge]
    without = _quick(bench, base, ())
    gains: dict[str, float] = {}
    with stage("measure the sensitivity of every operator") as progress:
        for position, name in enumerate(names):
            gains[name] = _quick(bench, base, (name,)) - without
            progress(position + 1, len(names))
    ordered = sorted(names, key=lambda name: -gains[name])
    bench.sensitive = tuple((name, gains[name]) for name in ordered)
    return ordered


def _quick(bench: _Bench, base: Recipe, names: Sequence[str]) -> float:
    """Mean cosine on a few images, without bias correction, which takes most of the time."""
    keep = tuple(sorted({*base.keep_float, *names}))
    network = bench.make(replace(base, bias_correction=False, keep_float=keep))
    return float(bench.cosines(network, count=_SENSITIVITY_IMAGES).mean())
