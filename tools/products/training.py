"""Train the reference model on the photos with ``edge_train``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from tools.products.photos import MEAN, SCALE, SIZE_PX
from tools.products.settings import Settings

if TYPE_CHECKING:
    import keras

    from edge_train.data.augment import Augment

NAME = "products"


def input_contract() -> InputContract:
    """Return size and normalization of the network's input."""
    return InputContract(SIZE_PX, SIZE_PX, "rgb", (MEAN,) * 3, (SCALE,) * 3)


class PhotoBatches:
    """Batches of shuffled photos; each epoch uses each photo once. Implements ``edge_train.data.batches.Batches``.

    Args:
        photos: Shape (classes, photos, H, W, 3), uint8, RGB; may be mapped from a file.
        batch: Number of photos per batch, at most that of all photos.
        seed: Seed of the order.
    """

    def __init__(self, photos: UInt8Array, *, batch: int, seed: int) -> None:
        self._flat = photos.reshape(-1, *photos.shape[2:])
        self._per_class, self._size, self._seed = photos.shape[1], batch, seed
        self.per_epoch = len(self._flat) // batch

    def batch(self, step: int) -> tuple[UInt8Array, NDArray[np.int32]]:
        """Return pixels, shape (B, H, W, 3), and labels, shape (B,), of a step."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self._seed, 2, epoch]).permutation(len(self._flat))
        chosen = np.sort(order[place * self._size : (place + 1) * self._size])
        return self._flat[chosen], (chosen // self._per_class).astype(np.int32)


def build(settings: Settings) -> keras.Model:
    """Return the untrained network."""
    from edge_train.backbones import build_backbone

    model = build_backbone(
        settings.backbone,
        input_shape=(SIZE_PX, SIZE_PX, 3),
        dimension=settings.embedding,
        seed=settings.seed,
    )
    model.name = NAME
    return model


def train(settings: Settings, photos: UInt8Array, work: Path) -> keras.Model:
    """Train on `photos`, starting from the checkpoint in `work` if it exists.

    Args:
        settings: Settings of the run.
        photos: Shape (classes, photos, H, W, 3), uint8, RGB.
        work: Folder for the checkpoint and ``history.csv``.

    Returns:
        The trained network.
    """
    from edge_train.losses.margins import ArcFace
    from edge_train.training import loop

    model = build(settings)
    batches = PhotoBatches(photos, batch=settings.batch, seed=settings.seed)
    classes = len(photos)
    loop.train(
        model,
        lambda _: ArcFace(
            classes=classes,
            dimension=settings.embedding,
            scale=settings.scale,
            margin=settings.margin,
            seed=settings.seed,
        ),
        batches,
        input_contract(),
        steps=settings.epochs * batches.per_epoch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        augment=_augmentation(settings.augmentation),
        seed=settings.seed,
        folder=work,
        digest=_digest(settings, classes),
    )
    return model


def _augmentation(strength: float) -> Augment | None:
    """Return random changes of view and light, mild because the photos themselves are rough; None for none."""
    if strength == 0:
        return None
    from edge_train.data.augment.pipeline import augment_batch
    from edge_train.data.augment.ranges import Ranges

    ranges = Ranges(
        rotation=0.1,
        scale=0.08,
        aspect=0.04,
        shift=0.04,
        fill="reflect",
        exposure=0.15,
        temperature=0.06,
        saturation=0.1,
        contrast=0.1,
    ).times(strength)
    return lambda pixels, seed: augment_batch(pixels, seed, ranges)


def _digest(settings: Settings, classes: int) -> str:
    """Return a digest of everything that determines the network; the photos follow from the settings."""
    text = json.dumps({**dataclasses.asdict(settings), "classes": classes}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
