"""Settings of a training run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import EdgeSdkError


class SettingsMismatchError(EdgeSdkError, ValueError):
    """The work folder belongs to a run with other settings."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that determine the model; the same settings give the same products and photos.

    Attributes:
        families: Number of training brands, 1..800; the brands after them are held out.
        variants: Number of training flavours per brand, 1..4; the others are held out.
        photos: Photos per product.
        backbone: Name of a backbone of ``edge_train``.
        embedding: Length of the embedding.
        learning_rate: Peak of the cosine schedule.
        margin: Additive angular margin of ArcFace, radians, reached after a warm-up.
        scale: Feature scale of ArcFace.
        augmentation: Factor for the widths of the random changes of a photo in training; 0 for none.
    """

    seed: int = 7
    families: int = 320
    variants: int = 4
    photos: int = 24
    epochs: int = 20
    batch: int = 64
    backbone: str = "quantized"
    embedding: int = 96
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    margin: float = 0.4
    scale: float = 32.0
    augmentation: float = 1.0

    def claim(self, work: Path) -> None:
        """Reserve the folder `work` for this run, or check that it belongs to this run.

        Raises:
            SettingsMismatchError: the folder belongs to a run with other settings.
        """
        work.mkdir(parents=True, exist_ok=True)
        note = work / "settings.json"
        mine = json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"
        if note.exists() and note.read_text(encoding="utf-8") != mine:
            raise SettingsMismatchError(
                f"{work} belongs to a run with other settings",
                hint="give another folder with --work, or delete this folder",
            )
        note.write_text(mine, encoding="utf-8")
