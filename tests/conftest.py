"""Shared fixtures: a small real model with its card, real images, and models and faces from ../shared."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.operating_point import OperatingPoint
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from converters.graph.network import Network

ROOT = Path(__file__).parents[1]
SIZE_PX = 96
DIMENSION = 32

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# An installation of the person who runs the tests must not be used by them.
os.environ["EDGE_SDK_INSTALLATION"] = str(ROOT / "no-installation")
# By default hypothesis fails a test whose example takes over 200 ms, which depends on the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def lacking(reason: str) -> NoReturn:
    """Skip a test because something is missing on this machine; fail in CI, where everything must be present."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Outcome:
    """Result of a command: exit code, stdout and stderr."""

    code: int
    out: str
    err: str


def in_process(
    main: Callable[[list[str]], int], arguments: Iterable[Any], capsys: pytest.CaptureFixture[str]
) -> Outcome:
    """Run a program's command line in this process, and check that it prints no traceback."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return Outcome(code, out, err)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with models and faces beside the checkout. If it is missing, tests are skipped, or fail in CI."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        lacking(f"needs models and faces in {folder.name}/ beside the checkout")
    return folder


@pytest.fixture(scope="session")
def face_kit(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the face kit, built from the public files in ../shared; tests must not write it.

    It is built once per run, in half a minute, by the first of the test processes that needs it.
    """
    from converters.kit.build import build_kit
    from converters.kit.definition import FACE
    from edge_sdk.zoo import MIRROR

    # With pytest-xdist each process has its own folder in that of the run.
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "face-kit"
    folder.mkdir(exist_ok=True)
    kit = folder / "face.edgekit"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kit.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(MIRROR, str(shared / "zoo"))
                build_kit(FACE, folder, accept=lambda terms: True)
    return kit


@dataclass(frozen=True)
class Product:
    """Product of the samples: an image to enrol, and probes."""

    name: str
    enrol: Path
    probes: tuple[Path, ...]


@pytest.fixture(scope="session")
def products() -> list[Product]:
    """Product photos of the samples, 96x96, sorted by name."""
    folder = ROOT / "samples" / "products"
    return [
        Product(image.stem, image, tuple(sorted((folder / "probes" / image.stem).glob("*.jpg"))))
        for image in sorted((folder / "enrol").glob("*.jpg"))
    ]


def contract(**changes: Any) -> InputContract:
    """Create an input contract, by default 96x96 rgb, (pixel - 127.5) / 128."""
    channels = 1 if changes.get("color") == "gray" else 3
    values: dict[str, Any] = {
        "height": SIZE_PX,
        "width": SIZE_PX,
        "color": "rgb",
        "mean": (127.5,) * channels,
        "scale": (128.0,) * channels,
    }
    return InputContract(**{**values, **changes})


def card(**changes: Any) -> ModelCard:
    """Create a complete card for the tests' network."""
    values: dict[str, Any] = {
        "name": "pooled-colours",
        "version": "3",
        "target": "cpu",
        "precision": "int8",
        "dimension": DIMENSION,
        "input": contract(),
        "network_sha256": "",
        "description": "a random projection of a coarse image",
        "licence": "Apache-2.0",
        "limits": "for tests",
    }
    return ModelCard(**{**values, **changes})


def evidence(**changes: Any) -> OperatingPoint:
    """Create an operating point with just enough evidence for its claim."""
    values: dict[str, Any] = {
        "threshold": 0.95,
        "fmr": 1e-3,
        "fnmr": 0.02,
        "mated_trials": 100,
        "non_mated_trials": 3000,
        "data_set": "drawn products",
    }
    return OperatingPoint(**{**values, **changes})


def build_network(
    *, integer: bool = True, seed: int = 0, dimension: int = DIMENSION, channels: int = 3
) -> Network:
    """Build a .tflite: mean over 12x12 blocks, then a random projection, so that similar images have similar scores.

    Integer input is pixel - 128 at scale 1/128, as required for a contract with (pixel - 127.5) / 128.
    """
    from ai_edge_litert import schema_py_generated as schema

    from converters.graph.graph import Graph
    from converters.graph.network import Network

    rng = np.random.default_rng(seed)
    dtype = np.int8 if integer else np.float32
    block, blocks = 12, SIZE_PX // 12
    features = blocks * blocks * channels
    model = schema.ModelT()
    model.version, model.description = 3, b"tests"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
    model.subgraphs = [subgraph]
    graph = Graph(model)

    def tensor(
        name: str, shape: list[int], kind: Any, scale: float, value: Any = None, zero_point: int = 0
    ) -> int:
        index = graph.add_tensor(name, shape, kind, value)
        if integer:
            graph.tensors[index].quantization.scale = [scale]
            graph.tensors[index].quantization.zeroPoint = [zero_point]
        return index

    image = tensor("image", [1, SIZE_PX, SIZE_PX, channels], dtype, 1 / 128)
    pooled = tensor("pooled", [1, blocks, blocks, channels], dtype, 1 / 128)
    weights_int = rng.integers(-127, 128, (dimension, features)).astype(np.int8)
    weights = weights_int if integer else weights_int.astype(np.float32) / 127
    projection = tensor("projection", [dimension, features], dtype, 1 / 127, weights)
    bias_value = np.zeros(dimension, np.int32 if integer else np.float32)
    bias = tensor("bias", [dimension], bias_value.dtype, 1 / 128 / 127, bias_value)
    embedding = tensor("embedding", [1, dimension], dtype, 0.15, None, 3)
    subgraph.inputs, subgraph.outputs = [image], [embedding]
    pool = schema.Pool2DOptionsT()
    pool.padding = schema.Padding.VALID
    pool.strideH = pool.strideW = pool.filterHeight = pool.filterWidth = block
    options = schema.BuiltinOptions
    graph.add_operator(
        "AVERAGE_POOL_2D",
        [image],
        [pooled],
        at=0,
        version=2 if integer else 1,
        options=pool,
        options_type=options.Pool2DOptions,
    )
    graph.add_operator(
        "FULLY_CONNECTED",
        [pooled, projection, bias],
        [embedding],
        at=1,
        version=4 if integer else 1,
        options=schema.FullyConnectedOptionsT(),
        options_type=options.FullyConnectedOptions,
    )
    graph.set_signature("image", "embedding")
    return Network.of(graph)


def build_model(*, integer: bool = True, seed: int = 0, golden: bool = False, **card_changes: Any) -> bytes:
    """Build a deployable file: the network with its card, optionally with golden vectors."""
    from converters.analyze.golden_vectors import make_golden_vectors
    from converters.graph.attach_card import with_card

    input_contract = card_changes.get("input") or contract()
    network = build_network(integer=integer, seed=seed, channels=input_contract.channels)
    if golden:
        card_changes["golden"] = make_golden_vectors(network, input_contract)
    return with_card(network, card(precision="int8" if integer else "float32", **card_changes))


@pytest.fixture(scope="session")
def make_contract() -> Callable[..., InputContract]:
    """Function that creates input contracts."""
    return contract


@pytest.fixture(scope="session")
def make_card() -> Callable[..., ModelCard]:
    """Function that creates model cards."""
    return card


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., OperatingPoint]:
    """Function that creates operating points."""
    return evidence


@pytest.fixture(scope="session")
def make_model() -> Callable[..., bytes]:
    """Function that builds model files."""
    return build_model


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    """Content of an int8 model file whose card has no operating points."""
    return build_model()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory, model_bytes: bytes) -> Path:
    """Path of the int8 model file; tests must not write it."""
    path = tmp_path_factory.mktemp("model") / "pooled.cpu_int8.tflite"
    path.write_bytes(model_bytes)
    return path


@pytest.fixture(scope="session")
def golden_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the int8 model file with golden vectors in its card."""
    path = tmp_path_factory.mktemp("model") / "golden.cpu_int8.tflite"
    path.write_bytes(build_model(golden=True))
    return path


@pytest.fixture(scope="session")
def float_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the float32 model file with the same weights."""
    path = tmp_path_factory.mktemp("model") / "pooled.float32.tflite"
    path.write_bytes(build_model(integer=False))
    return path


@pytest.fixture(scope="session")
def model_with_evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the int8 model file with two operating points in its card."""
    path = tmp_path_factory.mktemp("model") / "proven.cpu_int8.tflite"
    points = (evidence(), evidence(threshold=0.9, fmr=1e-2))
    path.write_bytes(build_model(operating_points=points))
    return path


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python source in a fresh process of this interpreter, from the repository root."""

    def run(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", source, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    return run
