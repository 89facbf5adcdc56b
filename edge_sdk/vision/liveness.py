"""Presentation attack detection: is it a person, or a picture of one?

An RGB camera alone cannot tell for certain; docs/explanation/faces.md says what it can. Terms of ISO/IEC 30107-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_sdk.errors import InputError, ModelCardError, ModelContractError
from edge_sdk.model.network_card import PRESENTATION_ATTACK_DETECTOR
from edge_sdk.runtime.network import Network
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.faces import Face
from edge_sdk.vision.images import check_face
from edge_sdk.vision.resize import resize_bilinear

_LIVE_CLASS, _CLASSES = 1, 3
_MAX_CROP_SCALE = 16.0


@dataclass(frozen=True)
class Presentation:
    """What a presentation attack detector found.

    Args:
        score: 0..1, higher is more likely a person before the camera (bona fide).
        threshold: From where on it counts as one.
        parts: Each network's own score.
    """

    score: float
    threshold: float
    parts: tuple[float, ...] = ()

    @property
    def bona_fide(self) -> bool:
        """Whether it counts as a person; a score that is no number never does."""
        return self.score >= self.threshold


class PresentationAttackDetector(Protocol):
    """Judges one face of one frame."""

    def assess(self, frame: UInt8Array, face: Face) -> Presentation:
        """Judge a face of an RGB frame of shape (H, W, 3), uint8."""


class MiniFasNet:
    """Minivision's Silent-Face networks: crops of several sizes around the box, their answers averaged.

    Each network sees its crop of the face's box times its ``crop_scale``, which shows what is around the face: the
    edge of a print or a screen. They were trained on crops sampled bilinearly without smoothing, so they get
    such.

    Args:
        networks: One or more, with ``crop_scale`` in their cards' parameters.
        threshold: From which mean score on a face is bona fide. One half is where the networks' makers put it;
            measure your own with your camera, your light and your attacks.

    Raises:
        InputError: No network, or a threshold outside 0..1.
        ModelCardError: A card names another method, or no crop scale.
        ModelContractError: A network does not give three classes.
    """

    def __init__(self, networks: Sequence[Network], *, threshold: float = 0.5) -> None:
        if not networks:
            raise InputError("expected one or more networks, found none")
        if not 0 < threshold <= 1:
            raise InputError(f"expected a threshold above 0 and up to 1, found {threshold!r}")
        for network in networks:
            _check(network)
        self.threshold = threshold
        self._networks = tuple(networks)

    @classmethod
    def open(cls, *paths: str | Path, threshold: float = 0.5, threads: int = 1) -> MiniFasNet:
        """Open the files that ``edge-convert auxiliary --method minifasnet`` made.

        Raises:
            ModelError: A file is missing, altered, or not such a network.
            BackendUnavailableError: No interpreter is installed.
        """
        task = PRESENTATION_ATTACK_DETECTOR
        return cls([Network.open(path, task=task, threads=threads) for path in paths], threshold=threshold)

    def assess(self, frame: UInt8Array, face: Face) -> Presentation:
        """Judge a face.

        Args:
            frame: Shape (H, W, 3), uint8, RGB; as the camera gave it, not enlarged or sharpened.
            face: Its box is what is looked around.

        Raises:
            InputError: Not a frame, or a box without an area or outside the frame.
        """
        check_face(frame, 3)
        parts = tuple(self._live(network, frame, face) for network in self._networks)
        return Presentation(float(np.mean(parts)), self.threshold, parts)

    def _live(self, network: Network, frame: UInt8Array, face: Face) -> float:
        contract = network.card.input
        crop = surroundings(frame, face, network.card.parameters["crop_scale"])
        (logits,) = network.run(resize_bilinear(crop, contract.height, contract.width)).values()
        return _share(logits.ravel())


def surroundings(frame: UInt8Array, face: Face, scale: float) -> UInt8Array:
    """The part of a frame around a face's box, so many times as large, moved and shrunk to lie inside the frame.

    Args:
        frame: Shape (H, W, 3), uint8.
        face: Whose box.
        scale: How many times as wide and as high; less where the frame has no room.

    Returns:
        A view, shape (h, w, 3).

    Raises:
        InputError: A box without an area, or outside the frame.
    """
    rows, columns = frame.shape[:2]
    left, top, width, height = face.box
    inside = left < columns and top < rows and left + width > 0 and top + height > 0
    if not (np.isfinite(face.box).all() and width >= 1 and height >= 1 and inside):
        raise InputError(f"expected a face's box in a frame of {rows}x{columns}, found {face.box}")
    scale = min(scale, (columns - 1) / width, (rows - 1) / height)
    x = _placed(left + width / 2, width * scale, columns)
    y = _placed(top + height / 2, height * scale, rows)
    return frame[y, x]


def _placed(middle: float, length: float, available: int) -> slice:
    """Where a stretch lies around a middle, moved to lie between 0 and the last pixel."""
    start = min(max(middle - length / 2, 0.0), max(available - 1 - length, 0.0))
    return slice(int(start), min(int(start + length) + 1, available))


def _share(logits: FloatArray) -> float:
    """The live class's share after softmax; nothing finite is no person."""
    if not np.isfinite(logits).all():
        return 0.0
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return float(powers[_LIVE_CLASS] / powers.sum())


def _check(network: Network) -> None:
    card = network.card
    if card.task != PRESENTATION_ATTACK_DETECTOR or card.method != "minifasnet":
        raise ModelCardError(
            f"network card: expected a presentation attack detector by minifasnet, found a {card.task} by {card.method}"
        )
    if not 1 <= card.parameters.get("crop_scale", 0.0) <= _MAX_CROP_SCALE:
        raise ModelCardError(
            f"network card: expected a crop_scale of 1..{_MAX_CROP_SCALE:g}, found {dict(card.parameters)}",
            hint="convert it again and say --crop-scale",
        )
    shapes = list(network.shapes.values())
    if shapes != [(1, _CLASSES)]:
        raise ModelContractError(f"expected one output of shape {[1, _CLASSES]}, found {shapes}")
