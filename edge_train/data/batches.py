"""Batches of P subjects x K images, decoded on the fly; each batch depends only on the seed and its step number."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from converters.data.samples import Sample, SampleSet
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision.image_container import read_container
from edge_sdk.vision.images import MIN_SIDE_PX, read_image, read_photograph
from edge_sdk.vision.resize import fit
from edge_train.data.subjects import Subjects
from edge_train.errors import TrainingError

#: Decoded images are kept in memory up to this many bytes; the images beyond are decoded again for each batch.
CACHE_BYTES = 512 << 20
_READERS = 4
# Batches that are read while a step runs.
_AHEAD = 2
# A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size if both sides stay this many times larger than the network's input.
_SPARE = 4
_JPEG = b"\xff\xd8\xff"
# Exif orientations from this number on exchange height and width.
_FIRST_TURNED = 5


class Batches(Protocol):
    """A source of training batches."""

    def batch(self, step: int) -> tuple[UInt8Array, NDArray[Any]]:
        """Return the pixels, shape (B, H, W, C), uint8, and the targets of a step, shape (B, ...).

        The targets are labels, shape (B,), int32, or what the objective expects, such as a teacher's embeddings.
        """


class SubjectBatches:
    """Batches in which each of P subjects has K images.

    Subjects are taken in shuffled rounds, so that each subject occurs equally often. A subject with fewer than K images gives
    each of them as often as necessary.

    Args:
        subjects: The training subjects.
        contract: Size and colour of the decoded images.
        per_batch: P, at least 2; at most the number of subjects is used.
        images: K, at least 1.
        seed: Seed of the order.
        cache_bytes: Largest memory for decoded images.
    """

    def __init__(
        self,
        subjects: Subjects,
        contract: InputContract,
        *,
        per_batch: int,
        images: int,
        seed: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._subjects, self._contract, self._seed = subjects, contract, seed
        self.per_batch, self.images = min(per_batch, len(subjects.names)), images
        self._sizes = np.array([len(group) for group in subjects.images])
        self._first = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        kept = min(len(subjects.flat), cache_bytes // int(np.prod(contract.shape)))
        # The operating system provides the memory of a row when the row is first written.
        self._cache = np.empty((kept, *contract.shape), np.uint8)
        self._cached = np.zeros(len(subjects.flat), np.bool_)
        self._readers = ThreadPoolExecutor(_READERS)

    def batch(self, step: int) -> tuple[UInt8Array, NDArray[np.int32]]:
        """Return the batch of a step; see ``Batches``.

        Raises:
            TrainingError: An image cannot be read or decoded.
        """
        rng = np.random.default_rng([self._seed, 2, step])
        labels = self._labels(step)
        rows = np.concatenate([self._rows(int(label), rng) for label in labels])
        targets = np.repeat(labels, self.images)
        if self._cached[rows].all():
            return self._cache[rows], targets
        pixels = np.empty((len(rows), *self._contract.shape), np.uint8)

        def read(place: int) -> None:
            pixels[place] = self._pixels(int(rows[place]))

        for _ in self._readers.map(read, range(len(rows))):
            pass
        return pixels, targets

    def _labels(self, step: int) -> NDArray[np.int32]:
        """Return P different labels; the labels of consecutive steps are consecutive parts of shuffled rounds."""
        count = len(self._subjects.names)
        number, place = divmod(step, count // self.per_batch)
        order = np.random.default_rng([self._seed, 1, number]).permutation(count).astype(np.int32)
        return order[place * self.per_batch : (place + 1) * self.per_batch]

    def _rows(self, label: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the positions of K images of a subject in the flat list of images."""
        size = int(self._sizes[label])
        chosen = rng.choice(size, min(size, self.images), replace=False)
        rows: NDArray[np.int64] = np.resize(chosen, self.images) + self._first[label]
        return rows

    def _pixels(self, row: int) -> UInt8Array:
        pixels: UInt8Array
        if self._cached[row]:
            pixels = self._cache[row]
            return pixels
        sample = self._subjects.flat[row]
        try:
            pixels = read_for_training(self._subjects.samples, sample, self._contract)
        except (InputError, AcquisitionError) as error:
            raise TrainingError(
                f"{sample.name}: expected an image that can be read during training, found an error: {error}",
                hint="restore the file and run the same command again: it continues; or remove the file and start again",
            ) from error
        if row < len(self._cache):
            self._cache[row] = pixels
            self._cached[row] = True
        return pixels


def read_for_training(samples: SampleSet, sample: Sample, contract: InputContract) -> UInt8Array:
    """Read an image at the network's size; a JPEG of eight or more times this size is decoded at a reduced size.

    The decoder reduces by 2, 4 or 8 in the frequency domain as long as both sides stay at least four times the network's, and
    ``fit`` does the rest. On photographs the result differs from that of ``SampleSet.at_size`` by about half a grey level
    on average (``python -m tools.reduced_decoding``), which is less than augmentation changes.

    Args:
        samples: The sample set.
        sample: A sample of it.
        contract: Size and colour.

    Returns:
        Shape (H, W, C), uint8.

    Raises:
        InputError: The image cannot be read or decoded, or a side is under 16 px.
    """
    content, name = samples.read(sample), sample.name
    fit_pixels = _reduced_pixels(content, contract)
    if fit_pixels is None:
        image = read_image(BytesIO(content), color=contract.color, name=name)
    else:
        image = read_photograph(BytesIO(content), fit_pixels=fit_pixels, color=contract.color, name=name)
    if min(image.shape[:2]) < MIN_SIDE_PX:
        raise InputError(
            f"{name}: expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px, found {image.shape[0]}x{image.shape[1]}"
        )
    return fit(image, contract.height, contract.width)


def _reduced_pixels(content: bytes, contract: InputContract) -> int | None:
    """Return the number of pixels at which a large JPEG is decoded; None for its full size, and for other files."""
    if not content.startswith(_JPEG):
        return None
    try:
        container = read_container(content)
    except ValueError:
        return None  # decoding reports the fault
    sides = container.height, container.width
    height, width = sides if container.orientation < _FIRST_TURNED else sides[::-1]
    spare = min(height / contract.height, width / contract.width) / _SPARE
    reduction = next((factor for factor in (8, 4, 2) if spare >= factor), 1)
    return None if reduction == 1 else -(-height * width // reduction**2)


def prefetched(
    batches: Batches, first: int, last: int
) -> Generator[tuple[UInt8Array, NDArray[Any]], None, None]:
    """Yield the batches of steps ``first`` to ``last - 1``; the next two batches are read while a batch is used."""
    following = iter(range(first, last))
    with ThreadPoolExecutor(1) as reader:
        pending = deque(reader.submit(batches.batch, step) for step in islice(following, _AHEAD))
        try:
            while pending:
                current = pending.popleft().result()
                pending.extend(reader.submit(batches.batch, step) for step in islice(following, 1))
                yield current
        finally:
            for future in pending:
                future.cancel()
