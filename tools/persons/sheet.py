"""Contact sheet of drawn persons: a row per person, two pictures of each camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tools.persons.cameras import CAMERAS, develop
from tools.persons.dataset import Settings, person_sets, pictures_of

_PERSONS, _PICTURES = 8, 2  # four pairs of look-alikes


def draw_sheet(settings: Settings, path: Path) -> None:
    """Draw the first eight persons of the evaluation at all cameras and write a PNG file."""
    measured = next(group for group in person_sets(settings) if group.folder == "new_cameras")
    shown = replace(settings, pictures=_PICTURES)
    rows = [
        np.concatenate([develop(picture) for _, picture in pictures_of(shown, subject, CAMERAS)], axis=1)
        for subject in measured.persons[:_PERSONS]
    ]
    Image.fromarray(np.concatenate(rows)).save(path)
