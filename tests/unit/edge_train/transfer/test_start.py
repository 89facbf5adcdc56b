"""Opening a user's Keras network: where the embedding is, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edge_train.errors import TrainingError
from edge_train.transfer.start import read_start

_CONTRACT = {"size": [32, 32], "color": "rgb", "mean": 127.5, "scale": 128}


def _body(shape: tuple[int | None, ...] = (32, 32, 3)) -> tuple[Any, Any]:
    image = keras.Input(shape)
    maps = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    return image, keras.layers.Dense(12, name="embedding")(pooled)


def _saved(folder: Path, model: Any, name: str = "mine.keras", **contract: Any) -> Path:
    path = folder / name
    model.save(path)
    (folder / f"{path.stem}.contract.json").write_text(json.dumps({**_CONTRACT, **contract}))
    return path


@pytest.mark.parametrize(
    "head", ["none", "softmax", "logits and softmax", "normalization", "dropout and softmax"]
)
def test_the_embedding_is_before_the_head(head: str, tmp_path: Path) -> None:
    image, embedding = _body()
    output = embedding
    if head == "softmax":
        output = keras.layers.Dense(7, activation="softmax")(output)
    elif head == "logits and softmax":
        output = keras.layers.Softmax()(keras.layers.Dense(7)(output))
    elif head == "normalization":
        output = keras.layers.UnitNormalization()(output)
    elif head == "dropout and softmax":
        output = keras.layers.Dense(7, activation="softmax")(keras.layers.Dropout(0.5)(output))
    start = read_start(_saved(tmp_path, keras.Model(image, output)))
    assert start.dimension == 12
    assert bool(start.notes) == (head != "none")
    pixels = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    expected = keras.Model(image, embedding)(pixels)
    np.testing.assert_allclose(start.model(pixels), expected, rtol=1e-6, atol=1e-6)


def test_a_layer_can_be_named(tmp_path: Path) -> None:
    image, embedding = _body()
    path = _saved(tmp_path, keras.Model(image, keras.layers.Dense(7, name="logits")(embedding)))
    assert read_start(path).dimension == 7
    assert read_start(path, layer="embedding").dimension == 12
    with pytest.raises(TrainingError, match="expected --start-layer to name a layer") as caught:
        read_start(path, layer="embeding")
    assert caught.value.hint == "similar names: embedding"


def test_a_frozen_network_is_trainable_again(tmp_path: Path) -> None:
    image, embedding = _body()
    model = keras.Model(image, embedding)
    model.trainable = False
    assert len(read_start(_saved(tmp_path, model)).model.trainable_variables) == 4


def test_an_older_file_format_is_read(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    image, embedding = _body()
    path = _saved(tmp_path, keras.Model(image, embedding), "mine.h5")
    assert read_start(path).dimension == 12


@pytest.mark.parametrize(
    ("shape", "contract", "message"),
    [
        ((None, None, 3), {}, "the input has an open size"),
        ((32, 32, 3), {"size": [48, 48]}, "graph input is 32x32x3, expected 48x48 rgb"),
        ((32, 32, 3), {"color": "gray"}, "expected 32x32 gray"),
        ((32, 32, 3), {"color": "bgr"}, "found bgr in its contract"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    shape: tuple[int | None, ...], contract: dict[str, Any], message: str, tmp_path: Path
) -> None:
    image, embedding = _body(shape)
    with pytest.raises(TrainingError, match=message):
        read_start(_saved(tmp_path, keras.Model(image, embedding), **contract))


def test_several_inputs_and_outputs_and_maps_are_refused(tmp_path: Path) -> None:
    image, embedding = _body()
    other = keras.Input((12,))
    two = keras.Model([image, other], keras.layers.Add()([embedding, other]))
    with pytest.raises(TrainingError, match="expected one input, found 2"):
        read_start(_saved(tmp_path, two))
    with pytest.raises(TrainingError, match="expected one output, found 2"):
        read_start(_saved(tmp_path, keras.Model(image, [embedding, keras.layers.ReLU()(embedding)])))
    with pytest.raises(TrainingError, match="found a map"):
        read_start(_saved(tmp_path, keras.Model(image, keras.layers.Conv2D(4, 3)(image))))


def test_code_and_damage_and_a_missing_contract_are_refused(tmp_path: Path) -> None:
    image, embedding = _body()
    code = keras.Model(image, keras.layers.Lambda(lambda value: value * 2)(embedding))
    with pytest.raises(TrainingError, match="is a Lambda: Python code in a model file is not run"):
        read_start(_saved(tmp_path, code, "code.keras"))
    path = _saved(tmp_path, keras.Model(image, embedding))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match=r"mine\.keras"):
        read_start(path)
    with pytest.raises(TrainingError, match="expected its input contract in") as caught:
        read_start(tmp_path / "other.keras")
    assert "never guessed" in str(caught.value.hint)
