"""Who is before the camera: the join of camera, perception and gallery, failing closed."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from edge_sdk.cameras.camera import Camera, Watched
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.gallery import Anchor, Gallery, KeyProvider
from edge_sdk.gallery.results import Decision, Identification, Reason, Verification
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.recognizer.results import Enrolment, Recognition, RefusedFrame
from edge_sdk.recognizer.sampling import AlignedSample, Refused, Sampler
from edge_sdk.recognizer.track import Track, bona_fide, mean_direction
from edge_sdk.types import UInt8Array
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.faces import FaceDetector
from edge_sdk.vision.liveness import PresentationAttackDetector
from edge_sdk.vision.quality import Limits

#: Frames that make one try: more steady it, and keep people waiting.
FRAMES_PER_TRY = 3
#: Between a try that was not accepted and the next frame.
PAUSE_S = 1.0
#: Templates of an enrolment: fewer good frames are a failure to enrol, more are not kept.
LEAST_TEMPLATES = 3
MOST_TEMPLATES = 5
ATTACK = "presentation attack"
SAME_PICTURE = "the same picture as one before: each must be taken anew"

_WORDS = {
    Reason.CLOSE: "look straight at the camera, with light on the face",
    Reason.AMBIGUOUS: "look straight at the camera, with light on the face",
    Reason.WAIT: "too many failures: wait",
    Reason.DISABLED: "too many failures: an administrator must reset them",
    Reason.COUNTER: "the count of failures is missing or not the right one: an administrator must reset it",
}


class Recognizer:
    """Enrols and recognizes people from camera frames.

    Every failure is an exception, and a door opens on `accepted` alone: whatever goes wrong, it stays shut. Not for
    several threads at once.

    Args:
        detector: Finds faces.
        embedder: Turns aligned crops into embeddings.
        gallery: Whom to know; made for this embedder's model.
        pad: Judges whether it is a person before the camera; nobody does where None.
        limits: From where on a face is not good enough.
        threshold: Cosine to reach; the gallery's own decision policy where None.

    Raises:
        ModelMismatchError: The gallery was made for another model.
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        gallery: Gallery,
        *,
        pad: PresentationAttackDetector | None = None,
        limits: Limits | None = None,
        threshold: float | None = None,
    ) -> None:
        gallery.require_model(embedder.model_id)
        self.embedder = embedder
        self.gallery = gallery
        self._sampler = Sampler(detector, embedder, pad=pad, limits=limits)
        self._threshold = threshold

    @classmethod
    def open(
        cls,
        model: str | Path,
        *,
        detector: str | Path,
        gallery: str | os.PathLike[str],
        key: KeyProvider,
        anchor: Anchor | None = None,
        pad: PresentationAttackDetector | None = None,
        limits: Limits | None = None,
        threshold: float | None = None,
        delegate: str | Path | None = None,
    ) -> Recognizer:
        """Open everything from files.

        Args:
            model: The embedder's .tflite, from edge-convert.
            detector: The detector's .tflite.
            gallery: The gallery's file; `edge-sdk gallery create` makes one.
            key: One of the keys that seal it.
            anchor: The anchor it was created with.
            pad: As of the class.
            limits: As of the class.
            threshold: As of the class.
            delegate: Runs the embedder on an accelerator, as `Embedder.open`.

        Raises:
            ModelError: A network's file cannot be used.
            GalleryError: The gallery cannot.
        """
        embedder = Embedder.open(model, delegate=delegate)
        opened = Gallery.open(gallery, key=key, model_id=embedder.model_id, anchor=anchor)
        return cls(Detector.open(detector), embedder, opened, pad=pad, limits=limits, threshold=threshold)

    def enrol(
        self,
        frames: Iterable[UInt8Array],
        subject: str,
        *,
        label: str = "",
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
        allow_duplicate: bool = False,
        least: int = LEAST_TEMPLATES,
    ) -> Enrolment:
        """Add one person, alone before the camera in every frame.

        Args:
            frames: Each of shape (H, W, 3), uint8, RGB. Reading stops when there are enough good ones.
            subject: A name, as `Gallery.enrol`.
            label: As there.
            valid_from: As there.
            valid_until: As there.
            allow_duplicate: As there.
            least: Good frames that it takes, 1 or more.

        Raises:
            AcquisitionError: Too few frames were good enough (failure to enrol), the very same picture counted once; says
                what was wrong.
            SubjectExistsError: The name is taken, or the face looks like somebody's.
            CaptureError: The frames do not show one person.
            GalleryError: The gallery could not be written.
        """
        if least < 1:
            raise InputError(f"expected 1 good frame or more, found {least}")
        samples: list[AlignedSample] = []
        refused: list[RefusedFrame] = []
        seen: set[bytes] = set()
        for index, frame in enumerate(frames):
            digest = hashlib.sha256(np.asarray(frame).tobytes()).digest()
            if digest in seen:
                refused.append(RefusedFrame(index, SAME_PICTURE))
                continue
            seen.add(digest)
            taken = self._sampler.take(frame)
            if isinstance(taken, Refused):
                refused.append(RefusedFrame(index, taken.refusal.hint))
            elif not bona_fide([taken]):
                refused.append(RefusedFrame(index, ATTACK))
            else:
                samples.append(taken)
            if len(samples) == max(least, MOST_TEMPLATES):
                break
        if len(samples) < least:
            reasons = sorted({one.reason for one in refused}) or ["give more pictures"]
            raise AcquisitionError(
                f"expected {least} good frames of {subject!r}, found {len(samples)} of {len(samples) + len(refused)}",
                reason="enrolment",
                hint="; ".join(reasons),
            )
        self.gallery.refresh()
        self.gallery.enrol(
            subject,
            np.stack([sample.embedding for sample in samples]),
            label=label,
            valid_from=valid_from,
            valid_until=valid_until,
            allow_duplicate=allow_duplicate,
        )
        return Enrolment(subject, len(samples), tuple(refused))

    def identify(self, frame: UInt8Array) -> Recognition:
        """Ask who is before the camera (1:N), by one frame: one counted try where it shows a good face.

        Args:
            frame: Shape (H, W, 3), uint8, RGB.

        Raises:
            InputError: Not a frame, or neither a threshold nor a policy says how to decide.
            GalleryError: The gallery cannot be read, or the try could not be counted.
        """
        taken = self._sampler.take(frame)
        return _guidance(taken) if isinstance(taken, Refused) else self._ask([taken], None)

    def verify(self, frame: UInt8Array, subject: str) -> Recognition:
        """Ask whether one subject is before the camera (1:1), by one frame.

        Args:
            frame: As `identify`.
            subject: The name that is claimed.

        Raises:
            SubjectUnknownError: No such subject.
            InputError, GalleryError: As `identify`.
        """
        taken = self._sampler.take(frame)
        return _guidance(taken) if isinstance(taken, Refused) else self._ask([taken], subject)

    def watch(
        self,
        camera: Camera,
        *,
        seconds: float = math.inf,
        frames: int = FRAMES_PER_TRY,
        pause_s: float = PAUSE_S,
        subject: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[Recognition]:
        """Follow whoever is before an open camera; one answer for each try, and guidance when it changes.

        A face is followed from frame to frame. So many good frames of it, alike among themselves, make one try:
        the mean direction of their embeddings is the probe. Who was accepted is not asked about again before
        the face has left.

        Args:
            camera: Inside its `with` block.
            seconds: When to stop looking; never by default.
            frames: Good frames that make a try, 1 or more.
            pause_s: After a try that was not accepted, before the next frame is looked at: time to step
                nearer, and tries are few.
            subject: The name that is claimed; None for anybody.
            clock: Seam for tests: seconds that never run back.

        Yields:
            Answers, and `RETRY` with `counted` false where a face is not good enough.

        Raises:
            AcquisitionError: The camera gives no frame, or the same one again and again.
            InputError, GalleryError: As `identify`.
        """
        if frames < 1:
            raise InputError(f"expected 1 frame or more for a try, found {frames}")
        watched, track, said = Watched(camera), Track(self._alike()), ""
        ends, resumes = clock() + seconds, -math.inf
        while clock() < ends and (frame := watched.read()) is not None:
            if camera.live and clock() < resumes:
                continue
            taken = self._sampler.take(frame)
            if isinstance(taken, Refused):
                track.follow(taken.face)
                if taken.face is not None and taken.refusal.reason != said:
                    said = taken.refusal.reason
                    yield _guidance(taken)
                continue
            track.gather(taken)
            if not track.answered and len(track.samples) >= frames:
                answer = self._ask(track.samples, subject)
                track.answered, track.samples, said = answer.accepted, [], ""
                yield answer
                resumes = -math.inf if answer.accepted else clock() + pause_s

    def _ask(self, samples: list[AlignedSample], subject: str | None) -> Recognition:
        """One counted try."""
        face = samples[-1].face
        if not bona_fide(samples):
            refused = self.gallery.reject()
            words = ATTACK if refused.reason is None else _reason(refused)
            return Recognition(refused.decision, None, words, face)
        probe = mean_direction(samples)
        answer: Identification | Verification
        if subject is None:
            answer = self.gallery.identify(probe, threshold=self._threshold)
        else:
            answer = self.gallery.verify(probe, subject, threshold=self._threshold)
        return Recognition(
            answer.decision, answer.subject if answer.accepted else None, _reason(answer), face
        )

    def _alike(self) -> float:
        """What two frames of one person reach with one another."""
        point = OperatingPoint.for_captures(self.embedder.card.operating_points)
        return -1.0 if point is None else point.threshold


def _guidance(refused: Refused) -> Recognition:
    return Recognition(Decision.RETRY, None, refused.refusal.hint, refused.face, counted=False)


def _reason(answer: Identification | Verification) -> str:
    if answer.reason is not None:
        return _WORDS[answer.reason]
    return "" if answer.accepted else "not recognized"
