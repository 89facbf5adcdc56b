"""The target mobile: metadata and model card in the file, and the assets generated for an app."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from converters.errors import TargetError
from converters.graph.network import Network
from converters.graph.rewrites.uint8_io import convert_io_to_uint8
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.targets.base import ArtefactFile
from converters.targets.mobile import target as mobile
from edge_sdk import Embedder
from edge_sdk.model.card import CARD_NAME, InputContract
from edge_sdk.model.model_file import split
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder
from tests.conftest import card
from tests.integer_networks import IntegerNetwork
from tests.networks import crops, tiny, to_convert

CONTRACT = InputContract(16, 16, "rgb", (127.5,) * 3, (128.0,) * 3)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mobile")
    network, images = to_convert(folder)
    convert(ConversionOptions(network, CONTRACT, images, folder / "out", targets=("mobile", "cpu")))
    return folder / "out"


def test_card_and_golden_vectors_are_written_for_each_file(converted: Path) -> None:
    names = {path.name for path in converted.iterdir()}
    for recipe in ("float16", "mobile_int8"):
        assert {f"tiny.{recipe}.tflite", f"tiny.{recipe}.card.json", f"tiny.{recipe}.golden.json"} <= names
    inside = split((converted / "tiny.mobile_int8.tflite").read_bytes())[1][CARD_NAME]
    assert (converted / "tiny.mobile_int8.card.json").read_bytes() == inside


def test_an_apps_test_needs_the_asset_alone(converted: Path) -> None:
    asset = json.loads((converted / "tiny.mobile_int8.golden.json").read_text())
    backend = LiteRtBackend((converted / asset["file"]).read_bytes())
    shape = tuple(asset["input"][name] for name in ("height", "width", "channels"))
    encode = make_encoder(CONTRACT, backend.input)
    for vector in asset["vectors"]:
        pixels = np.frombuffer(base64.b64decode(vector["pixels"]), np.uint8).reshape(shape)
        encode(pixels, backend.input_view())
        backend.invoke()
        expected = np.frombuffer(base64.b64decode(vector["output"]), asset["dtype"])
        off = np.abs(backend.output_view().reshape(-1).astype(int) - expected.astype(int))
        assert off.max() <= asset["tolerance"]["other"]


def test_an_app_feeds_and_reads_unsigned_bytes(converted: Path) -> None:
    backend = LiteRtBackend((converted / "tiny.mobile_int8.tflite").read_bytes())
    assert (backend.input.dtype, backend.output.dtype) == (np.uint8, np.uint8)


def test_the_phones_file_and_the_cpus_give_the_same_embedding(converted: Path) -> None:
    face = crops(3)[2]
    ours, theirs = (
        Embedder.open(converted / f"tiny.{name}.tflite").embed(face) for name in ("cpu_int8", "mobile_int8")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_unsigned_edges_shift_codes_and_nothing_else() -> None:
    net = IntegerNetwork((1, 16, 16, 3))
    network = net.finish(net.head(net.convolution(net.input)))
    graph = network.edit()
    convert_io_to_uint8(graph)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    outputs = []
    for version, codes in (
        (network, (pixels.astype(int) - 128).astype(np.int8)),
        (Network.of(graph), pixels),
    ):
        backend = LiteRtBackend(version.data)
        backend.input_view()[...] = codes
        backend.invoke()
        outputs.append(backend.output_view().astype(int).copy())
    np.testing.assert_array_equal(outputs[0] + 128, outputs[1])


def test_a_float_network_keeps_its_edges() -> None:
    assert mobile.adapt(tiny()) == Network.of(tiny().graph)


def test_a_file_that_lost_its_metadata_is_refused() -> None:
    with pytest.raises(TargetError, match="TFLite Metadata"):
        mobile.require_metadata(ArtefactFile("tiny.tflite", tiny().data, tiny(), card(), {}))
