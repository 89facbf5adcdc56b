"""Problems that the pictures themselves show, and the pictures that training leaves out because of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from converters.number_format import count
from edge_sdk.vision.images import MIN_SIDE_PX
from edge_train.data.duplicates import Groups, find_duplicates
from edge_train.data.problems import LEAVE_OUT, WARN, Problem
from edge_train.data.scan import PictureFacts

# Two subjects are probably one if they share this part of the images of the smaller one.
_SHARED = 0.5
# Shares of gray images between which a data set is mixed.
_MIXED = (0.03, 0.97)
# Ratios above which sizes, and numbers of images, are very unequal.
_UNEQUAL_SIDES, _UNEQUAL_ASPECTS, _UNEQUAL_COUNTS = 4.0, 1.6, 10.0


@dataclass
class PictureReview:
    """Problems of pictures with their consequences.

    Args:
        problems: The problems.
        left_out: Positions of the pictures that training leaves out.
        linked: Pairs of subjects that must stay on one side of the split.
    """

    problems: list[Problem] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    linked: set[tuple[str, str]] = field(default_factory=set)

    def leave_out(
        self, kind: str, positions: Iterable[int], text: str, cure: str, files: Sequence[str]
    ) -> None:
        """Add a problem for which pictures are left out, if there is one."""
        self.left_out.update(positions)
        if files:
            self.problems.append(
                Problem(kind=kind, severity=LEAVE_OUT, text=text, cure=cure, files=tuple(files))
            )

    def warn(self, kind: str, text: str, cure: str, files: Sequence[str] = ()) -> None:
        """Add a warning."""
        self.problems.append(Problem(kind=kind, severity=WARN, text=text, cure=cure, files=tuple(files)))


def review_pictures(facts: PictureFacts) -> PictureReview:
    """Name the problems of pictures; their names are ``subject/file``."""
    review = PictureReview()
    names = facts.names
    review.leave_out(
        "unreadable",
        facts.faults,
        f"{count(len(facts.faults), 'image')} that cannot be decoded",
        "copy or save them again, or delete them",
        [f"{names[position]}: {message}" for position, message in sorted(facts.faults.items())],
    )
    for kind, chosen, text, cure in (
        ("too_small", facts.small, f"with a side under {MIN_SIDE_PX} px", "replace them by larger ones"),
        (
            "blank",
            facts.blank & facts.usable,
            "of one flat colour",
            "delete them, and see why they are blank",
        ),
    ):
        places = np.flatnonzero(chosen).tolist()
        review.leave_out(
            kind, places, f"{count(len(places), 'image')} {text}", cure, [names[place] for place in places]
        )
    subjects = [name.split("/")[0] for name in names]
    duplicates = find_duplicates(facts.digests, facts.thumbnails, facts.usable & ~facts.blank)
    _identical(review, names, subjects, duplicates.identical)
    _near(review, names, subjects, duplicates.near)
    kept = np.array([place not in review.left_out for place in range(len(names))], bool)
    if kept.any():
        _mixed(review, facts, kept)
    return review


def _identical(
    review: PictureReview, names: Sequence[str], subjects: Sequence[str], groups: Sequence[tuple[int, ...]]
) -> None:
    """Leave out copies of files: all but one within a subject; all of them if they have different subjects."""
    crossing = [group for group in groups if len({subjects[place] for place in group}) > 1]
    doubles = _double_subjects(review, subjects, crossing)
    contradictory: list[int] = []
    copies: list[int] = []
    files: list[str] = []
    for group in groups:
        rest = [place for place in group if subjects[place] not in doubles]
        if len({subjects[place] for place in rest}) > 1:
            contradictory += rest
            files.append(" = ".join(names[place] for place in rest))
        else:
            copies += rest[1:]
    review.leave_out(
        "identical_across_subjects",
        contradictory,
        f"{count(len(files), 'image')} with the same bytes under more than one subject: the names contradict each other",
        "keep each under the right subject alone",
        files,
    )
    review.leave_out(
        "identical_images",
        copies,
        f"{count(len(copies), 'image')} with the same bytes as another of the subject",
        "delete the copies",
        [names[place] for place in copies],
    )


def _double_subjects(
    review: PictureReview, subjects: Sequence[str], crossing: Sequence[tuple[int, ...]]
) -> set[str]:
    """Leave out the smaller of two subjects if half of its files are files of the other; return the names."""
    totals = Counter(subjects)
    shared: Counter[tuple[str, str]] = Counter()
    for group in crossing:
        shared.update(combinations(sorted({subjects[place] for place in group}), 2))
    doubles: dict[str, str] = {}
    for (first, second), number in shared.most_common():
        smaller, larger = sorted((first, second), key=lambda name: (totals[name], name != second))
        if number >= max(1, _SHARED * totals[smaller]) and not {smaller, larger} & doubles.keys():
            doubles[smaller] = larger
        else:
            review.linked.add((first, second))
    review.leave_out(
        "subject_twice",
        [place for place, name in enumerate(subjects) if name in doubles],
        f"{count(len(doubles), 'subject')} with half or more of the files of another subject: one subject under two names",
        "merge the folders, or delete one of them",
        [f"{smaller} (as {larger})" for smaller, larger in sorted(doubles.items())],
    )
    return set(doubles)


def _near(
    review: PictureReview, names: Sequence[str], subjects: Sequence[str], groups: Sequence[tuple[int, ...]]
) -> None:
    """Warn about nearly equal pictures, within a subject and across subjects."""
    groups = [tuple(place for place in group if place not in review.left_out) for group in groups]
    totals = Counter(name for place, name in enumerate(subjects) if place not in review.left_out)
    within = [group for group in groups if len(group) > 1 and len({subjects[place] for place in group}) == 1]
    across = [group for group in groups if len({subjects[place] for place in group}) > 1]
    if within:
        extra = sum(len(group) - 1 for group in within)
        review.warn(
            "near_duplicates",
            f"{count(extra, 'image')} nearly equal to another of the subject: they add little, and make mated comparisons"
            " easier than at the device",
            "keep one of each group, such as of frames of one video",
            [" = ".join(names[place] for place in group) for group in within],
        )
    if not across:
        return
    shared: Counter[tuple[str, str]] = Counter()
    for group in across:
        pairs = list(combinations(sorted({subjects[place] for place in group}), 2))
        shared.update(pairs)
        review.linked.update(pairs)
    review.warn(
        "near_duplicates_across_subjects",
        f"{count(len(across), 'group')} of nearly equal images under different subjects: wrong names, or subjects that"
        " pictures of this size cannot tell apart",
        "look at them; move an image that has the wrong name. Until then their subjects stay on one side of the split",
        [" = ".join(names[place] for place in group) for group in across],
    )
    alike = [
        f"{first} = {second}"
        for (first, second), number in sorted(shared.items())
        if number >= max(2, _SHARED * min(totals[first], totals[second]))
    ]
    if alike:
        review.warn(
            "subjects_alike",
            f"{count(len(alike), 'pair')} of subjects with mostly the same pictures: probably one subject under two names",
            "merge the folders if they show one subject",
            alike,
        )


def linked_groups(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Join pairs of names that share a name into groups, sorted."""
    pairs = sorted(pairs)
    names = sorted({name for pair in pairs for name in pair})
    place = {name: number for number, name in enumerate(names)}
    groups = Groups(len(names))
    for first, second in pairs:
        groups.join(place[first], place[second])
    return tuple(tuple(names[number] for number in group) for group in groups.several())


def _mixed(review: PictureReview, facts: PictureFacts, kept: np.ndarray) -> None:
    """Warn about grey among coloured images, very different sizes and aspect ratios."""
    total = int(kept.sum())
    gray = facts.gray & kept
    if _MIXED[0] < gray.sum() / total < _MIXED[1]:
        rare = gray if gray.sum() <= total / 2 else kept & ~facts.gray
        review.warn(
            "mixed_colour",
            f"{int(gray.sum()):,} of {total:,} images are grey, the others have colour",
            "train on grey images (--color gray), or give images of one kind as the device's camera does",
            [facts.names[place] for place in np.flatnonzero(rare)],
        )
    sizes = facts.sizes[kept].astype(float)
    longest = sizes.max(axis=1)
    if longest.max() >= _UNEQUAL_SIDES * longest.min():
        small, large = sizes[longest.argmin()].astype(int), sizes[longest.argmax()].astype(int)
        review.warn(
            "mixed_sizes",
            f"images from {small[1]}x{small[0]} to {large[1]}x{large[0]} px (width x height): small ones are blurred when enlarged",
            "give images of about the size that the device sees",
        )
    aspect = sizes[:, 1] / sizes[:, 0]
    middle = float(np.median(aspect))
    odd = np.maximum(aspect / middle, middle / aspect) > _UNEQUAL_ASPECTS
    if odd.any():
        review.warn(
            "mixed_aspect_ratios",
            f"{count(int(odd.sum()), 'image')} of another aspect ratio than the others ({middle:.2f}): their ends are cut off",
            "crop them around the subject",
            [facts.names[place] for place in np.flatnonzero(kept)[odd]],
        )


def unequal_numbers(of_subject: dict[str, int]) -> list[Problem]:
    """Warn about subjects with very many images."""
    middle = float(np.median(list(of_subject.values())))
    many = defaultdict(int, {name: n for name, n in of_subject.items() if n > _UNEQUAL_COUNTS * middle})
    if not many:
        return []
    largest = max(many, key=lambda name: many[name])
    return [
        Problem(
            kind="imbalance",
            severity=WARN,
            text=f"{count(len(many), 'subject')} with more than {_UNEQUAL_COUNTS:g} times the usual {middle:g} images, at most {many[largest]:,}:"
            " training shows each subject equally often, but such subjects dominate an evaluation",
            cure="keep images of theirs that differ from each other",
            files=tuple(sorted(many)),
        )
    ]
