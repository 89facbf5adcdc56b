"""What is compared with what: pairs files in the LFW format, and enrolled-vs-probe lists for 1:N.

A pairs file begins with the number of pairs of each kind, `500`, or of folds and pairs of each kind
in each, `10<TAB>300`. Then come, fold by fold, mated lines `subject<TAB>i<TAB>j` and non-mated lines
`subject<TAB>i<TAB>other<TAB>j` (Huang et al., Labeled Faces in the Wild, 2007). Image i of a subject
is `subject/subject_000i` with any suffix.

An open-set list has lines `enrol<TAB>subject/image` and `probe<TAB>subject/image`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.evaluate.metrics.evidence import AcquisitionEvidence
from converters.evaluate.metrics.identification import SearchScores, search
from converters.evaluate.metrics.samples import NAMES_SHOWN, EmbeddedSamples
from converters.evaluate.metrics.subject_scores import ListedPairs
from edge_sdk.errors import InputError

MAX_LIST_BYTES = 256 * 2**20
MAX_PAIRS = 5_000_000


@dataclass(frozen=True)
class ListedPair:
    """One line of a pairs file: two images as (subject, number), and its fold from 0."""

    first: tuple[str, int]
    second: tuple[str, int]
    fold: int

    @property
    def mated(self) -> bool:
        """Whether both images are of one subject."""
        return self.first[0] == self.second[0]


@dataclass(frozen=True)
class PairsList:
    """A pairs file.

    Attributes:
        name: Of the file.
        digest: SHA-256 of its bytes, hex.
        pairs: In the order of the file, at least one.
    """

    name: str
    digest: str
    pairs: tuple[ListedPair, ...]


@dataclass(frozen=True)
class OpenSetList:
    """Who is enrolled and who asks, by sample name `subject/image`.

    Attributes:
        enrolled: Samples that become references, at least one.
        probes: Samples that are searched; those of subjects not enrolled are non-mated.
    """

    enrolled: tuple[str, ...]
    probes: tuple[str, ...]


def read_pairs(path: str | Path) -> PairsList:
    """Read a pairs file.

    Raises:
        InputError: not such a file; names file, line, what was expected and what was found.
    """
    file = Path(path)
    lines, digest = _read_lines(file)
    if not lines:
        raise _bad_line(file, 1, "the number of pairs", "an empty file")
    header = lines[0].split("\t")
    if len(header) not in (1, 2) or not all(_is_count(field) for field in header):
        raise _bad_line(
            file, 1, "the number of pairs, or of folds and pairs, separated by a tab", repr(lines[0][:60])
        )
    folds = int(header[0]) if len(header) == 2 else 1
    each = int(header[-1])
    if folds * each * 2 > MAX_PAIRS:
        raise _bad_line(file, 1, f"up to {MAX_PAIRS} pairs", f"{folds * each * 2}")
    expected = folds * each * 2
    if len(lines) - 1 != expected:
        raise _bad_line(
            file,
            len(lines),
            f"{expected} pairs after the first line, which announces them",
            f"{len(lines) - 1}",
        )
    pairs = tuple(
        _parse_pair(
            file, number, line, mated=(number - 2) % (2 * each) < each, fold=(number - 2) // (2 * each)
        )
        for number, line in enumerate(lines[1:], start=2)
    )
    return PairsList(file.name, digest, pairs)


def match_pairs(pairs: PairsList, embedded: EmbeddedSamples) -> tuple[ListedPairs, AcquisitionEvidence]:
    """Find the images of a pairs file among the embedded ones.

    A comparison with an image that is missing or was not embedded is a failure to acquire of that
    comparison.

    Returns:
        (the comparisons that can be made, the count and first names of those that cannot).

    Raises:
        InputError: none can be made, or two images share a number.
    """
    place: dict[str, int] = {}
    for row, name in enumerate(embedded.names):
        stem = name.rsplit(".", 1)[0]
        if stem in place:
            raise InputError(
                f"expected one image {stem} in {embedded.data_set}, found two with other suffixes",
                hint="remove one of them",
            )
        place[stem] = row
    reasons = {name.rsplit(".", 1)[0]: reason for name, reason in embedded.failures}
    rows: list[tuple[int, int]] = []
    lost: dict[str, str] = {}
    lost_count = 0
    for pair in pairs.pairs:
        stems = [f"{subject}/{subject}_{number:04d}" for subject, number in (pair.first, pair.second)]
        absent = [stem for stem in stems if stem not in place]
        if absent:
            lost_count += 1
            lost.update({stem: reasons.get(stem, "not among the images") for stem in absent})
        else:
            rows.append((place[stems[0]], place[stems[1]]))
    shown = tuple(f"{stem}: {reason}" for stem, reason in list(lost.items())[:NAMES_SHOWN])
    if not rows:
        raise InputError(
            f"expected the images of {pairs.name} in {embedded.data_set}, found none of its {len(pairs.pairs)} "
            f"comparisons there, the first {shown[0]}",
            hint="images are named subject/subject_0001.jpg",
        )
    first, second = np.array(rows, dtype=np.int64).T
    listed = ListedPairs(
        embedded.vectors, embedded.subjects, np.ascontiguousarray(first), np.ascontiguousarray(second)
    )
    return listed, AcquisitionEvidence(len(pairs.pairs), lost_count, shown)


def read_open_set(path: str | Path) -> OpenSetList:
    """Read an open-set list.

    Raises:
        InputError: a line that is not `enrol` or `probe`, a tab and `subject/image`; a sample twice;
            nothing to enrol or nothing to search. Names file and line.
    """
    file = Path(path)
    lines, _ = _read_lines(file)
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        role, _, name = line.partition("\t")
        if role not in ("enrol", "probe") or len(name.split("/")) != 2 or not all(name.split("/")):
            raise _bad_line(file, number, "enrol or probe, a tab, subject/image", repr(line[:60]))
        if name in listed:
            raise _bad_line(file, number, "each sample once", f"{name} again")
        listed[name] = role
    enrolled = tuple(name for name, role in listed.items() if role == "enrol")
    probes = tuple(name for name, role in listed.items() if role == "probe")
    if not enrolled or not probes:
        raise _bad_line(
            file, len(lines), "samples to enrol and samples to probe", f"{len(enrolled)} and {len(probes)}"
        )
    return OpenSetList(enrolled, probes)


def split_open_set(
    names: Sequence[str],
    subjects: Sequence[str],
    *,
    enrolled_share: float = 0.5,
    references: int = 1,
    seed: int = 0,
) -> OpenSetList:
    """Draw an open-set list: some subjects are enrolled, all other samples are probes.

    Only subjects with more samples than `references` are enrolled, so that each has a probe; their
    first samples by name are the references.

    Args:
        names: One `subject/image` per sample.
        subjects: One label per sample.
        enrolled_share: Share of those subjects to enrol, above 0, at most 1.
        references: Samples enrolled per subject, >= 1.
        seed: Of PCG64.

    Raises:
        InputError: values outside their range, or no subject with enough samples.
    """
    if len(names) != len(subjects) or not 0.0 < enrolled_share <= 1.0 or references < 1:
        raise InputError(
            f"expected one subject per name, a share in 0..1 and references from 1, found {len(names)} names, "
            f"{len(subjects)} subjects, {enrolled_share}, {references}",
            hint="enrolled_share=0.5, references=1",
        )
    samples: dict[str, list[str]] = {}
    for name, subject in sorted(zip(names, subjects, strict=True)):
        samples.setdefault(subject, []).append(name)
    able = [subject for subject, own in samples.items() if len(own) > references]
    if not able:
        raise InputError(
            f"expected subjects with more than {references} samples, found none of {len(samples)}",
            hint="add samples, or enrol fewer of each",
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(able))
    chosen = {able[k] for k in order[: max(1, round(enrolled_share * len(able)))]}
    enrolled = tuple(name for subject in sorted(chosen) for name in samples[subject][:references])
    taken = set(enrolled)
    return OpenSetList(enrolled, tuple(name for name in sorted(names) if name not in taken))


def search_open_set(
    listed: OpenSetList, embedded: EmbeddedSamples, *, block_rows: int = 256
) -> tuple[SearchScores, AcquisitionEvidence]:
    """Enrol and search as listed; what was not embedded is a failure to enrol or to acquire.

    A subject has failed to enrol when none of its listed samples was embedded.

    Returns:
        (the searches, the count and first names of the samples that were not embedded).

    Raises:
        InputError: no reference could be made.
    """
    place = {name: row for row, name in enumerate(embedded.names)}
    reasons = dict(embedded.failures)
    absent = [name for name in (*listed.enrolled, *listed.probes) if name not in place]
    shown = tuple(f"{name}: {reasons.get(name, 'not among the images')}" for name in absent[:NAMES_SHOWN])
    references = [place[name] for name in listed.enrolled if name in place]
    if not references:
        raise InputError(
            f"expected the listed samples in {embedded.data_set}, found none to enrol, the first {shown[0]}",
            hint="names are subject/image with their suffix",
        )
    probes = [place[name] for name in listed.probes if name in place]
    enrolled = {embedded.subjects[row] for row in references}
    wanted = {_subject_of(name, place, embedded) for name in listed.enrolled}
    scores = search(
        embedded.vectors[references],
        [embedded.subjects[row] for row in references],
        embedded.vectors[probes],
        [embedded.subjects[row] for row in probes],
        failed_to_enrol=wanted - enrolled,
        failed_probes=[_subject_of(name, place, embedded) for name in listed.probes if name not in place],
        block_rows=block_rows,
    )
    return scores, AcquisitionEvidence(len(listed.enrolled) + len(listed.probes), len(absent), shown)


def _subject_of(name: str, place: dict[str, int], embedded: EmbeddedSamples) -> str:
    return embedded.subjects[place[name]] if name in place else name.split("/")[0]


def _parse_pair(file: Path, number: int, line: str, *, mated: bool, fold: int) -> ListedPair:
    fields = line.split("\t")
    if mated:
        form = "a mated pair: subject, i, j, separated by tabs, i and j from 1 and not equal"
        if len(fields) != 3 or not fields[0] or not (_is_count(fields[1]) and _is_count(fields[2])):
            raise _bad_line(file, number, form, repr(line[:80]))
        pair = ListedPair((fields[0], int(fields[1])), (fields[0], int(fields[2])), fold)
        if pair.first == pair.second:
            raise _bad_line(file, number, form, f"image {pair.first[1]} of {fields[0]} with itself")
        return pair
    form = "a non-mated pair: subject, i, another subject, j, separated by tabs, i and j from 1"
    if (
        len(fields) != 4
        or not (fields[0] and fields[2])
        or not (_is_count(fields[1]) and _is_count(fields[3]))
    ):
        raise _bad_line(file, number, form, repr(line[:80]))
    if fields[0] == fields[2]:
        raise _bad_line(file, number, form, f"{fields[0]} twice")
    return ListedPair((fields[0], int(fields[1])), (fields[2], int(fields[3])), fold)


def _is_count(field: str) -> bool:
    return field.isascii() and field.isdigit() and 0 < len(field) <= 9 and int(field) > 0


def _read_lines(file: Path) -> tuple[list[str], str]:
    try:
        if file.stat().st_size > MAX_LIST_BYTES:
            raise InputError(
                f"expected a list up to {MAX_LIST_BYTES} bytes, found more in {file.name}", hint="split it"
            )
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected UTF-8 text in {file.name}, found {error}", hint="check the file"
        ) from error
    except OSError as error:
        raise InputError(
            f"expected a readable list, found {file.name}: {error.strerror}", hint="check the path"
        ) from error
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines, hashlib.sha256(content).hexdigest()


def _bad_line(file: Path, number: int, expected: str, found: str) -> InputError:
    return InputError(
        f"{file.name}, line {number}: expected {expected}, found {found}",
        hint="correct the line, or the first line",
    )
