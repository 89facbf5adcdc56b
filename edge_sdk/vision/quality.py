"""Quality measures of a face sample, limits for them, and hints for the person in front of the camera.

Every measure is computed from the embedder's crop or from the five landmarks, without a network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112, arcface
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.alignment import align, as_complex, nearest_similarity
from edge_sdk.vision.faces import LEFT_EYE, RIGHT_EYE, Face
from edge_sdk.vision.pose import Pose, pose_of

_SIDE = 112
_CONTRACT = InputContract(_SIDE, _SIDE, "rgb", (0.0,) * 3, (1.0,) * 3, arcface(_SIDE, _SIDE))
_TEMPLATE = as_complex(ARCFACE_112)
# ISO/IEC 29794-5 and the OFIQ reference implementation count luma levels up to 25 and from 247 as badly exposed.
_DARK, _BRIGHT = 25, 247
# Beyond 60 degrees of yaw the landmarks are unreliable, and so is a distance computed from them.
_LEAST_COSINE = 0.5
# ITU-R BT.601 luma in 1/256.
_LUMA = np.array([77, 150, 29], np.float32)
_LEVEL = 256
# Rows and columns of the face in the aligned crop, without hair and background. The eyes' are relative to this part.
_FACE = (slice(30, 106), slice(26, 86))
_EYES = (slice(14, 30), slice(2, 24)), (slice(14, 30), slice(36, 58))


@dataclass(frozen=True)
class Quality:
    """Quality measures of one face.

    Args:
        eye_distance_px: Distance between the eyes' centres in the frame, divided by the cosine of the yaw to
            compensate for a turned head (ISO/IEC 29794-5, inter-eye distance).
        sharpness: Standard deviation of the crop's Laplacian divided by that of its luma. Blur lowers it, contrast
            does not change it (after Pech-Pacheco et al. 2000, doi 10.1109/ICPR.2000.903548).
        brightness: Mean luma of the face, 0..255 (ITU-R BT.601).
        contrast: Standard deviation of that luma, in levels.
        exposed_wrongly: Share of the face's pixels that are nearly black or nearly white, 0..1 (ISO/IEC 29794-5,
            under- and over-exposure).
        pose: Head pose in degrees, from the landmarks.
        landmark_misfit: RMS distance of the aligned landmarks to a frontal face's, divided by the distance between
            the eyes. It is large if the head is turned, or if a landmark is hidden by a hand or a mask.
        eye_contrast: Lower of the two eyes' standard deviations of luma, divided by the face's. It is low behind
            dark glasses and hair, but also in shade and on dark skin: an indication, not a proof.
        detection: The detector's score, 0..1.
        rival: Area of the second largest face divided by this one's, 0 if this is the only face.
    """

    eye_distance_px: float
    sharpness: float
    brightness: float
    contrast: float
    exposed_wrongly: float
    pose: Pose
    landmark_misfit: float
    eye_contrast: float
    detection: float
    rival: float


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a sample is refused; docs/explanation/faces.md states the origin of each number.

    Args:
        min_eye_distance_px: Below, the crop is mostly interpolated.
        min_sharpness: Below, the face is blurred.
        min_brightness: Below, the face is in the dark.
        max_brightness: Above, the light is too strong or shines into the lens.
        min_contrast: Below, there is fog or the lens is covered.
        max_exposed_wrongly: Above, large parts of the face show no detail.
        max_yaw_deg: Largest angle to the left or right.
        max_pitch_deg: Largest angle up or down; the least certain of the three angles.
        max_roll_deg: Largest tilt; wide, because alignment compensates it.
        max_landmark_misfit: Above, the landmarks are not those of a face.
        min_eye_contrast: Below, eyes may be covered. The default 0 never refuses: at 0.2 it refused a man with
            dark skin in the shade.
        min_detection: Below, the detector itself is uncertain.
        max_rival: Above, there are two people, and it is unclear which of them is meant.
    """

    min_eye_distance_px: float = 30.0
    min_sharpness: float = 0.12
    min_brightness: float = 40.0
    max_brightness: float = 220.0
    min_contrast: float = 12.0
    max_exposed_wrongly: float = 0.4
    max_yaw_deg: float = 45.0
    max_pitch_deg: float = 40.0
    max_roll_deg: float = 45.0
    max_landmark_misfit: float = 0.35
    min_eye_contrast: float = 0.0
    min_detection: float = 0.5
    max_rival: float = 0.6


@dataclass(frozen=True)
class Refusal:
    """Reason for not using a sample: a failure to acquire (ISO/IEC 19795-1), as a value instead of an exception.

    Args:
        reason: Stable identifier for programs and statistics, such as ``too_far``.
        message: What was expected and what was found.
        hint: Instruction for the person in front of the camera.
    """

    reason: str
    message: str
    hint: str

    def error(self) -> AcquisitionError:
        """Convert the refusal to an exception."""
        return AcquisitionError(self.message, reason=self.reason, hint=self.hint)


def assess(
    frame: UInt8Array, face: Face, *, others: Sequence[Face] = (), crop: UInt8Array | None = None
) -> Quality:
    """Measure one face of a frame.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        face: Face to measure.
        others: All faces of the frame; ``face`` may be among them.
        crop: The face aligned to ArcFace's template at 112x112, if the caller already has it. None computes it.

    Raises:
        InputError: The frame is malformed, or the crop has another size.
        AcquisitionError: The landmarks are not those of a face.
    """
    if crop is None:
        crop = align(frame, face.landmarks, _CONTRACT)
    elif crop.shape != _CONTRACT.shape or crop.dtype != np.uint8:
        raise InputError(f"expected a uint8 crop of shape {_CONTRACT.shape}, found {crop.dtype} {crop.shape}")
    luma = _luma(crop[_FACE])
    mean, deviation = _spread(luma)
    contrast = deviation / _LEVEL
    wrong = np.count_nonzero((luma <= _DARK * _LEVEL) | (luma >= _BRIGHT * _LEVEL))
    pose = pose_of(face.landmarks)
    rivals = [other.area_px for other in others if other is not face]
    return Quality(
        eye_distance_px=face.eye_distance_px / max(math.cos(math.radians(pose.yaw_deg)), _LEAST_COSINE),
        sharpness=_spread(_laplacian(luma))[1] / _LEVEL / max(contrast, 1.0),
        brightness=mean / _LEVEL,
        contrast=contrast,
        exposed_wrongly=int(wrong) / luma.size,
        pose=pose,
        landmark_misfit=_misfit(face),
        eye_contrast=min(_spread(luma[eye])[1] for eye in _EYES) / _LEVEL / max(contrast, 1.0),
        detection=face.score,
        rival=max(rivals, default=0.0) / max(face.area_px, 1e-6),
    )


def refusals(quality: Quality, limits: Limits = Limits()) -> tuple[Refusal, ...]:
    """List every reason not to use a sample, the most helpful one first; empty if the sample is good enough."""
    return tuple(_violations(quality, limits))


def _violations(q: Quality, m: Limits) -> Iterator[Refusal]:
    if q.rival > m.max_rival:
        yield Refusal("several_faces", f"another face is {q.rival:.0%} as large", "one person at a time")
    if q.eye_distance_px < m.min_eye_distance_px:
        yield Refusal(
            "too_far",
            f"expected {m.min_eye_distance_px:g} px between the eyes, found {q.eye_distance_px:.0f}",
            "come closer",
        )
    if q.brightness < m.min_brightness:
        yield Refusal(
            "too_dark", _levels("brightness", q.brightness, m.min_brightness), "more light on the face"
        )
    if q.brightness > m.max_brightness:
        yield Refusal(
            "too_bright", _levels("brightness", q.brightness, m.max_brightness), "less light on the face"
        )
    if q.exposed_wrongly > m.max_exposed_wrongly:
        yield Refusal(
            "exposure",
            f"{q.exposed_wrongly:.0%} of the face is black or white",
            "turn so that light comes evenly from the front",
        )
    if q.contrast < m.min_contrast:
        yield Refusal(
            "low_contrast",
            _levels("contrast", q.contrast, m.min_contrast),
            "clean the lens, move out of the haze",
        )
    if abs(q.pose.yaw_deg) > m.max_yaw_deg or abs(q.pose.pitch_deg) > m.max_pitch_deg:
        yield Refusal(
            "turned_away",
            f"the head is turned {q.pose.yaw_deg:+.0f} degrees sideways and {q.pose.pitch_deg:+.0f} up",
            "look at the camera",
        )
    if abs(q.pose.roll_deg) > m.max_roll_deg:
        yield Refusal("tilted", f"the head is tilted {q.pose.roll_deg:+.0f} degrees", "hold the head upright")
    if q.sharpness < m.min_sharpness:
        yield Refusal(
            "blurred", f"expected a sharpness of {m.min_sharpness:g}, found {q.sharpness:.2f}", "hold still"
        )
    if q.eye_contrast < m.min_eye_contrast:
        yield Refusal(
            "eyes_covered",
            f"an eye has {q.eye_contrast:.2f} of the face's contrast",
            "take off dark glasses, keep hair off the eyes",
        )
    if q.landmark_misfit > m.max_landmark_misfit:
        yield Refusal(
            "face_covered",
            f"the landmarks differ from a face's by {q.landmark_misfit:.2f} eye distances",
            "uncover the face",
        )
    if q.detection < m.min_detection:
        yield Refusal("uncertain", f"the detector's score is {q.detection:.2f}", "look at the camera")


def _levels(measure: str, level: float, limit: float) -> str:
    return f"expected a {measure} {'above' if level < limit else 'below'} {limit:g} levels, found {level:.0f}"


def _luma(crop: UInt8Array) -> Float64Array:
    """Compute luma in 1/256 of a level, as whole numbers."""
    # float32 is exact for whole numbers below 2^24, and numpy has no fast integer matrix product.
    luma: Float64Array = (crop.astype(np.float32) @ _LUMA).astype(np.float64)
    return luma


def _laplacian(luma: Float64Array) -> Float64Array:
    middle = luma[1:-1, 1:-1] * -4
    middle += luma[:-2, 1:-1]
    middle += luma[2:, 1:-1]
    middle += luma[1:-1, :-2]
    middle += luma[1:-1, 2:]
    return middle


def _spread(values: Float64Array) -> tuple[float, float]:
    """Compute mean and standard deviation of whole numbers that are small enough for exact sums of squares."""
    flat = values.ravel()
    count, total, squares = flat.size, int(flat.sum()), int(flat.dot(flat))
    return total / count, math.sqrt(count * squares - total * total) / count


def _misfit(face: Face) -> float:
    places = as_complex(face.landmarks)
    factor, shift = nearest_similarity(places, _TEMPLATE)
    away = [abs(factor * place + shift - goal) for place, goal in zip(places, _TEMPLATE, strict=True)]
    return math.hypot(*away) / math.sqrt(len(away)) / abs(_TEMPLATE[RIGHT_EYE] - _TEMPLATE[LEFT_EYE])
