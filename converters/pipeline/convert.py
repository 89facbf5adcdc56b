"""Run the stages of a conversion: source, float model, calibration, quantization, gates, card, targets, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from converters.analyze.collapse import CollapseCheck
from converters.analyze.contract import ContractCheck
from converters.analyze.layer_errors import LAYER_IMAGES, LayerErrors, measure_layer_errors
from converters.analyze.replay_check import ReplayCheck, check_embeddings, raise_if_different
from converters.data.embedding import embed_crops
from converters.errors import OptionsError
from converters.graph.partitions import xnnpack_partitions
from converters.output import check_name, staged, write_all
from converters.pipeline.artefacts import Artefact, ArtefactMaker, json_bytes
from converters.pipeline.build import BuiltNetwork, build_networks, replay_networks
from converters.pipeline.limits import (
    keeps_budget,
    labelled_differences,
    require_budget,
    require_cosine,
    search_budget,
)
from converters.pipeline.measured_images import MeasuredImages, describe_calibration
from converters.pipeline.notes import (
    earlier_file_notes,
    gate_notes,
    image_notes,
    search_notes,
    unsupported_notes,
)
from converters.pipeline.options import ConversionOptions, known_targets
from converters.pipeline.reading import (
    check_different_images,
    check_images,
    read_images,
    read_labelled_images,
    read_model,
)
from converters.pipeline.refusals import Refusals
from converters.pipeline.replay import RecipePlan, plan_recipes
from converters.pipeline.timing import measure_times
from converters.progress import stage
from converters.quantize.budget import Budget
from converters.report.page import render_page
from converters.results import ConversionResult
from converters.sources.float_model import FloatModel
from converters.targets.base import target_options
from converters.targets.check import (
    NetworkReport,
    TargetReport,
    check_float_network,
    finish_artefact,
    raise_if_refused,
)
from converters.targets.operator_table import parse_for_rules
from edge_sdk.matching import cosine

_T = TypeVar("_T")


def convert(options: ConversionOptions) -> ConversionResult:
    """Convert a model; the output folder gets the complete files of every target that passes.

    A target that was refused is listed in ``refused`` of the result. A file below ``min_cosine`` is not written and listed in
    ``refused_files``; a target without another file is refused. If every target is refused, the error of the first
    one is raised and nothing is written. The errors of targets are TargetError, GateError, AccuracyGateError, and
    ConversionError of a quantizer.

    Raises:
        SourceError: The source cannot be read or converted.
        CalibrationError: The calibration images or the labelled images cannot be used.
        TargetError: A target refuses the network, before or after quantization.
        ContractRefusedError: The input contract contradicts the network, or another one is clearly better.
        GateError: An artefact fails a gate, or the float network gives different images the same embedding.
        AccuracyGateError: The mean cosine of every artefact to float is below ``min_cosine``, no recipe keeps the limit on
            error rates or on time, or a replayed network differs from the recorded one beyond the tolerance.
        OptionsError: The task is ``none``, or ``distillation`` is given, but the saved recipe contains a distillation already.
        ConversionError: The output cannot be written, a recipe cannot be read, a quantizer refuses the network.
    """
    if options.task != "embedding":
        raise OptionsError("task: expected embedding, found none", hint="call convert_any_task")
    check_name(options.model_name)
    refusals = Refusals(known_targets(options.targets))
    plan = plan_recipes(options, refusals.passing)
    with staged(options.output) as folder:
        images = read_images(options, plan)
        measured = MeasuredImages.of(images, plan.contract)
        labelled = read_labelled_images(options, plan.contract)
        model, contract_check = read_model(options, plan, images, measured)
        model, collapse = check_different_images(options, plan, model, images, contract_check)
        measured = check_images(model, measured)
        examined = _examine(options, model, refusals)
        budget = search_budget(options, model, labelled, images)
        if images is None:
            built = replay_networks(model, refusals, plan.recipes, plan.saved)
        else:
            built = build_networks(
                model, images, refusals, plan.recipes, budget=budget, distillation=options.distillation
            )
        for network in built:
            with refusals.of_recipe(network.recipe.name):
                require_budget(options, network)
        replays = _check_replays(model, built, plan, refusals)
        result = _make(
            options,
            model,
            measured,
            plan,
            built,
            replays,
            budget,
            examined,
            contract_check,
            collapse,
            refusals,
            folder,
        )
        write_all(folder, {f"{result.name}.report.json": json_bytes(result.to_json())})
    return result


def _examine(options: ConversionOptions, model: FloatModel, refusals: Refusals) -> dict[str, NetworkReport]:
    """Check the float network against each target's rules, so that a refusal is reported before the long work."""
    graph = parse_for_rules(model.network)
    examined = {}
    for target in refusals.passing:
        with refusals.of_target(target):
            examined[target.name] = check_float_network(target, graph)
            raise_if_refused(target.name, [examined[target.name]], options.allow)
    return examined


def _check_replays(
    model: FloatModel, built: Sequence[BuiltNetwork], plan: RecipePlan, refusals: Refusals
) -> dict[str, ReplayCheck]:
    """Compare each replayed network with the recorded one; a target whose network differs too much is refused."""
    replays = {}
    for network in built:
        name = network.recipe.name
        if name in plan.recordings and refusals.needs(name):
            with stage(f"compare {name} with its recording"), refusals.of_recipe(name):
                replays[name] = check_embeddings(
                    network.network, model.network, model.contract, plan.recordings[name]
                )
                raise_if_different(name, replays[name])
    return replays


def _make(
    options: ConversionOptions,
    model: FloatModel,
    images: MeasuredImages,
    plan: RecipePlan,
    built: Sequence[BuiltNetwork],
    replays: Mapping[str, ReplayCheck],
    budget: Budget | None,
    examined: Mapping[str, NetworkReport],
    contract_check: ContractCheck,
    collapse: CollapseCheck | None,
    refusals: Refusals,
    folder: Path,
) -> ConversionResult:
    """Check and measure every artefact, and write those of the targets that pass, with by-products and report page."""
    unsupported = sorted(set(xnnpack_partitions(model.network).outside))
    maker = ArtefactMaker(options, model, images, unsupported, plan.saved, replays)
    gates = {}
    for network in built:
        name = network.recipe.name
        if refusals.needs(name):
            with refusals.of_recipe(name):
                gates[name] = maker.require_gates(network.network, network.recipe)
    built = [network for network in built if refusals.needs(network.recipe.name)]
    with stage("measure the float model") as progress:
        baseline = embed_crops(model.network, model.contract, images.pixels, progress=progress)
    times = measure_times(built, model, images.crops[0], budget)
    embeddings = {model.network: baseline}
    artefacts: dict[str, Artefact] = {}
    for network in built:
        if network.network not in embeddings:
            with stage(f"measure {network.recipe.name}") as progress:
                embeddings[network.network] = embed_crops(
                    network.network, model.contract, images.pixels, progress=progress
                )
        fidelity = images.fidelity(baseline, embeddings[network.network])
        kept = keeps_budget(network, budget, cosine(baseline, embeddings[network.network]))
        name = network.recipe.name
        artefacts[name] = maker.make(network, gates[name], fidelity, times.networks[network.network], kept)
    # Check searched artefacts first, because their hint names the operators that cost the most accuracy.
    for network in sorted(built, key=lambda network: network.search is None):
        name, artefact = network.recipe.name, artefacts[network.recipe.name].result
        with refusals.of_file(name, artefact.file):
            require_cosine(artefact, options.min_cosine, network)
    sections, by_products = _finish(options, examined, artefacts, refusals)
    built = [network for network in built if refusals.needs(network.recipe.name)]
    for network in built:
        write_all(folder, artefacts[network.recipe.name].files)
    write_all(folder, by_products)
    searches = _distinct({network.recipe.name: network.search for network in built})
    recoveries = _distinct({network.recipe.name: network.distilled for network in built})
    result = ConversionResult(
        name=options.model_name,
        contract=model.contract,
        dimension=model.dimension,
        source=model.source,
        agreement=model.agreement,
        notes=(
            *filter(None, [contract_check.note()]),
            *model.notes,
            *unsupported_notes(unsupported),
            *([] if images.calibration is None else image_notes(images.calibration, images.check)),
            *search_notes(built),
            *gate_notes(artefacts[network.recipe.name].result for network in built),
            *earlier_file_notes(
                options, [recipe.name for recipe in plan.recipes if not refusals.needs(recipe.name)]
            ),
        ),
        calibration=_described(images, plan),
        measured_on=len(images),
        held_out=images.held_out,
        artefacts=tuple(
            replace(
                artefacts[network.recipe.name].result,
                search=next((name for name, search in searches.items() if search is network.search), ""),
            )
            for network in built
        ),
        searches={name: search.to_json() for name, search in searches.items()},
        recoveries={name: distilled.to_json() for name, distilled in recoveries.items()},
        targets=sections,
        contract_check=contract_check,
        calibration_check=images.check,
        collapse=collapse,
        replays={name: check for name, check in replays.items() if refusals.needs(name)},
        refused=refusals.refused,
        refused_files=refusals.refused_files,
        timing=times.conditions,
        differences=labelled_differences(budget, built),
    )
    layers = None if images.calibration is None else _layer_errors(model, built, images)
    with stage("draw the report"):
        page = render_page(title=result.name, conversion=result, layers=layers)
    write_all(folder, {f"{result.name}.report.html": page.encode()})
    return result


def _finish(
    options: ConversionOptions,
    examined: Mapping[str, NetworkReport],
    artefacts: Mapping[str, Artefact],
    refusals: Refusals,
) -> tuple[tuple[TargetReport, ...], dict[str, bytes]]:
    """Check each target's artefacts; return the sections of the report and the by-products of the targets that pass."""
    sections = []
    by_products: dict[str, bytes] = {}
    for target in refusals.passing:
        parts = [examined[target.name]]
        files: dict[str, bytes] = {}
        settings = target_options(target, options.settings)
        with stage(f"finish for {target.name}"), refusals.of_target(target):
            for name in filter(refusals.needs, target.recipes):
                file = replace(artefacts[name].file, options=settings)
                part, made = finish_artefact(target, file, allowed=options.allow)
                parts.append(part)
                files.update(made)
            sections.append(TargetReport(target.name, target.summary, tuple(parts)))
            by_products.update(files)
    return tuple(sections), by_products


def _distinct(shared: Mapping[str, _T | None]) -> dict[str, _T]:
    """Keep each value under the first of its names, because artefacts with equal recipes share a search."""
    first: dict[int, str] = {}
    for name, value in shared.items():
        first.setdefault(id(value), name)
    return {name: value for name, value in shared.items() if value is not None and first[id(value)] == name}


def _layer_errors(
    model: FloatModel, built: Sequence[BuiltNetwork], images: MeasuredImages
) -> LayerErrors | None:
    integer = [network for network in built if network.recipe.precision == "int8"]
    if not integer:
        return None
    with stage("measure every tensor") as progress:
        return measure_layer_errors(
            integer[0].float_reference,
            integer[0].network,
            model.contract,
            images.pixels[:LAYER_IMAGES],
            names=("float32", integer[0].recipe.name),
            progress=progress,
        )


def _described(images: MeasuredImages, plan: RecipePlan) -> Mapping[str, Any]:
    """Return number and digest of the calibration images; those of the first recipe in a replay."""
    if images.calibration is not None:
        return describe_calibration(images.calibration)
    return next((recording.calibration for recording in plan.recordings.values()), {})
