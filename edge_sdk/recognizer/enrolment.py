"""Good frames of one person for an enrolment, and the reasons of the others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from edge_sdk.errors import AcquisitionError, InputError, SubjectExistsError
from edge_sdk.gallery.results import Subject
from edge_sdk.gallery.rules.names import Names, checked_name, normalized, require_distinct
from edge_sdk.gallery.subjects import unknown_subject
from edge_sdk.recognizer.results import RefusedFrame
from edge_sdk.recognizer.sampling import AlignedSample, NoSample
from edge_sdk.recognizer.track import bona_fide
from edge_sdk.types import UInt8Array
from edge_sdk.vision.quality import EYES_COVERED, MOUTH_COVERED
from edge_sdk.vision.upright import CAMERA_TURNED

#: Least and most templates of an enrolment: with fewer good frames it fails; further frames are not used.
LEAST_TEMPLATES = 3
MOST_TEMPLATES = 5
ATTACK = "presentation attack"
SAME_IMAGE = "identical to an earlier image: take each image separately"


class EnrolmentSamples:
    """Samples of one person, at least `least` of them.

    Equal frames count once. If more frames are refused for covered eyes or a covered mouth than were good, the good frames
    are dropped: the detector of coverings has missed them.

    Args:
        take: Takes a sample of one frame under the limits of enrolment.
        least: Number of good frames required, 1 or more.
        guide: Called with advice to the person when it changes, and with the number of good frames when it grows.

    Raises:
        InputError: `least` is below 1.
    """

    def __init__(
        self,
        take: Callable[[UInt8Array], AlignedSample | NoSample],
        *,
        least: int,
        guide: Callable[[str], object] = lambda _: None,
    ) -> None:
        if least < 1:
            raise InputError(f"expected 1 good frame or more, found {least}")
        self._take, self._least, self._guide = take, least, guide
        self._enough, self._last = max(least, MOST_TEMPLATES), ""
        self._samples: list[tuple[int, AlignedSample]] = []
        self._refused: list[RefusedFrame] = []
        self._hints: Counter[str] = Counter()
        self._covered = self._turned = 0
        self._seen: set[bytes] = set()

    @property
    def samples(self) -> tuple[AlignedSample, ...]:
        """The good samples, in order of their frames."""
        return tuple(sample for _, sample in self._samples)

    @property
    def frames(self) -> tuple[int, ...]:
        """Index of the frame of each good sample."""
        return tuple(index for index, _ in self._samples)

    @property
    def refused(self) -> tuple[RefusedFrame, ...]:
        """Frames that are not used, in order."""
        return tuple(sorted(self._refused, key=lambda frame: frame.index))

    def collect(self, frames: Iterable[UInt8Array], subject: str) -> None:
        """Take samples until there are enough.

        Args:
            frames: Each of shape (H, W, 3), uint8, RGB.
            subject: Name in messages.

        Raises:
            AcquisitionError: Too few frames were good enough. The hint lists the reasons, the most frequent first.
        """
        for index, frame in enumerate(frames):
            self._add(index, frame)
            if len(self._samples) == self._enough:
                break
        missing = self._least - len(self._samples)
        if missing > 0:
            raise AcquisitionError(
                f"expected {self._least} good frames of {subject!r}, found {len(self._samples)} of"
                f" {len(self._samples) + len(self._refused)}",
                reason=CAMERA_TURNED if self._turned > len(self._refused) / 2 else "enrolment",
                hint="; ".join(hint for hint, _ in self._hints.most_common())
                or f"give {missing} more picture{'s' if missing > 1 else ''} of this person, or more time at the camera",
            )

    def _add(self, index: int, frame: UInt8Array) -> None:
        digest = hashlib.sha256(np.asarray(frame).tobytes()).digest()
        if digest in self._seen:
            self._refuse(index, SAME_IMAGE)
            return
        self._seen.add(digest)
        sample = self._take(frame)
        if isinstance(sample, NoSample):
            self._refuse(index, *sample.hints)
            self._turned += sample.refusal.reason == CAMERA_TURNED
            self._count_covered(sample)
        elif not bona_fide([sample], 1):
            self._refuse(index, ATTACK)
        else:
            self._samples.append((index, sample))
            self._say(f"{len(self._samples)} of {self._enough} good pictures")

    def _refuse(self, index: int, *hints: str) -> None:
        self._refused.append(RefusedFrame(index, "; ".join(hints)))
        self._hints.update(hints)
        self._say("; ".join(hints))

    def _say(self, words: str) -> None:
        if words != self._last:
            self._last = words
            self._guide(words)

    def _count_covered(self, sample: NoSample) -> None:
        self._covered += bool(self._samples) and not sample.reasons.isdisjoint((EYES_COVERED, MOUTH_COVERED))
        if self._covered > len(self._samples):
            reason = "; ".join(sample.hints)
            self._refused += [RefusedFrame(index, reason) for index, _ in self._samples]
            self._samples, self._covered = [], 0


def require_name(name: str, subjects: Sequence[Subject], *, add: bool) -> None:
    """Check a name before anybody poses: a new one for a new subject, an enrolled one to add pictures.

    The gallery checks it again when it stores the templates.

    Raises:
        InputError: The name is malformed.
        SubjectExistsError: A new subject has the name of an enrolled one, or one that looks like it.
        SubjectUnknownError: Pictures are added to a subject that is not enrolled.
    """
    # An older gallery may hold a name that no new subject may have.
    normal = normalized(name) if add else checked_name(name)
    enrolled = any(subject.name == normal for subject in subjects)
    if add and not enrolled:
        raise unknown_subject(name)
    if enrolled and not add:
        raise SubjectExistsError(
            f"{normal!r} is enrolled already",
            hint="choose another name, or add pictures to this subject with add (--add)",
        )
    if not add:
        require_distinct(normal, Names(subject.name for subject in subjects))
