"""What a person should know of a conversion, in sentences for the report."""

from __future__ import annotations

from collections.abc import Sequence

from converters.data.calibration import RECOMMENDED_IMAGES, CalibrationSet
from converters.pipeline.build import BuiltNetwork
from edge_sdk.model.card import InputContract


def of_foreign(operators: Sequence[str]) -> list[str]:
    """Of operators that XNNPACK leaves alone in the float network already."""
    if not operators:
        return []
    return [
        f"XNNPACK runs the network without its {', '.join(operators)}, in float as well: slower kernels and"
        " more than one partition; another layer in their place would be faster"
    ]


def of_images(images: CalibrationSet, contract: InputContract) -> list[str]:
    """Of the calibration images: another size, too few, none held out."""
    notes = []
    if images.resized:
        notes.append(
            f"images of another size than {contract.height}x{contract.width}: {images.resized};"
            " cut to that shape around the centre and resized, as the device will do"
        )
    if len(images.ranges) < RECOMMENDED_IMAGES:
        notes.append(
            f"images that the ranges stand on: {len(images.ranges)}; {RECOMMENDED_IMAGES} or more are recommended"
        )
    if not images.parted:
        notes.append(
            "too few images to hold any out: fidelity was measured on the calibration images themselves"
        )
    return notes


def of_budget(made: Sequence[BuiltNetwork]) -> list[str]:
    """Of images that chose a recipe."""
    return [
        f"the recipe was chosen on the {one.search.budget['images']} images of {one.search.budget['data_set']}:"
        " measure the file on others"
        for one in made
        if one.search is not None and "data_set" in one.search.budget
    ]
