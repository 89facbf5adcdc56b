"""Run the stages of a conversion: source, float model, calibration, quantization, gates, card, targets, report."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from converters.analyze import gates
from converters.analyze.contract import ContractCheck, check_contract
from converters.analyze.contract import raise_if_refused as raise_if_contract_refused
from converters.analyze.golden_vectors import make_golden_vectors
from converters.analyze.layer_errors import LAYER_IMAGES, LayerErrors, measure_layer_errors
from converters.data.alignment_check import LookedAt, alignment_note, zoo_detector
from converters.data.calibration import RECOMMENDED_IMAGES, CalibrationSet, read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.errors import AccuracyGateError, GateError, OptionsError
from converters.graph.attach_card import with_card
from converters.graph.latency import fastest_ms
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.output import check_name, staged, write_all
from converters.pipeline.build import BuiltNetwork, build_networks, recipes_of, with_saved
from converters.pipeline.options import (
    ConversionOptions,
    ErrorRateLimit,
    Replay,
    Search,
    known_targets,
)
from converters.progress import stage
from converters.quantize.budget import Budget
from converters.quantize.error_rate_budget import ErrorRateBudget, LabelledCrops, check_support, read_labelled
from converters.quantize.recipe import Recipe, read
from converters.quantize.time_budget import TimedBudget
from converters.report.page import render_page
from converters.results import ArtefactResult, ConversionResult
from converters.sources.float_model import FloatModel, read_float_model
from converters.targets.base import ArtefactFile, Target, target_options
from converters.targets.check import (
    NetworkReport,
    TargetReport,
    check_float_network,
    finish_artefact,
    raise_if_refused,
)
from converters.targets.operator_table import parse_for_rules
from edge_sdk.matching import cosine
from edge_sdk.model.card import ModelCard
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.types import FloatArray

_WITNESS_IMAGES = 16
_GATE_IMAGES = 4


@dataclass(frozen=True)
class _Artefact:
    """A written file in the form that target rules read, and its row in the report."""

    file: ArtefactFile
    result: ArtefactResult


def convert(options: ConversionOptions) -> ConversionResult:
    """Convert a model; the output folder gets all files or none.

    Raises:
        SourceError: The source cannot be read or converted.
        CalibrationError: The calibration images or the labelled images cannot be used.
        TargetError: A target refuses the network, before or after quantization.
        ContractRefusedError: The input contract contradicts the network, or another one is clearly better.
        GateError: An artefact fails a gate.
        AccuracyGateError: The mean cosine of an artefact to float is below ``min_cosine``, or no recipe keeps the limit
            on error rates or on time.
        OptionsError: ``distillation`` is given, but the saved recipe contains a distillation already.
        ConversionError: The output cannot be written, a recipe cannot be read, a quantizer refuses the network.
    """
    check_name(options.model_name)
    targets = known_targets(options.targets)
    recipes = _recipes(options, targets)
    with staged(options.output) as folder:
        images = _read_images(options, training=any(recipe.distillation_steps for recipe in recipes))
        labelled = _read_labelled(options)
        model = _read_model(options, images)
        contract_check = _check_contract(options, model, images)
        model = replace(model, source={**model.source, "input_contract": contract_check.summary()})
        examined = _examine(options, model, targets)
        budget = _budget(options, model, labelled, images)
        built = build_networks(
            model, images, targets, recipes, budget=budget, distillation=options.distillation
        )
        _require_budget(options, built)
        result = _write(options, model, images, built, budget, examined, contract_check, folder)
        write_all(folder, {f"{result.name}.report.json": _json(result.to_json())})
    return result


def _recipes(options: ConversionOptions, targets: Sequence[Target]) -> list[Recipe]:
    """List the recipe of every artefact; a saved recipe replaces the plain recipe of its artefact."""
    plain = recipes_of(targets)
    if not isinstance(options.quantization, Replay):
        return plain
    path = options.quantization.recipe
    saved = read(path)
    if saved.distillation_steps and options.distillation is not None:
        raise OptionsError(
            f"{path}: expected no time for distillation, because the recipe sets {saved.distillation_steps} steps;"
            f" found {options.distillation.minutes:g} minutes",
            hint="leave --recover out to repeat the distillation of the recipe",
        )
    return with_saved(plain, saved, path)


def _read_images(options: ConversionOptions, *, training: bool) -> CalibrationSet:
    with stage("read calibration images") as progress:
        return read_calibration(
            str(options.calibration),
            options.contract,
            training=training or options.distillation is not None,
            progress=progress,
        )


def _read_labelled(options: ConversionOptions) -> LabelledCrops | None:
    """Read the labelled images of a limit on error rates, and check that they suffice to measure it."""
    search = options.quantization
    if not isinstance(search, Search) or not isinstance(search.budget, ErrorRateLimit):
        return None
    limit = search.budget
    with stage("read labelled images") as progress:
        labelled = read_labelled(limit.images, options.contract, progress=progress)
    check_support(labelled.subjects, fmr=limit.at_fmr, max_loss=limit.max_fnmr_loss)
    return labelled


def _read_model(options: ConversionOptions, images: CalibrationSet) -> FloatModel:
    inputs = real_inputs(images.held_out.pixels[:_WITNESS_IMAGES], options.contract)
    with stage("convert to float .tflite"):
        return read_float_model(options.model, contract=options.contract, inputs=inputs)


def _check_contract(options: ConversionOptions, model: FloatModel, images: CalibrationSet) -> ContractCheck:
    """Check the input contract before the long work; raises ContractRefusedError unless it is allowed."""
    with stage("check the input contract") as progress:
        check = check_contract(model.network, model.contract, images.ranges.pixels, progress=progress)
    return raise_if_contract_refused(check, options.allow)


def _alignment(options: ConversionOptions, images: CalibrationSet) -> str:
    """Return a warning if the calibration images are not aligned crops; empty if they may be."""
    crops = images.ranges
    return alignment_note(LookedAt(crops.pixels, crops.larger), options.contract, zoo_detector())


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
    options: ConversionOptions, model: FloatModel, labelled: LabelledCrops | None, images: CalibrationSet
) -> Budget | None:
    """Create the budget of a search, relative to measurements of the float model; None if there is no search."""
    search = options.quantization
    if not isinstance(search, Search):
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


def _write(
    options: ConversionOptions,
    model: FloatModel,
    images: CalibrationSet,
    built: Sequence[BuiltNetwork],
    budget: Budget | None,
    examined: Sequence[tuple[Target, NetworkReport]],
    contract_check: ContractCheck,
    folder: Path,
) -> ConversionResult:
    """Check, measure and write every artefact, its by-products, and the report page."""
    with stage("measure the float model") as progress:
        baseline = embed_crops(model.network, model.contract, images.held_out.pixels, progress=progress)
    unsupported = sorted(set(xnnpack_partitions(model.network).outside))
    crops = images.ranges.pixels[:_GATE_IMAGES]
    for network in built:
        _require_gates(network.recipe, _check(network.network, network.recipe, model, images, unsupported))
    times_ms = fastest_ms([network.network for network in built], model.contract, crops[0])
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
                    network.network, model.contract, images.held_out.pixels, progress=progress
                )
        fidelity = _fidelity(baseline, embeddings[network.network], images)
        artefacts[network.recipe.name] = _write_artefact(
            options, model, images, network, fidelity, times_ms[network.network], unsupported, folder
        )
    result = ConversionResult(
        name=options.model_name,
        contract=model.contract,
        dimension=model.dimension,
        source=model.source,
        agreement=model.agreement,
        notes=(
            *filter(None, [contract_check.note(), _alignment(options, images)]),
            *model.notes,
            *_notes(unsupported, images, built),
        ),
        calibration=_described(images),
        measured_on=len(images.held_out),
        held_out=images.split,
        artefacts=tuple(artefact.result for artefact in artefacts.values()),
        searches={n.recipe.name: n.search.to_json() for n in built if n.search is not None},
        recoveries={n.recipe.name: n.distilled.to_json() for n in built if n.distilled is not None},
        targets=tuple(_finish(options, target, part, artefacts, folder) for target, part in examined),
        contract_check=contract_check,
    )
    _require_accuracy(result, options.min_cosine, built)
    layers = _layer_errors(model, built, images)
    with stage("draw the report"):
        page = render_page(title=result.name, conversion=result, layers=layers)
    write_all(folder, {f"{result.name}.report.html": page.encode()})
    return result


def _check(
    network: Network, recipe: Recipe, model: FloatModel, images: CalibrationSet, unsupported: Collection[str]
) -> tuple[gates.Gate, ...]:
    crops = images.ranges.pixels[:_GATE_IMAGES]
    return gates.check(network, recipe, model.contract, crops, unsupported=unsupported)


def _write_artefact(
    options: ConversionOptions,
    model: FloatModel,
    images: CalibrationSet,
    built: BuiltNetwork,
    fidelity: Mapping[str, Any],
    latency_ms: float,
    unsupported: Collection[str],
    folder: Path,
) -> _Artefact:
    """Write an artefact with its card, and its recipe as a separate file."""
    recipe = built.recipe
    card = _card(options, built, model, images, fidelity)
    data = with_card(built.network, card)
    file = ArtefactFile.parse(f"{options.model_name}.{recipe.name}.tflite", data, {})
    saved = {
        **recipe.to_json(),
        "calibration": card.calibration,
        "tools": _tools(),
        "source": model.source,
    }
    write_all(folder, {file.file: data, f"{file.stem}.recipe.json": _json(saved)})
    result = ArtefactResult(
        file=file.file,
        recipe=recipe.name,
        precision=recipe.precision,
        size_bytes=len(data),
        operators=built.network.graph.operator_counts(),
        partitions=xnnpack_partitions(built.network).count,
        gates=_check(file.network, recipe, model, images, unsupported),
        cosine_mean=fidelity["cosine_mean"],
        cosine_min=fidelity["cosine_min"],
        worst_image=fidelity["worst_image"],
        latency_ms=latency_ms,
    )
    return _Artefact(file, result)


def _finish(
    options: ConversionOptions,
    target: Target,
    examined: NetworkReport,
    artefacts: Mapping[str, _Artefact],
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
    model: FloatModel, built: Sequence[BuiltNetwork], images: CalibrationSet
) -> LayerErrors | None:
    integer = [network for network in built if network.recipe.precision == "int8"]
    if not integer:
        return None
    with stage("measure every tensor") as progress:
        return measure_layer_errors(
            integer[0].float_reference,
            integer[0].network,
            model.contract,
            images.held_out.pixels[:LAYER_IMAGES],
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
                f"{artefact.file}: cosine to float {artefact.cosine_mean:.4f} on {result.measured_on} images,"
                f" expected at least {min_cosine:g}; nothing was written",
                hint=searches[artefact.recipe].explain_failure()
                if artefact.recipe in searches
                else "search for a better recipe with --recipe auto, or write the files without --min-cosine and read"
                " their cosines in the report",
            )


def _card(
    options: ConversionOptions,
    built: BuiltNetwork,
    model: FloatModel,
    images: CalibrationSet,
    fidelity: Mapping[str, Any],
) -> ModelCard:
    recipe = built.recipe
    output = LiteRtBackend(built.network.data).output
    card = ModelCard(
        name=options.model_name,
        version=options.version,
        target=recipe.target,
        precision=recipe.precision,
        dimension=model.dimension,
        input=model.contract,
        network_sha256="",
        output_scale=output.scale,
        output_zero_point=output.zero_point,
        description=options.description,
        licence=options.licence,
        recipe=recipe.to_json(),
        source=model.source,
        fidelity=fidelity,
        golden=make_golden_vectors(built.network, model.contract),
    )
    return replace(card, calibration=_described(images)) if recipe.precision == "int8" else card


def _fidelity(baseline: FloatArray, embeddings: FloatArray, images: CalibrationSet) -> dict[str, Any]:
    """Compare an artefact's embeddings of the held-out images with the float network's, for the model card.

    Args:
        baseline: Shape (n, D), the float network's.
        embeddings: Shape (n, D), the artefact's.
        images: The calibration images.
    """
    cosines = cosine(baseline, embeddings)
    worst = int(cosines.argmin())
    return {
        "cosine_mean": float(cosines.mean()),
        "cosine_min": float(cosines[worst]),
        "worst_image": images.held_out.names[worst],
        "images": len(images.held_out),
        "held_out": images.split,
        "images_sha256": images.held_out.sha256,
    }


def _notes(unsupported: Sequence[str], images: CalibrationSet, built: Sequence[BuiltNetwork]) -> list[str]:
    """List notes on the network and the images for the reader of the report."""
    notes = []
    if unsupported:
        notes.append(
            f"XNNPACK does not run {', '.join(unsupported)}, in float either: slower kernels run them, between"
            " partitions; a network with other layers in their place would be faster"
        )
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
    searches = [network.search for network in built if network.search is not None]
    return notes + [
        f"the recipe was chosen on the {search.budget['images']} images of {search.budget['data_set']}:"
        " measure the file on other images"
        for search in searches
        if "data_set" in search.budget
    ]


def _described(images: CalibrationSet) -> dict[str, Any]:
    return {"images": len(images.ranges), "available": images.available, "sha256": images.ranges.sha256}


def _tools() -> dict[str, str]:
    names = ("ai-edge-quantizer", "ai-edge-litert", "numpy")
    return {name: metadata.version(name) for name in names}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
