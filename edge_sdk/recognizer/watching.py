"""Attempts and guidance of people in front of a camera."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_sdk.cameras.camera import Camera, Watched, rotation_of
from edge_sdk.errors import InputError
from edge_sdk.recognizer.answers import guidance
from edge_sdk.recognizer.orientation_guard import TRACK_INTERVAL, OrientationGuard
from edge_sdk.recognizer.results import Recognition
from edge_sdk.recognizer.sampling import AlignedSample, NoSample, Sampler
from edge_sdk.recognizer.track import Track
from edge_sdk.types import UInt8Array

#: Good frames of one attempt. With more frames the decision is more reliable, but takes longer.
FRAMES_PER_ATTEMPT = 3
#: Pause after an attempt that was not accepted, in seconds.
PAUSE_S = 1.0


@dataclass(frozen=True)
class WatchOptions:
    """Options of a watch: number of frames of an attempt, pauses, and the end; see `Recognizer.watch`.

    Raises:
        InputError: `frames` or `attempts` is below 1.
    """

    seconds: float = math.inf
    frames: int = FRAMES_PER_ATTEMPT
    pause_s: float = PAUSE_S
    attempts: int | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise InputError(f"expected 1 frame or more for an attempt, found {self.frames}")
        if self.attempts is not None and self.attempts < 1:
            raise InputError(
                f"expected 1 attempt or more, found {self.attempts}",
                hint="leave attempts out to watch without a limit",
            )


class Watch:
    """Watching one camera until a time or a number of attempts is reached.

    Args:
        sampler: Takes samples of frames.
        guard: Checks that frames are upright.
        attempt: Makes one counted attempt with the samples of one person.
        same_person_cosine: Lowest cosine of two frames of one person, see `Track`.
        options: When attempts are made, and when the watch ends.
    """

    def __init__(
        self,
        sampler: Sampler,
        guard: OrientationGuard,
        attempt: Callable[[list[AlignedSample]], Recognition],
        *,
        same_person_cosine: float,
        options: WatchOptions,
    ) -> None:
        self._sampler, self._guard, self._attempt = sampler, guard, attempt
        self._track = Track(same_person_cosine)
        self._options = options
        self._last_reason = ""

    def answers(self, camera: Camera) -> Iterator[Recognition]:
        """Yield one answer per attempt, and guidance when it changes; see `Recognizer.watch`."""
        options, watched = self._options, Watched(camera)
        self._guard.rotate = rotation_of(camera, default=self._guard.rotate)
        ends, resumes = options.clock() + options.seconds, -math.inf
        left = math.inf if options.attempts is None else options.attempts
        while left > 0 and options.clock() < ends and (frame := watched.read()) is not None:
            if camera.live and options.clock() < resumes:
                continue
            answer = self._next(frame)
            if answer is None:
                continue
            left -= answer.counted
            yield answer
            if answer.counted:
                resumes = -math.inf if answer.accepted else options.clock() + options.pause_s

    def _next(self, frame: UInt8Array) -> Recognition | None:
        """Return what follows from one more frame: an answer, changed guidance, or None."""
        sample = self._sampler.take(frame)
        if isinstance(sample, NoSample):
            return self._without_sample(frame, sample)
        track = self._track
        track.add(sample)
        if track.answered or len(track.samples) < self._options.frames:
            return None
        if track.unchecked > TRACK_INTERVAL or self._guard.suspects:
            refusal = self._guard.before_attempt(frame, sample.face)
            if refusal is not None:
                track.samples, track.unchecked = [], math.inf
                return self._changed(NoSample(sample.face, refusal))
            track.unchecked = 0
        answer = self._attempt(track.samples)
        track.answered, track.samples, self._last_reason = answer.accepted, [], ""
        return answer

    def _without_sample(self, frame: UInt8Array, sample: NoSample) -> Recognition | None:
        self._track.follow(sample.face)
        turned = self._guard.without_attempt(frame, sample.face)
        if turned is not None:
            return self._changed(NoSample(sample.face, turned))
        return None if sample.face is None else self._changed(sample)

    def _changed(self, sample: NoSample) -> Recognition | None:
        if sample.refusal.reason == self._last_reason:
            return None
        self._last_reason = sample.refusal.reason
        return guidance(sample)
