"""Embedding of image files: failures to acquire, refused embeddings, and images that two artefacts have in common."""

from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import SampleSet, open_samples
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples, in_common
from converters.evaluate.runner.embed_images import embed_samples
from edge_sdk.errors import AcquisitionError, InputError
from tests.labelled_images import png, write

NAMES = ("anna/anna_0001.png", "anna/anna_0002.png", "ben/ben_0001.png")


def plain(value: int) -> bytes:
    return png(np.full((4, 5, 3), value, np.uint8))


def contents() -> dict[str, bytes]:
    return {name: plain(10 * k + 10) for k, name in enumerate(NAMES)}


@pytest.fixture
def samples(tmp_path: Path) -> SampleSet:
    return open_samples(write(tmp_path, contents()))


def by_colour(image: np.ndarray) -> np.ndarray:
    angle = float(image[0, 0, 0]) / 100
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_failures_to_acquire_are_counted_and_named(tmp_path: Path) -> None:
    files = {**contents(), "ben/ben_0002.png": b"not an image", "carl/carl_0001.png": plain(99)[:40]}

    def embed(image: np.ndarray) -> np.ndarray:
        if image[0, 0, 0] == 20:
            raise AcquisitionError("expected a face, found none", reason="no face")
        return by_colour(image)

    steps: list[tuple[int, int]] = []
    embedded = embed_samples(
        open_samples(write(tmp_path, files)), embed, progress=lambda *at: steps.append(at)
    )
    assert embedded.names == ("anna/anna_0001.png", "ben/ben_0001.png")
    assert embedded.subjects == ("anna", "ben")
    assert dict(embedded.failures) == {
        "anna/anna_0002.png": "no face",
        "ben/ben_0002.png": "cannot be decoded",
        "carl/carl_0001.png": "cannot be decoded",
    }
    acquired = embedded.acquisition()
    assert (acquired.attempts, acquired.failures, acquired.rate) == (5, 3, 0.6)
    assert acquired.first_names[0] == "anna/anna_0002.png: no face"
    assert steps[-1] == (5, 5)


def test_no_embedding_at_all_is_an_error(samples: SampleSet) -> None:
    def refuse(image: np.ndarray) -> np.ndarray:
        raise InputError(f"expected 112x112, found {image.shape}")

    with pytest.raises(
        InputError, match=r"3 failures to acquire, the first anna/anna_0001.png: expected 112"
    ):
        embed_samples(samples, refuse)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones((1, 4), np.float32), r"\(D,\)"),
        (np.ones(4, np.int8), "int8"),
        (np.ones(4, np.float32), "norm 2"),
        (np.full(4, np.nan, np.float32), "NaN"),
    ],
)
def test_embeddings_of_another_form_are_refused(samples: SampleSet, vector: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embed_samples(samples, lambda _: vector)


def test_embeddings_of_different_lengths_are_refused(samples: SampleSet) -> None:
    lengths = iter((4, 5, 4))
    with pytest.raises(InputError, match="4 values, found 5"):
        embed_samples(samples, lambda _: np.eye(next(lengths), dtype=np.float32)[0])


def test_in_common_keeps_the_images_that_both_embedded(samples: SampleSet) -> None:
    def only_dark(image: np.ndarray) -> np.ndarray:
        if image[0, 0, 0] > 20:
            raise AcquisitionError("expected dark, found light", reason="too light")
        return by_colour(image)

    first, second = in_common(embed_samples(samples, by_colour), embed_samples(samples, only_dark))
    assert first.names == second.names == NAMES[:2]
    assert len(second.failures) == 1
    other = EmbeddedSamples("else", "00", NAMES[:1], ("anna",), np.eye(1, dtype=np.float32))
    with pytest.raises(InputError, match="different digests"):
        in_common(first, other)
    with pytest.raises(InputError, match="one name and one subject"):
        EmbeddedSamples("x", "0", ("a", "a"), ("a", "a"), np.eye(2, dtype=np.float32))
