"""PyTorch networks are converted with the same embeddings as in torch, and unsuitable networks are refused."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.errors import SourceError
from converters.sources.float_model import canonical
from converters.sources.read import read_source
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import ModelFile

HERE = importlib.util.find_spec("litert_torch") is not None
pytestmark = pytest.mark.skipif(
    not HERE, reason="PyTorch is a separate extra of 2 GB: make test-pytorch runs these tests"
)


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Folder of the files that ``make_pytorch.py`` writes."""
    folder = tmp_path_factory.mktemp("pytorch")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("make_pytorch.py")), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def refusal(path, contract, images):
    with pytest.raises(SourceError) as raised:
        read_source(path, contract=contract, inputs=images)
    return str(raised.value), raised.value.hint or ""


def test_an_exported_program_gives_the_embeddings_of_torch_with_fused_prelus(networks, contract, images):
    source = read_source(networks / "normed.pt2", contract=contract, inputs=images)
    assert source.kind == "pytorch"
    assert {"torch", "litert-torch"} <= set(source.tools)
    np.testing.assert_allclose(np.linalg.norm(source.witness, axis=1), 1, atol=1e-5)
    assert "PRELU" not in source.network.graph.operator_counts(), "litert-torch writes it in four"
    model = canonical(source, contract, images)
    counts = model.network.graph.operator_counts()
    assert counts["PRELU"] == 3
    assert set(counts) <= {"PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU", "RESHAPE"}
    assert model.agreement > 0.999999
    assert model.dimension == 24


def test_an_open_batch_becomes_one(networks, contract, images):
    source = read_source(networks / "open.pt2", contract=contract, inputs=images)
    model = canonical(source, contract, images)
    assert model.agreement > 0.999999
    graph = model.network.graph
    assert graph.shape(graph.inputs[0]) == (1, 32, 32, 3)


def test_a_function_is_run_beside_its_files_and_put_in_evaluation_mode(networks, contract, images):
    source = read_source(networks / "net.py:make_beside", contract=contract, inputs=images)
    assert canonical(source, contract, images).agreement > 0.999999
    assert "the network was in training mode and was put in evaluation mode" in source.notes
    assert any("the digest covers net.py" in note for note in source.notes)
    exported = read_source(networks / "open.pt2", contract=contract, inputs=images[:2])
    np.testing.assert_allclose(source.witness[:2], exported.witness, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message", "advice"),
    [
        ("training.pt2", "exported in training mode", "model.eval()"),
        ("dropout.pt2", "exported in training mode (dropout", "model.eval()"),
        ("eight.pt2", "exported for batches of 8", "torch.zeros(1, 3, H, W)"),
        ("two.pt2", "expected one output, found 2", "--output-name 0"),
        ("half.pt2", "input is float16", ""),
        ("net.py:make_half", "its weights are float16", "model.float()"),
        ("net.py:make_two", "expected one output, found 2", ""),
        ("net.py:make_nothing", "make_nothing returned dict, expected a torch.nn.Module", "weights loaded"),
        ("net.py:make_failing", "ValueError: the weights are elsewhere", ""),
        ("net.py:makes", "has no function 'makes'", "it has "),
    ],
)
def test_what_cannot_be_converted_says_why(networks, contract, images, name, message, advice):
    error, hint = refusal(networks / name, contract, images[:2])
    assert message in error
    assert advice in hint


def test_another_size_than_the_contracts_is_refused(networks, images):
    contract = InputContract(48, 48, "rgb", (127.5,) * 3, (128.0,) * 3)
    larger = np.repeat(np.repeat(images, 2, 1), 2, 2)[:2, :48, :48]
    message, hint = refusal(networks / "normed.pt2", contract, larger)
    assert "graph input is 32x32x3, expected 48x48 rgb as in the contract" in message
    assert "--size 32x32" in hint


def test_a_damaged_program_is_refused(networks, contract, images, tmp_path):
    whole = (networks / "normed.pt2").read_bytes()
    (tmp_path / "cut.pt2").write_bytes(whole[: len(whole) // 2])
    assert "cut short or damaged" in refusal(tmp_path / "cut.pt2", contract, images)[0]


def test_the_command_makes_an_int8_file_of_it(networks, tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    random = np.random.default_rng(3)
    for number in range(40):
        coarse = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((32, 32)).save(crops / f"{number}.png")
    program = Path(sys.executable).with_name("edge-convert")
    command = [program, "convert", networks / "net.py:make", "--target", "cpu", "--calibration", crops]
    command += [
        "--size",
        "32x32",
        "--color",
        "rgb",
        "--mean",
        "127.5",
        "--scale",
        "128",
        "--allow",
        "contract",  # weights and crops are random, so the check of the contract has no right answer
        "--output",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    card = ModelFile.open(tmp_path / "out" / "net.cpu_int8.tflite").card
    assert card.name == "net"
    assert card.source["kind"] == "pytorch"
    assert card.fidelity["cosine_mean"] > 0.97
