"""Limits on accuracy and time: the budget of a search, and the checks of the finished artefacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.data.calibration import CalibrationSet
from converters.errors import AccuracyGateError
from converters.evaluate.metrics import SmoothedDifference, Unsupported
from converters.pipeline.build import BuiltNetwork
from converters.pipeline.options import ConversionOptions, ErrorRateLimit, Search
from converters.progress import stage
from converters.quantize.budget import Budget, Candidate
from converters.quantize.error_rate_budget import ErrorRateBudget, LabelledCrops
from converters.quantize.time_budget import TimedBudget
from converters.results import ArtefactResult
from converters.sources.float_model import FloatModel
from edge_sdk.types import FloatArray

#: About the ratio of the loss on photographs to the loss on drawn pictures: 2.2 to 3.2, measured in docs/measurements/int8.md.
_DRAWN_LOSS_FACTOR = 3.0


def search_budget(
    options: ConversionOptions,
    model: FloatModel,
    labelled: LabelledCrops | None,
    images: CalibrationSet | None,
) -> Budget | None:
    """Create the budget of a search, relative to measurements of the float model; None if there is no search."""
    search = options.quantization
    if not isinstance(search, Search) or images is None:
        return None
    budget: Budget
    if isinstance(search.budget, ErrorRateLimit):
        if labelled is None:  # pragma: no cover  read_labelled_images reads them for each such limit
            raise RuntimeError("a limit on error rates without labelled images")
        with stage("measure the float model on labelled images") as progress:
            budget = ErrorRateBudget.of(
                model.network,
                model.contract,
                labelled,
                fmr=search.budget.at_fmr,
                max_loss=search.budget.max_fnmr_loss,
                progress=progress,
            )
    elif images.drawn:
        budget = replace(search.budget, loss_factor=_DRAWN_LOSS_FACTOR)
    else:
        budget = search.budget
    if search.max_time_ratio is None:
        return budget
    crop = images.selection.pixels[0]
    return TimedBudget.of(budget, search.max_time_ratio, model.network, model.contract, crop)


def require_budget(options: ConversionOptions, network: BuiltNetwork) -> None:
    """Check that the search of an artefact kept its limit on error rates or on time.

    Raises:
        AccuracyGateError: No recipe keeps the limit. A missed limit on the cosine is reported with the written file.
    """
    if not isinstance(options.quantization, Search) or network.search is None or network.met:
        return
    timed = options.quantization.max_time_ratio is not None and network.recipe.partitions
    if timed or isinstance(options.quantization.budget, ErrorRateLimit):
        best = network.search.best
        raise AccuracyGateError(
            f"{network.recipe.name}: searched for {network.search.budget['goal']}; the best of"
            f" {len(network.search.trials)} recipes, {best.what!r}, has {best.measured}",
            hint=network.search.explain_failure(),
        )


def keeps_budget(network: BuiltNetwork, budget: Budget | None, cosines: FloatArray) -> tuple[str, bool]:
    """Return the budget that an artefact is judged by, as text, and whether the artefact keeps it.

    Artefacts without a search, such as ``dynamic_range``, are judged by the same budget without its limit on time.

    Args:
        network: The artefact.
        budget: The budget of the conversion; None without a search.
        cosines: Cosine of the float network's and the artefact's embedding of each held-out image, shape (n,).
    """
    if network.search is not None:
        return str(network.search.budget["goal"]), network.met
    if budget is None or network.recipe.precision == "float32":
        return "", True
    accuracy = _accuracy_of(budget)
    return accuracy.goal, accuracy.check(Candidate(network.network, cosines)).met


def _accuracy_of(budget: Budget) -> Budget:
    """Return the budget without its limit on time."""
    return budget.budget if isinstance(budget, TimedBudget) else budget


def labelled_differences(
    budget: Budget | None, built: Sequence[BuiltNetwork]
) -> dict[str, SmoothedDifference | Unsupported]:
    """Compare each int8 and dynamic network with the float network on the labelled images of a limit on error rates.

    Returns:
        Differences of TAR by the name of the recipe; empty without labelled images.
    """
    accuracy = None if budget is None else _accuracy_of(budget)
    if not isinstance(accuracy, ErrorRateBudget):
        return {}
    differences = {}
    for network in built:
        if network.recipe.precision in ("int8", "dynamic"):
            with stage(f"compare {network.recipe.name} on labelled images"):
                differences[network.recipe.name] = accuracy.difference(network.network)
    return differences


def require_cosine(artefact: ArtefactResult, min_cosine: float | None, network: BuiltNetwork) -> None:
    """Check the mean cosine of an artefact to the float model.

    Raises:
        AccuracyGateError: The mean cosine is below the limit.
    """
    if min_cosine is None or artefact.precision == "float32" or artefact.cosine_mean >= min_cosine:
        return
    raise AccuracyGateError(
        f"{artefact.file}: cosine to float {artefact.cosine_mean:.4f} on {artefact.measured_on} images,"
        f" expected at least {min_cosine:g}",
        hint=network.search.explain_failure()
        if network.search is not None
        else "search for a better int8 recipe with --recipe auto, or write the file without --min-cosine and read"
        " its cosine in the report",
    )
