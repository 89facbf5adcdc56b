"""Gather the values of a run's page and write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.samples import SampleSet
from converters.number_format import count
from edge_sdk.types import UInt8Array
from edge_train.losses.choice import defaults
from edge_train.pages.training_page import PageContent, names_of_pictures, render_training_page
from edge_train.plan import Plan
from edge_train.run.augmentation import contact_sheet
from edge_train.run.conversion import Conversion
from edge_train.run.measurement import Measurement
from edge_train.run.pictures import CheckedPictures
from edge_train.run.request import TrainingRequest
from edge_train.run.training import TrainedNetwork
from edge_train.run.work_folder import write_whole

_SHOWN_PX = 256


def write_page(
    request: TrainingRequest,
    plan: Plan,
    pictures: CheckedPictures,
    trained: TrainedNetwork,
    conversion: Conversion,
    measured: Measurement,
    values: Mapping[str, Any],
    folder: Path,
    *,
    loss: str | None = None,
) -> None:
    """Write ``NAME.training.html``; ``loss`` names what was minimized in place of the plan's loss."""
    from edge_train.training.curves import CURVE_FMR

    samples = pictures.split.evaluation.as_sample_set()
    names = names_of_pictures(measured.main, measured.embedded)
    page = render_training_page(
        PageContent(
            name=request.model_name,
            evaluations=[e for e in measured.evaluations if e.artefact.precision in ("float32", "int8")],
            main=measured.main,
            comparison=measured.comparison,
            embedded=measured.embedded,
            size_bytes=conversion.main.size_bytes,
            losses=trained.values["losses"],
            curve=trained.values["curve"],
            curve_fmr=CURVE_FMR,
            facts=_facts(plan, trained, conversion, values, loss),
            split=[(part, len(own.names), len(own.flat)) for part, own in pictures.parts()],
            checks=[problem.text for problem in pictures.report.problems],
            notes=[*values["notes"], *values["refusals"]],
            pictures=_pixels(samples, names) if request.show_pictures else None,
            sheet=contact_sheet(pictures.split.train, plan) if request.show_pictures else None,
            pairs=measured.pairs,
            data=values,
        )
    )
    write_whole(folder / f"{request.model_name}.training.html", page.encode())


def _facts(
    plan: Plan,
    trained: TrainedNetwork,
    conversion: Conversion,
    values: Mapping[str, Any],
    loss: str | None,
) -> list[tuple[str, str]]:
    per_batch = min(plan.subjects_per_batch, values["split"]["train"]["subjects"])
    settings = defaults(
        plan.loss,
        classes=values["split"]["train"]["subjects"],
        dimension=plan.dimension,
        steps=trained.values["steps"],
    )
    margins = [f"{name} {_short(value)}" for name, value in {**settings, **plan.loss_settings}.items()]
    times = [
        f"{file.file} {'unreliable beside other work' if file.time_ratio is None else f'{file.time_ratio:.2f}x'}"
        for file in conversion.files[1:]
    ]
    return [
        ("Input", f"{plan.size[0]} x {plan.size[1]} px, {plan.color}"),
        ("Network", _network(plan, values)),
        ("Loss", loss or ", ".join([plan.loss, *margins])),
        ("Augmentation", plan.augmentation),
        ("Batch", f"{per_batch} subjects x {plan.images_per_subject} images"),
        ("Steps", count(trained.values["steps"])),
        ("Learning rate", f"{plan.learning_rate:g}, weight decay {plan.weight_decay:g}"),
        ("Seed", str(plan.seed)),
        ("Time of training", f"{trained.values['seconds']:.0f} s"),
        (
            "Time of an inference",
            f"relative to the float file: {', '.join(times)}" if times else "not measured",
        ),
        ("Conversion", conversion.verdict),
        ("Targets", ", ".join(plan.targets)),
    ]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _network(plan: Plan, values: Mapping[str, Any]) -> str:
    length = count(plan.dimension, "value")
    if "start" in values["identity"]:
        return f"from {values['transfer']['file']}, {length}"
    return f"{plan.backbone}, width {plan.width:g}, {length}"


def _pixels(samples: SampleSet, names: tuple[str, ...]) -> dict[str, UInt8Array]:
    """Read pictures, reduced so that photographs do not fill the memory."""
    chosen = set(names)
    return {
        sample.name: _reduced(samples.image(sample)) for sample in samples.samples if sample.name in chosen
    }


def _reduced(pixels: UInt8Array) -> UInt8Array:
    from PIL import Image

    if max(pixels.shape[:2]) <= _SHOWN_PX:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return np.asarray(image)
