"""Search for the cheapest recipe whose int8 network keeps a budget; a change of the recipe is kept only if it helps.

Changes are tested in the order of their cost: equalization, operators that are hardly slower in float, corrections,
the first operators in float, and finally the most sensitive operators in float. Biases are corrected in any case, if that
helps. Candidates are compared on images that are used neither for ranges nor for reported figures.
docs/explanation/int8.md describes the effect of each change.
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
from converters.quantize.float_measurements import FloatMeasurements
from converters.quantize.int8 import FloatReference, QuantizedNetwork, build_float_reference, quantize_int8
from converters.quantize.int16_islands import candidates
from converters.quantize.ranges import find_ranges
from converters.quantize.recipe import Recipe
from converters.quantize.statistics import ChannelStatistics, TensorRange
from converters.sources.float_model import FloatModel
from edge_sdk.matching import cosine
from edge_sdk.types import FloatArray

#: Equalizations to test: description and fields of the recipe. They have no cost on the device.
_EQUALIZE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("plain: true min/max ranges", {}),
    ("equalize tensors read by depthwise convolutions", {"equalize": "depthwise"}),
    ("equalize every group of tensors", {"equalize": "all"}),
    ("equalize groups with clips such as ReLU6 too", {"equalize": "all", "scale_clips": True}),
    ("mirror PReLU channels whose slope exceeds 1", {"equalize": "all", "bound_slopes": True}),
    ("move 0.3 of the differences between channels into weights", {"equalize": "all", "weight_share": 0.3}),
    ("move 0.7 of the differences between channels into weights", {"equalize": "all", "weight_share": 0.7}),
)
#: Fields of a recipe whose effect is in the float reference.
_NO_REWRITES: dict[str, Any] = {
    "equalize": "",
    "weight_share": 0.5,
    "bound_slopes": False,
    "scale_clips": False,
}
#: Corrections to test. They have no cost on the device, but the first takes most of a search's time, and the second
#: clips rare values.
_CORRECT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("correct biases", {"bias_correction": True}),
    ("choose ranges with the least rounding and clipping error", {"ranges": "mse"}),
)
#: Kinds of operators that are hardly slower in float, because they have few multiplications. If they are between two
#: PReLUs, which are in float anyway, they also save the conversions.
_CHEAP = (("depthwise convolutions", "DEPTHWISE_CONV_2D"), ("additions", "ADD"))
_COUNTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD")
_FIRST_COUNTS = (4, 8, 12, 16, 24)
_SENSITIVE_COUNTS = (1, 2, 4, 6, 8, 12, 16)
#: Largest share of the multiplications that a recipe may leave in float; above it a float16 network is better.
_LARGEST_FLOAT_SHARE = 0.3
_SENSITIVITY_IMAGES = 24
#: Islands with 16-bit activations: number of islands to measure, and numbers of the best ones to test together.
_MEASURED_ISLANDS, _ISLAND_COUNTS = 12, (1, 2, 4)
#: Difference between two times that may be measurement noise, as a share of the float network's time.
_TIME_NOISE = 0.03


@dataclass(frozen=True)
class Trial:
    """One tested recipe.

    Args:
        what: Description of the recipe.
        cosine_mean: Mean cosine to float on the selection images.
        cosine_min: Lowest cosine.
        standard_error: Standard error of the mean.
        float_share: Share of the network's multiplications left in float, 0..1.
        kept: True if the search continued from this recipe.
        met: True if the recipe keeps the budget.
        measured: The figures measured by the budget, as text.
        over: Excess over a time limit, as a share of the float network's time.
        effect: What the rewrites of the recipe found in the network, such as the number of equalized groups.
    """

    what: str
    cosine_mean: float
    cosine_min: float
    standard_error: float
    float_share: float
    kept: bool
    met: bool
    measured: str
    over: float = 0.0
    effect: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the trial as JSON values for the report."""
        return {{"measured": "found"}.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Args:
        recipe: The best recipe, which can be replayed.
        quantized: The int8 network of that recipe, its float reference and its statistics.
        trials: All trials, in order.
        best: The trial of the best recipe.
        budget: The budget as JSON values.
        sensitive: For each operator, its name and the increase of the mean cosine if only this operator stays in float,
            largest first; empty if the search ended before measuring it.
        unchanged: Recipes that were not tested, because they give the network of an earlier trial.
    """

    recipe: Recipe
    quantized: QuantizedNetwork
    trials: tuple[Trial, ...]
    best: Trial
    budget: Mapping[str, Any]
    sensitive: tuple[tuple[str, float], ...] = ()
    unchanged: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """True if the best recipe keeps the budget."""
        return self.best.met

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values for the report."""
        return {
            "budget": dict(self.budget),
            "met": self.met,
            "trials": [trial.to_json() for trial in self.trials],
            "sensitive": [list(pair) for pair in self.sensitive],
            "unchanged": list(self.unchanged),
        }

    def explain_failure(self) -> str:
        """Return one line with the most sensitive operators and all trials, for the error that no recipe keeps the budget."""
        trials = ", ".join(
            f"{trial.cosine_mean:.4f}{' (too slow)' * (trial.over > 0)} {trial.what}" for trial in self.trials
        )
        names = ", ".join(repr(name) for name, _ in self.sensitive[:3])
        most = f"most sensitive operators: {names}; " if names else ""
        return f"{most}mean cosines of the tested recipes: {trials}"


class _Search:
    """State of a search: builds and measures candidates, and keeps the best."""

    def __init__(
        self,
        model: FloatModel,
        images: CalibrationSet,
        start: Recipe,
        budget: Budget,
        measured: FloatMeasurements,
    ) -> None:
        self.model, self.images, self.recipe, self.budget = model, images, start, budget
        self.graph = model.network.graph
        self.multiplications = multiplications(self.graph)
        self.statistics: Mapping[str, ChannelStatistics] = measured.statistics
        self.baseline: FloatArray = measured.baseline
        self.references: dict[tuple[Any, ...], FloatReference] = {}
        self.ranges: dict[tuple[str, str], Mapping[str, TensorRange]] = {}
        self.tested: set[tuple[str, Recipe]] = set()
        self.unchanged: list[str] = []
        self.trials: list[Trial] = []
        self.sensitive: tuple[tuple[str, float], ...] = ()
        self.reached = -1.0
        self.over = 0.0
        self.answer: tuple[BudgetVerdict, Trial, Recipe, QuantizedNetwork] | None = None

    @property
    def met(self) -> bool:
        return self.answer is not None and self.answer[0].met

    def reference(self, recipe: Recipe) -> FloatReference:
        # It does not depend on ``ranges``, ``keep_float`` and ``bias_correction``.
        form = tuple(getattr(recipe, name) for name in _NO_REWRITES)
        if form not in self.references:
            self.references[form] = build_float_reference(self.model.network, recipe, self.statistics)
        return self.references[form]

    def build(self, recipe: Recipe) -> QuantizedNetwork:
        contract, pixels = self.model.contract, self.images.ranges.pixels
        reference = self.reference(recipe)
        key = (recipe.ranges, reference.network.digest)
        if key not in self.ranges:
            self.ranges[key] = find_ranges(
                reference.network, recipe.ranges, contract, reference.statistics, pixels
            )
        return quantize_int8(
            self.model.network,
            recipe,
            self.statistics,
            contract,
            pixels,
            reference=reference,
            ranges=self.ranges[key],
        )

    def cosines(self, network: Network, *, count: int | None = None) -> FloatArray:
        embeddings = embed_crops(network, self.model.contract, self.images.selection.pixels[:count])
        return cosine(self.baseline[:count], embeddings)

    def float_share(self, names: Sequence[str]) -> float:
        total = sum(self.multiplications.values())
        return sum(self.multiplications.get(name, 0) for name in names) / total if total else 0.0

    def trial(self, recipe: Recipe, what: str) -> bool:
        """Build and measure a candidate, keep it if it is better, and return True if the search can stop.

        A recipe that gives the network of an earlier trial, because it finds nothing to change, is not built.
        """
        reference = self.reference(recipe)
        key = (reference.network.digest, replace(recipe, **_NO_REWRITES))
        if key in self.tested:
            self.unchanged.append(what)
            return self.met
        self.tested.add(key)
        with stage(what):
            quantized = self.build(recipe)
            cosines = self.cosines(quantized.network)
            verdict = self.budget.check(Candidate(quantized.network, cosines))
        mean = float(cosines.mean())
        # After a recipe that keeps the budget, only a better one that keeps it too is of use.
        again = self.met
        kept = (
            self._improves(verdict, mean) and verdict.met
            if again
            else verdict.met or self._improves(verdict, mean)
        )
        share = self.float_share(recipe.keep_float)
        trial = Trial(
            what,
            mean,
            float(cosines.min()),
            standard_error(cosines),
            share,
            kept,
            verdict.met,
            verdict.measured,
            verdict.over,
            reference.effect,
        )
        self.trials.append(trial)
        if kept:
            self.recipe, self.reached, self.over = recipe, mean, verdict.over
        if self.answer is None or (kept and (again or _rank(verdict) >= _rank(self.answer[0]))):
            self.answer = (verdict, trial, recipe, quantized)
        return self.met

    def _improves(self, verdict: BudgetVerdict, mean: float) -> bool:
        """Return True if a candidate has a higher cosine and is not slower, or keeps the budget and is closer to the time limit."""
        if not self.trials:
            return True
        if mean > self.reached:
            return verdict.over <= self.over + (_TIME_NOISE if self.over else 0.0)
        return verdict.margin >= 0 and verdict.over < self.over - _TIME_NOISE

    def result(self) -> SearchResult:
        if self.answer is None:  # pragma: no cover  the plain recipe is always tested
            raise RuntimeError("the search tested no recipe")
        _, trial, recipe, quantized = self.answer
        return SearchResult(
            recipe,
            quantized,
            tuple(self.trials),
            trial,
            self.budget.to_json(),
            self.sensitive,
            tuple(self.unchanged),
        )


def _rank(verdict: BudgetVerdict) -> tuple[float, float]:
    """Return a sort key: first a smaller excess over the time limit, then a larger margin."""
    return -verdict.over, verdict.margin


def search(
    model: FloatModel,
    images: CalibrationSet,
    start: Recipe,
    *,
    budget: Budget,
    measured: FloatMeasurements | None = None,
) -> SearchResult:
    """Find the cheapest recipe that keeps the budget.

    Args:
        model: The float network.
        images: Calibration images; ranges and candidates use different parts of them.
        start: The plain recipe of the target; the search keeps its ``float_operators`` and ``partitions``.
        budget: Condition on the int8 network.
        measured: Measurements of the float network that several searches share; made here if None.

    Returns:
        The first recipe that keeps the budget, with corrected biases if that helps; otherwise the closest recipe.
    """
    state = _Search(model, images, start, budget, measured or FloatMeasurements(model, images))
    _find(state, start)
    if state.met and not state.recipe.bias_correction:
        # Less noise at no cost on the device.
        what, change = _CORRECT[0]
        state.trial(replace(state.recipe, **change), what)
    return state.result()


def _find(state: _Search, start: Recipe) -> None:
    """Test recipes in the order of their cost until one keeps the budget."""
    for what, change in _EQUALIZE:
        if state.trial(replace(state.recipe, **change), what):
            return
    # Ranges with the least error on drawn pictures clip photographs.
    corrections = _CORRECT[:1] if state.images.drawn else _CORRECT
    if start.quantizer == "integer":
        # Nothing may stay in float, so only corrections are left. Ranges are tested first, because they take less time.
        for what, change in reversed(corrections):
            if state.trial(replace(state.recipe, **change), what):
                return
        _test_int16(state)
        return
    inside = [op for op in state.graph.operators if indices(op.outputs)[0] not in state.graph.outputs]
    named = [(state.graph.op_name(op), state.graph.name(indices(op.outputs)[0])) for op in inside]
    for kinds, kind in _CHEAP:
        if _test_in_float(state, [name for op, name in named if op == kind], f"leave {kinds} in float"):
            return
    for what, change in corrections:
        if state.trial(replace(state.recipe, **change), what):
            return
    # Rounding errors near the image pass through all later operators.
    for count in _FIRST_COUNTS:
        first = [name for _, name in named[:count]]
        if count < len(named) / 2 and _test_in_float(
            state, first, f"leave the first {count} operators in float"
        ):
            return
    _test_most_sensitive(state)


def _test_in_float(state: _Search, names: Sequence[str], what: str) -> bool:
    """Test a recipe that also leaves these operators in float, if few multiplications are then in float."""
    keep = tuple(sorted({*state.recipe.keep_float, *names}))
    if state.float_share(keep) > _LARGEST_FLOAT_SHARE:
        return False
    return state.trial(replace(state.recipe, keep_float=keep), what)


def _test_int16(state: _Search) -> None:
    """Test recipes that run one or more islands of operators with 16-bit activations, the most useful islands first."""
    reference, recipe = state.reference(state.recipe), state.recipe
    islands = candidates(
        reference.network.graph, reference.statistics, recipe.int16_operators, _MEASURED_ISLANDS
    )
    if not islands:
        return
    means: dict[tuple[str, ...], float] = {}
    with stage("measure the gain of 16-bit activations") as progress:
        for island in islands:
            means[island] = _quick_cosine(state, replace(recipe, int16=island))
            progress(len(means), len(islands))
    ordered = sorted(islands, key=lambda island: -means[island])
    for count in _ISLAND_COUNTS[: len(islands)]:
        names = {name for island in ordered[:count] for name in island}
        what = f"run {len(names)} operators with 16-bit activations"
        if state.trial(replace(recipe, int16=tuple(sorted(names))), what):
            return


def _test_most_sensitive(state: _Search) -> None:
    """Test recipes with an increasing number of the most sensitive operators in float."""
    ordered = _measure_sensitivity(state)
    for count in _SENSITIVE_COUNTS:
        names = "operator" if count == 1 else f"{count} operators"
        if count <= len(ordered) and _test_in_float(
            state, ordered[:count], f"leave the most sensitive {names} in float"
        ):
            return


def _measure_sensitivity(state: _Search) -> list[str]:
    """Measure how much leaving each operator in float increases the cosine; return the names, largest increase first."""
    graph, base = state.graph, state.recipe
    names = [graph.name(indices(op.outputs)[0]) for op in graph.operators if graph.op_name(op) in _COUNTED]
    outputs = {graph.name(index) for index in graph.outputs}  # the outputs must stay int8
    names = [name for name in names if name not in base.keep_float and name not in outputs]
    without = _quick_cosine(state, base)
    gains: dict[str, float] = {}
    with stage("measure the sensitivity of every operator") as progress:
        for position, name in enumerate(names):
            keep = tuple(sorted({*base.keep_float, name}))
            gains[name] = _quick_cosine(state, replace(base, keep_float=keep)) - without
            progress(position + 1, len(names))
    ordered = sorted(names, key=lambda name: -gains[name])
    state.sensitive = tuple((name, gains[name]) for name in ordered)
    return ordered


def _quick_cosine(state: _Search, recipe: Recipe) -> float:
    """Return the mean cosine on a few images of a network without bias correction, which would be slow."""
    quantized = state.build(replace(recipe, bias_correction=False))
    return float(state.cosines(quantized.network, count=_SENSITIVITY_IMAGES).mean())
