"""The network is small enough, and an interrupted run gives the same result as an uninterrupted run."""

import dataclasses
import shutil

import numpy as np
import pytest

from tools.products import dataset, training
from tools.products.settings import Settings

keras = pytest.importorskip("keras")

TINY = Settings(families=2, variants=2, photos=2, epochs=2, batch=4)


@pytest.fixture(scope="module")
def backbone():
    from tools.products import network

    return network.build()


def test_the_network_is_small_enough_to_ship(backbone):
    assert backbone.count_params() * 4 < 2_000_000
    assert backbone.input_shape == (None, 96, 96, 3)
    assert backbone.output_shape == (None, 96)


def test_the_network_ends_before_normalization_and_head(backbone):
    kinds = {type(layer).__name__ for layer in backbone.layers}
    assert kinds <= {
        "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "PReLU", "Add", "Flatten",
    }  # fmt: skip
    pictures = np.random.default_rng(0).uniform(-1, 1, (4, 96, 96, 3)).astype(np.float32)
    norms = np.linalg.norm(np.asarray(backbone(pictures)), axis=1)
    assert not np.allclose(norms, norms[0])


def test_slopes_are_shared_over_the_picture(backbone):
    slopes = [layer for layer in backbone.layers if type(layer).__name__ == "PReLU"]
    assert slopes
    assert all(layer.alpha.shape[:2] == (1, 1) for layer in slopes)


def test_the_learning_rate_rises_then_falls_and_the_margin_only_rises():
    rates = [training.learning_rate_at(share, 1.0) for share in np.linspace(0, 1, 50)]
    assert rates[0] < 0.1 and max(rates) > 0.95 and rates[-1] == pytest.approx(0.01)
    margins = [training.margin_at(share, 0.4) for share in np.linspace(0, 1, 50)]
    assert margins[0] == 0 and margins[-1] == 0.4 and margins == sorted(margins)


@pytest.fixture
def eager():
    """Run TensorFlow eagerly, because compiling the graph takes longer than a few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("eager")
def test_a_run_cut_after_an_epoch_ends_where_a_whole_one_does(tmp_path, monkeypatch, capsys):
    photos = dataset.training_photos(TINY, tmp_path, workers=1)
    cut = tmp_path / "cut"
    cut.mkdir()
    real = training.Training.save

    def save_and_keep_the_first(run, path):
        real(run, path)
        if run.epoch == 1:
            shutil.copy(path, cut / "checkpoint.npz")

    monkeypatch.setattr(training.Training, "save", save_and_keep_the_first)
    whole = training.train(TINY, photos, tmp_path)
    monkeypatch.undo()

    resumed = training.Training.start(TINY, 4)
    resumed.restore(cut / "checkpoint.npz")
    assert resumed.epoch == 1
    assert int(resumed.optimizer.iterations) == 2  # 8 photos in batches of 4

    capsys.readouterr()
    finished = training.train(TINY, photos, cut)
    err = capsys.readouterr().err
    assert "resume after epoch 1 of 2" in err
    assert "epoch 2 " in err and "epoch 1 loss" not in err
    for ours, theirs in zip(finished.variables, whole.variables, strict=True):
        assert np.allclose(np.asarray(ours), np.asarray(theirs), atol=1e-4), ours.path


def test_a_run_killed_in_its_second_epoch_keeps_the_first(tmp_path, monkeypatch):
    photos = np.zeros((4, 2, 96, 96, 3), np.uint8)
    real = training.batches

    def killed(*args, epoch, **kwargs):
        if epoch == 1:
            raise KeyboardInterrupt
        return real(*args, epoch=epoch, **kwargs)

    monkeypatch.setattr(training, "batches", killed)
    monkeypatch.setattr(training, "_compile_step", lambda run: lambda *batch: (0.0, 0.0))
    with pytest.raises(KeyboardInterrupt):
        training.train(TINY, photos, tmp_path)
    kept = training.Training.start(TINY, 4)
    kept.restore(tmp_path / "checkpoint.npz")
    assert kept.epoch == 1
    assert not (tmp_path / "checkpoint.partial").exists()


def test_a_finished_run_is_not_trained_again(tmp_path):
    photos = dataset.training_photos(TINY, tmp_path, workers=1)
    done = training.Training.start(TINY, 4)
    done.epoch = TINY.epochs
    done.centres.assign(np.full(done.centres.shape, 0.5, np.float32))
    done.save(tmp_path / "checkpoint.npz")
    model = training.train(TINY, photos, tmp_path)
    same = zip(model.variables, done.backbone.variables, strict=True)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in same)
    assert not (tmp_path / "training.log").exists()


def test_settings_are_values():
    assert dataclasses.replace(TINY, epochs=3) != TINY
