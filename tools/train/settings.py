"""The numbers of a training run, in one value."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import EdgeSdkError


class SettingsMismatchError(EdgeSdkError, ValueError):
    """The work folder holds a run with other settings."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the model; the same settings make the same products and photos.

    Attributes:
        families: Brands trained on, 1..800 (the held-out ones come after).
        variants: Flavours of each brand trained on, 1..4 (the others are held out).
        photos: Photos of each product.
        learning_rate: Peak of the cosine schedule.
        margin: ArcFace's additive angular margin, radians, reached after a warm-up.
        scale: ArcFace's feature scale.
    """

    seed: int = 7
    families: int = 320
    variants: int = 4
    photos: int = 24
    epochs: int = 8
    batch: int = 64
    embedding: int = 96
    learning_rate: float = 2.5e-3
    weight_decay: float = 1e-4
    margin: float = 0.4
    scale: float = 32.0

    def claim(self, work: Path) -> None:
        """Make `work` the folder of this run, or find that it already is.

        Raises:
            SettingsMismatchError: the folder holds another run.
        """
        work.mkdir(parents=True, exist_ok=True)
        note = work / "settings.json"
        mine = json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"
        if note.exists() and note.read_text(encoding="utf-8") != mine:
            raise SettingsMismatchError(
                f"{work} holds a run with other settings than these",
                hint="name another folder with --work, or delete that one",
            )
        note.write_text(mine, encoding="utf-8")
