"""Assign images to subjects by their folders, and name folders that are in the wrong place."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from converters.number_format import count
from edge_sdk.vision.images import SUFFIXES
from edge_train.data.listing import Listing
from edge_train.data.problems import LEAVE_OUT, REFUSE, WARN, Problem

#: Folders of a split by the user, each with SUBJECT/IMAGE.
PARTS = ("train", "calibration", "evaluation")
# Names of folders that hold parts of a data set, not the images of a subject.
_PART_WORDS = {
    *PARTS,
    *("training", "trn", "val", "valid", "validation", "dev", "test", "testing", "eval"),
    *("gallery", "query", "probe", "images", "data", "dataset"),
}
_PICTURES = (
    ".heic",
    ".heif",
    ".avif",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".raw",
    ".dng",
    ".cr2",
    ".nef",
)
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
# Endings that copies of a folder get.
_COPY_ENDING = re.compile(r"([ _-]*(\(\d+\)|copy( \d+)?|duplicate|new|old|bak|backup))+$")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Images by subject.

    Args:
        images: Full name of each image by its short name, ``subject/file``.
        parts: Part of each subject, if the user split the data set; otherwise None.
        problems: Problems of the places of files.
        similar: Groups of subjects whose names differ only in case, spaces, the encoding of accents or an ending such as "copy".
    """

    images: Mapping[str, str]
    parts: Mapping[str, str] | None
    problems: tuple[Problem, ...]
    similar: tuple[tuple[str, ...], ...]


def read_layout(listing: Listing) -> Layout:
    """Assign the images of a listing to subjects."""
    problems = _ignored_files(listing)
    places = {name: PurePosixPath(name).parts for name in listing.images}
    if not listing.path.is_dir():
        places = _without_common_folder(places)
    parts = _own_parts(places)
    if parts is not None:
        problems += _subjects_in_two_parts(parts)
        places = {name: place[1:] for name, place in places.items() if len(place) > 1}
    by_depth = Counter(min(len(place), 3) for place in places.values())
    problems += _misplaced(listing, places, by_depth)
    images = {"/".join(place): name for name, place in places.items() if len(place) == 2}
    subjects = sorted({short.split("/")[0] for short in images})
    similar = _similar_names(subjects)
    if similar:
        problems.append(
            Problem(
                kind="similar_names",
                severity=WARN,
                text=f"{count(len(similar), 'group')} of subjects with nearly equal names: probably one subject under two names",
                cure="merge the folders if they show one subject; until then they stay on one side of the split",
                files=tuple(" = ".join(group) for group in similar),
            )
        )
    if listing.folders:
        problems += _empty_folders(listing)
    chosen = (
        None if parts is None else {name: part for (name, part) in sorted(parts) if name in set(subjects)}
    )
    return Layout(images=images, parts=chosen, problems=tuple(problems), similar=similar)


def _without_common_folder(places: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Remove folders that contain all images of an archive, because archives are often made of one folder."""
    trimmed = dict(places)
    while (
        trimmed and min(map(len, trimmed.values())) > 2 and len({place[0] for place in trimmed.values()}) == 1
    ):
        trimmed = {name: place[1:] for name, place in trimmed.items()}
    return trimmed


def _own_parts(places: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]] | None:
    """Return pairs of subject and part if the folders are exactly those of a split by the user."""
    if {place[0] for place in places.values() if len(place) > 1} != set(PARTS):
        return None
    if any(len(place) == 2 for place in places.values()):
        return None
    return {(place[1], place[0]) for place in places.values() if len(place) == 3}


def _subjects_in_two_parts(parts: Iterable[tuple[str, str]]) -> list[Problem]:
    of_subject: dict[str, list[str]] = defaultdict(list)
    for subject, part in sorted(parts):
        of_subject[subject].append(part)
    both = [f"{subject} ({', '.join(names)})" for subject, names in of_subject.items() if len(names) > 1]
    if not both:
        return []
    return [
        Problem(
            kind="subject_in_two_parts",
            severity=REFUSE,
            text=f"{count(len(both), 'subject')} in more than one of {', '.join(PARTS)}: error rates of trained subjects say nothing about new ones",
            cure="move all images of a subject into one part, or give one folder of all subjects without parts",
            files=tuple(both),
        )
    ]


def _misplaced(
    listing: Listing, places: Mapping[str, tuple[str, ...]], by_depth: Mapping[int, int]
) -> list[Problem]:
    problems = []
    loose = tuple(name for name, place in places.items() if len(place) == 1)
    if loose:
        alone = len(loose) == len(places)
        problems.append(
            Problem(
                kind="no_subject",
                severity=REFUSE if alone else LEAVE_OUT,
                text=f"{count(len(loose), 'image')} outside the folders of subjects",
                cure="make one folder per subject and move its images there: SUBJECT/IMAGE",
                files=loose,
            )
        )
    deep = {name: place for name, place in places.items() if len(place) > 2}
    if not deep:
        return problems
    tops = sorted({place[0] for place in deep.values()})
    common = _common(list(deep.values()))
    severity = LEAVE_OUT if by_depth.get(2) else REFUSE
    if all(top.lower() in _PART_WORDS for top in tops) and len(tops) > 1:
        problems.append(_split_folders(tops, deep, severity))
    elif not by_depth.get(2) and len({place[: len(common) + 1] for place in deep.values()}) > 1 and common:
        inner = "/".join(common)
        problems.append(
            Problem(
                kind="extra_folder",
                severity=REFUSE,
                text=f"all subjects are inside {inner}/, which was taken for a subject",
                cure=f"give the folder {listing.path / inner}",
                files=(inner,),
            )
        )
    else:
        problems.append(
            Problem(
                kind="nested_images",
                severity=severity,
                text=f"{count(len(deep), 'image')} in folders inside the folders of {count(len(tops), 'subject')}",
                cure="move the images up into the subject's folder; or, if the inner folders are the subjects, "
                + _way_to_inner_folders(listing, deep),
                files=tuple(deep),
            )
        )
    return problems


def _way_to_inner_folders(listing: Listing, deep: Mapping[str, tuple[str, ...]]) -> str:
    inner = Counter(top for top, _ in {place[:2] for place in deep.values() if len(place) == 3})
    most = inner.most_common(2)
    if most and (len(most) == 1 or most[0][1] > 10 * most[1][1]):
        return (
            f"give the folder {listing.path / most[0][0]}, which has {count(most[0][1], 'folder')} of images"
        )
    return "move these into one folder and give each a name of its own, such as OUTER.INNER"


def _split_folders(tops: list[str], deep: Mapping[str, tuple[str, ...]], severity: str) -> Problem:
    in_top: dict[str, set[str]] = defaultdict(set)
    for place in deep.values():
        in_top[place[1]].add(place[0])
    both = sum(len(names) > 1 for names in in_top.values())
    named = ", ".join(f"{top}/" for top in tops)
    merge = "move the folders of all subjects into one folder; edge-train splits by subject itself"
    if both:
        text = f"{named} hold the same subjects ({both} of {len(in_top)} are in two of them), which is no split by subject"
        cure = merge
    else:
        text = f"{named} hold subjects, and were taken for subjects"
        cure = f"{merge}; or name the folders {', '.join(PARTS)} to keep this split"
    return Problem(kind="split_folders", severity=severity, text=text, cure=cure, files=tuple(tops))


def _common(places: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the folders that contain all images, without the folders of subjects."""
    first, last = min(places), max(places)
    depth = 0
    while depth < min(map(len, places)) - 2 and first[depth] == last[depth]:
        depth += 1
    return first[:depth]


def _similar_names(subjects: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in subjects:
        # Some systems store an accent as a character of its own (NFD), others within the letter (NFC).
        plain = re.sub(r"[\s_.-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
        groups[_COPY_ENDING.sub("", plain).strip() or plain].append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _empty_folders(listing: Listing) -> list[Problem]:
    full = {str(parent) for name in listing.images for parent in PurePosixPath(name).parents}
    full |= {
        str(parent)
        for name in listing.closed
        for parent in (PurePosixPath(name), *PurePosixPath(name).parents)
    }
    empty = tuple(name for name in listing.folders if name not in full)
    if not empty:
        return []
    return [
        Problem(
            kind="empty_folders",
            severity=LEAVE_OUT,
            text=f"{count(len(empty), 'folder')} without an image",
            cure=f"add images ({', '.join(SUFFIXES)}), or remove the folders",
            files=empty,
        )
    ]


def _ignored_files(listing: Listing) -> list[Problem]:
    def ending(names: Iterable[str], suffixes: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name.lower().endswith(tuple(suffixes)))

    pictures, archives = ending(listing.others, _PICTURES), ending(listing.others, _ARCHIVES)
    rest = tuple(sorted(set(listing.others) - {*pictures, *archives}))
    kinds = (
        (
            "other_pictures",
            pictures,
            "picture",
            "of a format that is not read",
            "save them as JPEG or PNG; phones store HEIC unless their camera is set to JPEG",
        ),
        (
            "archives_inside",
            archives,
            "archive",
            "inside the folder",
            "unpack them, or give an archive alone",
        ),
        (
            "other_files",
            rest,
            "file",
            "without the suffix of an image",
            "nothing, if they are not meant as images",
        ),
        (
            "hidden",
            listing.hidden,
            "hidden file",
            "with a dot at the start of its name",
            "nothing, if they are not meant as images",
        ),
        ("links", listing.links, "link", "to folders, which are not followed", "copy the folders"),
        ("link_loops", listing.loops, "link", "to a folder that contains the link", "remove the links"),
        ("closed_folders", listing.closed, "folder", "that may not be read", "change the permissions"),
        ("misnamed", listing.misnamed, "name", "not in valid UTF-8", "rename them"),
    )
    return [
        Problem(
            kind=kind, severity=LEAVE_OUT, text=f"{count(len(names), unit)} {text}", cure=cure, files=names
        )
        for kind, names, unit, text, cure in kinds
        if names
    ]
