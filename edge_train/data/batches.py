"""Batches of P subjects x K images, decoded on the fly; each batch depends only on the seed and its step number."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from converters.data.samples import Sample
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.data.subjects import Subjects

#: Decoded images are kept in memory up to this many bytes; a larger set is decoded again for each batch.
CACHE_BYTES = 512 << 20
_READERS = 4


class Batches(Protocol):
    """A source of training batches."""

    def batch(self, step: int) -> tuple[UInt8Array, NDArray[Any]]:
        """Return the pixels, shape (B, H, W, C), uint8, and the targets of a step, shape (B, ...).

        The targets are labels, shape (B,), int32, or what the objective expects, such as a teacher's embeddings.
        """


class SubjectBatches:
    """Batches in which each of P subjects has K images.

    Subjects are taken in shuffled rounds, so that each subject occurs equally often. A subject with fewer than K images gives
    some of them twice.

    Args:
        subjects: The training subjects.
        contract: Size and colour of the decoded images.
        per_batch: P, at least 2; at most the number of subjects is used.
        images: K, at least 1.
        seed: Seed of the order.
    """

    def __init__(
        self, subjects: Subjects, contract: InputContract, *, per_batch: int, images: int, seed: int
    ) -> None:
        self._subjects, self._contract, self._seed = subjects, contract, seed
        self.per_batch, self.images = min(per_batch, len(subjects.names)), images
        size = len(subjects.flat) * int(np.prod(contract.shape))
        self._cache: dict[str, UInt8Array] | None = {} if size <= CACHE_BYTES else None
        self._readers = ThreadPoolExecutor(_READERS)

    def batch(self, step: int) -> tuple[UInt8Array, NDArray[np.int32]]:
        """Return the batch of a step; see ``Batches``."""
        rng = np.random.default_rng([self._seed, 2, step])
        labels = self._labels(step)
        chosen = [sample for label in labels for sample in self._images(int(label), rng)]
        pixels = np.stack(list(self._readers.map(self._decoded, chosen)))
        return pixels, np.repeat(labels, self.images)

    def _labels(self, step: int) -> NDArray[np.int32]:
        """Return P different labels; the labels of consecutive steps are consecutive parts of shuffled rounds."""
        count = len(self._subjects.names)
        per_round = max(1, count // self.per_batch)
        number, place = divmod(step, per_round)
        order = np.random.default_rng([self._seed, 1, number]).permutation(count).astype(np.int32)
        return order[place * self.per_batch : (place + 1) * self.per_batch]

    def _images(self, label: int, rng: np.random.Generator) -> list[Sample]:
        group = self._subjects.images[label]
        return [group[i] for i in rng.choice(len(group), self.images, replace=len(group) < self.images)]

    def _decoded(self, sample: Sample) -> UInt8Array:
        if self._cache is None:
            return self._subjects.samples.at_size(sample, self._contract)
        if sample.name not in self._cache:
            self._cache[sample.name] = self._subjects.samples.at_size(sample, self._contract)
        return self._cache[sample.name]


def prefetched(batches: Batches, first: int, last: int) -> Iterator[tuple[UInt8Array, NDArray[Any]]]:
    """Yield the batches of steps ``first`` to ``last - 1``; the next batch is read while one is used."""
    if first >= last:
        return
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(batches.batch, first)
        for step in range(first + 1, last):
            current = following.result()
            following = reader.submit(batches.batch, step)
            yield current
        yield following.result()
