"""The contact sheet of a run: some training pictures and augmented versions of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.data.samples import open_samples
from converters.output import replace_file
from edge_train.data.augment import make_augment
from edge_train.data.subjects import Subjects
from edge_train.pages.contact_sheet import draw_contact_sheet
from edge_train.plan import Plan
from edge_train.run.request import PlanSource
from edge_train.run.training import input_contract

_ROWS = 6


def contact_sheet(subjects: Subjects, plan: Plan) -> bytes:
    """Draw six pictures of different subjects, and versions of them as training steps see them.

    Args:
        subjects: Subjects to take pictures of.
        plan: Size and colour of the pictures, augmentation and seed.

    Returns:
        A PNG file.
    """
    contract = input_contract(plan)
    count = min(_ROWS, len(subjects.names))
    rows = [place * len(subjects.names) // count for place in range(count)]
    pictures = [np.asarray(subjects.samples.at_size(subjects.images[row][0], contract)) for row in rows]
    return draw_contact_sheet(
        pictures,
        make_augment(plan.augmentation, strength=plan.augmentation_strength),
        title=f"augmentation: {plan.augmentation}",
        names=[subjects.names[row] for row in rows],
        seed=plan.seed,
    )


def write_sheet(pictures: Path, plan: Plan | PlanSource, file: Path) -> None:
    """Write the contact sheet of a folder of pictures.

    Raises:
        InputError: The pictures cannot be read.
        ConversionError: The file cannot be written.
    """
    subjects = Subjects.of(open_samples(pictures))
    chosen = plan if isinstance(plan, Plan) else plan.plan(subjects)
    replace_file(file, contact_sheet(subjects, chosen))
