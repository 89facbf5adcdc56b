"""Batches depend on seed and step alone, show every subject equally often, and read each image faithfully."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.data.samples import open_samples
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.data.batches import SubjectBatches, prefetched, read_for_training
from edge_train.data.subjects import Subjects
from edge_train.errors import TrainingError
from tests.drawn_subjects import CONTRACT, draw_subjects


@pytest.fixture
def subjects(tmp_path: Path) -> Subjects:
    return Subjects.of(open_samples(draw_subjects(tmp_path / "pictures", subjects=7, images=3)))


def batches(subjects: Subjects, **settings: Any) -> SubjectBatches:
    return SubjectBatches(subjects, CONTRACT, **{"per_batch": 3, "images": 2, "seed": 1, **settings})


def test_a_batch_depends_on_seed_and_step_alone(subjects: Subjects) -> None:
    first, other = batches(subjects), batches(subjects, cache_bytes=0)
    for step in (5, 0, 5):
        pixels, labels = first.batch(step)
        again, same = other.batch(step)
        assert (pixels == again).all()
        assert (labels == same).all()
    assert (batches(subjects, seed=2).batch(5)[0] != first.batch(5)[0]).any()


def test_labels_and_pixels_belong_together(subjects: Subjects) -> None:
    pixels, labels = batches(subjects).batch(0)
    assert pixels.shape == (6, *CONTRACT.shape)
    assert pixels.dtype == np.uint8
    for image, label in zip(pixels, labels, strict=True):
        group = [subjects.samples.at_size(sample, CONTRACT) for sample in subjects.images[label]]
        assert any((image == candidate).all() for candidate in group)


def test_each_subject_occurs_equally_often(subjects: Subjects) -> None:
    source = batches(subjects)
    counts = Counter(int(label) for step in range(2 * 70) for label in source.batch(step)[1])
    assert sum(counts.values()) == 2 * 70 * 6
    assert min(counts.values()) > 0.8 * max(counts.values())
    # The two batches of a round share no subject.
    assert not set(source.batch(0)[1]) & set(source.batch(1)[1])


def test_a_subject_with_few_images_gives_each_as_often_as_necessary(subjects: Subjects) -> None:
    pixels, labels = batches(subjects, images=6, per_batch=50).batch(0)
    assert len(labels) == 7 * 6  # no more subjects than there are
    for label in range(7):
        counts = Counter(image.tobytes() for image in pixels[labels == label])
        assert sorted(counts.values()) == [2, 2, 2]


def test_a_small_cache_changes_no_pixel(subjects: Subjects) -> None:
    part = batches(subjects, cache_bytes=5 * int(np.prod(CONTRACT.shape)))
    whole = batches(subjects)
    for step in range(6):
        assert (part.batch(step)[0] == whole.batch(step)[0]).all()


def test_batches_are_read_in_order_and_ahead(subjects: Subjects) -> None:
    source = batches(subjects)
    read = list(prefetched(source, 2, 7))
    assert len(read) == 5
    for step, (pixels, labels) in enumerate(read, start=2):
        assert (pixels == source.batch(step)[0]).all()
        assert (labels == source.batch(step)[1]).all()
    assert list(prefetched(source, 7, 7)) == []


def test_an_image_that_cannot_be_read_is_named(subjects: Subjects, tmp_path: Path) -> None:
    for image in sorted((tmp_path / "pictures" / "subject003").iterdir()):
        image.write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"subject003/\d\.png: expected an image that can be read"):
        list(prefetched(batches(subjects, per_batch=7), 0, 1))


def photograph(height: int, width: int, **options: Any) -> bytes:
    """Encode a smooth scene with edges as JPEG."""
    rows, columns = np.mgrid[0:height, 0:width]
    scene = np.stack(
        [rows * 200 // height, columns * 200 // width, 60 + 120 * ((rows + columns) % 97 < 48)], 2
    )
    stream = io.BytesIO()
    Image.fromarray(scene.astype(np.uint8)).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def both_ways(content: bytes, tmp_path: Path, contract: InputContract) -> tuple[UInt8Array, UInt8Array]:
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a" / "0.jpg").write_bytes(content)
    samples = open_samples(tmp_path)
    (sample,) = samples.samples
    exact: Any = samples.at_size(sample, contract)
    return read_for_training(samples, sample, contract), exact


@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize(("height", "width"), [(700, 1000), (1000, 300), (1500, 1400)])
def test_a_large_jpeg_is_read_faithfully_at_a_reduced_size(
    tmp_path: Path, height: int, width: int, color: str
) -> None:
    channels = 1 if color == "gray" else 3
    contract = InputContract(24, 32, color, (127.5,) * channels, (128.0,) * channels)
    reduced, exact = both_ways(photograph(height, width), tmp_path, contract)
    assert reduced.shape == contract.shape
    assert np.abs(reduced.astype(int) - exact).mean() < 2
    assert (reduced != exact).any()  # the reduced decoder was used


def test_a_turned_large_jpeg_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    reduced, exact = both_ways(photograph(400, 1200, exif=exif), tmp_path, CONTRACT)
    assert np.abs(reduced.astype(int) - exact).mean() < 2


def test_a_small_jpeg_is_read_exactly(tmp_path: Path) -> None:
    reduced, exact = both_ways(photograph(100, 120), tmp_path, CONTRACT)
    assert (reduced == exact).all()
