"""Notes of a conversion for the reader of its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from converters.analyze.calibration_check import CalibrationCheck
from converters.data.calibration import CalibrationSet
from converters.pipeline.build import BuiltNetwork
from converters.pipeline.options import ConversionOptions
from converters.results import ArtefactResult

#: The price is measured in docs/measurements/int8.md.
DRAWN_NOTE = (
    "calibrated without images, on drawn pictures: all figures are from drawn pictures. With --recipe auto, three public face"
    " networks lost 0.1 to 0.4 points of TAR against float on photographs; with the plain recipe one of them lost 2.6 points."
    " Networks for other things were not measured. Calibrate with --calibration IMAGES if there are any"
)


def unsupported_notes(unsupported: Sequence[str]) -> list[str]:
    """List a note on the operators that XNNPACK does not run in the float network."""
    if not unsupported:
        return []
    return [
        f"XNNPACK does not run {', '.join(unsupported)}, in float either: slower kernels run them, between"
        " partitions; a network with other layers in their place would be faster"
    ]


def image_notes(images: CalibrationSet, check: CalibrationCheck | None) -> list[str]:
    """List notes on the calibration images or arrays."""
    if images.drawn:
        return [DRAWN_NOTE]
    notes = [] if check is None else check.notes()
    if images.resized:
        height, width = images.ranges.pixels.shape[1:3]
        notes.append(
            f"images of another size than {height}x{width}: {images.resized}; each was cut around its centre to that"
            " aspect ratio and resized, as the device will do"
        )
    if not images.split:
        notes.append(
            "too few images to hold any out: fidelity was measured on the calibration images themselves"
        )
    return notes


def gate_notes(artefacts: Iterable[ArtefactResult]) -> list[str]:
    """List a note for each gate that failed and was allowed by the user."""
    return [gate.note(artefact.file) for artefact in artefacts for gate in artefact.gates if gate.allowed]


def search_notes(built: Sequence[BuiltNetwork]) -> list[str]:
    """List a note for each search on labelled images."""
    budgets = [network.search.budget for network in built if network.search is not None]
    notes = [
        f"the recipe was chosen on the {budget['images']} images of {budget['data_set']}:"
        " measure the file on other images"
        for budget in budgets
        if "data_set" in budget
    ]
    return list(dict.fromkeys(notes))


def earlier_file_notes(options: ConversionOptions, refused: Iterable[str]) -> list[str]:
    """List a note for each file of an earlier conversion that stays in the output folder, because its recipe was refused now."""
    files = [f"{options.model_name}.{recipe}.tflite" for recipe in refused]
    return [
        f"{file} in the output folder is of an earlier conversion; this conversion refused to write it"
        for file in files
        if (options.output / file).exists()
    ]
