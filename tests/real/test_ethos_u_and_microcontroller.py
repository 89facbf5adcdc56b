"""A face network and the reference model run completely on an Ethos-U, and on a microcontroller in a known arena."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.targets.ethos_u.compiler import Configuration, compile_network
from converters.targets.microcontroller import interpreter
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import ModelFile, split

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ACCELERATORS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
#: For each network: upper limit of vela's time estimate for the U55 in ms, and exact size of the arena in bytes.
FIGURES = {"y1": (20.0, 933_280), "products": (1.2, 82_608)}


@pytest.fixture(scope="module", params=FIGURES)
def made(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    output = tmp_path_factory.mktemp(request.param)
    if request.param == "y1":
        model = shared / "zoo" / "mobilefacenet_y1_float32.tflite"
        contract = {"size": [112, 112], "color": "rgb", "range": [0, 255]}
        images = shared / "faces" / "lfw_calibration_aligned112.tar"
    else:
        samples = ROOT / "samples" / "products"
        model = samples / "model" / "products.keras"
        contract = json.loads((samples / "model" / "products.contract.json").read_text())
        images = samples / "calibration"
    convert(
        ConversionOptions(
            model,
            InputContract.from_json(contract),
            images,
            output,
            name=request.param,
            targets=("ethos-u", "microcontroller"),
            settings={"ethos-u.accelerators": ",".join(ACCELERATORS)},
        )
    )
    return request.param, output


def network(path: Path) -> Network:
    return Network(split(path.read_bytes())[0])


def test_the_npu_runs_all_of_it_on_every_family(made: tuple[str, Path]) -> None:
    name, output = made
    int8 = network(output / f"{name}.ethos_u_int8.tflite")
    for accelerator in ACCELERATORS:
        compiled = compile_network(int8, Configuration(accelerator))
        assert compiled.cpu_operators == ()
        written = output / f"{name}.{accelerator}.tflite"
        assert ModelFile.open(written).card.name == name
        assert network(written).graph.operator_counts() == {"'ethos-u'": 1}
        if accelerator == "ethos-u55-128":
            assert compiled.milliseconds < FIGURES[name][0]


def test_decomposed_prelu_is_estimated_to_be_faster_and_relu_needs_no_decomposition(
    made: tuple[str, Path],
) -> None:
    """Compare with the microcontroller's file, in which PRELU is one operator and therefore slower on a U55."""
    name, output = made
    decomposed, whole = (
        compile_network(network(output / f"{name}.{kind}.tflite"), Configuration("ethos-u55-128"))
        for kind in ("ethos_u_int8", "microcontroller_int8")
    )
    assert whole.cpu_operators == ()
    if name == "y1":
        assert whole.cycles > 2.5 * decomposed.cycles
    else:
        assert whole.cycles == decomposed.cycles


def test_tflite_micro_computes_the_golden_vectors_in_the_stated_arena(made: tuple[str, Path]) -> None:
    name, output = made
    prefix = f"{name}_microcontroller_int8"
    arena = re.search(r"kArenaBytes = (\d+);", (output / f"{prefix}_constants.h").read_text())
    assert arena is not None
    assert int(arena[1]) == FIGURES[name][1]
    text = (output / f"{prefix}_golden.cc").read_text()
    inputs, outputs = (
        np.array(re.findall(r"-?\d+", part.split("= {", 1)[1].split("};")[0]), int).astype(np.int8)
        for part in text.split("const std::int8_t")[1:]
    )
    int8 = network(output / f"{name}.microcontroller_int8.tflite")
    side = {"y1": 112, "products": 96}[name]
    codes = inputs.reshape(3, side, side, 3)
    run = interpreter.run(int8, codes)
    assert run.arena_bytes == int(arena[1])
    assert np.array_equal(run.outputs, outputs.reshape(3, -1))
    assert interpreter.compare(int8, codes, run.outputs).explained
