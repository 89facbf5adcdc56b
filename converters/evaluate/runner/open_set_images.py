"""Who is enrolled and who is searched, from folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.data.image_set import ImageSet
from converters.data.samples import Sample, SampleSet, open_samples
from converters.evaluate.metrics.protocols import OpenSetList
from edge_sdk.errors import InputError


def open_enrol_and_probes(
    enrol: str | Path, probes: Sequence[str | Path], *, name: str | None = None
) -> tuple[SampleSet, OpenSetList]:
    """A data set of a folder to enrol and folders to search.

    Args:
        enrol: Of `subject/image`, or of one image per subject, `subject.jpg`.
        probes: Of `subject/image`; subjects that are not enrolled are strangers.
        name: Of the data set; by default the folders' names, joined.

    Raises:
        InputError: No images, or folders of one name.
    """
    parts = [
        (Path(enrol).name, _open_enrol(enrol)),
        *((Path(path).name, open_samples(path)) for path in probes),
    ]
    source: dict[str, tuple[SampleSet, Sample]] = {}
    subjects: dict[str, str] = {}
    lists: list[list[str]] = [[], []]
    for position, (folder, part) in enumerate(parts):
        for sample in part.samples:
            full_name = f"{sample.subject}/{folder}/{sample.name.rsplit('/', 1)[-1]}"
            if full_name in source:
                raise InputError(
                    f"expected folders of different names to enrol and to probe, found two called {folder}",
                    hint="rename one of them",
                )
            source[full_name], subjects[full_name] = (part, sample), sample.subject
            lists[min(position, 1)].append(full_name)

    def read(sample: Sample) -> bytes:
        part, own = source[sample.name]
        return part.read(own)

    whole = SampleSet(
        name or "+".join(part.data_set for _, part in parts),
        tuple(Sample(full_name, subjects[full_name]) for full_name in sorted(source)),
        read,
        left_out=sum(part.left_out for _, part in parts),
    )
    return whole, OpenSetList(tuple(lists[0]), tuple(lists[1]))


def _open_enrol(path: str | Path) -> SampleSet:
    images = ImageSet.open(path)
    if any("/" in name for name in images.names):
        return open_samples(path)
    samples = tuple(Sample(name, name.rsplit(".", 1)[0]) for name in images.names)
    if len({sample.subject for sample in samples}) != len(samples):
        raise InputError(f"expected one image per subject in {path}, found two of one name")
    return SampleSet(images.path.name, samples, lambda sample: images.read(sample.name))
