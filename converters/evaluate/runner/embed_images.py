"""Embed image files one by one; an image that cannot be read, decoded or embedded is a failure to acquire."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converters.data.samples import SampleSet, decode
from converters.evaluate.metrics.cosines import MAX_DIMENSION
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.types import FloatArray, SampleArray, UInt8Array


def embed_samples(
    samples: SampleSet,
    embed: Callable[[UInt8Array], FloatArray],
    *,
    color: str = "rgb",
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedSamples:
    """Embed every image with a function.

    Args:
        samples: The images.
        embed: Function from an image (H, W, 3) or (H, W, 1), uint8, to a unit vector (D,), float32. If it raises
            AcquisitionError or InputError, the image is a failure to acquire; any other error ends the evaluation.
        color: ``gray`` for one channel, otherwise RGB.
        progress: Called with (done, total) after each image.

    Raises:
        InputError: No image could be embedded, or an embedding is not a finite unit vector (D,).
    """
    outcomes: list[FloatArray | str] = []
    for done, sample in enumerate(samples.samples, start=1):
        try:
            content = samples.read(sample)
        except InputError as error:
            outcomes.append(str(error))
        else:
            outcomes.append(
                embed_content(content, sample.name, embed, lambda data, name: decode(data, name, color=color))
            )
        if progress is not None:
            progress(done, len(samples.samples))
    return collect(samples, outcomes, digest=samples.digest)


def embed_content(
    content: bytes,
    name: str,
    embed: Callable[[SampleArray], FloatArray],
    read: Callable[[bytes, str], SampleArray],
) -> FloatArray | str:
    """Decode and embed one file.

    Args:
        content: The file's bytes.
        name: Its name, for error messages.
        embed: See `embed_samples`.
        read: Function from the content and the name to what ``embed`` takes.

    Returns:
        Shape (D,), float32, or the reason for a failure to acquire.

    Raises:
        InputError: The embedding is not a vector (D,) of floats.
    """
    try:
        vector = np.asarray(embed(read(content, name)))
    except AcquisitionError as error:
        return error.reason
    except InputError as error:
        return str(error)
    if vector.ndim != 1 or not 1 <= vector.size <= MAX_DIMENSION or vector.dtype.kind != "f":
        raise InputError(
            f"expected an embedding (D,) float32 for {name}, found {vector.shape} {vector.dtype}",
            hint="remove the batch dimension and dequantize",
        )
    return vector.astype(np.float32)


def collect(samples: SampleSet, outcomes: Sequence[FloatArray | str], *, digest: str) -> EmbeddedSamples:
    """Separate the outcomes of all images into embeddings and failures to acquire.

    Args:
        samples: The images.
        outcomes: For each sample its vector (D,), float32, or the reason for a failure to acquire.
        digest: `samples.digest`.

    Raises:
        InputError: No image could be embedded, or the embeddings are not unit vectors of one length.
    """
    names: list[str] = []
    subjects: list[str] = []
    vectors: list[FloatArray] = []
    failures: list[tuple[str, str]] = []
    for sample, outcome in zip(samples.samples, outcomes, strict=True):
        if isinstance(outcome, str):
            failures.append((sample.name, outcome))
            continue
        if vectors and outcome.shape != vectors[0].shape:
            raise InputError(
                f"expected embeddings of {vectors[0].size} values, found {outcome.size} for {sample.name}",
                hint="use one model for all images",
            )
        names.append(sample.name)
        subjects.append(sample.subject)
        vectors.append(outcome)
    if not vectors:
        name, reason = failures[0]
        raise InputError(
            f"expected images of {samples.data_set} to be embedded, found {len(failures)} failures to acquire, "
            f"the first {name}: {reason}",
            hint="check that the images suit the model",
        )
    return EmbeddedSamples(
        samples.data_set, digest, tuple(names), tuple(subjects), np.stack(vectors), tuple(failures)
    )
