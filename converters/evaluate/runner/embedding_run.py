"""Embed a data set with one artefact: cached embeddings are read, the workers compute the others."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.image_set import SetDigest
from converters.data.samples import SampleSet
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.runner.embed_images import collect
from converters.evaluate.runner.embedding_cache import EmbeddingCache
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.evaluate.runner.workers import InProcess, Workers, in_batches
from edge_sdk.errors import InputError


def embed_with(
    artefact: OpenedArtefact,
    samples: SampleSet,
    *,
    workers: Workers | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedSamples:
    """Embed every image of a data set, except images whose embeddings are in the cache.

    Args:
        artefact: The artefact that embeds.
        samples: The images; each file is read once.
        workers: Workers that compute the embeddings (default: this process).
        cache: Folder of cached embeddings (default: no cache). Embeddings of a delegate are never cached, because
            the name of its library does not identify the driver and the hardware behind it.
        progress: Called with (done, total).

    Raises:
        ConversionError: The artefact runs through a delegate, and the workers are other processes.
        InputError: No image could be embedded, or all embeddings are the same.
    """
    total = len(samples.samples)
    digest = SetDigest()
    outcomes: dict[int, Any] = {}
    waiting: deque[tuple[int, bytes]] = deque()
    cached = None
    if cache is not None and not artefact.execution.delegate:
        cached = EmbeddingCache(cache, artefact.key, artefact.card.dimension)

    def uncached() -> Iterator[tuple[str, bytes]]:
        for index, sample in enumerate(samples.samples):
            try:
                content = samples.read(sample)
            except InputError as error:
                outcomes[index], content = str(error), b""
            digest.add(sample.name, content)
            if index in outcomes:
                continue
            image = hashlib.sha256(content).digest()
            embedding = None if cached is None else cached.get(image)
            if embedding is not None:
                outcomes[index] = embedding
            else:
                waiting.append((index, image))
                yield sample.name, content
            if progress is not None:
                progress(len(outcomes), total)

    try:
        for results in (workers or InProcess()).embed(artefact, in_batches(uncached())):
            for outcome in results:
                index, image = waiting.popleft()
                outcomes[index] = outcome
                if cached is not None and not isinstance(outcome, str):
                    cached.put(image, outcome)
            if progress is not None:
                progress(len(outcomes), total)
    finally:
        if cached is not None:
            cached.save()
    embedded = collect(samples, [outcomes[index] for index in range(total)], digest=digest.hexdigest())
    if total > 1 and len(embedded.names) > 1 and not np.ptp(embedded.vectors, axis=0).any():
        raise InputError(
            f"expected different embeddings, found one and the same for all {len(embedded.names)} images of"
            f" {samples.data_set}",
            hint="the network's output does not depend on the image; check the input contract and the images",
        )
    return embedded
