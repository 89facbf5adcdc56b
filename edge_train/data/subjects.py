"""Images of labelled subjects, listed but not decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from converters.data.samples import Sample, SampleSet


@dataclass(frozen=True, eq=False)
class Subjects:
    """Images of some subjects of a sample set, grouped by subject.

    Args:
        samples: The sample set that reads the files.
        names: Names of the subjects; a subject's label is its position.
        images: The images of each subject, at least one each.
    """

    samples: SampleSet
    names: tuple[str, ...]
    images: tuple[tuple[Sample, ...], ...]

    @classmethod
    def of(cls, samples: SampleSet, names: Sequence[str] | None = None) -> Subjects:
        """Group a labelled sample set by subject.

        Args:
            samples: Labelled images.
            names: Subjects to take; None for all, by name.
        """
        grouped: dict[str, list[Sample]] = {}
        for sample in samples.samples:
            grouped.setdefault(sample.subject, []).append(sample)
        chosen = tuple(sorted(grouped) if names is None else names)
        return cls(samples, chosen, tuple(tuple(grouped[name]) for name in chosen))

    @cached_property
    def flat(self) -> tuple[Sample, ...]:
        """All images, in the order of the subjects."""
        return tuple(sample for group in self.images for sample in group)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Label of each image in ``flat``, shape (N,)."""
        return np.repeat(np.arange(len(self.images), dtype=np.int32), [len(group) for group in self.images])

    def as_sample_set(self, data_set: str | None = None) -> SampleSet:
        """Return the images as a labelled sample set, for conversion and evaluation."""
        return SampleSet(
            data_set or self.samples.data_set, tuple(sorted(self.flat)), self.samples.read, labelled=True
        )
