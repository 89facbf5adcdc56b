"""The network is small enough, and an interrupted run gives the same result as an uninterrupted run."""

import numpy as np
import pytest

from tools.products import dataset, training
from tools.products.settings import Settings

keras = pytest.importorskip("keras")

TINY = Settings(families=2, variants=2, photos=2, epochs=3, batch=4, augmentation=0.5)


@pytest.fixture(scope="module")
def backbone():
    return training.build(Settings())


def test_the_network_is_small_enough_to_ship(backbone):
    assert backbone.name == "products"
    assert backbone.count_params() * 4 < 2_000_000
    assert backbone.input_shape == (None, 96, 96, 3)
    assert backbone.output_shape == (None, 96)


def test_the_network_ends_before_normalization_and_head(backbone):
    kinds = {type(layer).__name__ for layer in backbone.layers}
    assert kinds <= {
        "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add", "Flatten",
    }  # fmt: skip
    pictures = np.random.default_rng(0).uniform(-1, 1, (4, 96, 96, 3)).astype(np.float32)
    norms = np.linalg.norm(np.asarray(backbone(pictures)), axis=1)
    assert not np.allclose(norms, norms[0])


def test_each_epoch_has_each_photo_once_in_an_order_of_its_own():
    photos = np.arange(12, dtype=np.uint8).reshape(4, 3, 1, 1, 1)
    batches = training.PhotoBatches(photos, batch=4, seed=1)
    assert batches.per_epoch == 3
    first, again, second = (
        [batches.batch(step) for step in steps] for steps in (range(3), range(3), range(3, 6))
    )
    for epoch in (first, second):
        pixels = np.concatenate([pixels.ravel() for pixels, _ in epoch])
        labels = np.concatenate([labels for _, labels in epoch])
        assert sorted(pixels) == list(range(12))
        assert np.array_equal(labels, pixels // 3)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return dataset.training_photos(TINY, tmp_path_factory.mktemp("photos"), workers=1)


def test_an_interrupted_run_ends_as_an_uninterrupted_run_and_is_not_trained_again(
    photos, tmp_path, monkeypatch
):
    whole = training.train(TINY, photos, tmp_path / "whole")
    real = training.PhotoBatches.batch

    def interrupted(batches, step):
        if step == 4:
            raise KeyboardInterrupt
        return real(batches, step)

    monkeypatch.setattr("edge_train.training.loop.CHECKPOINT_S", 0.0)
    monkeypatch.setattr(training.PhotoBatches, "batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.train(TINY, photos, tmp_path / "cut")
    monkeypatch.undo()
    resumed = training.train(TINY, photos, tmp_path / "cut")
    again = training.train(TINY, photos, tmp_path / "cut")
    for place, variable in enumerate(whole.variables):
        assert np.array_equal(np.asarray(resumed.variables[place]), np.asarray(variable)), variable.path
        assert np.array_equal(np.asarray(again.variables[place]), np.asarray(variable)), variable.path


def test_no_augmentation_is_a_choice():
    assert training._augmentation(0) is None
