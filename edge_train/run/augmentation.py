"""The contact sheet of a run: some training pictures and augmented versions of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.output import replace_file
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.data.augment import make_augment
from edge_train.data.folder_check import listed_subjects
from edge_train.data.subjects import Subjects
from edge_train.errors import FolderError
from edge_train.pages.contact_sheet import draw_contact_sheet
from edge_train.plan import Plan
from edge_train.run.request import PlanSource
from edge_train.run.training import input_contract

_ROWS = 6


def contact_sheet(subjects: Subjects, plan: Plan) -> bytes:
    """Draw six pictures of different subjects, and versions of them as training steps see them.

    Args:
        subjects: Subjects to take pictures of; pictures that cannot be read are left out.
        plan: Size and colour of the pictures, augmentation and seed.

    Returns:
        A PNG file.

    Raises:
        FolderError: No picture can be read.
    """
    contract = input_contract(plan)
    total = len(subjects.names)
    count = min(_ROWS, total)
    spread = [place * total // count for place in range(count)]
    shown: list[tuple[str, UInt8Array]] = []
    for row in dict.fromkeys([*spread, *range(total)]):
        pixels = _first_picture(subjects, row, contract)
        if pixels is not None:
            shown.append((subjects.names[row], pixels))
        if len(shown) == count:
            break
    if not shown:
        raise FolderError("expected pictures that can be read, found none", hint="--check names the problems")
    return draw_contact_sheet(
        [pixels for _, pixels in shown],
        make_augment(plan.augmentation, strength=plan.augmentation_strength),
        title=f"augmentation: {plan.augmentation}",
        names=[name for name, _ in shown],
        seed=plan.seed,
    )


def _first_picture(subjects: Subjects, row: int, contract: InputContract) -> UInt8Array | None:
    """Return the first picture of a subject that can be read; None if there is none."""
    for sample in subjects.images[row]:
        try:
            return np.asarray(subjects.samples.at_size(sample, contract))
        except (AcquisitionError, InputError):
            continue
    return None


def write_sheet(pictures: Path, plan: Plan | PlanSource, file: Path) -> None:
    """Write the contact sheet of a folder or archive of pictures, which are not checked first.

    Raises:
        FolderError: No picture can be read.
        ConversionError: The file cannot be written.
    """
    subjects = listed_subjects(pictures)
    chosen = plan if isinstance(plan, Plan) else plan.plan(subjects)
    replace_file(file, contact_sheet(subjects, chosen))
