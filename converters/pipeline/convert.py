"""The one place that knows the order: source, float model, calibration, artefacts, gates, fidelity, card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from converters.analyze.float_comparison import fidelity
from converters.analyze.gates import Gate, check
from converters.analyze.golden_vectors import golden_vectors
from converters.analyze.layer_errors import LAYER_IMAGES, LayerErrors, layer_errors
from converters.data.calibration import CalibrationSet, read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.errors import AccuracyGateError, GateError
from converters.graph.attach_card import with_card
from converters.graph.graph import Graph
from converters.graph.latency import latencies
from converters.graph.partitions import xnnpack_partitions
from converters.output import staged, write_all
from converters.pipeline import notes
from converters.pipeline.build import BuiltNetwork, known_targets, make_all
from converters.pipeline.options import (
    ConversionOptions,
    budget_of,
    check_request,
    labelled_crops,
    model_name,
    wished_recovery,
)
from converters.progress import stage
from converters.quantize.recipe import Recipe
from converters.report.page import render_page
from converters.results import ArtefactResult, ConversionResult
from converters.sources import read_source
from converters.sources.float_model import FloatModel, canonical
from converters.targets.base import ArtefactFile, Target, target_options
from converters.targets.check import (
    NetworkReport,
    TargetReport,
    check_float_network,
    finish_artefact,
    raise_if_refused,
)
from converters.targets.operator_table import parse_for_rules
from edge_sdk.model.card import ModelCard
from edge_sdk.runtime.backends.litert import LiteRtBackend

_WITNESS_IMAGES = 16
_GATE_IMAGES = 4


def convert(request: ConversionOptions) -> ConversionResult:
    """Convert a model; the output folder gets all files or none.

    Raises:
        SourceError: The source cannot be read or converted.
        CalibrationError: The calibration images cannot be used.
        TargetError: A target refuses the network, before or after it was made (exit 1).
        GateError: An artefact is not whole (exit 1).
        AccuracyGateError: An artefact is further from float than ``min_cosine`` allows, or no recipe keeps
            the budget of error rates, or of time (exit 1).
        ConversionError: The output cannot be written, a quantizer refuses the network.
    """
    targets = known_targets(request.targets)
    for target in targets:
        target_options(target, request.settings)
    check_request(request)
    recovery = wished_recovery(request)
    with staged(request.output) as folder:
        with stage("read calibration images") as progress:
            images = read_calibration(
                str(request.calibration),
                request.contract,
                training=recovery is not None,
                progress=progress,
            )
        labelled = labelled_crops(request)
        float_model = _read_float_model(request, images)
        foreseen = _foresee(request, float_model, targets)
        budget = budget_of(request, float_model, labelled, images)
        made = make_all(float_model, images, targets, recipe=request.recipe, budget=budget, recovery=recovery)
        _require_budget(request, made)
        report = _finish(request, float_model, images, made, foreseen, folder)
        write_all(folder, {f"{report.name}.report.json": _json(report.to_json())})
    return report


def _read_float_model(request: ConversionOptions, images: CalibrationSet) -> FloatModel:
    witnesses = images.held_out.pixels[:_WITNESS_IMAGES]
    inputs = real_inputs(witnesses, request.contract)
    with stage("convert to float .tflite"):
        source = read_source(request.model, contract=request.contract, inputs=inputs)
    return canonical(source, request.contract, inputs)


def _require_budget(request: ConversionOptions, made: Sequence[BuiltNetwork]) -> None:
    for one in made:
        asked = request.max_fnmr_loss or (request.max_time_ratio and one.recipe.partitions)
        if asked and one.search is not None and not one.met:
            best = one.search.best
            raise AccuracyGateError(
                f"{one.recipe.name}: searched for {one.search.budget['goal']}; the best of"
                f" {len(one.search.trials)} recipes, {best.what!r}, has {best.found}; nothing was written",
                hint=one.search.held_back(),
            )


def _foresee(
    request: ConversionOptions, model: FloatModel, targets: Sequence[Target]
) -> list[tuple[Target, NetworkReport]]:
    """What each target will make of the float network; a refusal is said before the long work."""
    graph = parse_for_rules(model.network)
    foreseen = [(target, check_float_network(target, graph)) for target in targets]
    for target, part in foreseen:
        raise_if_refused(target.name, [part], request.allow)
    return foreseen


def _finish(
    request: ConversionOptions,
    model: FloatModel,
    images: CalibrationSet,
    made: Sequence[BuiltNetwork],
    foreseen: Sequence[tuple[Target, NetworkReport]],
    folder: Path,
) -> ConversionResult:
    name = model_name(request)
    with stage("measure the float model") as progress:
        baseline = embed_crops(model.network, model.contract, images.held_out.pixels, progress=progress)
    foreign = sorted(set(xnnpack_partitions(model.network).outside))
    crops = images.ranges.pixels[:_GATE_IMAGES]
    for one in made:
        gates = check(one.network, one.recipe, model.contract, crops, foreign=foreign)
        _require_gates(one.recipe, gates)
    times = latencies(list(dict.fromkeys(one.network for one in made)), model.contract, crops[0])
    embeddings = {model.network: baseline}
    artefacts, finished = [], {}
    for one in made:
        recipe, network = one.recipe, one.network
        if network not in embeddings:
            with stage(f"measure {recipe.name}") as progress:
                embeddings[network] = embed_crops(
                    network, model.contract, images.held_out.pixels, progress=progress
                )
        found = fidelity(baseline, embeddings[network], images)
        card = _card(request, name, recipe, model, network, images, found)
        data = with_card(network, card)
        file = f"{name}.{recipe.name}.tflite"
        saved = {
            **recipe.to_json(),
            "calibration": card.calibration,
            "tools": _tools(),
            "source": model.source,
        }
        write_all(folder, {file: data, f"{name}.{recipe.name}.recipe.json": _json(saved)})
        finished[recipe.name] = file, data
        artefacts.append(
            ArtefactResult(
                file=file,
                recipe=recipe.name,
                precision=recipe.precision,
                size_bytes=len(data),
                operators=Graph.parse(network).operator_counts(),
                partitions=xnnpack_partitions(network).count,
                gates=check(data, recipe, model.contract, crops, foreign=foreign),
                cosine_mean=found["cosine_mean"],
                cosine_min=found["cosine_min"],
                worst_image=found["worst_image"],
                latency_ms=times[network],
            )
        )
    report = ConversionResult(
        name=name,
        contract=model.contract,
        dimension=model.dimension,
        source=model.source,
        agreement=model.agreement,
        notes=(
            *model.notes,
            *notes.of_foreign(foreign),
            *notes.of_images(images, model.contract),
            *notes.of_budget(made),
        ),
        calibration=_described(images),
        measured_on=len(images.held_out),
        held_out=images.parted,
        artefacts=tuple(artefacts),
        searches={one.recipe.name: one.search.to_json() for one in made if one.search is not None},
        recoveries={one.recipe.name: one.recovered.to_json() for one in made if one.recovered is not None},
        targets=tuple(_section(request, target, part, finished, folder) for target, part in foreseen),
    )
    _require_accuracy(report, request.min_cosine, made)
    layers = _layer_errors(model, made, images)
    with stage("draw the report"):
        page = render_page(title=name, conversion=report, layers=layers)
    write_all(folder, {f"{name}.report.html": page.encode()})
    return report


def _section(
    request: ConversionOptions,
    target: Target,
    foreseen: NetworkReport,
    finished: Mapping[str, tuple[str, bytes]],
    folder: Path,
) -> TargetReport:
    """Finish what was made for a target."""
    parts = [foreseen]
    told = target_options(target, request.settings)
    with stage(f"finish for {target.name}"):
        for name in target.recipes:
            part, files = finish_artefact(
                target, ArtefactFile.parse(*finished[name], told), allowed=request.allow
            )
            write_all(folder, files)
            parts.append(part)
    return TargetReport(target.name, target.summary, tuple(parts))


def _layer_errors(
    model: FloatModel, made: Sequence[BuiltNetwork], images: CalibrationSet
) -> LayerErrors | None:
    integer = [one for one in made if one.recipe.precision == "int8"]
    if not integer:
        return None
    with stage("measure every tensor") as progress:
        return layer_errors(
            integer[0].twin,
            integer[0].network,
            model.contract,
            images.held_out.pixels[:LAYER_IMAGES],
            names=("float32", integer[0].recipe.name),
            progress=progress,
        )


def _require_gates(recipe: Recipe, gates: Sequence[Gate]) -> None:
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        raise GateError(
            f"{recipe.name}: gate {failed[0].name!r} failed: wanted {failed[0].wanted}, found {failed[0].found}",
            hint="nothing was written; edge-convert inspect shows the source's operators",
        )


def _require_accuracy(report: ConversionResult, min_cosine: float, made: Sequence[BuiltNetwork]) -> None:
    found = {one.recipe.name: one.search for one in made if one.search is not None}
    # What was searched for in vain says most.
    for artefact in sorted(report.artefacts, key=lambda artefact: artefact.recipe not in found):
        if artefact.cosine_mean < min_cosine:
            raise AccuracyGateError(
                f"{artefact.file}: cosine to float {artefact.cosine_mean:.4f} on {report.measured_on} images,"
                f" wanted at least {min_cosine:g}; nothing was written",
                hint=found[artefact.recipe].held_back()
                if artefact.recipe in found
                else "--recipe auto searches for a better one; without --min-cosine the files are written and"
                " the report says what they are worth",
            )


def _card(
    request: ConversionOptions,
    name: str,
    recipe: Recipe,
    model: FloatModel,
    network: bytes,
    images: CalibrationSet,
    fidelity: dict[str, Any],
) -> ModelCard:
    backend = LiteRtBackend(network)
    card = ModelCard(
        name=name,
        version=request.version,
        target=recipe.target,
        precision=recipe.precision,
        dimension=model.dimension,
        input=model.contract,
        network_sha256="",
        output_scale=backend.output.scale,
        output_zero_point=backend.output.zero_point,
        description=request.description,
        licence=request.licence,
        recipe=recipe.to_json(),
        source=model.source,
        fidelity=fidelity,
        golden=golden_vectors(network, model.contract),
    )
    return replace(card, calibration=_described(images)) if recipe.precision == "int8" else card


def _described(images: CalibrationSet) -> dict[str, Any]:
    return {"images": len(images.ranges), "available": images.available, "sha256": images.ranges.sha256}


def _tools() -> dict[str, str]:
    names = ("ai-edge-quantizer", "ai-edge-litert", "numpy")
    return {name: metadata.version(name) for name in names}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
