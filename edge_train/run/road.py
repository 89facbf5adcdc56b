"""The stages of a run in order; each finished stage is kept in the work folder."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence
from converters.evaluate.runner.evaluate import Evaluation
from converters.progress import stage
from edge_sdk import __version__
from edge_train.errors import TrainingError
from edge_train.plan import Plan
from edge_train.run.approach import open_approach, read_comparison
from edge_train.run.conversion import Conversion, convert_network
from edge_train.run.measurement import Measurement, measure_files
from edge_train.run.page import write_page
from edge_train.run.pictures import CheckedPictures, check_pictures, list_unlabelled
from edge_train.run.request import TrainingRequest
from edge_train.run.result import SCHEMA, RunResult
from edge_train.run.training import TrainedNetwork, train_network
from edge_train.run.work_folder import WorkFolder, differing_settings, read_values, write_whole

#: Number of pairs of each kind of which the page shows the parts that make their cosine.
EXPLAINED_PAIRS = 2


def run(request: TrainingRequest) -> RunResult:
    """Check and split the pictures, train, convert, measure, and write results and page.

    The output folder appears when everything in it is complete. A run that was interrupted, also by SIGKILL or a full disk, continues with
    the same request: finished stages are not repeated, and training continues from its last checkpoint.

    Args:
        request: Pictures, plan and output.

    Raises:
        FolderError: The pictures cannot be used.
        PlanError: The plan does not fit the pictures.
        CollapseError: The training collapsed.
        TrainingError: The output belongs to another run, or cannot be written.
        ConversionError: The network cannot be converted, or every target refuses it.
    """
    try:
        return _run(request)
    except OSError as error:
        raise TrainingError(
            f"{error.filename2 or error.filename or request.output}: cannot be written: {error.strerror or error}",
            hint="free space or choose another --output; the same command continues with the finished stages",
        ) from error


def _run(request: TrainingRequest) -> RunResult:
    if request.output.resolve().is_relative_to(request.pictures.resolve()):
        raise TrainingError(
            f"{request.output}: expected an output folder outside {request.pictures}, found it inside",
            hint="choose another --output: results among the pictures would count as a subject",
        )
    _check_output(request)
    if request.unlabelled:
        pictures = list_unlabelled(request.pictures, seed=request.plan.seed, evaluation=request.evaluation)
    else:
        pictures = check_pictures(request.pictures, seed=request.plan.seed, split=request.split)
    approach = open_approach(request, pictures)
    plan = approach.plan(request, pictures.split)
    identity = {**_identity(request, plan, pictures), **approach.identity}
    finished = _finished(request, identity)
    if finished is not None:
        WorkFolder.discard(request.output)
        return finished
    with WorkFolder.claim(request.output, _training_identity(identity)) as work:
        if _check_output(request):
            raise TrainingError(
                f"{request.output}: expected a new or empty folder, found the results of a run that ended meanwhile",
                hint="run the same command again to see them",
            )
        began = time.monotonic()
        name, split = request.model_name, pictures.split
        contract = approach.contract(plan)
        approach.prepare(split, work)
        folder, _ = work.stage(
            "trained-events" if request.tensorboard else "trained",
            lambda folder: train_network(
                plan,
                lambda: approach.parts(plan, split, work),
                name,
                digest=plan.training_digest(pictures.digest, __version__, json.dumps(approach.identity)),
                folder=folder,
                work=work.path / "training",
                tensorboard=request.tensorboard,
            ),
        )
        folder = approach.finish(folder, plan, pictures, name, work)
        trained = TrainedNetwork.read(folder, name)
        comparison = read_comparison(folder, name)
        converted, _ = work.stage(
            f"converted-{_short(identity, 'targets')}",
            lambda folder: convert_network(
                trained.network,
                contract,
                split.calibration,
                name=name,
                targets=plan.targets,
                folder=folder,
            ),
        )
        conversion = Conversion.read(converted, name)
        result: list[RunResult] = []

        def finish(folder: Path) -> None:
            measured = None
            if split.evaluation.names:
                measured = measure_files(
                    [file.file for file in conversion.files],
                    conversion.main.file,
                    converted,
                    folder,
                    split.evaluation.as_sample_set(),
                    work=work.path,
                    pairs=EXPLAINED_PAIRS if request.show_pictures else 0,
                )
            else:
                shutil.copytree(converted, folder, dirs_exist_ok=True)
            seconds = time.monotonic() - began
            values = _values(request, pictures, trained, conversion, measured, identity, seconds)
            values["transfer"] = comparison
            if comparison:
                values["notes"] = [*comparison["text"], *values["notes"]]
            shutil.copytree(trained.network.parent, folder, dirs_exist_ok=True)
            if measured is not None:
                with stage("draw the page"):
                    loss = approach.loss
                    write_page(
                        request, plan, pictures, trained, conversion, measured, values, folder, loss=loss
                    )
            write_whole(folder / f"{name}.plan.toml", plan.to_toml().encode())
            write_whole(folder / f"{name}.split.csv", split_csv(pictures).encode())
            write_whole(folder / f"{name}.training.json", json.dumps(values, indent=1).encode())
            result.append(RunResult(request.output, values))

        folder, _ = work.stage(f"output-{_short(identity, *identity)}", finish)
        work.publish(folder, request.output)
    return result[0] if result else _read(request)


def _identity(request: TrainingRequest, plan: Plan, pictures: CheckedPictures) -> dict[str, Any]:
    return {
        "name": request.model_name,
        "plan": replace(plan, targets=Plan.targets).to_toml(),
        "targets": list(plan.targets),
        "pictures": pictures.digest,
        "show_pictures": request.show_pictures,
        "tensorboard": request.tensorboard,
        "version": __version__,
    }


def _training_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what determines the trained network: other targets, or a page without pictures, do not begin a new run."""
    later = ("targets", "show_pictures", "tensorboard")
    return {key: value for key, value in identity.items() if key not in later}


def _short(identity: Mapping[str, Any], *keys: str) -> str:
    """Return a short digest of some values, for the name of a stage that depends on them."""
    values = json.dumps([identity[key] for key in keys])
    return hashlib.sha256(values.encode()).hexdigest()[:8]


def _check_output(request: TrainingRequest) -> bool:
    """Return True if the output folder has a result, False if it is new or empty; refuse anything else."""
    output = request.output
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if not (output / f"{request.model_name}.training.json").is_file():
        raise TrainingError(
            f"{output}: expected a new or empty folder, found files of something else",
            hint="choose another --output",
        )
    return True


def _finished(request: TrainingRequest, identity: Mapping[str, Any]) -> RunResult | None:
    """Return the result in the output folder if it is complete; refuse the result of another request."""
    if not _check_output(request):
        return None
    result = _read(request)
    earlier = result.values["identity"]
    other = [key for key in identity if earlier.get(key) != identity[key]]
    if other:
        raise TrainingError(
            f"{request.output}: expected no results or those of the same {' and '.join(other)}, found those of another"
            f"{differing_settings(earlier, identity)}",
            hint="choose another --output, or remove the folder to train again",
        )
    return result


def _read(request: TrainingRequest) -> RunResult:
    file = request.output / f"{request.model_name}.training.json"
    hint = "choose another --output, or remove the folder to train again"
    keys = ("schema", "identity", "split", "training", "files", "main", "notes", "refusals", "page")
    values = read_values(file, keys=keys, hint=hint)
    if values["schema"] != SCHEMA or not isinstance(values["identity"], dict):
        raise TrainingError(f"{file}: expected the result {SCHEMA}, found other values", hint=hint)
    return RunResult(request.output, values)


def _values(
    request: TrainingRequest,
    pictures: CheckedPictures,
    trained: TrainedNetwork,
    conversion: Conversion,
    measured: Measurement | None,
    identity: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    sizes = {file.file: file for file in conversion.files}
    rates: dict[str, dict[str, Any]] = {name: {"eer": None, "points": [], "thresholds": []} for name in sizes}
    if measured is not None:
        rates = {e.artefact.file: _rates(e, measured) for e in measured.evaluations}
    return {
        "schema": SCHEMA,
        "name": request.model_name,
        "identity": dict(identity),
        "split": {
            part: {"subjects": len(own.names), "images": len(own.flat)} for part, own in pictures.parts()
        },
        "check": pictures.report.to_json(),
        "training": trained.to_json(),
        "main": conversion.main.file,
        "files": [{**asdict(sizes[name]), **own} for name, own in rates.items()],
        "conversion": conversion.verdict,
        "notes": [*_notes(measured), *conversion.notes],
        "refusals": list(conversion.refusals),
        "page": None if measured is None else f"{request.model_name}.training.html",
        "seconds": seconds,
    }


def _notes(measured: Measurement | None) -> list[str]:
    if measured is None:
        return ["no threshold and no error rate, because no evaluation subjects were given"]
    notes = list(measured.main.notes)
    if measured.without_claim:
        point = measured.main.verification.points[0]
        claim = point if isinstance(point, Unsupported) else point.claim
        reason = f": {claim.reason}" if isinstance(claim, Unsupported) else ""
        notes.append(
            f"no threshold in the card of {', '.join(measured.without_claim)}, because the evaluation subjects are too"
            f" few{reason}"
        )
    return notes


def _rates(evaluation: Evaluation, measured: Measurement) -> dict[str, Any]:
    evidence = evaluation.verification
    card = measured.cards.get(evaluation.artefact.file)
    return {
        "eer": None if isinstance(evidence.eer, Unsupported) else evidence.eer.rate,
        "points": [
            {"fmr": point.target_fmr, "tar": point.measured.tar}
            for point in evidence.points
            if isinstance(point, OperatingPointEvidence) and point.measured.tar is not None
        ],
        "thresholds": []
        if card is None
        else [{"fmr": point.fmr, "threshold": point.threshold} for point in card.points],
    }


def split_csv(pictures: CheckedPictures) -> str:
    """Return the part of each subject as the text of a CSV file, which ``--split`` takes."""
    out = io.StringIO()
    # csv does not quote a carriage return, which a reader takes for the end of the line.
    unusual = any("\r" in subject for _, own in pictures.parts() for subject in own.names)
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if unusual else csv.QUOTE_MINIMAL)
    writer.writerow(("subject", "part"))
    writer.writerows((subject, part) for part, own in pictures.parts() for subject in own.names)
    return out.getvalue()
