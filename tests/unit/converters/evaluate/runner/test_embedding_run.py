"""Each image is embedded once, by any kind of workers, and a second run embeds no image."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.data.samples import open_samples
from converters.errors import ConversionError
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.workers import (
    BATCH_BYTES,
    Batch,
    InProcess,
    Outcome,
    in_batches,
    open_workers,
)
from edge_sdk.errors import InputError
from tests.labelled_images import contents, photo, png, write
from tests.patience import PATIENCE_S


class Counting:
    """In-process workers that record the names of the images they embed."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, artefact: OpenedArtefact, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        def counted() -> Iterator[Batch]:
            for batch in batches:
                self.embedded += [name for name, _ in batch]
                yield batch

        return InProcess().embed(artefact, counted())


@pytest.fixture
def artefact(model_path: Path) -> OpenedArtefact:
    return open_artefact(model_path)


def test_embeddings_are_those_of_the_device(artefact: OpenedArtefact, tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path, contents(3, 2)))
    embedded = embed_with(artefact, samples)
    embedder = artefact.embedder()
    for row, sample in enumerate(samples.samples):
        assert np.array_equal(embedded.vectors[row], embedder.embed(samples.image(sample)))
    assert embedded.data_digest == samples.digest


def test_a_second_run_embeds_only_new_images(artefact: OpenedArtefact, tmp_path: Path) -> None:
    folder, cache = write(tmp_path / "images", contents(20, 2)), tmp_path / "cache"
    first, second, third = Counting(), Counting(), Counting()
    steps: list[tuple[int, int]] = []
    before = embed_with(artefact, open_samples(folder), workers=first, cache=cache)
    again = embed_with(
        artefact, open_samples(folder), workers=second, cache=cache, progress=lambda *at: steps.append(at)
    )
    assert (len(first.embedded), second.embedded) == (40, [])
    assert before.vectors.tobytes() == again.vectors.tobytes()
    assert steps[-1] == (40, 40)
    write(folder, {"s03/s03_0001.png": png(photo(3, 9)), "new/new_0001.png": png(photo(50, 1))})
    embed_with(artefact, open_samples(folder), workers=third, cache=cache)
    assert third.embedded == ["new/new_0001.png", "s03/s03_0001.png"]


def test_an_interrupted_run_keeps_its_embeddings(artefact: OpenedArtefact, tmp_path: Path) -> None:
    folder, cache = write(tmp_path / "images", contents(40, 1)), tmp_path / "cache"

    class Interrupted(Counting):
        def embed(self, artefact: OpenedArtefact, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
            yield next(super().embed(artefact, batches))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_with(artefact, open_samples(folder), workers=Interrupted(), cache=cache)
    rest = Counting()
    embed_with(artefact, open_samples(folder), workers=rest, cache=cache)
    assert len(rest.embedded) == 8  # one batch of 32 was finished


def test_failures_are_counted_and_not_cached(artefact: OpenedArtefact, tmp_path: Path) -> None:
    files = {
        **contents(3, 2),
        "s00/broken.png": b"no image",
        "s01/tiny.png": png(np.zeros((8, 8, 3), np.uint8)),
    }
    folder, cache = write(tmp_path / "images", files), tmp_path / "cache"
    for _ in range(2):
        workers = Counting()
        embedded = embed_with(artefact, open_samples(folder), workers=workers, cache=cache)
        reasons = dict(embedded.failures)
        assert reasons["s00/broken.png"] == "cannot be decoded"
        assert "16x16" in reasons["s01/tiny.png"]
    assert workers.embedded == ["s00/broken.png", "s01/tiny.png"]
    assert embedded.acquisition().failures == 2


def test_an_unreadable_file_is_a_failure_to_acquire(artefact: OpenedArtefact, tmp_path: Path) -> None:
    folder = write(tmp_path, contents(3, 2))
    samples = open_samples(folder)
    (folder / "s02" / "s02_0002.png").unlink()
    embedded = embed_with(artefact, samples)
    assert [name for name, _ in embedded.failures] == ["s02/s02_0002.png"]


def test_one_embedding_for_all_images_is_an_error(artefact: OpenedArtefact, tmp_path: Path) -> None:
    same = png(photo(0, 0))
    folder = write(tmp_path, {f"s{k}/a.png": same for k in range(3)})
    with pytest.raises(InputError, match="one and the same for all 3 images"):
        embed_with(artefact, open_samples(folder))


def test_batches_are_bounded_in_number_and_size() -> None:
    small = [len(batch) for batch in in_batches((str(k), b"x") for k in range(70))]
    assert small == [32, 32, 6]
    large = list(in_batches((str(k), bytes(BATCH_BYTES // 3)) for k in range(7)))
    assert [len(batch) for batch in large] == [3, 3, 1]
    assert [len(batch) for batch in in_batches([("huge", bytes(3 * BATCH_BYTES))])] == [1]


def test_two_processes_give_the_same_bits(artefact: OpenedArtefact, tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path, {**contents(35, 2), "s00/broken.png": b"no image"}))
    here = embed_with(artefact, samples)
    with open_workers(count=2) as workers:
        there = embed_with(artefact, samples, workers=workers)
    assert there.names == here.names
    assert there.failures == here.failures
    assert there.vectors.tobytes() == here.vectors.tobytes()


def test_a_running_scheduler_is_used(artefact: OpenedArtefact, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    samples = open_samples(write(tmp_path, contents(4, 2)))
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
        ) as cluster,
        open_workers(scheduler=cluster.scheduler_address, connect_timeout_s=PATIENCE_S) as workers,
    ):
        there = embed_with(artefact, samples, workers=workers)
    assert there.vectors.tobytes() == embed_with(artefact, samples).vectors.tobytes()


def test_an_absent_scheduler_is_reported() -> None:
    pytest.importorskip("distributed")
    with (
        pytest.raises(ConversionError, match="expected a Dask scheduler with a worker, found none within"),
        open_workers(scheduler="tcp://127.0.0.1:9", connect_timeout_s=0.5),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 2, "scheduler": "tcp://x:1"}, "a scheduler, found both"),
        ({"count": -1}, "0 to 256 workers"),
    ],
)
def test_contradictory_workers_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message), open_workers(**options):
        pass


def test_without_dask_the_hint_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConversionError, match="not installed") as caught, open_workers(count=2):
        pass
    assert caught.value.hint == "pip install 'edge-embedding-sdk[convert,dask]'"
