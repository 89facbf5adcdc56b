"""Labelled images of a data set, from a folder or a .tar, and their embeddings.

Both hold `subject/image`. What cannot be decoded or embedded is a failure to acquire: counted and
named, never an exception, unless nothing is left.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np

from converters.evaluation.cosines import MAX_DIMENSION, MAX_IMAGES, IntArray, check_vectors
from converters.evaluation.evidence import AcquisitionEvidence
from converters.evaluation.subject_scores import AllPairs
from edge_sdk.errors import AcquisitionError, EdgeSdkError, InputError
from edge_sdk.perception.images import MAX_FILE_BYTES, SUFFIXES, read_image
from edge_sdk.types import FloatArray, UInt8Array

MAX_TAR_BYTES = 2 * 2**30
NAMES_SHOWN = 5


@dataclass(frozen=True, order=True)
class Sample:
    """One image: `name` is `subject/file.jpg`, unique in its set."""

    name: str
    subject: str


@dataclass(frozen=True, eq=False)
class SampleSet:
    """The images of a data set, sorted by name; made by `open_folder` or `open_tar`.

    Attributes:
        data_set: Name, for the evidence.
        samples: At least one.
        read: Gives the bytes of a sample.
    """

    data_set: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], bytes]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, sizes and bytes of the sorted images, hex; reads all of them once.

        The same rule as `converters.image_set`, so that one folder has one digest.
        """
        whole = hashlib.sha256()
        for sample in self.samples:
            content = self.read(sample)
            whole.update(f"{sample.name}\0{len(content)}\0".encode())
            whole.update(content)
        return whole.hexdigest()

    def image(self, sample: Sample, *, color: str = "rgb") -> UInt8Array:
        """Decode one image, upright (`edge_sdk.perception.images.read_image`).

        Args:
            sample: One of `samples`.
            color: ``gray`` for one channel, otherwise RGB.

        Returns:
            Shape (H, W, 3) or (H, W, 1), uint8.

        Raises:
            AcquisitionError: it cannot be decoded.
            EdgeSdkError: Pillow is not installed.
        """
        try:
            return read_image(BytesIO(self.read(sample)), color=color, name=sample.name)
        except InputError as error:
            if isinstance(error.__cause__, ImportError):
                raise EdgeSdkError(str(error), hint=error.hint) from error
            raise AcquisitionError(str(error), reason="cannot be decoded", hint=error.hint) from error


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


def open_folder(path: str | Path, *, name: str | None = None) -> SampleSet:
    """List the images of a folder of `subject/image`; the bytes are read when they are asked for.

    Args:
        path: The folder. Hidden files, other suffixes and deeper folders are left alone.
        name: Of the data set; by default the folder's.

    Raises:
        InputError: not a folder, no image in it, or too many.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"expected a folder of subject/image, found no folder {root}", hint="check the path")
    files: dict[str, Path] = {}
    for folder in sorted(
        entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    ):
        for file in folder.iterdir():
            if _is_image(file.name) and file.is_file():
                files[f"{folder.name}/{file.name}"] = file
    if not files:
        raise InputError(
            f"expected images as subject/image in {root}, found none",
            hint=f"make one folder per subject, with {', '.join(SUFFIXES[:3])} files in it",
        )

    def read(sample: Sample) -> bytes:
        file = files[sample.name]
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InputError(
                f"expected images up to {MAX_FILE_BYTES} bytes, found more: {sample.name}", hint="shrink it"
            )
        return file.read_bytes()

    return SampleSet(name or root.resolve().name, _sorted_samples(files), read)


def open_tar(path: str | Path, *, name: str | None = None) -> SampleSet:
    """Read a .tar (also .tar.gz, .tar.xz) of `subject/image` into memory; nothing is unpacked to disk.

    Args:
        path: The file. Leading folders are dropped; other files are left alone.
        name: Of the data set; by default the file's without suffix.

    Raises:
        InputError: not a tar, cut short, over 2 GiB, one name twice, or no image in it.
    """
    file = Path(path)
    contents: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(file, mode="r:*") as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if not member.isreg() or len(parts) < 2 or not _is_image(parts[-1]):
                    continue
                total += member.size
                if member.size > MAX_FILE_BYTES or total > MAX_TAR_BYTES or len(contents) >= MAX_IMAGES:
                    raise InputError(
                        f"expected images up to {MAX_FILE_BYTES} bytes and {MAX_TAR_BYTES} in all in {file.name}, "
                        f"found more at {member.name}",
                        hint="unpack it and give the folder",
                    )
                short = f"{parts[-2]}/{parts[-1]}"
                if short in contents:
                    raise InputError(
                        f"expected each subject/image once in {file.name}, found {short} twice",
                        hint="give subjects names of their own",
                    )
                opened = archive.extractfile(member)
                contents[short] = opened.read() if opened is not None else b""
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(
            f"expected a readable .tar, found {file.name}: {error}", hint="check the file"
        ) from error
    if not contents:
        raise InputError(
            f"expected images as subject/image in {file.name}, found none",
            hint=f"pack one folder per subject, with {', '.join(SUFFIXES[:3])} files in it",
        )
    stem = file.name.split(".tar")[0]
    return SampleSet(name or stem, _sorted_samples(contents), lambda sample: contents[sample.name])


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
    names: list[str] = []
    subjects: list[str] = []
    vectors: list[FloatArray] = []
    failures: list[tuple[str, str]] = []
    for done, sample in enumerate(samples.samples, start=1):
        found = _embed_one(samples, sample, embed, color)
        if isinstance(found, str):
            failures.append((sample.name, found))
        else:
            if vectors and found.shape != vectors[0].shape:
                raise InputError(
                    f"expected embeddings of {vectors[0].size} values, found {found.size} for {sample.name}",
                    hint="use one model for all images",
                )
            names.append(sample.name)
            subjects.append(sample.subject)
            vectors.append(found)
        if progress is not None:
            progress(done, len(samples.samples))
    if not vectors:
        name, reason = failures[0]
        raise InputError(
            f"expected images of {samples.data_set} to be embedded, found {len(failures)} failures to acquire, "
            f"the first {name}: {reason}",
            hint="check that model and images fit together",
        )
    return EmbeddedSamples(
        samples.data_set, samples.digest, tuple(names), tuple(subjects), np.stack(vectors), tuple(failures)
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


def _embed_one(
    samples: SampleSet, sample: Sample, embed: Callable[[UInt8Array], FloatArray], color: str
) -> FloatArray | str:
    try:
        vector = np.asarray(embed(samples.image(sample, color=color)))
    except AcquisitionError as error:
        return error.reason
    except InputError as error:
        return str(error)
    if vector.ndim != 1 or not 1 <= vector.size <= MAX_DIMENSION or vector.dtype.kind != "f":
        raise InputError(
            f"expected an embedding (D,) float32 for {sample.name}, found {vector.shape} {vector.dtype}",
            hint="take the batch dimension off and dequantize",
        )
    return vector.astype(np.float32)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _sorted_samples(names: Iterable[str]) -> tuple[Sample, ...]:
    found = tuple(Sample(name, name.split("/")[0]) for name in sorted(names))
    if len(found) > MAX_IMAGES:
        raise InputError(
            f"expected up to {MAX_IMAGES} images, found {len(found)}", hint="give a part of them"
        )
    return found
