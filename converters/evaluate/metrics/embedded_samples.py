"""Embeddings of a labelled data set, with the images that could not be embedded (failures to acquire)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from converters.evaluate.metrics.cosines import IntArray, check_vectors
from converters.evaluate.metrics.subject_scores import AllPairs
from converters.evaluate.metrics.verification_evidence import AcquisitionEvidence
from edge_sdk.errors import InputError
from edge_sdk.types import FloatArray

NAMES_SHOWN = 5


@dataclass(frozen=True, eq=False)
class EmbeddedSamples:
    """Embeddings of a data set, computed by one artefact.

    Attributes:
        data_set, data_digest: Name and SHA-256 of the data set.
        names, subjects: Names and subjects of the n embedded images.
        vectors: Shape (n, D), float32, unit norm; n >= 1.
        failures: (name, reason) of each image that was not embedded.
    """

    data_set: str
    data_digest: str
    names: tuple[str, ...]
    subjects: tuple[str, ...]
    vectors: FloatArray
    failures: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", check_vectors(self.vectors))
        if not len(self.names) == len(self.subjects) == len(self.vectors) or len(set(self.names)) != len(
            self.names
        ):
            raise InputError(
                f"expected one name and one subject per embedding, each name once, found {len(self.names)} "
                f"names, {len(self.subjects)} subjects, {len(self.vectors)} embeddings",
                hint="keep names, subjects and embeddings in the same order",
            )

    def acquisition(self) -> AcquisitionEvidence:
        """Count the failures to acquire over all samples."""
        shown = tuple(f"{name}: {reason}" for name, reason in self.failures[:NAMES_SHOWN])
        return AcquisitionEvidence(len(self.names) + len(self.failures), len(self.failures), shown)

    def all_pairs(self) -> AllPairs:
        """Compare every image with every other.

        Raises:
            InputError: Fewer than two images were embedded.
        """
        if len(self.names) < 2:
            raise InputError(
                f"expected at least two embedded images in {self.data_set}, found {len(self.names)}",
                hint="add images",
            )
        return self._compared

    @cached_property
    def _compared(self) -> AllPairs:
        return AllPairs(self.vectors, self.subjects)

    def rows(self, rows: IntArray | Sequence[int]) -> EmbeddedSamples:
        """Select images by row number, in the given order; all failures stay counted."""
        chosen = [int(row) for row in rows]
        return EmbeddedSamples(
            self.data_set,
            self.data_digest,
            tuple(self.names[row] for row in chosen),
            tuple(self.subjects[row] for row in chosen),
            self.vectors[chosen],
            self.failures,
        )


def in_common(first: EmbeddedSamples, second: EmbeddedSamples) -> tuple[EmbeddedSamples, EmbeddedSamples]:
    """Select the images that both artefacts embedded, in the order of the first artefact.

    Raises:
        InputError: The data sets differ, the subjects of an image differ, or no image is in common.
    """
    if first.data_digest != second.data_digest:
        raise InputError(
            f"expected the same images for both artefacts, found {first.data_set} and {second.data_set} "
            "with different digests",
            hint="embed one data set with both",
        )
    row_of = {name: row for row, name in enumerate(second.names)}
    shared = [(row, row_of[name]) for row, name in enumerate(first.names) if name in row_of]
    if not shared or any(first.subjects[a] != second.subjects[b] for a, b in shared):
        raise InputError(
            f"expected images with the same names and subjects, found {len(shared)} names in common",
            hint="embed one data set with both",
        )
    return first.rows([a for a, _ in shared]), second.rows([b for _, b in shared])
