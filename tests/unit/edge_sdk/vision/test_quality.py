"""Quality measures follow changes of the image, and refusals contain a helpful hint."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.vision.alignment import align
from edge_sdk.vision.faces import Face, central, largest
from edge_sdk.vision.pose import mean_face, pose_of
from edge_sdk.vision.quality import Limits, assess, refusals

TEMPLATE = np.array(ARCFACE_112)


def drawn(scale: float = 1.0) -> tuple[np.ndarray, Face]:
    """Draw a face in a frame, with landmarks at the scaled positions of the template."""
    side = round(200 * scale)
    frame = np.full((200, 200, 3), 90, np.uint8)
    points = TEMPLATE + 44
    cv2.ellipse(frame, (100, 118), (42, 58), 0, 0, 360, (205, 160, 140), -1)
    for x, y in points[:2]:
        cv2.ellipse(frame, (round(x), round(y)), (9, 5), 0, 0, 360, (250, 250, 250), -1)
        cv2.circle(frame, (round(x), round(y)), 4, (40, 30, 20), -1)
        cv2.ellipse(frame, (round(x), round(y) - 9), (11, 3), 0, 0, 360, (70, 50, 40), -1)
    cv2.line(frame, (100, 100), (100, 118), (150, 110, 95), 3)
    cv2.ellipse(frame, (100, 137), (16, 5), 0, 0, 360, (170, 60, 70), -1)
    frame = cv2.resize(frame, (side, side), interpolation=cv2.INTER_LINEAR)
    box = (58.0 * scale, 60.0 * scale, 84.0 * scale, 116.0 * scale)
    return frame, Face(box, points * scale, 0.95)


def reasons(frame: np.ndarray, face: Face, *others: Face, limits: Limits | None = None) -> list[str]:
    quality = assess(frame, face, others=others)
    return [r.reason for r in (refusals(quality) if limits is None else refusals(quality, limits))]


def test_a_good_face_is_not_refused() -> None:
    assert reasons(*drawn()) == []


@pytest.mark.parametrize(
    ("change", "reason", "hint"),
    [
        (lambda f: (f * 0.12).astype(np.uint8), "too_dark", "more light on the face"),
        (
            lambda f: (f.astype(int) + 110).clip(0, 255).astype(np.uint8),
            "too_bright",
            "less light on the face",
        ),
        (lambda f: (f * 0.06 + 120).astype(np.uint8), "low_contrast", "clean the lens, move out of the haze"),
        (lambda f: cv2.GaussianBlur(f, (0, 0), 6), "blurred", "hold still"),
        (
            lambda f: np.where(f > 120, 255, 0).astype(np.uint8),
            "exposure",
            "turn so that light comes evenly from the front",
        ),
    ],
)
def test_what_is_wrong_with_the_picture_is_said_with_what_helps(
    change: object, reason: str, hint: str
) -> None:
    frame, face = drawn()
    hints = {r.reason: r for r in refusals(assess(change(frame), face))}  # type: ignore[operator]
    assert hints[reason].hint == hint


def test_dark_glasses_are_hinted_at() -> None:
    frame, face = drawn()
    for x, y in face.landmarks[:2]:
        cv2.ellipse(frame, (round(x), round(y) - 2), (17, 13), 0, 0, 360, (15, 15, 15), -1)
    assert "eyes_covered" in reasons(frame, face, limits=Limits(min_eye_contrast=0.2))


def test_a_turned_head_counts_as_near_as_it_is() -> None:
    frame, _ = drawn()
    straight, away = (
        assess(frame, Face((50.0, 50.0, 90.0, 110.0), turned(yaw, 0, 0), 0.9)) for yaw in (0, 50)
    )
    assert straight.eye_distance_px == pytest.approx(40, abs=0.5)
    assert away.eye_distance_px == pytest.approx(40, abs=0.5)
    assert [r.reason for r in refusals(away)] == ["turned_away"]


def test_a_small_face_is_asked_to_come_closer() -> None:
    frame, face = drawn(0.6)
    (refusal,) = (r for r in refusals(assess(frame, face)) if r.reason == "too_far")
    assert refusal.message == "expected 30 px between the eyes, found 21"
    assert refusal.hint == "come closer"
    error = refusal.error()
    assert isinstance(error, AcquisitionError)
    assert (error.reason, error.hint) == ("too_far", "come closer")


def test_a_second_person_is_a_refusal_and_a_passer_by_is_none() -> None:
    frame, face = drawn()
    left, top, width, height = face.box
    near = Face((left + 90, top, width * 0.9, height * 0.9), face.landmarks, 0.9)
    far = Face((left + 90, top, width * 0.3, height * 0.3), face.landmarks, 0.9)
    assert reasons(frame, face, face, near) == ["several_faces"]
    assert reasons(frame, face, face, far) == []


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_blur_lowers_sharpness_and_contrast_does_not(sigma: float) -> None:
    frame, face = drawn()
    sharp = assess(frame, face).sharpness
    assert assess(cv2.GaussianBlur(frame, (0, 0), sigma), face).sharpness < 0.8 * sharp
    assert assess((frame * 0.5 + 60).astype(np.uint8), face).sharpness == pytest.approx(sharp, rel=0.1)


def test_landmarks_that_are_no_faces_misfit() -> None:
    frame, face = drawn()
    assert assess(frame, face).landmark_misfit < 0.01
    scrambled = Face(face.box, face.landmarks[[0, 3, 2, 1, 4]], 0.9)
    assert "face_covered" in reasons(frame, scrambled)


def test_a_face_over_the_frames_edge_is_measured() -> None:
    frame, face = drawn()
    quality = assess(frame[:, 90:].copy(), Face(face.box, face.landmarks - [90, 0], 0.9))
    assert quality.exposed_wrongly > 0.2


def test_a_crop_that_is_there_already_gives_the_same_answer() -> None:
    frame, face = drawn()
    contract = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3, ARCFACE_112)
    crop = align(frame, face.landmarks, contract)
    assert assess(frame, face, crop=crop) == assess(frame, face)
    with pytest.raises(InputError, match="112, 112, 3"):
        assess(frame, face, crop=crop[:96])


def test_limits_are_the_users() -> None:
    frame, face = drawn()
    assert reasons(frame, face, limits=Limits(min_eye_distance_px=60)) == ["too_far"]


@given(st.integers(0, 2**32 - 1))
def test_any_finite_landmarks_give_finite_numbers_or_a_failure_to_acquire(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
    points = rng.normal(40, 10.0 ** rng.uniform(-3, 4), (5, 2))
    try:
        quality = assess(frame, Face((0.0, 0.0, 10.0, 10.0), points, 0.6))
    except AcquisitionError:
        return
    values = [quality.sharpness, quality.contrast, quality.landmark_misfit, *vars(quality.pose).values()]
    assert np.isfinite(values).all()


def turned(yaw: float, pitch: float, roll: float, scale: float = 40.0) -> np.ndarray:
    """Rotate the mean face in space and project it orthographically."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (mean_face() @ (about_z @ about_x @ about_y).T)[:, :2] * scale + [100, 120]


def rotation_by_singular_values(landmarks: np.ndarray) -> np.ndarray:
    """Compute the rotation nearest to the least-squares affine camera by singular values."""
    camera = (np.linalg.pinv(mean_face()) @ (landmarks - landmarks.mean(axis=0))).T
    u, _, vt = np.linalg.svd(camera, full_matrices=False)
    first, second = u @ vt
    return np.array([first, second, np.cross(first, second)])


@given(st.integers(0, 2**32 - 1))
def test_the_pose_is_that_of_the_nearest_rotation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    landmarks = TEMPLATE * rng.uniform(0.2, 8) + rng.normal(0, 6, (5, 2)) + rng.uniform(-900, 900, 2)
    first, second, third = rotation_by_singular_values(landmarks)
    pose = pose_of(landmarks)
    assert np.radians(pose.yaw_deg) == pytest.approx(np.arctan2(-third[0], third[2]), abs=1e-7)
    assert np.sin(np.radians(pose.pitch_deg)) == pytest.approx(third[1], abs=1e-7)
    roll = np.arctan2(-first[1], second[1])
    assert abs(np.exp(1j * np.radians(pose.roll_deg)) - np.exp(1j * roll)) < 1e-6


def test_landmarks_on_a_line_are_a_face_from_the_side() -> None:
    assert abs(pose_of(np.outer(np.arange(5.0), [1, 2])).yaw_deg) == 90


@given(st.floats(-60, 60), st.floats(-35, 35), st.floats(-40, 40), st.floats(10, 300))
def test_a_turned_head_is_read_back(yaw: float, pitch: float, roll: float, scale: float) -> None:
    pose = pose_of(turned(yaw, pitch, roll, scale))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((yaw, pitch, roll), abs=1e-3)


def test_signs_are_those_of_the_image() -> None:
    right, up = TEMPLATE.copy(), TEMPLATE.copy()
    right[2, 0] += 10
    up[2, 1] -= 8
    assert pose_of(right).yaw_deg > 10
    assert pose_of(up).pitch_deg > 5
    assert pose_of(turned(0, 0, 20)).roll_deg == pytest.approx(20)
    assert pose_of(TEMPLATE).yaw_deg == pytest.approx(0, abs=2)


def test_a_photograph_that_is_turned_is_no_turned_head() -> None:
    flat = TEMPLATE - TEMPLATE.mean(axis=0)
    for angle in (20, 40, 60):
        assert abs(pose_of(flat * [np.cos(np.radians(angle)), 1]).yaw_deg) < 5


def test_whom_a_photograph_is_of() -> None:
    _, face = drawn()
    small_in_the_middle = Face((95.0, 95.0, 10.0, 10.0), face.landmarks, 0.7)
    large_at_the_edge = Face((150.0, 0.0, 60.0, 60.0), face.landmarks, 0.9)
    assert central([large_at_the_edge, small_in_the_middle], 200, 200) is small_in_the_middle
    assert largest([small_in_the_middle, large_at_the_edge]) is large_at_the_edge
    assert central([], 200, 200) is None
    assert largest([]) is None


def textured(seed: int = 0) -> tuple[np.ndarray, Face]:
    """Draw a face with skin texture, which the limits of enrolment accept."""
    frame, face = drawn()
    noise = np.random.default_rng(seed).normal(0, 9, (200, 200, 1))
    noise = cv2.GaussianBlur(noise, (0, 0), 0.8)[..., None] * 2
    for x, y in face.landmarks[:2]:
        cv2.ellipse(frame, (round(x), round(y) + 9), (10, 2), 0, 0, 360, (150, 110, 100), -1)
    return (frame + noise).clip(0, 255).astype(np.uint8), face


def enrolment_reasons(frame: np.ndarray, face: Face, limits: Limits | None = None) -> list[str]:
    quality = assess(frame, face, detail=True)
    return [refusal.reason for refusal in refusals(quality, limits or Limits.enrolment())]


def with_dark_glasses(frame: np.ndarray, face: Face) -> np.ndarray:
    covered = frame.copy()
    for x, y in face.landmarks[:2]:
        cv2.ellipse(covered, (round(x), round(y)), (17, 13), 0, 0, 360, (15, 15, 15), -1)
    return covered


def with_mask(frame: np.ndarray, face: Face) -> np.ndarray:
    covered = frame.copy()
    x, y = face.landmarks[2]
    cv2.ellipse(covered, (round(x), round(y) + 25), (40, 32), 0, 0, 360, (160, 190, 210), -1)
    return covered


def motion_blurred(frame: np.ndarray, length: int, *, across: bool) -> np.ndarray:
    kernel = np.full((1, length) if across else (length, 1), 1 / length)
    return cv2.filter2D(frame, -1, kernel)


def test_a_plain_face_may_be_enrolled() -> None:
    assert enrolment_reasons(*textured()) == []


@pytest.mark.parametrize("light", [0.5, 0.7, 0.9])
def test_the_measures_of_detail_do_not_depend_on_how_bright_a_face_is(light: float) -> None:
    frame, face = textured()
    changed = (frame * light).clip(0, 255).astype(np.uint8)
    plain, other = (assess(image, face, detail=True).detail for image in (frame, changed))
    assert plain is not None
    assert other is not None
    assert other.eyes == pytest.approx(plain.eyes, rel=0.1)
    assert other.mouth == pytest.approx(plain.mouth, rel=0.1)
    assert other.sharpness == pytest.approx(plain.sharpness, rel=0.1)
    assert other.side_light == pytest.approx(plain.side_light, abs=0.05)


def test_dark_glasses_may_not_be_enrolled_but_pass_at_the_door() -> None:
    frame, face = textured()
    covered = with_dark_glasses(frame, face)
    assert enrolment_reasons(covered, face) == ["eyes_covered"]
    assert reasons(covered, face) == []


def test_a_mask_may_not_be_enrolled() -> None:
    frame, face = textured()
    assert enrolment_reasons(with_mask(frame, face), face) == ["mouth_covered"]


@pytest.mark.parametrize("across", [True, False])
def test_motion_blur_in_one_direction_may_not_be_enrolled(across: bool) -> None:
    frame, face = textured()
    blurred = motion_blurred(frame, 13, across=across)
    assert "blurred" in enrolment_reasons(blurred, face)


def test_a_face_that_is_half_in_the_dark_may_not_be_enrolled() -> None:
    frame, face = textured()
    light = np.where(np.arange(200) < 100, 0.25, 1.0)[:, None]
    assert "uneven_light" in enrolment_reasons((frame * light).astype(np.uint8), face)


def test_a_reason_can_be_allowed_and_is_then_listed_as_weaker() -> None:
    frame, face = textured()
    limits = Limits.enrolment(allow=["eyes_covered"])
    assert enrolment_reasons(with_dark_glasses(frame, face), face, limits) == []
    assert limits.weaker_than(Limits.enrolment()) == ("min_eye_detail",)
    assert Limits.enrolment().weaker_than(Limits.enrolment()) == ()
    assert Limits.enrolment().stricter(limits) == Limits.enrolment()
    with pytest.raises(InputError, match="expected reasons among eyes_covered"):
        Limits.enrolment(allow=["hats"])


def test_limits_that_judge_detail_need_it() -> None:
    with pytest.raises(InputError, match="expected a quality with detail"):
        refusals(assess(*textured()), Limits.enrolment())
