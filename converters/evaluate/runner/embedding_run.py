"""Embed a data set with one artefact: what the cache knows, and the rest by the workers."""

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
    """Embed every image of a data set that the cache does not know.

    Args:
        artefact: With which.
        samples: The images; each file is read once.
        workers: Where embeddings are made; in this process by default.
        cache: Folder of embeddings made before; None keeps none. A delegate's are never kept: its library's
            name says nothing of the driver and the hardware behind it.
        progress: Called with (done, total).

    Raises:
        InputError: No image could be embedded, or all embeddings are the same.
    """
    total = len(samples.samples)
    digest = SetDigest()
    outcomes: dict[int, Any] = {}
    waiting: deque[tuple[int, bytes]] = deque()
    known = None
    if cache is not None and not artefact.execution.delegate:
        known = EmbeddingCache(cache, artefact.key, artefact.card.dimension)

    def unknown() -> Iterator[tuple[str, bytes]]:
        for index, sample in enumerate(samples.samples):
            try:
                content = samples.read(sample)
            except InputError as error:
                outcomes[index], content = str(error), b""
            digest.add(sample.name, content)
            if index in outcomes:
                continue
            image = hashlib.sha256(content).digest()
            found = None if known is None else known.get(image)
            if found is not None:
                outcomes[index] = found
            else:
                waiting.append((index, image))
                yield sample.name, content
            if progress is not None:
                progress(len(outcomes), total)

    try:
        for results in (workers or InProcess()).embed(artefact, in_batches(unknown())):
            for outcome in results:
                index, image = waiting.popleft()
                outcomes[index] = outcome
                if known is not None and not isinstance(outcome, str):
                    known.put(image, outcome)
            if progress is not None:
                progress(len(outcomes), total)
    finally:
        if known is not None:
            known.save()
    embedded = collect(samples, [outcomes[index] for index in range(total)], digest=digest.hexdigest())
    if total > 1 and len(embedded.names) > 1 and not np.ptp(embedded.vectors, axis=0).any():
        raise InputError(
            f"expected different embeddings, found one and the same for all {len(embedded.names)} images of"
            f" {samples.data_set}",
            hint="the network does not see the images; check the input contract and the images",
        )
    return embedded
