"""Check a folder of pictures before training: one report of every problem, and the subjects that remain."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.samples import Sample, SampleSet
from converters.number_format import count
from converters.progress import Progress
from edge_sdk.escaping import escaped_line
from edge_sdk.model.operating_point import subjects_needed
from edge_train.data.layout import PARTS, Layout, read_layout
from edge_train.data.listing import Listing, list_pictures
from edge_train.data.picture_problems import linked_groups, review_pictures, unequal_numbers
from edge_train.data.problems import LEAVE_OUT, REFUSE, SEVERITIES, WARN, Problem
from edge_train.data.scan import PictureFacts, scan_pictures
from edge_train.data.split import (
    LEAST,
    SHARES,
    Split,
    least_evaluated,
    split_by,
    split_subjects,
    subjects_for,
    supported_fmr,
)
from edge_train.data.subjects import Subjects
from edge_train.errors import FolderError

#: FMR that an evaluation should support; below, the report has a warning.
DEFAULT_FMR = 1e-3
#: Kind of the warning about look-alikes that the user's split has in different parts.
ALIKE_ACROSS_PARTS = "alike_across_parts"
# Images with a higher ratio of their sides lose more than a fifth of their area in a square input.
_OBLONG = 1.25


@dataclass(frozen=True, eq=False, kw_only=True)
class FolderReport:
    """Problems of a folder of pictures, and what can be trained on.

    Args:
        path: The folder or archive.
        images: Number of images in folders of subjects.
        subjects: Number of subjects with an image.
        problems: All problems, the refused ones first.
        usable: Subjects and images that are left; None if training is refused.
        parts: Part of each subject if the folder is split by the user (``train``, ``calibration``, ``evaluation``).
        together: Groups of subjects that stay on one side of the split.
        median_size: Height and width in pixels of the usable image with the median area; (0, 0) if training is refused.
        gray: True if no usable image has colour.
        digest: SHA-256 over the names and bytes of the usable images, hex; empty if training is refused.
    """

    path: str
    images: int
    subjects: int
    problems: tuple[Problem, ...]
    usable: Subjects | None
    parts: Mapping[str, str] | None
    together: tuple[tuple[str, ...], ...]
    median_size: tuple[int, int] = (0, 0)
    gray: bool = False
    digest: str = ""

    @property
    def refused(self) -> bool:
        """True if training cannot start."""
        return self.usable is None

    def split(self, *, seed: int, parts: Mapping[str, str] | None = None) -> Split:
        """Split the usable subjects: as the user states, otherwise by a hash of their names.

        Args:
            seed: Seed of the hash.
            parts: Part of each subject, such as from ``read_parts``; None for the folder's own parts, if it has any.

        Raises:
            FolderError: Training is refused, or a part has too few subjects.
        """
        if self.usable is None:
            first = next(problem for problem in self.problems if problem.severity == REFUSE)
            raise FolderError(f"{self.path}: {first.text}", hint=first.cure)
        chosen = self.parts if parts is None else parts
        if chosen is not None:
            return split_by(self.usable, chosen)
        return split_subjects(self.usable, seed=seed, together=self.together)

    def for_parts(self, parts: Mapping[str, str]) -> FolderReport:
        """Return the report for a split by the user, with warnings about look-alikes in different parts of it."""
        others = tuple(problem for problem in self.problems if problem.kind != ALIKE_ACROSS_PARTS)
        return replace(
            self, problems=(*others, *_look_alikes_across_parts(parts, self.together)), parts=parts
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report for JSON."""
        usable = self.usable
        return {
            "path": self.path,
            "images": self.images,
            "subjects": self.subjects,
            "refused": self.refused,
            "usable_images": 0 if usable is None else len(usable.flat),
            "usable_subjects": 0 if usable is None else len(usable.names),
            "median_size": list(self.median_size),
            "gray": self.gray,
            "problems": [problem.to_json() for problem in self.problems],
            "together": [list(group) for group in self.together],
        }

    def to_text(self) -> str:
        """Return the report as text, safe for a terminal."""
        lines = [
            f"{escaped_line(self.path)}: {count(self.images, 'image')} of {count(self.subjects, 'subject')}"
        ]
        lines += [problem.to_text() for problem in self.problems]
        if self.usable is None:
            lines.append("training is refused")
        else:
            used = f"{count(len(self.usable.flat), 'image')} of {count(len(self.usable.names), 'subject')}"
            height, width = self.median_size
            kind = f"{'grey' if self.gray else 'colour'}, usually {width}x{height} px (width x height)"
            lines.append(f"used: {used}, {kind}")
            if max(height, width) > _OBLONG * min(height, width):
                shape = "x".join(str(_rounded(side / max(height, width))) for side in (height, width))
                lines.append(
                    f"  to do: give --size of this shape, such as --size {shape} (HEIGHTxWIDTH); a square input leaves out both ends of each image"
                )
        return "\n".join(lines)


def check_folder(
    path: str | Path,
    *,
    fmr: float = DEFAULT_FMR,
    threads: int | None = None,
    progress: Progress | None = None,
) -> FolderReport:
    """Check a folder, .tar or .zip of ``SUBJECT/IMAGE``, and name every problem.

    Every image is decoded once, at a small size. About 1 KB per image is kept.

    Args:
        path: The folder or archive.
        fmr: FMR that the evaluation subjects should support; otherwise the report has a warning.
        threads: Number of threads that decode; None for one per processor, up to 8.
        progress: Called with (done, total) images.

    Raises:
        FolderError: There is no such folder or archive, or it has too many images.
        EdgeSdkError: Pillow is not installed.
    """
    listing = list_pictures(path)
    layout = read_layout(listing)
    problems = list(layout.problems)
    names = sorted(layout.images)
    facts = scan_pictures(
        names, lambda name: listing.read(layout.images[name]), threads=threads, progress=progress
    )
    review = review_pictures(facts)
    problems += review.problems
    kept = [name for place, name in enumerate(names) if place not in review.left_out]
    of_subject = Counter(name.split("/")[0] for name in kept)
    single = sorted(name for name, number in of_subject.items() if number == 1)
    if single:
        problems.append(
            Problem(
                kind="single_images",
                severity=LEAVE_OUT,
                text=f"{count(len(single), 'subject')} with one usable image: nothing to compare it with",
                cure="add a second image of each, taken at another time",
                files=tuple(single),
            )
        )
    left = {name: number for name, number in of_subject.items() if number > 1}
    problems += _numbers(left, listing, layout, fmr)
    refused = any(problem.severity == REFUSE for problem in problems)
    samples = tuple(Sample(name, name.split("/")[0]) for name in kept if name.split("/")[0] in left)
    usable = None if refused else Subjects.of(_sample_set(listing, layout, samples))
    similar = {(group[0], other) for group in layout.similar for other in group[1:]}
    together = linked_groups(review.linked | similar)
    if layout.parts is not None:
        problems += _look_alikes_across_parts(layout.parts, together)
    chosen = [place for place, name in enumerate(names) if place not in review.left_out]
    return FolderReport(
        path=str(path),
        images=len(names),
        subjects=len({name.split("/")[0] for name in names}),
        problems=tuple(sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))),
        usable=usable,
        parts=layout.parts,
        together=together,
        median_size=_median_size(facts.sizes[chosen]) if usable is not None else (0, 0),
        gray=usable is not None and bool(facts.gray[chosen].all()),
        digest="" if usable is None else _digest(usable, facts),
    )


def listed_subjects(path: str | Path) -> Subjects:
    """List the subjects of a folder, .tar or .zip without decoding an image.

    Raises:
        FolderError: There is no such folder or archive, or it has too many images or none as ``SUBJECT/IMAGE``.
    """
    listing = list_pictures(path)
    layout = read_layout(listing)
    samples = tuple(Sample(name, name.split("/")[0]) for name in sorted(layout.images))
    if not samples:
        raise FolderError(
            f"{path}: expected pictures as SUBJECT/IMAGE, found none", hint="--check names the problems"
        )
    return Subjects.of(_sample_set(listing, layout, samples))


def _digest(usable: Subjects, facts: PictureFacts) -> str:
    place = {name: number for number, name in enumerate(facts.names)}
    digest = hashlib.sha256()
    for sample in usable.flat:
        digest.update(f"{sample.name}\0".encode())
        digest.update(facts.digests[place[sample.name]].tobytes())
    return digest.hexdigest()


def _rounded(share: float) -> int:
    """Return a side of an input of at most 128 px, a multiple of 16."""
    return max(16, 16 * round(8 * share))


def _median_size(sizes: NDArray[np.int32]) -> tuple[int, int]:
    """Return the height and width of the image with the median area, so that they are those of a real image."""
    area = sizes[:, 0].astype(np.int64) * sizes[:, 1]
    height, width = sizes[np.argsort(area, kind="stable")[len(area) // 2]].tolist()
    return height, width


def _look_alikes_across_parts(
    parts: Mapping[str, str], together: tuple[tuple[str, ...], ...]
) -> list[Problem]:
    """Warn about look-alikes that the user's split has in different parts."""
    apart = []
    for group in together:
        placed = [(name, parts[name]) for name in group if name in parts]
        if len({part for _, part in placed}) > 1:
            apart.append(" = ".join(f"{part}/{name}" for name, part in placed))
    if not apart:
        return []
    return [
        Problem(
            kind=ALIKE_ACROSS_PARTS,
            severity=WARN,
            text=f"{count(len(apart), 'group')} of look-alikes in different parts: if they are one subject, error rates are too low",
            cure="move the folders of each group into one part",
            files=tuple(apart),
        )
    ]


def _sample_set(listing: Listing, layout: Layout, samples: tuple[Sample, ...]) -> SampleSet:
    def read(sample: Sample) -> bytes:
        return listing.read(layout.images[sample.name])

    name = listing.path.resolve().name if listing.path.is_dir() else listing.path.name.split(".")[0]
    return SampleSet(name, samples, read, left_out=len(listing.images) - len(samples))


def _numbers(left: dict[str, int], listing: Listing, layout: Layout, fmr: float) -> list[Problem]:
    """Name problems of the numbers of subjects, and of images per subject."""
    if any(
        problem.severity == REFUSE and problem.kind != "subject_in_two_parts" for problem in layout.problems
    ):
        return []  # The subjects are not those that the user means.
    if not listing.images:
        return [
            Problem(
                kind="no_images",
                severity=REFUSE,
                text="no image that can be read",
                cure="give a folder with one folder per subject: SUBJECT/IMAGE, as JPEG or PNG files",
            )
        ]
    total = len(left)
    needed = f"FMR 1e-2 needs {subjects_needed(1e-2)} subjects to evaluate, about {subjects_for(1e-2)} in all"
    if total <= 1:
        return [
            Problem(
                kind="one_subject" if total else "no_subject_with_two_images",
                severity=REFUSE,
                text=("one subject" if total else "no subject")
                + " with two usable images: there is nothing to tell apart",
                cure=f"give one folder per subject with two or more images each; {needed}",
                files=tuple(left),
            )
        ]
    if layout.parts is None:
        sizes: dict[str, float] = {part: share * total for part, share in zip(PARTS, SHARES, strict=True)}
        short = "" if total >= sum(LEAST.values()) else f"{sum(LEAST.values())} subjects"
    else:
        members = Counter(layout.parts[name] for name in left)
        sizes = {part: float(members[part]) for part in PARTS}
        short = ", ".join(f"{LEAST[part]} in {part}/" for part in PARTS if sizes[part] < LEAST[part])
    if short:
        measured = (
            count(total, "subject")
            if layout.parts is None
            else ", ".join(f"{sizes[part]:g} in {part}/" for part in PARTS)
        )
        return [
            Problem(
                kind="few_subjects",
                severity=REFUSE,
                text=f"expected {short} with two usable images each, or more ({LEAST['train']} to train, {LEAST['calibration']} to calibrate,"
                f" {LEAST['evaluation']} to evaluate), found {measured}",
                cure=f"add subjects; {needed}",
            )
        ]
    problems = unequal_numbers(left)
    evaluated = round(sizes["evaluation"])
    if layout.parts is None:
        evaluated = max(evaluated, least_evaluated(total))
    if evaluated < subjects_needed(fmr):
        supported = supported_fmr(max(evaluated, LEAST["evaluation"]))
        goals = dict.fromkeys(goal for goal in (1e-2, fmr) if goal < supported)
        advice = " or ".join(f"{subjects_for(goal):,} (FMR {goal:g})" for goal in goals)
        problems.append(
            Problem(
                kind="low_evidence",
                severity=WARN,
                text=f"about {evaluated} subjects to evaluate support claims at FMR {supported:g};"
                f" FMR {fmr:g} needs {subjects_needed(fmr):,}",
                cure=f"give about {advice} subjects in all, or measure the file on more subjects later (edge-convert evaluate --write-card)",
            )
        )
    return problems
