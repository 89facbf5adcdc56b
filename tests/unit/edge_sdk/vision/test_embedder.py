"""Embedders compute unit embeddings with fake backends and with the real interpreter."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import ArrayContract, Embedder
from edge_sdk.errors import EdgeSdkError, InputError, ModelContractError, ModelError
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.testing import FakeBackend
from edge_sdk.vision.images import read_image

Make = Callable[..., Any]
IMAGE = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)


def corner_network(image: np.ndarray) -> np.ndarray:
    """Return the first channel of the first two pixels as output, so that tests can check the input."""
    return image[0, 0, :2, 0].astype(np.float32)[None]


def fake(shape: tuple[int, ...] = (1, 96, 96, 3), dtype: str = "float32", outputs: int = 2) -> FakeBackend:
    return FakeBackend(
        corner_network,
        input=TensorInfo(shape, np.dtype(dtype), 0.0 if dtype == "float32" else 1 / 128),
        output=TensorInfo((1, outputs), np.dtype(np.float32)),
    )


def test_a_users_test_needs_no_interpreter(make_card: Make) -> None:
    backend = fake()
    embedder = Embedder(backend, make_card(dimension=2), model_id=bytes(32))
    face = np.full((96, 96, 3), 128, np.uint8)
    face[0, 0, 0], face[0, 1, 0] = 127 + 65, 127
    embedding = embedder.embed(face)
    expected = np.array([64.5, -0.5])
    assert embedding == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert embedder.dimension == 2
    assert backend.invocations == 1


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_the_network_gets_the_channel_order_of_its_card(
    make_card: Make, make_contract: Make, color: str
) -> None:
    seen: list[np.ndarray] = []

    def network(image: np.ndarray) -> np.ndarray:
        seen.append(image[0, 0, 0].copy())
        return np.ones((1, 2), np.float32)

    info = TensorInfo((1, 96, 96, 3), np.dtype(np.float32))
    backend = FakeBackend(network, input=info, output=TensorInfo((1, 2), np.dtype(np.float32)))
    contract = make_contract(color=color, mean=(0.0,) * 3, scale=(1.0,) * 3)
    embedder = Embedder(backend, make_card(dimension=2, input=contract), model_id=bytes(32))
    embedder.embed(np.full((96, 96, 3), [10, 20, 30], np.uint8))
    assert seen[0].tolist() == ([10, 20, 30] if color == "rgb" else [30, 20, 10])


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (fake(outputs=3), "embedding of 2 values, as stated in the card, found 3"),
        (fake(shape=(1, 112, 96, 3)), r"input tensor of shape \[1, 96, 96, 3\], found \[1, 112, 96, 3\]"),
        (fake(shape=(1, 3, 96, 96)), r"found \[1, 3, 96, 96\]"),
        (fake(shape=(1, 96, 96, 1)), r"found \[1, 96, 96, 1\]"),
        (fake(dtype="int32"), "int32"),
    ],
)
def test_a_network_that_is_not_what_its_card_says_is_refused(
    make_card: Make, backend: FakeBackend, says: str
) -> None:
    with pytest.raises(ModelContractError, match=says):
        Embedder(backend, make_card(dimension=2), model_id=bytes(32))


@pytest.mark.parametrize(
    "face",
    [
        None,
        "photo.jpg",
        IMAGE.astype(np.float32),
        IMAGE[..., 0],
        IMAGE[..., :1],
        IMAGE[None],
        IMAGE[:15],
        IMAGE[:, :15],
        IMAGE[:0],
    ],
)
def test_what_is_no_image_is_refused_before_the_network_runs(make_card: Make, face: Any) -> None:
    backend = fake()
    embedder = Embedder(backend, make_card(dimension=2), model_id=bytes(32))
    with pytest.raises(InputError, match="expected a"):
        embedder.embed(face)
    assert backend.invocations == 0


def test_a_real_model_gives_unit_embeddings_that_are_the_callers_own(model_path: Path) -> None:
    embedder = Embedder.open(model_path)
    first = embedder.embed(IMAGE)
    kept = first.copy()
    second = embedder.embed(255 - IMAGE)
    assert first.shape == (32,)
    assert first.dtype == np.float32
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(embedder.embed(IMAGE), kept)


def test_the_model_id_is_the_files_digest(model_path: Path) -> None:
    file = ModelFile.open(model_path)
    assert Embedder.open(model_path, sha256=file.sha256).model_id == file.model_id
    with pytest.raises(ModelError, match="SHA-256"):
        Embedder.open(model_path, sha256="00" * 32)


def test_the_integer_network_answers_as_the_float_network_does(
    model_path: Path, float_model_path: Path, products: list[Any]
) -> None:
    integer, real = Embedder.open(model_path), Embedder.open(float_model_path)
    for product in products:
        image = read_image(product.enrol)
        assert integer.embed(image) @ real.embed(image) > 0.999


def test_photos_of_one_product_are_more_alike_than_photos_of_others(
    model_path: Path, products: list[Any]
) -> None:
    embedder = Embedder.open(model_path)
    references = np.stack([embedder.embed(read_image(product.enrol)) for product in products])
    mated, others = [], []
    for index, product in enumerate(products):
        for probe in product.probes:
            scores = references @ embedder.embed(read_image(probe))
            mated.append(scores[index])
            others.extend(np.delete(scores, index))
    assert np.mean(mated) > np.mean(others) + 0.2


def test_another_size_is_cut_and_resized_as_everywhere(model_path: Path) -> None:
    from edge_sdk.vision.resize import fit

    embedder = Embedder.open(model_path)
    large = np.kron(IMAGE, np.ones((3, 4, 1), np.uint8))
    np.testing.assert_array_equal(embedder.embed(large), embedder.embed(fit(large, 96, 96)))


def test_a_part_of_a_camera_frame_needs_no_copy(model_path: Path) -> None:
    embedder = Embedder.open(model_path)
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[100:196, 200:296] = IMAGE
    np.testing.assert_array_equal(embedder.embed(frame[100:196, 200:296]), embedder.embed(IMAGE))
    assert embedder.embed(frame[..., ::-1][100:196, 200:296]).shape == (32,)
    frame.flags.writeable = False
    embedder.embed(frame[100:196, 200:296])


def test_a_grey_network_takes_grey_images(
    tmp_path: Path, make_model: Make, make_contract: Make, products: list[Any]
) -> None:
    path = tmp_path / "grey.tflite"
    path.write_bytes(make_model(input=make_contract(color="gray")))
    embedder = Embedder.open(path)
    assert embedder.embed(read_image(products[0].enrol, color="gray")).shape == (32,)
    with pytest.raises(InputError, match=r"shape \(H, W, 1\)"):
        embedder.embed(IMAGE)


def test_no_copy_of_the_image_is_made_on_the_way_into_an_integer_network(model_path: Path) -> None:
    embedder = Embedder.open(model_path)
    embedder.embed(IMAGE)
    tracemalloc.start()
    try:
        embedder.embed(IMAGE)
        assert tracemalloc.get_traced_memory()[1] < IMAGE.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("mean", "scale"), [((127.5,) * 3, (100.0,) * 3), ((123.0, 116.0, 103.0), (58.0, 57.0, 57.5))]
)
def test_a_lookup_never_makes_a_float_image(
    make_card: Make, make_contract: Make, mean: Any, scale: Any
) -> None:
    backend = FakeBackend(
        lambda image: np.ones((1, 2), np.float32),
        input=TensorInfo((1, 96, 96, 3), np.dtype(np.int8), 0.02),
        output=TensorInfo((1, 2), np.dtype(np.float32)),
    )
    card = make_card(dimension=2, input=make_contract(mean=mean, scale=scale))
    embedder = Embedder(backend, card, model_id=bytes(32))
    embedder.embed(IMAGE)
    tracemalloc.start()
    try:
        embedder.embed(IMAGE)
        assert tracemalloc.get_traced_memory()[1] < 2 * IMAGE.nbytes
    finally:
        tracemalloc.stop()


def test_an_error_that_is_kept_does_not_stop_the_next_image(model_path: Path) -> None:
    embedder = Embedder.open(model_path)
    blank = np.full((96, 96, 3), 128, np.uint8)  # code 0 everywhere, so that the output is all zero
    kept: list[EdgeSdkError] = []
    for _ in range(3):
        with pytest.raises(InputError, match="direction") as refused:
            embedder.embed(blank)
        kept.append(refused.value)
        assert embedder.embed(IMAGE).shape == (32,)


def test_two_embedders_of_one_file_do_not_disturb_each_other(model_path: Path) -> None:
    first, second = Embedder.open(model_path), Embedder.open(model_path, threads=2)
    np.testing.assert_array_equal(first.embed(IMAGE), second.embed(IMAGE))


def test_arrays_are_embedded_as_they_are(make_card: Make) -> None:
    def network(window: np.ndarray) -> np.ndarray:
        return window[0, :2, 1][None]

    info = TensorInfo((1, 4, 3), np.dtype(np.float32))
    backend = FakeBackend(network, input=info, output=TensorInfo((1, 2), np.dtype(np.float32)))
    card = make_card(dimension=2, input=ArrayContract((4, 3), low=0.0, high=20.0))
    embedder = Embedder(backend, card, model_id=bytes(32))
    embedding = embedder.embed_array(np.arange(12).reshape(4, 3))
    assert embedding == pytest.approx(np.array([1, 4]) / np.sqrt(17), abs=1e-6)
    with pytest.raises(InputError, match=r"expected values in 0\.\.20, found 0\.\.24"):
        embedder.embed_array(2.2 * np.arange(12).reshape(4, 3))


def test_images_and_arrays_are_not_mixed_up(make_card: Make) -> None:
    images = Embedder(fake(), make_card(dimension=2), model_id=bytes(32))
    with pytest.raises(
        ModelContractError, match="expected an embedder of arrays, found an embedder of images, 96x96"
    ):
        images.embed_array(np.zeros((96, 96, 3), np.uint8))
    card = make_card(dimension=2, input=ArrayContract((96, 96, 3), "uint8", 0, 255))
    arrays = Embedder(fake(), card, model_id=bytes(32))
    with pytest.raises(
        ModelContractError, match=r"expected an embedder of images, found .* shape \(96, 96, 3\)"
    ):
        arrays.embed(IMAGE)
