"""Sources of an evaluation: image folders, pairs files, open-set lists, and rules for enrolment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.data.image_set import ImageSet
from converters.data.samples import Sample, SampleSet, open_samples, open_unlabelled
from converters.evaluate.metrics.protocols import OpenSetList, PairsList, split_open_set
from converters.evaluate.runner.comparison_lists import read_open_set, read_pairs
from edge_sdk.errors import InputError


@dataclass(frozen=True)
class EvaluationData:
    """Images of an evaluation and the comparisons listed for them; made by `ImageSources.read`.

    Attributes:
        samples: All images.
        pairs: Listed 1:1 comparisons; None compares all pairs.
        open_set: Enrolled samples and probes; None without 1:N.
        open_set_name: Origin of `open_set`, one line.
    """

    samples: SampleSet
    pairs: PairsList | None = None
    open_set: OpenSetList | None = None
    open_set_name: str = ""


@dataclass(frozen=True)
class ImageSources:
    """Files and folders of an evaluation, and at most one way to select enrolled samples and probes.

    Args:
        images: Folder, .tar or .zip of `subject/image`; None with `enrol` and `probes`.
        enrol: Images to enrol for 1:N, as `subject/image` or `subject.jpg`.
        probes: Folders or archives of `subject/image` to search.
        pairs: A pairs file (LFW format) that lists images of `images`.
        open_set: An open-set list of images of `images`.
        enrolled_share: Share of the subjects of `images` to enrol, above 0, at most 1; drawn with a fixed seed.
        references: With `enrolled_share`: number of images enrolled per subject, >= 1.
        name: Name of the data set (default: the name of the folder or archive).

    Raises:
        InputError: The sources contradict each other.
    """

    images: Path | None = None
    enrol: Path | None = None
    probes: tuple[Path, ...] = ()
    pairs: Path | None = None
    open_set: Path | None = None
    enrolled_share: float | None = None
    references: int = 1
    name: str | None = None

    def __post_init__(self) -> None:
        folders = self.enrol is not None or bool(self.probes)
        if folders and (self.enrol is None or not self.probes):
            missing = "images to enrol" if self.enrol is None else "probes"
            raise InputError(f"expected both images to enrol and probes, found no {missing}")
        if folders == (self.images is not None):
            both = "both" if folders else "neither"
            raise InputError(f"expected labelled images, or images to enrol and probes, found {both}")
        choices = {
            "images to enrol": folders,
            "an open-set list": self.open_set is not None,
            "an enrolled share": self.enrolled_share is not None,
        }
        given = [choice for choice, is_given in choices.items() if is_given]
        if len(given) > 1:
            raise InputError(f"expected one selection of enrolled subjects, found {' and '.join(given)}")
        if self.pairs is not None and folders:
            raise InputError("expected labelled images for the pairs file, found images to enrol and probes")

    def read(self) -> EvaluationData:
        """Read the lists and the names of the images.

        Raises:
            InputError: A list, a folder or an archive cannot be read or has another form, or a value is outside
                its range.
        """
        if self.enrol is not None:
            samples, listed = _open_enrol_and_probes(self.enrol, self.probes, name=self.name)
            return EvaluationData(samples, open_set=listed, open_set_name="folders to enrol and to probe")
        samples = open_samples(self.images or Path(), name=self.name)
        pairs = None if self.pairs is None else read_pairs(self.pairs)
        if self.open_set is not None:
            listed = read_open_set(self.open_set)
            return EvaluationData(samples, pairs, listed, f"list {self.open_set.name}")
        if self.enrolled_share is None:
            return EvaluationData(samples, pairs)
        drawn = split_open_set(
            [sample.name for sample in samples.samples],
            [sample.subject for sample in samples.samples],
            enrolled_share=self.enrolled_share,
            references=self.references,
        )
        images = Counter(sample.subject for sample in samples.samples)
        eligible = sum(number > self.references for number in images.values())
        first = "the first image" if self.references == 1 else f"the first {self.references} images"
        rule = (
            f"{self.enrolled_share:g} of the {eligible} subjects with {self.references + 1} or more images,"
            f" drawn with seed 0, {first} of each enrolled"
        )
        return EvaluationData(samples, pairs, drawn, rule)


def open_images(path: str | Path, *, name: str | None = None) -> SampleSet:
    """List images with subjects if any image is in a folder, otherwise without subjects.

    Raises:
        InputError: The path cannot be read, or contains no image.
    """
    if any("/" in image for image in ImageSet.open(path).names):
        return open_samples(path, name=name)
    return open_unlabelled(path, name=name)


def _open_enrol_and_probes(
    enrol: Path, probes: Sequence[Path], *, name: str | None
) -> tuple[SampleSet, OpenSetList]:
    """Join the folders into one data set; the folder's name becomes part of each sample's name."""
    parts = [(enrol.name, _open_enrol(enrol)), *((path.name, open_samples(path)) for path in probes)]
    source: dict[str, tuple[SampleSet, Sample]] = {}
    lists: list[list[str]] = [[], []]
    for position, (folder, part) in enumerate(parts):
        for sample in part.samples:
            full_name = f"{sample.subject}/{folder}/{sample.name.rsplit('/', 1)[-1]}"
            if full_name in source:
                raise InputError(
                    f"expected folders of different names to enrol and to probe, found two called {folder}",
                    hint="rename one of them",
                )
            source[full_name] = (part, sample)
            lists[min(position, 1)].append(full_name)

    def read(sample: Sample) -> bytes:
        part, own = source[sample.name]
        return part.read(own)

    joined = SampleSet(
        name or "+".join(part.data_set for _, part in parts),
        tuple(Sample(full_name, source[full_name][1].subject) for full_name in sorted(source)),
        read,
        left_out=sum(part.left_out for _, part in parts),
    )
    return joined, OpenSetList(tuple(lists[0]), tuple(lists[1]))


def _open_enrol(path: Path) -> SampleSet:
    images = ImageSet.open(path)
    if any("/" in name for name in images.names):
        return open_samples(path)
    samples = tuple(Sample(name, name.rsplit(".", 1)[0]) for name in images.names)
    if len({sample.subject for sample in samples}) != len(samples):
        raise InputError(f"expected one image per subject in {path}, found two with the same name")
    return SampleSet(images.path.name, samples, lambda sample: images.read(sample.name))
