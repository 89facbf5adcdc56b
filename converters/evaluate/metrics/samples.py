"""Labelled images of a data set and their embeddings.

An image set (`converters.data.image_set`) of `subject/image`. What cannot be read, decoded or embedded is a
failure to acquire: counted and named, never an exception, unless nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np

from converters.data.image_set import ImageSet, SetDigest
from converters.evaluate.metrics.cosines import MAX_DIMENSION, MAX_IMAGES, IntArray, check_vectors
from converters.evaluate.metrics.evidence import AcquisitionEvidence
from converters.evaluate.metrics.subject_scores import AllPairs
from edge_sdk.errors import AcquisitionError, EdgeSdkError, InputError
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.images import SUFFIXES, read_image

NAMES_SHOWN = 5


@dataclass(frozen=True, order=True)
class Sample:
    """One image: `name` is `subject/file.jpg`, unique in its set."""

    name: str
    subject: str


@dataclass(frozen=True, eq=False)
class SampleSet:
    """The images of a data set, sorted by name; made by `open_samples`.

    Attributes:
        data_set: Name, for the evidence.
        samples: At least one.
        read: Gives the bytes of a sample; InputError where they cannot be read.
        labelled: Whether subjects are known; where not, each image stands as a subject of its own.
        left_out: How many images lie outside subject folders and were left alone.
    """

    data_set: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], bytes]
    labelled: bool = True
    left_out: int = 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, sizes and bytes of the sorted images, hex; reads all of them once.

        The rule is `converters.data.image_set.SetDigest`, so that one folder has one digest. A file that
        cannot be read counts as empty.
        """
        whole = SetDigest()
        for sample in self.samples:
            try:
                content = self.read(sample)
            except InputError:
                content = b""
            whole.add(sample.name, content)
        return whole.hexdigest()

    def image(self, sample: Sample, *, color: str = "rgb") -> UInt8Array:
        """Decode one image, upright (`edge_sdk.vision.images.read_image`).

        Args:
            sample: One of `samples`.
            color: ``gray`` for one channel, otherwise RGB.

        Returns:
            Shape (H, W, 3) or (H, W, 1), uint8.

        Raises:
            AcquisitionError: it cannot be decoded.
            InputError: it cannot be read.
            EdgeSdkError: Pillow is not installed.
        """
        return decode(self.read(sample), sample.name, color=color)


@dataclass(frozen=True, eq=False)
class EmbeddedSamples:
    """What one artefact made of a data set.

    Attributes:
        data_set, data_digest: Of the samples.
        names, subjects: Of the images that were embedded, n each.
        vectors: Shape (n, D), float32, unit norm; n >= 1.
        failures: (name, reason) of the images that were not.
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
        """Failures to acquire, counted over all samples."""
        shown = tuple(f"{name}: {reason}" for name, reason in self.failures[:NAMES_SHOWN])
        return AcquisitionEvidence(len(self.names) + len(self.failures), len(self.failures), shown)

    def all_pairs(self) -> AllPairs:
        """Every image with every other.

        Raises:
            InputError: fewer than two images were embedded.
        """
        if len(self.names) < 2:
            raise InputError(
                f"expected at least two embedded images in {self.data_set}, found {len(self.names)}",
                hint="add images",
            )
        return AllPairs(self.vectors, self.subjects)

    def rows(self, rows: IntArray | Sequence[int]) -> EmbeddedSamples:
        """Keep some images, in the order given; failures stay counted."""
        chosen = [int(row) for row in rows]
        return EmbeddedSamples(
            self.data_set,
            self.data_digest,
            tuple(self.names[row] for row in chosen),
            tuple(self.subjects[row] for row in chosen),
            self.vectors[chosen],
            self.failures,
        )


def open_samples(path: str | Path, *, name: str | None = None) -> SampleSet:
    """Find the images of a folder, .tar or .zip of `subject/image`; bytes are read when asked for.

    In a folder, images in deeper folders are left alone; in an archive, leading folders are dropped.

    Args:
        path: Of the set.
        name: Of the data set; by default the folder's, or the archive's without suffix.

    Raises:
        InputError: nothing readable there, no image in a subject's folder, one name twice, or too many.
    """
    images = ImageSet.open(path)
    place: dict[str, str] = {}
    left_out = 0
    for full_name in images.names:
        parts = PurePosixPath(full_name).parts
        if len(parts) < 2 or (images.path.is_dir() and len(parts) > 2):
            left_out += 1
            continue
        short = f"{parts[-2]}/{parts[-1]}"
        if short in place:
            raise InputError(
                f"expected each subject/image once in {images.path.name}, found {short} twice",
                hint="give subjects names of their own",
            )
        place[short] = full_name
    if not place:
        raise InputError(
            f"expected images as subject/image in {path}, found none",
            hint=f"make one folder per subject, with {', '.join(SUFFIXES[:3])} files in it",
        )
    return SampleSet(
        name or data_set_name(images.path),
        _sorted_samples(place),
        lambda sample: images.read(place[sample.name]),
        left_out=left_out,
    )


def open_unlabelled(path: str | Path, *, name: str | None = None) -> SampleSet:
    """Find all images of a folder or archive, at any depth, without saying whose they are.

    Raises:
        InputError: nothing readable there, no image, or too many.
    """
    images = ImageSet.open(path)
    samples = tuple(Sample(full_name, full_name) for full_name in images.names)
    _check_count(len(samples))
    return SampleSet(
        name or data_set_name(images.path), samples, lambda sample: images.read(sample.name), labelled=False
    )


def data_set_name(path: Path) -> str:
    """What a data set is called where nobody said: the folder's name, or the archive's without suffix."""
    if path.is_dir():
        return path.resolve().name
    return path.name.split(".tar")[0].removesuffix(".tgz").removesuffix(".zip")


def embed_samples(
    samples: SampleSet,
    embed: Callable[[UInt8Array], FloatArray],
    *,
    color: str = "rgb",
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedSamples:
    """Embed every image.

    Args:
        samples: The images.
        embed: From (H, W, 3) uint8 (or (H, W, 1)) to a unit vector (D,) float32. Its AcquisitionError or
            InputError is a failure to acquire of that image; any other error ends the evaluation.
        color: ``gray`` for one channel, otherwise RGB.
        progress: Called with (done, total) after each image.

    Raises:
        InputError: no image could be embedded, or an embedding is not a finite unit vector (D,).
    """
    outcomes: list[FloatArray | str] = []
    for done, sample in enumerate(samples.samples, start=1):
        try:
            content = samples.read(sample)
        except InputError as error:
            outcomes.append(str(error))
        else:
            outcomes.append(embed_content(content, sample.name, embed, color=color))
        if progress is not None:
            progress(done, len(samples.samples))
    return collect(samples, outcomes)


def decode(content: bytes, name: str, *, color: str = "rgb") -> UInt8Array:
    """Decode the bytes of an image file.

    Returns:
        Shape (H, W, 3) or, where color is ``gray``, (H, W, 1), uint8.

    Raises:
        AcquisitionError: it cannot be decoded.
        EdgeSdkError: Pillow is not installed.
    """
    try:
        return read_image(BytesIO(content), color=color, name=name)
    except InputError as error:
        if isinstance(error.__cause__, ImportError):
            raise EdgeSdkError(str(error), hint=error.hint) from error
        raise AcquisitionError(str(error), reason="cannot be decoded", hint=error.hint) from error


def embed_content(
    content: bytes, name: str, embed: Callable[[UInt8Array], FloatArray], *, color: str = "rgb"
) -> FloatArray | str:
    """Decode and embed one image file.

    Args:
        content: The file's bytes.
        name: What to call it in an error.
        embed: As in `embed_samples`.
        color: ``gray`` for one channel, otherwise RGB.

    Returns:
        Shape (D,), float32, or why there is none: a failure to acquire.

    Raises:
        InputError: not a vector (D,) of floats.
    """
    try:
        vector = np.asarray(embed(decode(content, name, color=color)))
    except AcquisitionError as error:
        return error.reason
    except InputError as error:
        return str(error)
    if vector.ndim != 1 or not 1 <= vector.size <= MAX_DIMENSION or vector.dtype.kind != "f":
        raise InputError(
            f"expected an embedding (D,) float32 for {name}, found {vector.shape} {vector.dtype}",
            hint="take the batch dimension off and dequantize",
        )
    return vector.astype(np.float32)


def collect(
    samples: SampleSet, outcomes: Sequence[FloatArray | str], *, digest: str | None = None
) -> EmbeddedSamples:
    """Sort what became of each image into embeddings and failures to acquire.

    Args:
        samples: The images.
        outcomes: For each sample its vector (D,), float32, or why there is none.
        digest: `samples.digest`, where it is known already.

    Raises:
        InputError: no image could be embedded, or not unit vectors of one length.
    """
    names: list[str] = []
    subjects: list[str] = []
    vectors: list[FloatArray] = []
    failures: list[tuple[str, str]] = []
    for sample, found in zip(samples.samples, outcomes, strict=True):
        if isinstance(found, str):
            failures.append((sample.name, found))
            continue
        if vectors and found.shape != vectors[0].shape:
            raise InputError(
                f"expected embeddings of {vectors[0].size} values, found {found.size} for {sample.name}",
                hint="use one model for all images",
            )
        names.append(sample.name)
        subjects.append(sample.subject)
        vectors.append(found)
    if not vectors:
        name, reason = failures[0]
        raise InputError(
            f"expected images of {samples.data_set} to be embedded, found {len(failures)} failures to acquire, "
            f"the first {name}: {reason}",
            hint="check that model and images fit together",
        )
    return EmbeddedSamples(
        samples.data_set,
        samples.digest if digest is None else digest,
        tuple(names),
        tuple(subjects),
        np.stack(vectors),
        tuple(failures),
    )


def in_common(first: EmbeddedSamples, second: EmbeddedSamples) -> tuple[EmbeddedSamples, EmbeddedSamples]:
    """Keep the images that both artefacts embedded, in the order of the first.

    Raises:
        InputError: other data sets, a subject that differs, or nothing in common.
    """
    if first.data_digest != second.data_digest:
        raise InputError(
            f"expected the same images for both artefacts, found {first.data_set} and {second.data_set} "
            "with other digests",
            hint="embed one data set with both",
        )
    place = {name: row for row, name in enumerate(second.names)}
    both = [(row, place[name]) for row, name in enumerate(first.names) if name in place]
    if not both or any(first.subjects[a] != second.subjects[b] for a, b in both):
        raise InputError(
            f"expected images with the same names and subjects, found {len(both)} names in common",
            hint="embed one data set with both",
        )
    return first.rows([a for a, _ in both]), second.rows([b for _, b in both])


def _sorted_samples(names: Iterable[str]) -> tuple[Sample, ...]:
    found = tuple(Sample(name, name.split("/")[0]) for name in sorted(names))
    _check_count(len(found))
    return found


def _check_count(count: int) -> None:
    if count > MAX_IMAGES:
        raise InputError(f"expected up to {MAX_IMAGES} images, found {count}", hint="give a part of them")
