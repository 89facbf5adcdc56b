"""Presentation attack detection: distinguish a person from a picture of a person (terms of ISO/IEC 30107-3).

An RGB camera alone cannot decide this with certainty; docs/explanation/faces.md states what it can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_sdk.errors import InputError, ModelCardError, ModelContractError, ModelError
from edge_sdk.model.hashed_bytes import HashedBytes
from edge_sdk.model.model_file import parse_carded, read_model_bytes
from edge_sdk.model.network_card import PRESENTATION_ATTACK_DETECTOR
from edge_sdk.runtime.network import Network
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.faces import Face
from edge_sdk.vision.images import check_image
from edge_sdk.vision.resize import resize_bilinear

_LIVE_CLASS, _CLASSES = 1, 3
_MAX_CROP_SCALE = 16.0


@dataclass(frozen=True)
class Presentation:
    """Result of presentation attack detection on one face.

    Args:
        score: 0..1; higher means more likely a person in front of the camera (bona fide).
        threshold: Lowest score of a bona fide presentation, 0..1.
        parts: Score of each network.
    """

    score: float
    threshold: float
    parts: tuple[float, ...] = ()

    @property
    def bona_fide(self) -> bool:
        """True if the score reaches the threshold; always False for a score that is NaN."""
        return self.score >= self.threshold


class PresentationAttackDetector(Protocol):
    """Detects presentation attacks on one face of one frame."""

    def assess(self, frame: UInt8Array, face: Face) -> Presentation:
        """Score a face of an RGB frame of shape (H, W, 3), uint8."""


class MiniFasNet:
    """Minivision's Silent-Face networks: the mean score of networks that see crops of different sizes.

    Each network sees the face's box enlarged by its ``crop_scale``, so that the edge of a print or a screen is
    visible. The crops are resized by bilinear sampling without smoothing, as in training.

    Args:
        networks: One or more, with ``crop_scale`` in their cards' parameters.
        threshold: Lowest mean score of a bona fide presentation, above 0 and up to 1. The default is that of the
            networks' authors; measure your own with your camera, your light and your attacks.

    Raises:
        InputError: There is no network, or the threshold is out of range.
        ModelCardError: A card names another method, or has no crop scale.
        ModelContractError: A network does not output three classes.
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
    def open(
        cls,
        *paths: str | Path,
        threshold: float = 0.5,
        sha256: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> MiniFasNet:
        """Open files from ``edge-convert auxiliary --method minifasnet``.

        Args:
            paths: One .tflite for each network.
            threshold: Lowest mean score of a bona fide presentation, above 0 and up to 1.
            sha256: Expected digests of the files, hex, in any order; checked before anything is parsed. None skips the
                check.
            threads: Number of interpreter threads, 1 or more; None for one on each performance core, at most 4.

        Raises:
            ModelError: A file is missing, altered, or not such a network; or a digest differs.
            BackendUnavailableError: No interpreter is installed.
        """
        task = PRESENTATION_ATTACK_DETECTOR
        contents = [HashedBytes(read_model_bytes(path)) for path in paths]
        if sha256 is not None:
            actual = [content.sha256 for content in contents]
            expected = sorted(digest.strip().lower() for digest in sha256)
            if sorted(actual) != expected:
                raise ModelError(
                    f"expected liveness networks with SHA-256 {', '.join(expected)}, found {', '.join(actual) or 'none'}",
                    hint="a file was changed or is a different one; copy it again from the machine that converted it",
                )
        networks = [
            Network.of_file(parse_carded(content, path), task=task, threads=threads)
            for path, content in zip(paths, contents, strict=True)
        ]
        return cls(networks, threshold=threshold)

    @property
    def sha256(self) -> tuple[str, ...] | None:
        """SHA-256 of each network's file, hex; None if a network was not opened from a file."""
        digests = tuple(network.sha256 for network in self._networks if network.sha256 is not None)
        return digests if len(digests) == len(self._networks) else None

    def assess(self, frame: UInt8Array, face: Face) -> Presentation:
        """Score a face.

        Args:
            frame: Shape (H, W, 3), uint8, RGB; as captured, not enlarged or sharpened.
            face: Face whose box is scored.

        Raises:
            InputError: The frame is malformed, or the box has no area or is outside the frame.
        """
        check_image(frame, 3)
        parts = tuple(self._live(network, frame, face) for network in self._networks)
        return Presentation(float(np.mean(parts)), self.threshold, parts)

    def _live(self, network: Network, frame: UInt8Array, face: Face) -> float:
        contract = network.card.input
        crop = surroundings(frame, face, network.card.parameters["crop_scale"])
        (logits,) = network.run(resize_bilinear(crop, contract.height, contract.width)).values()
        return _share(logits.ravel())


def surroundings(frame: UInt8Array, face: Face, scale: float) -> UInt8Array:
    """Cut out the surroundings of a face: its box enlarged around its centre, shifted to fit into the frame.

    Args:
        frame: Shape (H, W, 3), uint8.
        face: Face whose box is enlarged.
        scale: Factor of width and height; reduced if the frame is too small.

    Returns:
        A view, shape (h, w, 3).

    Raises:
        InputError: The box has no area, or is outside the frame.
    """
    rows, columns = frame.shape[:2]
    left, top, width, height = face.box
    inside = left < columns and top < rows and left + width > 0 and top + height > 0
    if not (np.isfinite(face.box).all() and width >= 1 and height >= 1 and inside):
        raise InputError(f"expected a face's box in a frame of {rows}x{columns}, found {face.box}")
    scale = min(scale, (columns - 1) / width, (rows - 1) / height)
    x = _span(left + width / 2, width * scale, columns)
    y = _span(top + height / 2, height * scale, rows)
    return frame[y, x]


def _span(middle: float, length: float, available: int) -> slice:
    """Compute a span of pixels around a middle, shifted to be between 0 and the last pixel."""
    start = min(max(middle - length / 2, 0.0), max(available - 1 - length, 0.0))
    return slice(int(start), min(int(start + length) + 1, available))


def _share(logits: FloatArray) -> float:
    """Compute the softmax share of the live class; 0 if a logit is not finite."""
    if not np.isfinite(logits).all():
        return 0.0
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return float(powers[_LIVE_CLASS] / powers.sum())


def _check(network: Network) -> None:
    card = network.card
    if card.task != PRESENTATION_ATTACK_DETECTOR or card.method != "minifasnet":
        raise ModelCardError(
            f"network card: expected the method minifasnet of a presentation attack detector, found {card.method} of a {card.task}"
        )
    if not 1 <= card.parameters.get("crop_scale", 0.0) <= _MAX_CROP_SCALE:
        raise ModelCardError(
            f"network card: expected a crop_scale of 1..{_MAX_CROP_SCALE:g}, found {dict(card.parameters)}",
            hint="convert it again with --crop-scale",
        )
    shapes = list(network.shapes.values())
    if shapes != [(1, _CLASSES)]:
        raise ModelContractError(f"expected one output of shape {[1, _CLASSES]}, found {shapes}")
