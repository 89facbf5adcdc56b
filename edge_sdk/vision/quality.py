"""Quality measures of a face sample, limits for them, and hints for the person in front of the camera.

Every measure is computed from the embedder's crop or from the five landmarks, without a network.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112, arcface
from edge_sdk.notices import GalleryWarning
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.alignment import align, as_complex, nearest_similarity
from edge_sdk.vision.detail import Detail, measure_detail
from edge_sdk.vision.faces import LEFT_EYE, RIGHT_EYE, Face
from edge_sdk.vision.pose import Pose, pose_of

#: Reasons of refusals that stay the same from frame to frame: dark glasses and masks.
EYES_COVERED = "eyes_covered"
MOUTH_COVERED = "mouth_covered"
#: Reasons that only enrolment refuses by default, with the limit of each. The limits are those that refuse 1 to 2 % of
#: the plain photographs of one half of LFW DevTest (docs/measurements/faces.md).
ENROLMENT_REASONS: Mapping[str, tuple[str, float]] = {
    EYES_COVERED: ("min_eye_detail", 2.9),
    MOUTH_COVERED: ("min_mouth_detail", 5.9),
    "blurred": ("min_detail_sharpness", 0.34),
    "uneven_light": ("max_side_light", 0.82),
}
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
        detail: Measures of covered eyes, a covered mouth, motion blur and one-sided light; None if not measured.
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
    detail: Detail | None = None


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
        min_eye_detail: Below, an eye is covered, for example by dark glasses; see `Detail`. 0 does not measure.
        min_mouth_detail: Below, the mouth is covered, for example by a mask. 0 does not measure.
        min_detail_sharpness: Below, the face is blurred in one direction or in all. 0 does not measure.
        max_side_light: Above, one half of the face is in the dark. Infinity does not measure.
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
    min_eye_detail: float = 0.0
    min_mouth_detail: float = 0.0
    min_detail_sharpness: float = 0.0
    max_side_light: float = math.inf

    @classmethod
    def enrolment(cls, *, allow: Collection[str] = ()) -> Limits:
        """Return the limits for enrolment, which are stricter than those for recognition.

        A template of a covered or blurred face matches other faces that are covered or blurred in the same way.
        docs/measurements/faces.md has the rates with and without these limits.

        Args:
            allow: Reasons not to refuse beyond the limits for recognition: `eyes_covered`, `mouth_covered`, `blurred`,
                `uneven_light`.

        Raises:
            InputError: A reason is unknown.
        """
        unknown = sorted(set(allow) - ENROLMENT_REASONS.keys())
        if unknown:
            raise InputError(f"expected reasons among {', '.join(ENROLMENT_REASONS)}, found {unknown[0]!r}")
        return cls(
            **{name: limit for reason, (name, limit) in ENROLMENT_REASONS.items() if reason not in allow}
        )

    @property
    def judge_detail(self) -> bool:
        """Check if a limit needs the measures of `Detail`, which take about 1 ms."""
        lowest = max(self.min_eye_detail, self.min_mouth_detail, self.min_detail_sharpness)
        return lowest > 0 or self.max_side_light < math.inf

    def stricter(self, other: Limits) -> Limits:
        """Return the stricter of each two limits."""
        return Limits(
            **{
                limit.name: (min if limit.name.startswith("max_") else max)(
                    getattr(self, limit.name), getattr(other, limit.name)
                )
                for limit in fields(Limits)
            }
        )

    def weaker_than(self, other: Limits) -> tuple[str, ...]:
        """List the names of the limits that refuse less than another one's."""
        strictest = self.stricter(other)
        return tuple(
            limit.name
            for limit in fields(Limits)
            if getattr(self, limit.name) != getattr(strictest, limit.name)
        )


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
    frame: UInt8Array,
    face: Face,
    *,
    others: Sequence[Face] = (),
    crop: UInt8Array | None = None,
    detail: bool = False,
) -> Quality:
    """Measure one face of a frame.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        face: Face to measure.
        others: All faces of the frame; ``face`` may be among them.
        crop: The face aligned to ArcFace's template at 112x112, if the caller already has it. None computes it.
        detail: Also measure `Detail`, which `Limits.enrolment` judges.

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
        detail=measure_detail(crop) if detail else None,
    )


def refusals(quality: Quality, limits: Limits = Limits()) -> tuple[Refusal, ...]:
    """List every reason not to use a sample, the most helpful one first; empty if the sample is good enough.

    Raises:
        InputError: The limits judge detail, but it was not measured.
    """
    if not limits.judge_detail:
        return tuple(_violations(quality, limits))
    if quality.detail is None:
        raise InputError(
            "expected a quality with detail, as these limits judge it, found none",
            hint="call assess(..., detail=True)",
        )
    return (*_violations(quality, limits), *detail_refusals(quality.detail, limits))


def weakened_limits(limits: Limits) -> tuple[str, ...]:
    """List the limits that are weaker than those of `Limits.enrolment`, and issue a GalleryWarning if there are any."""
    weaker = limits.weaker_than(Limits.enrolment())
    if weaker:
        warnings.warn(
            f"the limits for this enrolment are weaker than the default ({', '.join(weaker)}): the template of a covered"
            " or blurred face matches strangers who are covered or blurred in the same way",
            GalleryWarning,
            stacklevel=3,
        )
    return weaker


def detail_refusals(detail: Detail, limits: Limits) -> tuple[Refusal, ...]:
    """List the reasons not to use a sample that follow from its detail alone."""
    return tuple(_detail_violations(detail, limits))


def _detail_violations(d: Detail, m: Limits) -> Iterator[Refusal]:
    if d.side_light > m.max_side_light:
        yield Refusal(
            "uneven_light",
            f"one half of the face is {math.exp(d.side_light):.1f} times as bright as the other",
            "turn so that light comes evenly from the front",
        )
    if d.sharpness < m.min_detail_sharpness:
        yield Refusal(
            "blurred",
            f"expected a sharpness of {m.min_detail_sharpness:g} in every direction, found {d.sharpness:.2f}",
            "hold still",
        )
    if d.eyes < m.min_eye_detail:
        yield Refusal(
            EYES_COVERED,
            f"expected an eye detail of {m.min_eye_detail:g}, found {d.eyes:.1f}",
            "take off dark glasses, keep hair off the eyes",
        )
    if d.mouth < m.min_mouth_detail:
        yield Refusal(
            MOUTH_COVERED,
            f"expected a mouth detail of {m.min_mouth_detail:g}, found {d.mouth:.1f}",
            "uncover mouth and nose",
        )


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
            EYES_COVERED,
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
