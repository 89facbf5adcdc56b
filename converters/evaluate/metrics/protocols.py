"""Select comparisons: listed pairs for 1:1, and enrolled samples and probes for open-set 1:N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.embedded_samples import NAMES_SHOWN, EmbeddedSamples
from converters.evaluate.metrics.searches import SearchScores, search
from converters.evaluate.metrics.subject_scores import ListedPairs
from converters.evaluate.metrics.verification_evidence import AcquisitionEvidence
from edge_sdk.errors import InputError


@dataclass(frozen=True)
class ListedPair:
    """One comparison of a pairs file: two images as (subject, number), and its fold from 0."""

    first: tuple[str, int]
    second: tuple[str, int]
    fold: int

    @property
    def mated(self) -> bool:
        """True if both images are of one subject."""
        return self.first[0] == self.second[0]


@dataclass(frozen=True)
class PairsList:
    """Content of a pairs file.

    Attributes:
        name: File name.
        digest: SHA-256 of the file's bytes, hex.
        pairs: In the order of the file, at least one.
    """

    name: str
    digest: str
    pairs: tuple[ListedPair, ...]


@dataclass(frozen=True)
class OpenSetList:
    """Enrolled samples and probes, by sample name `subject/image`.

    Attributes:
        enrolled: Samples that become references, at least one.
        probes: Samples that are searched; probes of subjects that are not enrolled are non-mated.
    """

    enrolled: tuple[str, ...]
    probes: tuple[str, ...]


def match_pairs(pairs: PairsList, embedded: EmbeddedSamples) -> tuple[ListedPairs, AcquisitionEvidence]:
    """Match the images of a pairs file with the embedded images.

    A comparison counts as a failure to acquire if one of its images is missing or was not embedded.

    Returns:
        (the comparisons that can be made, the count and first names of those that cannot).

    Raises:
        InputError: No comparison can be made, or two images have the same number.
    """
    row_of: dict[str, int] = {}
    for row, name in enumerate(embedded.names):
        stem = name.rsplit(".", 1)[0]
        if stem in row_of:
            raise InputError(
                f"expected one image {stem} in {embedded.data_set}, found two with different suffixes",
                hint="remove one of them",
            )
        row_of[stem] = row
    reasons = {name.rsplit(".", 1)[0]: reason for name, reason in embedded.failures}
    rows: list[tuple[int, int]] = []
    lost: dict[str, str] = {}
    lost_count = 0
    for pair in pairs.pairs:
        stems = [f"{subject}/{subject}_{number:04d}" for subject, number in (pair.first, pair.second)]
        absent = [stem for stem in stems if stem not in row_of]
        if absent:
            lost_count += 1
            lost.update({stem: reasons.get(stem, "not among the images") for stem in absent})
        else:
            rows.append((row_of[stems[0]], row_of[stems[1]]))
    shown = tuple(f"{stem}: {reason}" for stem, reason in list(lost.items())[:NAMES_SHOWN])
    if not rows:
        raise InputError(
            f"expected a comparison of {pairs.name} with both images in {embedded.data_set}, found none of its "
            f"{len(pairs.pairs)} comparisons; for example {shown[0]}",
            hint="images are named subject/subject_0001.jpg",
        )
    first, second = np.array(rows, dtype=np.int64).T
    listed = ListedPairs(
        embedded.vectors, embedded.subjects, np.ascontiguousarray(first), np.ascontiguousarray(second)
    )
    return listed, AcquisitionEvidence(len(pairs.pairs), lost_count, shown)


def split_open_set(
    names: Sequence[str],
    subjects: Sequence[str],
    *,
    enrolled_share: float = 0.5,
    references: int = 1,
    seed: int = 0,
) -> OpenSetList:
    """Draw an open-set list: enrol some subjects at random; all other samples are probes.

    Only subjects with more than `references` samples are enrolled, so that each of them has a probe; their
    first samples by name are the references.

    Args:
        names: One `subject/image` per sample.
        subjects: One label per sample.
        enrolled_share: Share of the subjects with enough samples to enrol, above 0, at most 1.
        references: Samples enrolled per subject, >= 1.
        seed: Seed of PCG64.

    Raises:
        InputError: A value is outside its range, or no subject has enough samples.
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
    eligible = [subject for subject, own in samples.items() if len(own) > references]
    if not eligible:
        raise InputError(
            f"expected subjects with more than {references} samples, found none of {len(samples)}",
            hint="add samples, or enrol fewer of each",
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(eligible))
    chosen = {eligible[k] for k in order[: max(1, round(enrolled_share * len(eligible)))]}
    enrolled = tuple(name for subject in sorted(chosen) for name in samples[subject][:references])
    references_set = set(enrolled)
    return OpenSetList(enrolled, tuple(name for name in sorted(names) if name not in references_set))


def search_open_set(
    listed: OpenSetList, embedded: EmbeddedSamples
) -> tuple[SearchScores, AcquisitionEvidence]:
    """Enrol and search the listed samples; a sample without embedding is a failure to enrol or to acquire.

    A subject fails to enrol if none of its listed samples was embedded.

    Returns:
        (the searches, the count and first names of the samples that were not embedded).

    Raises:
        InputError: No listed sample can be enrolled.
    """
    row_of = {name: row for row, name in enumerate(embedded.names)}
    reasons = dict(embedded.failures)
    absent = [name for name in (*listed.enrolled, *listed.probes) if name not in row_of]
    shown = tuple(f"{name}: {reasons.get(name, 'not among the images')}" for name in absent[:NAMES_SHOWN])
    references = [row_of[name] for name in listed.enrolled if name in row_of]
    if not references:
        raise InputError(
            f"expected listed samples to enrol in {embedded.data_set}, found none to enrol; for example {shown[0]}",
            hint="names are subject/image with their suffix",
        )

    def subject_of(name: str) -> str:
        return embedded.subjects[row_of[name]] if name in row_of else name.split("/")[0]

    probes = [row_of[name] for name in listed.probes if name in row_of]
    enrolled = {embedded.subjects[row] for row in references}
    scores = search(
        embedded.vectors[references],
        [embedded.subjects[row] for row in references],
        embedded.vectors[probes],
        [embedded.subjects[row] for row in probes],
        failed_to_enrol={subject_of(name) for name in listed.enrolled} - enrolled,
        failed_probes=[subject_of(name) for name in listed.probes if name not in row_of],
    )
    return scores, AcquisitionEvidence(len(listed.enrolled) + len(listed.probes), len(absent), shown)
