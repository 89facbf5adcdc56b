"""Run the stages of a conversion: source, float model, calibration, quantization, gates, card, targets, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.analyze import gates
from converters.analyze.contract import ContractCheck, check_contract
from converters.analyze.contract import raise_if_refused as raise_if_contract_refused
from converters.analyze.layer_errors import LAYER_IMAGES, LayerErrors, measure_layer_errors
from converters.analyze.replay_check import ReplayCheck, check_embeddings, raise_if_different
from converters.data.alignment_check import LookedAt, alignment_note, zoo_detector
from converters.data.calibration import RECOMMENDED_IMAGES, CalibrationSet, read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.errors import AccuracyGateError, GateError
from converters.graph.latency import fastest_ms
from converters.graph.partitions import xnnpack_partitions
from converters.output import check_name, staged, write_all
from converters.pipeline.artefacts import ArtefactWriter, WrittenArtefact, json_bytes
from converters.pipeline.build import BuiltNetwork, build_networks, replay_networks
from converters.pipeline.measured_images import MeasuredImages, describe_calibration
from converters.pipeline.options import ConversionOptions, ErrorRateLimit, Search, known_targets
from converters.pipeline.replay import RecipePlan, plan_recipes, recorded_contract_check
from converters.progress import stage
from converters.quantize.budget import Budget
from converters.quantize.error_rate_budget import ErrorRateBudget, LabelledCrops, check_support, read_labelled
from converters.quantize.recipe import Recipe
from converters.quantize.time_budget import TimedBudget
from converters.report.page import render_page
from converters.results import ConversionResult
from converters.sources.float_model import FloatModel, read_float_model
from converters.targets.base import Target, target_options
from converters.targets.check import (
    NetworkReport,
    TargetReport,
    check_float_network,
    finish_artefact,
    raise_if_refused,
)
from converters.targets.operator_table import parse_for_rules
from edge_sdk.model.card import InputContract


def convert(options: ConversionOptions) -> ConversionResult:
    """Convert a model; the output folder gets all files or none.

    Raises:
        SourceError: The source cannot be read or converted.
        CalibrationError: The calibration images or the labelled images cannot be used.
        TargetError: A target refuses the network, before or after quantization.
        ContractRefusedError: The input contract contradicts the network, or another one is clearly better.
        GateError: An artefact fails a gate.
        AccuracyGateError: The mean cosine of an artefact to float is below ``min_cosine``, no recipe keeps the limit on
            error rates or on time, or a replayed network differs from the recorded one beyond the tolerance.
        OptionsError: ``distillation`` is given, but the saved recipe contains a distillation already.
        ConversionError: The output cannot be written, a recipe cannot be read, a quantizer refuses the network.
    """
    check_name(options.model_name)
    targets = known_targets(options.targets)
    plan = plan_recipes(options, targets)
    with staged(options.output) as folder:
        images = _read_images(options, plan)
        measured = MeasuredImages.of(images, plan.contract)
        labelled = _read_labelled(options, plan.contract)
        model = _read_model(options, plan.contract, measured)
        contract_check = _check_contract(options, model, images, plan)
        model = replace(model, source={**model.source, "input_contract": contract_check.summary()})
        examined = _examine(options, model, targets)
        budget = _budget(options, model, labelled, images)
        if images is None:
            built = replay_networks(model, targets, plan.recipes, plan.saved)
        else:
            built = build_networks(
                model, images, targets, plan.recipes, budget=budget, distillation=options.distillation
            )
        _require_budget(options, built)
        replays = _check_replays(model, built, plan)
        result = _write(
            options, model, measured, plan, built, replays, budget, examined, contract_check, folder
        )
        write_all(folder, {f"{result.name}.report.json": json_bytes(result.to_json())})
    return result


def _read_images(options: ConversionOptions, plan: RecipePlan) -> CalibrationSet | None:
    """Read the calibration images; None if recorded statistics are replayed."""
    if options.calibration is None:
        return None
    training = any(recipe.distillation_steps for recipe in plan.recipes)
    with stage("read calibration images") as progress:
        return read_calibration(
            str(options.calibration),
            plan.contract,
            training=training or options.distillation is not None,
            progress=progress,
        )


def _read_labelled(options: ConversionOptions, contract: InputContract) -> LabelledCrops | None:
    """Read the labelled images of a limit on error rates, and check that they suffice to measure it."""
    search = options.quantization
    if not isinstance(search, Search) or not isinstance(search.budget, ErrorRateLimit):
        return None
    limit = search.budget
    with stage("read labelled images") as progress:
        labelled = read_labelled(limit.images, contract, progress=progress)
    check_support(labelled.subjects, fmr=limit.at_fmr, max_loss=limit.max_fnmr_loss)
    return labelled


def _read_model(options: ConversionOptions, contract: InputContract, images: MeasuredImages) -> FloatModel:
    inputs = real_inputs(images.witness, contract)
    with stage("convert to float .tflite"):
        return read_float_model(options.model, contract=contract, inputs=inputs)


def _check_contract(
    options: ConversionOptions, model: FloatModel, images: CalibrationSet | None, plan: RecipePlan
) -> ContractCheck:
    """Check the input contract before the long work; raises ContractRefusedError unless it is allowed."""
    with stage("check the input contract") as progress:
        if images is None:
            no_images = np.empty((0, *model.contract.shape), np.uint8)
            check = recorded_contract_check(
                check_contract(model.network, model.contract, no_images), plan.saved
            )
        else:
            check = check_contract(model.network, model.contract, images.ranges.pixels, progress=progress)
    return raise_if_contract_refused(check, options.allow)


def _alignment(contract: InputContract, images: CalibrationSet) -> str:
    """Return a warning if the calibration images are not aligned crops; empty if they may be."""
    crops = images.ranges
    return alignment_note(LookedAt(crops.pixels, crops.larger), contract, zoo_detector())


def _examine(
    options: ConversionOptions, model: FloatModel, targets: Sequence[Target]
) -> list[tuple[Target, NetworkReport]]:
    """Check the float network against each target's rules, so that a refusal is reported before the long work."""
    graph = parse_for_rules(model.network)
    examined = [(target, check_float_network(target, graph)) for target in targets]
    for target, part in examined:
        raise_if_refused(target.name, [part], options.allow)
    return examined


def _budget(
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
        if labelled is None:  # pragma: no cover  _read_labelled reads them for each such limit
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
    else:
        budget = search.budget
    if search.max_time_ratio is None:
        return budget
    crop = images.selection.pixels[0]
    return TimedBudget.of(budget, search.max_time_ratio, model.network, model.contract, crop)


def _require_budget(options: ConversionOptions, built: Sequence[BuiltNetwork]) -> None:
    if not isinstance(options.quantization, Search):
        return
    by_error_rate = isinstance(options.quantization.budget, ErrorRateLimit)
    timed = options.quantization.max_time_ratio is not None
    for network in built:
        required = by_error_rate or (timed and network.recipe.partitions)
        if required and network.search is not None and not network.met:
            best = network.search.best
            raise AccuracyGateError(
                f"{network.recipe.name}: searched for {network.search.budget['goal']}; the best of"
                f" {len(network.search.trials)} recipes, {best.what!r}, has {best.measured}; nothing was written",
                hint=network.search.explain_failure(),
            )


def _check_replays(
    model: FloatModel, built: Sequence[BuiltNetwork], plan: RecipePlan
) -> dict[str, ReplayCheck]:
    """Compare each replayed network with the recorded one; raises AccuracyGateError beyond the tolerance."""
    replays = {}
    recordings = plan.recordings
    for network in built:
        name = network.recipe.name
        if name in recordings:
            with stage(f"compare {name} with its recording"):
                replays[name] = check_embeddings(
                    network.network, model.network, model.contract, recordings[name]
                )
            raise_if_different(name, replays[name])
    return replays


def _write(
    options: ConversionOptions,
    model: FloatModel,
    images: MeasuredImages,
    plan: RecipePlan,
    built: Sequence[BuiltNetwork],
    replays: Mapping[str, ReplayCheck],
    budget: Budget | None,
    examined: Sequence[tuple[Target, NetworkReport]],
    contract_check: ContractCheck,
    folder: Path,
) -> ConversionResult:
    """Check, measure and write every artefact, its by-products, and the report page."""
    with stage("measure the float model") as progress:
        baseline = embed_crops(model.network, model.contract, images.pixels, progress=progress)
    unsupported = sorted(set(xnnpack_partitions(model.network).outside))
    writer = ArtefactWriter(options, model, images, unsupported, plan.saved, replays, folder)
    for network in built:
        _require_gates(network.recipe, writer.check(network.network, network.recipe))
    times_ms = fastest_ms([network.network for network in built], model.contract, images.crops[0])
    if isinstance(budget, TimedBudget):
        # Report the time ratio by which the search decided.
        for network in built:
            if network.search is not None and network.recipe.partitions:
                times_ms[network.network] = budget.ratio(network.network) * times_ms[model.network]
    embeddings = {model.network: baseline}
    artefacts = {}
    for network in built:
        if network.network not in embeddings:
            with stage(f"measure {network.recipe.name}") as progress:
                embeddings[network.network] = embed_crops(
                    network.network, model.contract, images.pixels, progress=progress
                )
        fidelity = images.fidelity(baseline, embeddings[network.network])
        artefacts[network.recipe.name] = writer.write(network, fidelity, times_ms[network.network])
    result = ConversionResult(
        name=options.model_name,
        contract=model.contract,
        dimension=model.dimension,
        source=model.source,
        agreement=model.agreement,
        notes=(
            *filter(None, [contract_check.note()]),
            *model.notes,
            *_unsupported_notes(unsupported),
            *([] if images.calibration is None else _image_notes(model.contract, images.calibration)),
            *_search_notes(built),
        ),
        calibration=_described(images, plan),
        measured_on=len(images),
        held_out=images.held_out,
        artefacts=tuple(artefact.result for artefact in artefacts.values()),
        searches={n.recipe.name: n.search.to_json() for n in built if n.search is not None},
        recoveries={n.recipe.name: n.distilled.to_json() for n in built if n.distilled is not None},
        targets=tuple(_finish(options, target, part, artefacts, folder) for target, part in examined),
        contract_check=contract_check,
        replays=replays,
    )
    _require_accuracy(result, options.min_cosine, built)
    layers = None if images.calibration is None else _layer_errors(model, built, images)
    with stage("draw the report"):
        page = render_page(title=result.name, conversion=result, layers=layers)
    write_all(folder, {f"{result.name}.report.html": page.encode()})
    return result


def _finish(
    options: ConversionOptions,
    target: Target,
    examined: NetworkReport,
    artefacts: Mapping[str, WrittenArtefact],
    folder: Path,
) -> TargetReport:
    """Check a target's artefacts, write their by-products, and return the target's section of the report."""
    parts = [examined]
    settings = target_options(target, options.settings)
    with stage(f"finish for {target.name}"):
        for name in target.recipes:
            file = replace(artefacts[name].file, options=settings)
            part, files = finish_artefact(target, file, allowed=options.allow)
            write_all(folder, files)
            parts.append(part)
    return TargetReport(target.name, target.summary, tuple(parts))


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


def _require_gates(recipe: Recipe, outcomes: Sequence[gates.Gate]) -> None:
    failed = [gate for gate in outcomes if not gate.passed]
    if failed:
        raise GateError(
            f"{recipe.name}: gate {failed[0].name!r} failed: expected {failed[0].wanted}, found {failed[0].found}",
            hint="nothing was written; edge-convert inspect lists the operators of a .tflite source",
        )


def _require_accuracy(
    result: ConversionResult, min_cosine: float | None, built: Sequence[BuiltNetwork]
) -> None:
    if min_cosine is None:
        return
    searches = {network.recipe.name: network.search for network in built if network.search is not None}
    # Check searched artefacts first, because their hint names the operators that cost the most accuracy.
    for artefact in sorted(result.artefacts, key=lambda artefact: artefact.recipe not in searches):
        if artefact.cosine_mean < min_cosine:
            raise AccuracyGateError(
                f"{artefact.file}: cosine to float {artefact.cosine_mean:.4f} on {artefact.measured_on} images,"
                f" expected at least {min_cosine:g}; nothing was written",
                hint=searches[artefact.recipe].explain_failure()
                if artefact.recipe in searches
                else "search for a better recipe with --recipe auto, or write the files without --min-cosine and read"
                " their cosines in the report",
            )


def _unsupported_notes(unsupported: Sequence[str]) -> list[str]:
    if not unsupported:
        return []
    return [
        f"XNNPACK does not run {', '.join(unsupported)}, in float either: slower kernels run them, between"
        " partitions; a network with other layers in their place would be faster"
    ]


def _image_notes(contract: InputContract, images: CalibrationSet) -> list[str]:
    """List notes on the calibration images for the reader of the report."""
    notes = list(filter(None, [_alignment(contract, images)]))
    if images.resized:
        height, width = images.ranges.pixels.shape[1:3]
        notes.append(
            f"images of another size than {height}x{width}: {images.resized}; each was cut around its centre to that"
            " aspect ratio and resized, as the device will do"
        )
    if len(images.ranges) < RECOMMENDED_IMAGES:
        notes.append(
            f"images used for activation ranges: {len(images.ranges)}; {RECOMMENDED_IMAGES} or more are recommended"
        )
    if not images.split:
        notes.append(
            "too few images to hold any out: fidelity was measured on the calibration images themselves"
        )
    return notes


def _search_notes(built: Sequence[BuiltNetwork]) -> list[str]:
    searches = [network.search for network in built if network.search is not None]
    return [
        f"the recipe was chosen on the {search.budget['images']} images of {search.budget['data_set']}:"
        " measure the file on other images"
        for search in searches
        if "data_set" in search.budget
    ]


def _described(images: MeasuredImages, plan: RecipePlan) -> Mapping[str, Any]:
    """Return number and digest of the calibration images; those of the first recipe in a replay."""
    if images.calibration is not None:
        return describe_calibration(images.calibration)
    return next((recording.calibration for recording in plan.recordings.values()), {})
