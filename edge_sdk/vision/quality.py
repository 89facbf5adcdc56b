"""How good a sample of a face is, in numbers with units, and what a person can do where it is not good enough.

Every measure is of the crop that the embedder would see, or of the five landmarks: what is measured is what is
compared. No network is needed.
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
# ISO/IEC 29794-5 and the OFIQ reference implementation count luma levels up to 25 and from 247 on as exposed wrongly.
_DARK, _BRIGHT = 25, 247
# Past 60 degrees of yaw the landmarks are guesses, and so would be a distance made of them.
_LEAST_COSINE = 0.5
# ITU-R BT.601 luma in 1/256.
_LUMA = np.array([77, 150, 29], np.float32)
_LEVEL = 256
# Rows and columns of the aligned crop that a face fills, hair and background left out; and in it those of the eyes.
_FACE = (slice(30, 106), slice(26, 86))
_EYES = (slice(14, 30), slice(2, 24)), (slice(14, 30), slice(36, 58))


@dataclass(frozen=True)
class Quality:
    """What was measured of one face.

    Args:
        eye_distance_px: Between the eyes' centres, in the frame, over the cosine of the yaw, so that a turned head
            counts as near as it is (ISO/IEC 29794-5, inter-eye distance).
        sharpness: Standard deviation of the crop's Laplacian as a share of that of its luma; blur lowers
            it, contrast does not change it (after Pech-Pacheco et al. 2000, doi 10.1109/ICPR.2000.903548).
        brightness: Mean luma of the face, 0..255 (ITU-R BT.601).
        contrast: Standard deviation of that luma, in levels.
        exposed_wrongly: Share of the face's pixels that are nearly black or nearly white, 0..1 (ISO/IEC 29794-5,
            under- and over-exposure).
        pose: Head pose in degrees, from the landmarks.
        landmark_misfit: RMS distance of the landmarks to a frontal face's after alignment, as a share of the
            distance between the eyes: large where the head is turned, or a landmark was guessed behind a
            hand or a mask.
        eye_contrast: Least standard deviation of luma around an eye, as a share of the face's: low behind dark
            glasses and hair, but also in shade and on dark skin. A hint, no proof.
        detection: The detector's score, 0..1.
        rival: Area of the next largest face as a share of this one's, 0 where it is alone.
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
    """From where on a sample is refused; see docs/explanation/faces.md for where each number comes from.

    Args:
        min_eye_distance_px: Under it the crop is mostly enlargement.
        min_sharpness: Under it the face is a blur.
        min_brightness: Under it the face is in the dark.
        max_brightness: Over it the light is in the lens or on the face.
        min_contrast: Under it there is nothing to see: fog, a covered lens.
        max_exposed_wrongly: Over it what would be compared is missing.
        max_yaw_deg: Left or right.
        max_pitch_deg: Up or down; the least certain of the three.
        max_roll_deg: Tilted; alignment takes it out, so the limit is wide.
        max_landmark_misfit: Over it the landmarks are no face's.
        min_eye_contrast: Under it eyes may be covered. Zero, which refuses nobody: where it was tried at 0.2, whom
            it refused was a man with dark skin in the shade.
        min_detection: Under it the detector itself doubts.
        max_rival: Over it there are two people, and which of them asks is not clear.
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
    """Why a sample is not used: a failure to acquire (ISO/IEC 19795-1), a value and no exception.

    Args:
        reason: Stable, for programs and counts, such as ``too_far``.
        message: What was expected and what was found.
        hint: What the person before the camera can do.
    """

    reason: str
    message: str
    hint: str

    def error(self) -> AcquisitionError:
        """The same as an exception, for who needs one."""
        return AcquisitionError(self.message, reason=self.reason, hint=self.hint)


def assess(
    frame: UInt8Array, face: Face, *, others: Sequence[Face] = (), crop: UInt8Array | None = None
) -> Quality:
    """Measure one face of a frame.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        face: Whom to measure.
        others: The frame's faces; this one among them does no harm.
        crop: The face aligned to ArcFace's template at 112x112, where that is there already (an embedder with
            that input wants it too); made here where None.

    Raises:
        InputError: Not a frame, or a crop of another size.
        AcquisitionError: The landmarks are no face's.
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
    """Every reason not to use a sample, what helps most first; none where it is good enough."""
    return tuple(_found_wrong(quality, limits))


def _found_wrong(q: Quality, m: Limits) -> Iterator[Refusal]:
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
            f"the landmarks are {q.landmark_misfit:.2f} eye distances off a face's",
            "uncover the face",
        )
    if q.detection < m.min_detection:
        yield Refusal("uncertain", f"the detector's score is {q.detection:.2f}", "look at the camera")


def _levels(what: str, found: float, wanted: float) -> str:
    return f"expected a {what} {'above' if found < wanted else 'below'} {wanted:g} levels, found {found:.0f}"


def _luma(crop: UInt8Array) -> Float64Array:
    """Luma in 1/256 of a level, whole numbers."""
    # Exact: whole numbers below 2^24; numpy has no fast product of integers.
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
    """Mean and standard deviation of whole numbers so small that float64 adds up their squares exactly."""
    flat = values.ravel()
    count, total, squares = flat.size, int(flat.sum()), int(flat.dot(flat))
    return total / count, math.sqrt(count * squares - total * total) / count


def _misfit(face: Face) -> float:
    places = as_complex(face.landmarks)
    factor, shift = nearest_similarity(places, _TEMPLATE)
    away = [abs(factor * place + shift - goal) for place, goal in zip(places, _TEMPLATE, strict=True)]
    return math.hypot(*away) / math.sqrt(len(away)) / abs(_TEMPLATE[RIGHT_EYE] - _TEMPLATE[LEFT_EYE])
