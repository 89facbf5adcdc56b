"""Workers that compute embeddings: this process, processes of this machine, or a Dask cluster.

All three run the same function on one image at a time, so they give the same bits on the same kind of
processor. Workers receive image files and return embeddings: both are biometric data. A cluster on this machine
communicates over TLS with temporary keys; give a remote scheduler as a ``tls://`` address.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from converters.data.samples import decode
from converters.errors import ConversionError
from converters.evaluate.runner.embed_images import embed_content
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.open_artefact import OpenedArtefact, make_embedder
from edge_sdk.extras import DISTRIBUTION, install_command
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.array_file import read_array
from edge_sdk.model.card import ModelCard
from edge_sdk.types import FloatArray, SampleArray
from edge_sdk.vision.embedder import Embedder

#: (name, content of the image file) of each image.
Batch = Sequence[tuple[str, bytes]]
#: A unit vector (D,), float32, or the reason for a failure to acquire.
Outcome = FloatArray | str

BATCH_IMAGES = 32
BATCH_BYTES = 4 << 20
MAX_WORKERS = 256
#: Packages whose versions must be the same here and on the workers, because the embeddings depend on them.
_PACKAGES = (DISTRIBUTION, "ai-edge-litert", "numpy", "pillow")

#: Interpreter of each thread, kept between batches.
_own = threading.local()


class Workers(Protocol):
    """Interface for computing embeddings."""

    def embed(self, artefact: OpenedArtefact, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """Embed batches of image files and yield the outcomes of each batch, in order."""


class InProcess:
    """Embeds in this process, one image after the other."""

    def embed(self, artefact: OpenedArtefact, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """Embed batches of image files and yield the outcomes of each batch, in order."""
        card = artefact.card.to_bytes()
        for batch in batches:
            yield embed_batch(
                artefact.network.data, card, artefact.sha256, artefact.execution, artefact.key, batch
            )


class DaskWorkers:
    """Embeds on the workers of a Dask cluster; each worker receives the network once.

    Args:
        client: A connected ``distributed.Client``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def embed(self, artefact: OpenedArtefact, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """Embed batches of image files and yield the outcomes of each batch, in order.

        Raises:
            ConversionError: The artefact runs through a delegate, the cluster is lost, or its workers die
                repeatedly.
            ModelError: A worker's interpreter refuses the network.
        """
        from distributed import KilledWorker

        _check_in_process(artefact.execution)
        card, key = artefact.card.to_bytes(), artefact.key
        waiting: deque[Any] = deque()
        # Enough batches to keep every worker busy, so that a large data set is never in memory as a whole.
        max_waiting = 2 + 2 * sum(self._client.nthreads().values())
        try:
            network = self._client.scatter(artefact.network.data, broadcast=True)
            for batch in batches:
                waiting.append(
                    self._client.submit(
                        embed_batch,
                        network,
                        card,
                        artefact.sha256,
                        artefact.execution,
                        key,
                        list(batch),
                        pure=False,
                        retries=2,
                    )
                )
                if len(waiting) >= max_waiting:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (KilledWorker, TimeoutError, OSError) as error:
            raise ConversionError(
                f"the Dask cluster was lost while embedding: {str(error).splitlines()[0]}",
                hint="finished embeddings are in the cache; read the workers' logs and run the command again",
            ) from error
        finally:
            self._client.cancel(list(waiting))


def embed_batch(
    network: bytes, card: bytes, sha256: str, execution: Execution, key: str, batch: Batch
) -> list[Outcome]:
    """Embed a batch of image files, one after the other, with the interpreter of this thread.

    Args:
        network: The FlatBuffer.
        card: Its card (``ModelCard.to_bytes``).
        sha256: SHA-256 of the file, hex.
        execution: Kernels or delegate that run the network.
        key: ``OpenedArtefact.key``; the interpreter is kept for the next batch with the same key.
        batch: The images.

    Returns:
        One outcome for each image.
    """
    embedder = _embedder(network, card, sha256, execution, key)
    contract = embedder.card.input

    embed: Callable[[SampleArray], FloatArray]
    read: Callable[[bytes, str], SampleArray]
    if isinstance(contract, ArrayContract):
        embed, arrays = embedder.embed_array, contract
        read = lambda content, name: read_array(content, arrays, name=name)  # noqa: E731
    else:
        embed, color = embedder.embed, contract.color
        read = lambda content, name: decode(content, name, color=color)  # noqa: E731
    return [embed_content(content, name, embed, read) for name, content in batch]


def _embedder(network: bytes, card: bytes, sha256: str, execution: Execution, key: str) -> Embedder:
    if getattr(_own, "key", None) != key:
        _own.embedder = make_embedder(network, ModelCard.from_bytes(card), sha256, execution)
        _own.key = key
    embedder: Embedder = _own.embedder
    return embedder


def in_batches(images: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Split images into batches of at most 32 images and about 4 MiB."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for name, content in images:
        if batch and (len(batch) >= BATCH_IMAGES or size + len(content) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((name, content))
        size += len(content)
    if batch:
        yield batch


def check_workers(
    execution: Execution | None = None, *, count: int = 0, scheduler: str | None = None
) -> None:
    """Check the options of workers against each other and against the execution.

    Args:
        execution: Kernels or delegate that the workers run; None for the kernels of the target.
        count: Number of processes of this machine; 0 embeds in this process.
        scheduler: Address of a Dask scheduler.

    Raises:
        ConversionError: A count and a scheduler are both given, the count is outside 0..256, or a delegate is given
            with other processes.
    """
    if count and scheduler is not None:
        raise ConversionError("expected a number of workers or a scheduler, found both; give one")
    if not 0 <= count <= MAX_WORKERS:
        raise ConversionError(f"expected 0 to {MAX_WORKERS} workers, found {count}")
    if execution is not None and (count or scheduler is not None):
        _check_in_process(execution)


def _check_in_process(execution: Execution) -> None:
    if execution.delegate:
        raise ConversionError(
            "a delegate drives hardware from one process: expected no workers and no scheduler, found one"
        )


@contextmanager
def open_workers(
    *, count: int = 0, scheduler: str | None = None, connect_timeout_s: float = 30.0
) -> Iterator[Workers]:
    """Open workers for the duration of a ``with`` block.

    Args:
        count: Number of processes of this machine; 0 embeds in this process.
        scheduler: Address of a Dask scheduler, such as ``tls://host:8786``; not with a count.
        connect_timeout_s: Seconds to wait for the scheduler and for its first worker.

    Raises:
        ConversionError: The options contradict each other (see ``check_workers``), Dask is not installed, the
            scheduler does not answer or has no worker, or a worker has other package versions.
    """
    check_workers(count=count, scheduler=scheduler)
    if not count and scheduler is None:
        yield InProcess()
        return
    distributed = _distributed()
    if scheduler is not None:
        with _connected(distributed, scheduler, connect_timeout_s) as client:
            yield DaskWorkers(client)
        return
    with _local_cluster(distributed, count) as client:
        yield DaskWorkers(client)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ConversionError(
            "workers in other processes need Dask, which is not installed",
            hint=install_command("convert", "dask"),
        ) from error
    return distributed


@contextmanager
def _local_cluster(distributed: Any, count: int) -> Iterator[Any]:
    import tempfile

    import dask

    settings = {
        # Images and embeddings are biometric data: they stay in memory, and no dashboard shows them.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.admin.large-graph-warning-threshold": "1GiB",
    }
    with (
        tempfile.TemporaryDirectory(prefix="edge-sdk-workers-") as folder,
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            security=True,
            dashboard_address=None,
            local_directory=folder,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextmanager
def _connected(distributed: Any, scheduler: str, timeout_s: float) -> Iterator[Any]:
    client = None
    try:
        client = distributed.Client(scheduler, timeout=timeout_s, set_as_default=False)
        client.wait_for_workers(1, timeout=timeout_s)
    except (OSError, TimeoutError, ValueError) as error:
        if client is not None:
            client.close()
        raise ConversionError(
            f"{scheduler}: expected a Dask scheduler with a worker, found none within {timeout_s:g} s",
            hint="start one with dask scheduler and dask worker, and give its address, tcp:// or tls://",
        ) from error
    with client:
        _check_versions(client, scheduler)
        yield client


def _check_versions(client: Any, scheduler: str) -> None:
    hint = "install the same versions on the workers: embeddings depend on the interpreter's kernels"
    try:
        remote = client.run(versions)
    except (ImportError, AttributeError) as error:
        raise ConversionError(
            f"{scheduler}: expected workers with edge-sdk installed: {error}", hint=hint
        ) from error
    own = versions()
    for worker, installed in remote.items():
        other = [
            f"{name} {installed[name]} ({own[name]} here)" for name in own if installed[name] != own[name]
        ]
        if other:
            raise ConversionError(
                f"{scheduler}: worker {worker} runs {', '.join(other)}, expected the same versions", hint=hint
            )


def versions() -> dict[str, str]:
    """List the installed versions of the packages that embeddings depend on; "none" if not installed."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "none"
    return installed
