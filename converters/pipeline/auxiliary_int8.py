"""The int8 file of an auxiliary network: quantized with images, or replayed from recorded statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.analyze.output_errors import output_errors, output_values
from converters.analyze.replay_check import check_auxiliary, raise_if_different, record_auxiliary
from converters.data.calibration import CalibrationSet
from converters.errors import ConversionError
from converters.graph.attach_card import with_network_card
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.output import write_all
from converters.pipeline.artefacts import json_bytes, tool_versions
from converters.pipeline.auxiliary_report import AuxiliaryArtefact
from converters.pipeline.measured_images import describe_calibration
from converters.progress import stage
from converters.quantize.int8 import QuantizedNetwork, quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.recorded import Recording
from converters.quantize.saved_recipe import SavedRecipe, read_saved
from converters.quantize.statistics import channel_statistics
from edge_sdk.model.network_card import FACE_DETECTOR, NetworkCard
from edge_sdk.types import UInt8Array
from edge_sdk.vision.resize import fit

#: Name of the shipped recipe.
RECIPE = "auxiliary_int8"
#: Images per row and per column of a detector's calibration frames, so that faces appear in several sizes.
_MOSAICS = (1, 2, 4)


def read_auxiliary_recipe(path: Path, *, with_images: bool) -> SavedRecipe:
    """Read a recipe file that an earlier conversion of an auxiliary network saved.

    Args:
        path: The file.
        with_images: True if there are calibration images, so that the recipe needs no statistics.

    Raises:
        ConversionError: The file cannot be read, is the recipe of an embedding network, or has no statistics.
    """
    saved = read_saved(path)
    recipe = saved.recipe
    if (recipe.name, recipe.precision, recipe.target) != (RECIPE, "int8", "cpu"):
        raise ConversionError(
            f"{path}: expected a recipe named {RECIPE!r} for cpu int8, found {recipe.name!r} for {recipe.target}"
            f" {recipe.precision}",
            hint="use the recipe as a conversion saved it",
        )
    if saved.missing() and not with_images:
        raise ConversionError(
            f"{path}: expected a recipe with statistics, but this recipe {saved.missing()}",
            hint="give --calibration IMAGES, or a recipe that this version saved",
        )
    return saved


def write_int8(
    folder: Path, network: Network, card: NetworkCard, images: CalibrationSet, saved: SavedRecipe | None
) -> AuxiliaryArtefact:
    """Quantize with calibration images, and write the file and its recipe.

    Args:
        folder: Folder for the files.
        network: The canonical float network.
        card: Card of the float file.
        images: The calibration images.
        saved: A recipe file to use instead of the shipped recipe; its statistics are measured again.
    """
    recipe = shipped(RECIPE) if saved is None else saved.recipe
    detector = card.task == FACE_DETECTOR
    pixels = mosaics(images.ranges.pixels) if detector else images.ranges.pixels
    with stage("calibrate") as progress:
        statistics = channel_statistics(network, card.input, pixels, progress=progress)
    with stage("quantize"):
        quantized = quantize_int8(network, recipe, statistics, card.input, pixels)
    held_out = mosaics(images.held_out.pixels) if detector else images.held_out.pixels
    with stage("measure"):
        errors = output_errors(
            output_values(network, card, held_out), output_values(quantized.network, card, held_out)
        )
    fidelity = {"error_share": errors, "images": len(images.held_out), "held_out": images.split}
    card = _int8_card(card, recipe, describe_calibration(images), fidelity)
    recording = _record(network, quantized, card)
    value = {**recipe.to_json(), "tools": tool_versions(), "source": card.source, **recording.to_json()}
    artefact = write_network(folder, _file(card, recipe), quantized.network, card, errors)
    write_all(folder, {f"{_stem(card, recipe)}.recipe.json": json_bytes(value)})
    return artefact


def replay_auxiliary(
    folder: Path, network: Network, card: NetworkCard, saved: SavedRecipe, recording: Recording
) -> AuxiliaryArtefact:
    """Quantize with recorded statistics, compare with the recorded network, and write the file and its recipe.

    Raises:
        ConversionError: The recording is that of another network.
        AccuracyGateError: The network differs from the recorded one beyond the tolerance.
    """
    recipe = saved.recipe
    if recording.contract != card.input:
        raise ConversionError(
            f"{saved.path}: expected the input contract of this network, {card.input.describe()}, found"
            f" {recording.contract.describe()}; the statistics are those of another network",
            hint="replay a recipe on the file that it was recorded from, or convert with --calibration",
        )
    with stage("quantize"):
        quantized = saved.replay(network)
    with stage("compare with the recording"):
        check = check_auxiliary(quantized.network, network, card.input, card.outputs, recording)
    raise_if_different(_file(card, recipe), check)
    fidelity = recording.fidelity if check.same_bytes else {}
    card = _int8_card(card, recipe, recording.calibration, fidelity)
    artefact = write_network(
        folder, _file(card, recipe), quantized.network, card, fidelity.get("error_share", {})
    )
    write_all(folder, {f"{_stem(card, recipe)}.recipe.json": json_bytes(saved.value)})
    return replace(artefact, replay=check)


def _record(network: Network, quantized: QuantizedNetwork, card: NetworkCard) -> Recording:
    return Recording(
        contract=card.input,
        statistics=quantized.statistics,
        float_sha256=network.digest,
        int8_sha256=quantized.network.digest,
        calibration=card.calibration,
        fidelity=card.fidelity,
        outputs=record_auxiliary(quantized.network, network, card.input, card.outputs),
    )


def _stem(card: NetworkCard, recipe: Recipe) -> str:
    return f"{card.name}.{recipe.target}_{recipe.precision}"


def _file(card: NetworkCard, recipe: Recipe) -> str:
    return f"{_stem(card, recipe)}.tflite"


def _int8_card(
    card: NetworkCard, recipe: Recipe, calibration: Mapping[str, Any], fidelity: Mapping[str, Any]
) -> NetworkCard:
    return replace(
        card, precision="int8", recipe=recipe.to_json(), calibration=calibration, fidelity=fidelity
    )


def write_network(
    folder: Path, file: str, network: Network, card: NetworkCard, errors: Mapping[str, float]
) -> AuxiliaryArtefact:
    """Write a network with its card."""
    data = with_network_card(network, card)
    write_all(folder, {file: data})
    partitions = xnnpack_partitions(network)
    return AuxiliaryArtefact(
        file, card.precision, len(data), partitions.count, partitions.outside, dict(errors)
    )


def mosaics(pixels: UInt8Array) -> UInt8Array:
    """Compose frames of one, four and sixteen images, so that faces appear in several sizes.

    A detector sees large and small faces, but the calibration images show only one size, and activation ranges depend
    on the size.

    Args:
        pixels: Shape (n, H, W, 3), uint8.

    Returns:
        Shape (m, H, W, 3), uint8; at most 2 n frames.
    """
    count, height, width, channels = pixels.shape
    frames = []
    for side in _MOSAICS:
        group = side * side
        for start in range(0, count - group + 1, group):
            frame = np.zeros((height, width, channels), np.uint8)
            rows, columns = height // side, width // side
            for place, image in enumerate(pixels[start : start + group]):
                top, left = (place // side) * rows, (place % side) * columns
                frame[top : top + rows, left : left + columns] = fit(image, rows, columns)
            frames.append(frame)
    return np.stack(frames)
