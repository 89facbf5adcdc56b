"""Recognition of people in camera frames: joins camera, vision and gallery."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.cameras.camera import Camera, Watched, rotation_of
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.gallery import Anchor, EnrolOptions, Gallery, KeyProvider, PinnedNetworks
from edge_sdk.gallery.results import Decision, Identification, Reason, Verification
from edge_sdk.gallery.rules.real_numbers import checked_threshold
from edge_sdk.gallery.subjects import ENROL_DEFAULTS
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.recognizer.orientation_guard import TRACK_INTERVAL, OrientationGuard
from edge_sdk.recognizer.results import Enrolment, Recognition, RefusedFrame
from edge_sdk.recognizer.sampling import AlignedSample, NoSample, Sampler
from edge_sdk.recognizer.track import Track, bona_fide, mean_direction
from edge_sdk.types import UInt8Array
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import FaceDetector
from edge_sdk.vision.liveness import MiniFasNet, PresentationAttackDetector
from edge_sdk.vision.orientation import check_rotation
from edge_sdk.vision.quality import EYES_COVERED, MOUTH_COVERED, Limits, weakened_limits
from edge_sdk.vision.upright import CAMERA_TURNED

#: Good frames of one attempt. With more frames the decision is more reliable, but takes longer.
FRAMES_PER_ATTEMPT = 3
#: Pause after an attempt that was not accepted, in seconds.
PAUSE_S = 1.0
#: Least and most templates of an enrolment: with fewer good frames it fails; further frames are not used.
LEAST_TEMPLATES = 3
MOST_TEMPLATES = 5
ATTACK = "presentation attack"
SAME_IMAGE = "identical to an earlier image: take each image separately"

_MESSAGES = {
    Reason.CLOSE: "look straight at the camera, with light on the face",
    Reason.AMBIGUOUS: "look straight at the camera, with light on the face",
    Reason.WAIT: "too many failures: wait",
    Reason.DISABLED: "too many failures: an administrator must reset them",
    Reason.COUNTER: "the attempt counter is missing or invalid: an administrator must reset it",
}


class Recognizer:
    """Enrols and recognizes people from camera frames.

    Every failure is an exception and only `accepted` may unlock a door, so that a door stays locked whatever goes
    wrong. Not thread-safe.

    Args:
        detector: Finds faces.
        embedder: Turns aligned crops into embeddings.
        gallery: Gallery of the enrolled subjects, created for this embedder's model.
        pad: Presentation attack detector; None accepts a picture of a person in place of the person.
        limits: Quality limits beyond which a frame is not used; the defaults of `Limits` if None.
        enrolment_limits: Quality limits for enrolment. `Limits.enrolment` and `limits`, whichever is stricter, if
            None. Weaker limits than `Limits.enrolment` are recorded in the audit log with each enrolment, and a
            GalleryWarning is issued.
        threshold: Cosine threshold, -1..1, not below the gallery's decision policy; the policy's if None.
        rotate: Rotation that is already applied to every frame, clockwise in degrees; used in the message about a turned
            camera. `watch` uses the camera's `rotate` if it has this attribute.

    Raises:
        ModelMismatchError: The gallery was created for another model, or it pins other networks than these.
        InputError: The threshold is not a cosine.
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        gallery: Gallery,
        *,
        pad: PresentationAttackDetector | None = None,
        limits: Limits | None = None,
        enrolment_limits: Limits | None = None,
        threshold: float | None = None,
        rotate: int = 0,
    ) -> None:
        gallery.require_model(embedder.model_id)
        if threshold is not None:
            threshold = checked_threshold(threshold)
        self._detector, self._pad = detector, pad
        self._checked_networks: PinnedNetworks | None = None
        self.embedder = embedder
        self.gallery = gallery
        self._sampler = Sampler(detector, embedder, pad=pad, limits=limits)
        self._guard = OrientationGuard(detector, rotate=check_rotation(rotate))
        self._enrolment_limits = enrolment_limits or Limits.enrolment().stricter(limits or Limits())
        self._threshold = threshold
        self._check_networks()

    @classmethod
    def open(
        cls,
        model: str | Path,
        *,
        detector: str | Path | FaceDetector,
        gallery: str | os.PathLike[str],
        key: KeyProvider,
        anchor: Anchor | None = None,
        gallery_id: bytes | str | None = None,
        pad: str | Path | Sequence[str | Path] | PresentationAttackDetector | None = None,
        limits: Limits | None = None,
        enrolment_limits: Limits | None = None,
        threshold: float | None = None,
        delegate: str | Path | None = None,
        smallest_face_px: float | None = None,
        rotate: int = 0,
    ) -> Recognizer:
        """Open the networks and the gallery from files.

        Args:
            model: The embedder's .tflite, from edge-convert.
            detector: The detector's .tflite, or an object that finds faces.
            gallery: The gallery's file, created by `edge-sdk gallery create`.
            key: One of the gallery's keys.
            anchor: The anchor with which the gallery was created; None if it has none.
            gallery_id: Id that the gallery must have, see `Gallery.open`.
            pad: Files of MiniFASNet networks, or a presentation attack detector; None accepts a picture of a person in
                place of the person.
            limits: Quality limits beyond which a frame is not used; the defaults of `Limits` if None.
            enrolment_limits: Quality limits for enrolment; see the class.
            threshold: Cosine threshold, -1..1, not below the gallery's decision policy; the policy's if None.
            delegate: Shared library of a delegate for the embedder, see `Embedder.open`; None uses the CPU.
            smallest_face_px: Width of the smallest face to find, in the frame's pixels, see `Detector`; only if
                `detector` is a file.
            rotate: Rotation that is already applied to every frame, see the class.

        Raises:
            InputError: `smallest_face_px` is given for a detector that is an object, or an option is out of range.
            ModelError: The file of a network cannot be used.
            GalleryError: The gallery cannot be used, or it pins other networks; files are compared before they are
                parsed.
        """
        embedder = Embedder.open(model, delegate=delegate)
        opened = Gallery.open(
            gallery, key=key, model_id=embedder.model_id, anchor=anchor, gallery_id=gallery_id
        )
        finder = _use_detector(detector, opened, smallest_face_px)
        if isinstance(pad, str | Path):
            pad = open_liveness([pad], opened)
        elif isinstance(pad, Sequence):
            pad = open_liveness(pad, opened)
        return cls(
            finder,
            embedder,
            opened,
            pad=pad,
            limits=limits,
            enrolment_limits=enrolment_limits,
            threshold=threshold,
            rotate=rotate,
        )

    def enrol(
        self,
        frames: Iterable[UInt8Array],
        subject: str,
        options: EnrolOptions = ENROL_DEFAULTS,
        *,
        least: int = LEAST_TEMPLATES,
        **fields: Any,
    ) -> Enrolment:
        """Enrol one person, who must be alone in every frame, without dark glasses or a mask.

        The quality limits are those of enrolment. The eyes and the mouth must be uncovered in most frames: if more
        frames are refused for this reason than were good, the good frames are dropped.

        Args:
            frames: Each of shape (H, W, 3), uint8, RGB. Reading stops when there are enough good frames.
            subject: Name of the subject, see `Gallery.enrol`.
            options: Label, validity and handling of duplicates; the defaults of `EnrolOptions` if not given.
            least: Number of good frames required, 1 or more.
            fields: Fields of `EnrolOptions`, instead of `options`.

        Raises:
            AcquisitionError: Too few frames were good enough (failure to enrol); identical images count once. The
                hint lists the reasons.
            SubjectExistsError: The name is taken, or the face is similar to that of an enrolled subject.
            CaptureError: The frames do not all show the same person.
            GalleryError: The gallery could not be written.
        """
        if least < 1:
            raise InputError(f"expected 1 good frame or more, found {least}")
        options = replace(options, **fields, weaker_limits=weakened_limits(self._enrolment_limits))
        samples: list[tuple[int, AlignedSample]] = []
        covered = 0
        refused: list[RefusedFrame] = []
        hints: set[str] = set()
        turned = 0
        seen: set[bytes] = set()
        for index, frame in enumerate(frames):
            digest = hashlib.sha256(np.asarray(frame).tobytes()).digest()
            if digest in seen:
                refused.append(RefusedFrame(index, SAME_IMAGE))
                hints.add(SAME_IMAGE)
                continue
            seen.add(digest)
            sample = self._take_single(frame, self._enrolment_limits)
            if isinstance(sample, NoSample):
                hint = "; ".join(sample.hints)
                hints.update(sample.hints)
                refused.append(RefusedFrame(index, hint))
                turned += sample.refusal.reason == CAMERA_TURNED
                covered += bool(samples) and not sample.reasons.isdisjoint((EYES_COVERED, MOUTH_COVERED))
                if covered > len(samples):
                    refused += [RefusedFrame(place, hint) for place, _ in samples]
                    samples, covered = [], 0
            elif not bona_fide([sample]):
                refused.append(RefusedFrame(index, ATTACK))
                hints.add(ATTACK)
            else:
                samples.append((index, sample))
            if len(samples) == max(least, MOST_TEMPLATES):
                break
        if len(samples) < least:
            raise AcquisitionError(
                f"expected {least} good frames of {subject!r}, found {len(samples)} of {len(samples) + len(refused)}",
                reason=CAMERA_TURNED if turned > len(refused) / 2 else "enrolment",
                hint="; ".join(sorted(hints)) or "provide more images",
            )
        self._check_networks()
        self.gallery.enrol(subject, np.stack([sample.embedding for _, sample in samples]), options)
        return Enrolment(subject, len(samples), tuple(sorted(refused, key=lambda frame: frame.index)))

    def identify(self, frame: UInt8Array) -> Recognition:
        """Search the gallery for the person in one frame (1:N); counts as one attempt if the face is good enough.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.

        Raises:
            InputError: The frame is malformed, or there is neither a threshold nor a decision policy.
            GalleryError: The gallery cannot be read, or the attempt could not be counted.
        """
        sample = self._take_single(frame)
        return _guidance(sample) if isinstance(sample, NoSample) else self._attempt([sample], None)

    def verify(self, frame: UInt8Array, subject: str) -> Recognition:
        """Compare the person in one frame with one subject (1:1); counts as one attempt if the face is good enough.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.
            subject: Claimed name.

        Raises:
            SubjectUnknownError: The subject is not enrolled.
            InputError: The frame is malformed, or there is neither a threshold nor a decision policy.
            GalleryError: The gallery cannot be read, or the attempt could not be counted.
        """
        sample = self._take_single(frame)
        return _guidance(sample) if isinstance(sample, NoSample) else self._attempt([sample], subject)

    def watch(
        self,
        camera: Camera,
        *,
        seconds: float = math.inf,
        frames: int = FRAMES_PER_ATTEMPT,
        pause_s: float = PAUSE_S,
        attempts: int | None = None,
        subject: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[Recognition]:
        """Recognize people in front of an open camera; yields one answer per attempt, and guidance when it changes.

        A face is tracked from frame to frame. `frames` good frames that are similar to each other make one attempt,
        whose probe is the mean direction of their embeddings. After an accepted attempt there is no further attempt
        until the face has left. After the press of a button, `attempts=1` makes one probe and one search of the
        frames that follow, so that the policy's FPIR holds for the press.

        Args:
            camera: A camera inside its `with` block.
            seconds: Duration in seconds; unlimited by default.
            frames: Good frames of one attempt, 1 or more.
            pause_s: Pause in seconds after an attempt that was not accepted: people step nearer, and the number of
                attempts is limited.
            attempts: Ends after this many attempts with an answer, 1 or more; unlimited if None. A presentation
                attack, a score close to the threshold and a lockout are answers; guidance is not.
            subject: Claimed name; None searches all subjects.
            clock: Monotonic clock in seconds; replaced in tests.

        Yields:
            Answers; `RETRY` with `counted` false if a face is not good enough.

        Raises:
            AcquisitionError: The camera delivers no frame, or the same frame repeatedly.
            InputError: `frames` or `attempts` is below 1, or there is neither a threshold nor a decision policy.
            GalleryError: The gallery cannot be read, or an attempt could not be counted.
        """
        if frames < 1:
            raise InputError(f"expected 1 frame or more for an attempt, found {frames}")
        if attempts is not None and attempts < 1:
            raise InputError(
                f"expected 1 attempt or more, found {attempts}",
                hint="leave attempts out to watch without a limit",
            )
        alike = OperatingPoint.for_captures(self.embedder.card.operating_points)
        track = Track(same_person_cosine=-1.0 if alike is None else alike.threshold)
        watched, last_reason = Watched(camera), ""
        self._guard.rotate = rotation_of(camera, default=self._guard.rotate)
        ends, resumes = clock() + seconds, -math.inf
        left = math.inf if attempts is None else attempts
        while left > 0 and clock() < ends and (frame := watched.read()) is not None:
            if camera.live and clock() < resumes:
                continue
            sample = self._sampler.take(frame)
            if isinstance(sample, NoSample):
                track.follow(sample.face)
                turned = self._guard.without_attempt(frame, sample.face)
                if turned is not None:
                    sample = NoSample(sample.face, turned)
                if (sample.face is not None or turned is not None) and sample.refusal.reason != last_reason:
                    last_reason = sample.refusal.reason
                    yield _guidance(sample)
                continue
            track.add(sample)
            if not track.answered and len(track.samples) >= frames:
                if track.unchecked > TRACK_INTERVAL or self._guard.suspects:
                    refusal = self._guard.before_attempt(frame, sample.face)
                    if refusal is not None:
                        track.samples, track.unchecked = [], math.inf
                        if refusal.reason != last_reason:
                            last_reason = refusal.reason
                            yield _guidance(NoSample(sample.face, refusal))
                        continue
                    track.unchecked = 0
                answer = self._attempt(track.samples, subject)
                track.answered, track.samples, last_reason = answer.accepted, [], ""
                left -= 1
                yield answer
                resumes = -math.inf if answer.accepted else clock() + pause_s

    def _take_single(self, frame: UInt8Array, limits: Limits | None = None) -> AlignedSample | NoSample:
        """Acquire a sample of one frame and check by itself that the frame is upright."""
        sample = self._sampler.take(frame, limits=limits)
        refusal = self._guard.single(frame, sample.face)
        return sample if refusal is None else NoSample(sample.face, refusal)

    def _attempt(self, samples: list[AlignedSample], subject: str | None) -> Recognition:
        """Make one counted attempt."""
        self._check_networks()
        face = samples[-1].face
        if not bona_fide(samples):
            rejection = self.gallery.reject()
            message = ATTACK if rejection.reason is None else _message(rejection)
            return Recognition(rejection.decision, None, message, face)
        probe = mean_direction(samples)
        answer: Identification | Verification
        if subject is None:
            answer = self.gallery.identify(probe, threshold=self._threshold)
        else:
            answer = self.gallery.verify(probe, subject, threshold=self._threshold)
        return Recognition(
            answer.decision, answer.subject if answer.accepted else None, _message(answer), face
        )

    def _check_networks(self) -> None:
        """Refuse networks that the gallery does not allow, also if it was changed while this program runs."""
        self.gallery.refresh()
        networks = self.gallery.networks
        if networks is not None and networks != self._checked_networks:
            networks.check(self._detector, self._pad)
        self._checked_networks = networks


def open_detector(path: str | Path, gallery: Gallery, *, smallest_face_px: float | None = None) -> Detector:
    """Open a detector's file; if the gallery pins a detector, compare the file's digest before it is parsed.

    Raises:
        ModelError: The file cannot be used, or is not the pinned one.
    """
    networks = gallery.networks
    digest = None if networks is None else networks.detector
    return Detector.open(path, sha256=digest, smallest_face_px=smallest_face_px)


def open_liveness(paths: Sequence[str | Path], gallery: Gallery) -> MiniFasNet:
    """Open files of liveness networks; if the gallery pins some, compare the digests before a file is parsed.

    Raises:
        ModelError: A file cannot be used, or the files are not the pinned ones.
    """
    networks = gallery.networks
    digests = None if networks is None or not networks.liveness else networks.liveness
    return MiniFasNet.open(*paths, sha256=digests)


def _use_detector(
    detector: str | Path | FaceDetector, gallery: Gallery, smallest_face_px: float | None
) -> FaceDetector:
    if isinstance(detector, str | Path):
        return open_detector(detector, gallery, smallest_face_px=smallest_face_px)
    if smallest_face_px is not None:
        raise InputError(
            "expected a detector's file with smallest_face_px, found an object",
            hint="give the smallest face when you create the detector",
        )
    return detector


def _guidance(no_sample: NoSample) -> Recognition:
    refusal = no_sample.refusal
    return Recognition(Decision.RETRY, None, refusal.hint, no_sample.face, counted=False, code=refusal.reason)


def _message(answer: Identification | Verification) -> str:
    if answer.reason is not None:
        return _MESSAGES[answer.reason]
    return "" if answer.accepted else "not recognized"
