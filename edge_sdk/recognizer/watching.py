"""Attempts and guidance of people in front of a camera."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from edge_sdk.cameras.camera import Camera, Watched, rotation_of
from edge_sdk.errors import InputError
from edge_sdk.recognizer.answers import guidance
from edge_sdk.recognizer.attempt import Attempt
from edge_sdk.recognizer.motion import MotionGate
from edge_sdk.recognizer.orientation_guard import TRACK_INTERVAL, OrientationGuard
from edge_sdk.recognizer.results import Recognition
from edge_sdk.recognizer.sampling import AlignedSample, FoundFace, NoSample, Sampler
from edge_sdk.recognizer.track import Track
from edge_sdk.types import UInt8Array

#: Good frames of one attempt. With more frames the decision is more reliable, but takes longer.
FRAMES_PER_ATTEMPT = 3
#: Good frames after which an attempt ends early if each of them would be accepted by itself.
EARLY_FRAMES = 2
#: While a face is tracked, one of this many frames is searched completely, which finds other people.
COMPLETE_SEARCH_INTERVAL = 8
#: Pause after an attempt that was not accepted, in seconds.
PAUSE_S = 1.0


@dataclass(frozen=True)
class WatchOptions:
    """Options of a watch: number of frames of an attempt, pauses, and the end; see `Recognizer.watch`.

    With `overlap`, a face is embedded in another thread while the next frame is read and searched.

    Raises:
        InputError: `frames` or `attempts` is below 1.
    """

    seconds: float = math.inf
    frames: int = FRAMES_PER_ATTEMPT
    pause_s: float = PAUSE_S
    attempts: int | None = None
    clock: Callable[[], float] = time.monotonic
    overlap: bool = False

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

    Results are used in the order of the frames, so that the answers do not depend on the overlap.

    Args:
        sampler: Takes samples of frames.
        guard: Checks that frames are upright.
        begin: Begins one counted attempt.
        same_person_cosine: Lowest cosine of two frames of one person, see `Track`.
        options: When attempts are made, and when the watch ends.
    """

    def __init__(
        self,
        sampler: Sampler,
        guard: OrientationGuard,
        begin: Callable[[], Attempt],
        *,
        same_person_cosine: float,
        options: WatchOptions,
    ) -> None:
        self._sampler, self._guard, self._begin = sampler, guard, begin
        self._track = Track(same_person_cosine)
        self._gate = MotionGate()
        self._options = options
        self._last_reason = ""
        self._resumes = -math.inf
        self._partial = 0
        self._attempt: Attempt | None = None
        self._examined: list[AlignedSample] = []

    def answers(self, camera: Camera) -> Iterator[Recognition]:
        """Yield one answer per attempt, and guidance when it changes; see `Recognizer.watch`."""
        options = self._options
        self._guard.rotate = rotation_of(camera, default=self._guard.rotate)
        left = math.inf if options.attempts is None else options.attempts
        with contextlib.closing(self._all_answers(camera)) as answers:
            for answer in answers:
                left -= answer.counted
                yield answer
                if answer.counted:
                    self._resumes = -math.inf if answer.accepted else options.clock() + options.pause_s
                if left <= 0:
                    return

    def _all_answers(self, camera: Camera) -> Generator[Recognition, None, None]:
        """Yield answers and guidance until the time is over or the recording ends."""
        options, watched = self._options, Watched(camera)
        ends = options.clock() + options.seconds
        with contextlib.ExitStack() as stack:
            stack.callback(self._abandon)
            start = self._describer(stack)
            reading = True
            waiting: tuple[FoundFace, Callable[[], AlignedSample]] | None = None
            while reading or waiting is not None:
                frame, candidate = None, None
                if reading and (waiting is None or self._looks_ahead()):
                    frame = watched.read() if options.clock() < ends else None
                    reading = frame is not None
                    if frame is not None:
                        candidate = self._find(frame, live=camera.live)
                if waiting is not None:
                    (last, described), waiting = waiting, None
                    answer = self._add(last.frame, described())
                    if answer is not None:
                        yield answer
                        if camera.live and self._pausing():
                            candidate = None
                if isinstance(candidate, FoundFace):
                    waiting = candidate, start(candidate)
                elif candidate is not None and frame is not None:
                    answer = self._without_sample(frame, candidate)
                    if answer is not None:
                        yield answer
            if self._attempt is not None:
                yield self._finish()

    def _describer(self, stack: contextlib.ExitStack) -> Callable[[FoundFace], Callable[[], AlignedSample]]:
        """Return a function that starts the second half of a sample, and returns a function that waits for it."""
        describe = self._sampler.describe
        if not self._options.overlap:
            return lambda candidate: functools.partial(describe, candidate)
        from concurrent.futures import ThreadPoolExecutor

        worker = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="embed"))
        return lambda candidate: worker.submit(describe, candidate).result

    def _looks_ahead(self) -> bool:
        """Return True if the next frame is searched before the sample that is being computed is used."""
        completes = len(self._track.samples) + 1 >= self._options.frames and not self._track.answered
        return self._options.overlap and not completes

    def _pausing(self) -> bool:
        return self._options.clock() < self._resumes

    def _find(self, frame: UInt8Array, *, live: bool) -> FoundFace | NoSample | None:
        """Search a frame; None if it is skipped."""
        if live:
            if self._pausing():
                # Samples from both sides of a pause make no attempt.
                self._track.samples = []
                return None
            if self._track.face is None and self._gate.skips(frame, self._options.clock()):
                return None
        # A face that is tracked is searched in a part of the frame, until the next complete search is due.
        self._partial = self._partial + 1 if self._track.face is not None else 0
        near = self._track.face if self._partial % COMPLETE_SEARCH_INTERVAL else None
        candidate = self._sampler.find(frame, near=near)
        if candidate.face is not None:
            self._gate.found()
        return candidate

    def _add(self, frame: UInt8Array, sample: AlignedSample) -> Recognition | None:
        """Return what follows from one more sample: an answer, changed guidance, or None."""
        track, options = self._track, self._options
        track.add(sample)
        if self._is_interrupted():
            return self._finish()
        if track.answered or len(track.samples) < min(EARLY_FRAMES, options.frames):
            return None
        if self._attempt is None:
            if track.unchecked > TRACK_INTERVAL or self._guard.suspects:
                refusal = self._guard.before_attempt(frame, sample.face)
                if refusal is not None:
                    track.samples, track.unchecked = [], math.inf
                    return self._changed(NoSample(sample.face, refusal))
                track.unchecked = 0
            self._attempt = self._begin()
        self._examined = list(track.samples)
        if len(track.samples) >= options.frames:
            return self._finish()
        if len(self._examined) > EARLY_FRAMES:
            return None  # these frames agree only if the first ones did
        answer = self._attempt.accept_early(self._examined)
        return None if answer is None else self._ended(answer)

    def _is_interrupted(self) -> bool:
        """Return True if the person of an attempt has left or changed before its last frame."""
        samples = self._track.samples
        return self._attempt is not None and not (samples and samples[0] is self._examined[0])

    def _finish(self) -> Recognition:
        """End the attempt with the samples that it has."""
        if self._attempt is None:  # pragma: no cover  each caller has checked
            raise RuntimeError("no attempt was begun")
        return self._ended(self._attempt.finish(self._examined))

    def _ended(self, answer: Recognition) -> Recognition:
        if not self._is_interrupted():
            self._track.answered, self._track.samples = answer.accepted, []
        self._attempt, self._examined, self._last_reason = None, [], ""
        return answer

    def _abandon(self) -> None:
        """Record the attempt that the caller, or an error, ended before its answer; it is counted as failed."""
        if self._attempt is not None:
            attempt, self._attempt = self._attempt, None
            attempt.abandon()

    def _without_sample(self, frame: UInt8Array, sample: NoSample) -> Recognition | None:
        self._track.follow(sample.face)
        if self._is_interrupted():
            return self._finish()
        if sample.face is None:
            self._gate.searched(frame, self._options.clock(), empty=self._track.face is None)
        turned = self._guard.without_attempt(frame, sample.face)
        if turned is not None:
            return self._changed(NoSample(sample.face, turned))
        return None if sample.face is None else self._changed(sample)

    def _changed(self, sample: NoSample) -> Recognition | None:
        if sample.refusal.reason == self._last_reason:
            return None
        self._last_reason = sample.refusal.reason
        return guidance(sample)
