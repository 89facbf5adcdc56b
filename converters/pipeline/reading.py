"""Read the inputs of a conversion: calibration images, labelled images, and the float model with its checked contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.analyze.calibration_check import check_calibration
from converters.analyze.collapse import (
    RULE,
    CollapseCheck,
    check_collapse,
    different_images,
    raise_if_collapsed,
)
from converters.analyze.contract import ContractCheck, check_contract, raise_if_refused
from converters.data.alignment_check import zoo_detector
from converters.data.calibration import CalibrationSet, draw_calibration, read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.errors import CalibrationError
from converters.pipeline.measured_images import MeasuredImages
from converters.pipeline.options import ConversionOptions, DrawnCalibration, ErrorRateLimit, Search
from converters.pipeline.replay import RecipePlan, recorded_collapse, recorded_contract_check
from converters.progress import stage
from converters.quantize.error_rate_budget import LabelledCrops, check_support, read_labelled
from converters.sources.float_model import FloatModel, read_float_model
from edge_sdk.model.array_contract import AnyContract


def read_images(options: ConversionOptions, plan: RecipePlan) -> CalibrationSet | None:
    """Read or draw the calibration images; None if recorded statistics are replayed."""
    if options.calibration is None:
        return None
    training = any(recipe.distillation_steps for recipe in plan.recipes)
    if isinstance(options.calibration, DrawnCalibration):
        if training:
            raise CalibrationError(
                "expected calibration images, because the recipe contains a training; found drawn pictures",
                hint="give --calibration IMAGES",
            )
        with stage("draw calibration pictures"):
            return draw_calibration(plan.contract, seed=options.calibration.seed)
    with stage("read calibration images") as progress:
        return read_calibration(
            str(options.calibration),
            plan.contract,
            training=training or options.distillation is not None,
            progress=progress,
        )


def read_labelled_images(options: ConversionOptions, contract: AnyContract) -> LabelledCrops | None:
    """Read the labelled images of a limit on error rates, and check that they suffice to measure it."""
    search = options.quantization
    if not isinstance(search, Search) or not isinstance(search.budget, ErrorRateLimit):
        return None
    limit = search.budget
    with stage("read labelled images") as progress:
        labelled = read_labelled(limit.images, contract, progress=progress)
    check_support(labelled.subjects, fmr=limit.at_fmr, max_loss=limit.max_fnmr_loss)
    return labelled


def read_model(
    options: ConversionOptions, plan: RecipePlan, images: CalibrationSet | None, measured: MeasuredImages
) -> tuple[FloatModel, ContractCheck]:
    """Read the float model and check its input contract before the long work.

    Raises:
        ContractRefusedError: The contract is refused and not allowed by the options.
    """
    inputs = real_inputs(measured.witness, plan.contract)
    with stage("convert to float .tflite"):
        model = read_float_model(
            options.model, contract=plan.contract, inputs=inputs, output_name=options.output_name
        )
    with stage("check the input contract") as progress:
        if images is None:
            no_images = np.empty((0, *model.contract.shape), model.contract.dtype)
            check = recorded_contract_check(
                check_contract(model.network, model.contract, no_images), plan.saved
            )
        else:
            check = check_contract(model.network, model.contract, images.ranges.pixels, progress=progress)
    check = raise_if_refused(check, options.allow)
    return replace(model, source={**model.source, "input_contract": check.summary()}), check


def check_different_images(
    options: ConversionOptions,
    plan: RecipePlan,
    model: FloatModel,
    images: CalibrationSet | None,
    contract: ContractCheck,
) -> tuple[FloatModel, CollapseCheck | None]:
    """Check before the long work that different images have different embeddings; without images, as found at recording.

    A user who allows a refused contract allows its consequences, too. An allowed collapse is saved with the source.

    Raises:
        GateError: They have nearly the same embedding, and the options do not allow it.
    """
    if images is None:
        recorded = recorded_collapse(plan.saved)
        if recorded is None:
            return model, None
        check = recorded
    else:
        with stage("compare different images"):
            crops = different_images(images.ranges.pixels)
            check = check_collapse(embed_crops(model.network, model.contract, crops))
    check = raise_if_collapsed(check, (RULE,) if contract.status == "allowed" else options.allow)
    if check.allowed:
        model = replace(model, source={**model.source, RULE: check.to_json()})
    return model, check


def check_images(model: FloatModel, images: MeasuredImages) -> MeasuredImages:
    """Check photographs for calibration; drawn pictures need no check."""
    if images.calibration is None or images.calibration.drawn:
        return images
    with stage("check the calibration images") as progress:
        check = check_calibration(
            model.network, model.contract, images.calibration, zoo_detector(), progress=progress
        )
    return replace(images, check=check)
