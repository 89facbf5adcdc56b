"""Recognition of people in camera frames: joins camera, vision and gallery."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.cameras.camera import Camera
from edge_sdk.errors import CaptureError, InputError
from edge_sdk.gallery import Anchor, EnrolOptions, Gallery, KeyProvider, PinnedNetworks
from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.gallery.rules.names import normalized
from edge_sdk.gallery.rules.real_numbers import checked_threshold
from edge_sdk.gallery.subjects import ENROL_DEFAULTS
from edge_sdk.model.array_contract import image_contract
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.recognizer.answers import guidance
from edge_sdk.recognizer.attempt import Attempt
from edge_sdk.recognizer.enrolment import LEAST_TEMPLATES, EnrolmentSamples, require_name
from edge_sdk.recognizer.networks import use_detector, use_liveness
from edge_sdk.recognizer.orientation_guard import OrientationGuard
from edge_sdk.recognizer.owner_scores import OwnerScore, owner_scores
from edge_sdk.recognizer.results import Enrolment, Recognition
from edge_sdk.recognizer.sampling import AlignedSample, NoSample, Sampler
from edge_sdk.recognizer.watching import FRAMES_PER_ATTEMPT, PAUSE_S, Watch, WatchOptions
from edge_sdk.runtime.threads import default_threads, two_fit
from edge_sdk.types import UInt8Array
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import FaceDetector
from edge_sdk.vision.liveness import PresentationAttackDetector
from edge_sdk.vision.orientation import check_rotation
from edge_sdk.vision.quality import Limits, weakened_limits


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

    Attributes:
        when_recognized: Function that `run` calls with each accepted answer; None calls nothing.
        when_refused: Function that `run` calls with each other answer of an attempt.
        when_guided: Function that `run` calls with each answer that only guides a person to a better picture.

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
        self._watching = self._overlap = False
        self.when_recognized: Callable[[Recognition], object] | None = None
        self.when_refused: Callable[[Recognition], object] | None = None
        self.when_guided: Callable[[Recognition], object] | None = None
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
        threads: int | None = None,
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
            threads: Number of threads of each network opened from a file, 1 or more; None for one on each performance
                core, at most 4. With at most half of that number, `watch` embeds a face while the next frame is searched.
            smallest_face_px: Width of the smallest face to find, in the frame's pixels, see `Detector`; only if
                `detector` is a file.
            rotate: Rotation that is already applied to every frame, see the class.

        Raises:
            InputError: `smallest_face_px` is given for a detector that is an object, or an option is out of range.
            ModelError: The file of a network cannot be used.
            GalleryError: The gallery cannot be used, or it pins other networks; files are compared before they are
                parsed.
        """
        embedder = Embedder.open(model, delegate=delegate, threads=threads)
        opened = Gallery.open(
            gallery, key=key, model_id=embedder.model_id, anchor=anchor, gallery_id=gallery_id
        )
        recognizer = cls(
            use_detector(detector, opened, smallest_face_px, threads),
            embedder,
            opened,
            pad=use_liveness(pad, opened, threads),
            limits=limits,
            enrolment_limits=enrolment_limits,
            threshold=threshold,
            rotate=rotate,
        )
        # The embedder of a delegate leaves the cores to the detector.
        recognizer._overlap = two_fit(threads) or (delegate is not None and default_threads() > 1)
        return recognizer

    def enrol(
        self,
        frames: Iterable[UInt8Array],
        subject: str,
        options: EnrolOptions = ENROL_DEFAULTS,
        *,
        least: int | None = None,
        consent: str | None = None,
        guide: Callable[[str], object] = lambda _: None,
        **fields: Any,
    ) -> Enrolment:
        """Enrol one person, who must be alone in every frame, without dark glasses or a mask.

        The quality limits are those of enrolment. The eyes and the mouth must be uncovered in most frames: if more
        frames are refused for this reason than were good, the good frames are dropped.

        Args:
            frames: Each of shape (H, W, 3), uint8, RGB. Reading stops when there are enough good frames.
            subject: Name of the subject, see `Gallery.enrol`.
            options: Label, validity and handling of duplicates; the defaults of `EnrolOptions` if not given.
            least: Number of good frames required, 1 or more; None for 3, or 1 if pictures are added.
            consent: Statement of the person's consent to store the crops sealed (`gallery.captures`); None stores no crop.
            guide: Called with advice to the person when it changes, and with the number of good frames when it grows.
            fields: Fields of `EnrolOptions`, instead of `options`.

        Raises:
            AcquisitionError: Too few frames were good enough (failure to enrol); identical images count once. The
                hint lists the reasons.
            SubjectExistsError: The name is taken, which is known before a frame is read, or the face is similar to that
                of an enrolled subject.
            SubjectUnknownError: Pictures are added to a subject that is not enrolled; known before a frame is read.
            CaptureError: The frames do not all show the same person; its `capture` is the index of a frame.
            GalleryError: The gallery could not be written; or a consent is given, and the gallery stores no captures.
        """
        if consent is not None:
            self.gallery.captures.require_on()
        options = replace(options, **fields, weaker_limits=weakened_limits(self._enrolment_limits))
        self.gallery.refresh()
        require_name(subject, self.gallery.subjects(), add=options.add)
        if least is None:
            least = 1 if options.add else LEAST_TEMPLATES
        taken = EnrolmentSamples(
            lambda frame: self._take_single(frame, self._enrolment_limits), least=least, guide=guide
        )
        taken.collect(frames, subject)
        self._check_networks()
        if consent is not None:
            crops = [sample.crop for sample in taken.samples]
            captures = Crops.received(crops, image_contract(self.embedder.card.input), consent=consent)
            options = replace(options, captures=captures)
        embeddings = np.stack([sample.embedding for sample in taken.samples])
        try:
            self.gallery.enrol(subject, embeddings, options)
        except CaptureError as error:
            frame = taken.frames[error.capture]
            raise CaptureError(str(error), capture=frame, hint=error.hint) from error
        return Enrolment(subject, len(taken.samples), taken.refused)

    def identify(self, frame: UInt8Array) -> Recognition:
        """Search the gallery for the person in one frame (1:N); counts as one attempt if the face is good enough.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.

        Raises:
            InputError: The frame is malformed, or there is neither a threshold nor a decision policy.
            GalleryError: The gallery cannot be read, or the attempt could not be counted.
        """
        sample = self._take_single(frame)
        return guidance(sample) if isinstance(sample, NoSample) else self._begin(None).finish([sample])

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
        return (
            guidance(sample)
            if isinstance(sample, NoSample)
            else self._begin(normalized(subject)).finish([sample])
        )

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
    ) -> Generator[Recognition, None, None]:
        """Recognize people in front of an open camera; yields one answer per attempt, and guidance when it changes.

        A face is tracked from frame to frame. `frames` good frames that are similar to each other make one attempt,
        whose probe is the mean direction of their embeddings. The attempt is counted at its second frame, and ends there
        if each frame by itself would be accepted as the same subject; if the person leaves earlier, the frames so far
        are its evidence, and a missing frame counts as a liveness score of 0. After an accepted attempt there is no further attempt
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
        options = WatchOptions(seconds, frames, pause_s, attempts, clock, self._overlap)
        alike = OperatingPoint.for_captures(self.embedder.card.operating_points)
        watch = Watch(
            self._sampler,
            self._guard,
            lambda: self._begin(subject, frames=frames),
            same_person_cosine=-1.0 if alike is None else alike.threshold,
            options=options,
        )
        self._watching = True
        try:
            yield from watch.answers(camera)
        finally:
            self._watching = False

    def run(
        self,
        camera: Camera,
        *,
        seconds: float = math.inf,
        attempts: int | None = None,
        pause_s: float = PAUSE_S,
        subject: str | None = None,
    ) -> Recognition | None:
        """Watch an open camera, and call `when_recognized`, `when_refused` and `when_guided` with the answers.

        An exception in one of the functions ends the watch and is not caught. The functions are called in this thread; the
        camera is not read while they run.

        Args:
            camera: A camera inside its `with` block.
            seconds: See `watch`.
            attempts: See `watch`.
            pause_s: See `watch`.
            subject: See `watch`.

        Returns:
            The answer of the last attempt; None if there was no attempt.

        Raises:
            AcquisitionError, InputError, GalleryError: See `watch`.
        """
        last: Recognition | None = None
        answers = self.watch(camera, seconds=seconds, attempts=attempts, pause_s=pause_s, subject=subject)
        # An exception of a function keeps the generator alive; closed, it watches no longer.
        with contextlib.closing(answers):
            for answer in answers:
                if answer.counted:
                    last = answer
                    react = self.when_recognized if answer.accepted else self.when_refused
                else:
                    react = self.when_guided
                if react is not None:
                    react(answer)
        return last

    def owner_scores(self, frame: UInt8Array) -> tuple[OwnerScore, ...]:
        """Compare the person in one frame with the enrolled subjects, and show the owner the two best scores.

        This is a diagnosis for the owner of the gallery, at most 20 times within 24 hours; each is recorded in the audit
        log. Never pass the scores on to the people at the door: many scores together reconstruct a template. It is no
        attempt and no decision.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.

        Returns:
            The best subject and the next one, rounded to two decimals; empty if nobody is enrolled.

        Raises:
            AcquisitionError: The face is not good enough.
            InputError: The frame is malformed, or this recognizer is watching a camera.
            GalleryError: The gallery cannot be read, keeps no audit log, or scores were shown too often.
        """
        if self._watching:
            raise InputError(
                "expected no watched camera while scores are shown to the owner, found one",
                hint="open another recognizer for the diagnosis, and give it a photograph",
            )
        sample = self._take_single(frame)
        if isinstance(sample, NoSample):
            raise sample.refusal.error()
        self._check_networks()
        return owner_scores(self.gallery, sample.embedding)

    def _take_single(self, frame: UInt8Array, limits: Limits | None = None) -> AlignedSample | NoSample:
        """Acquire a sample of one frame and check by itself that the frame is upright."""
        sample = self._sampler.take(frame, limits=limits)
        refusal = self._guard.single(frame, sample.face)
        return sample if refusal is None else NoSample(sample.face, refusal)

    def _begin(self, subject: str | None, *, frames: int = 1) -> Attempt:
        """Count one attempt."""
        self._check_networks()
        return Attempt(self.gallery, subject, self._threshold, frames=frames)

    def _check_networks(self) -> None:
        """Refuse networks that the gallery does not allow, also if it was changed while this program runs."""
        self.gallery.refresh()
        networks = self.gallery.networks
        if networks is not None and networks != self._checked_networks:
            networks.check(self._detector, self._pad)
        self._checked_networks = networks
