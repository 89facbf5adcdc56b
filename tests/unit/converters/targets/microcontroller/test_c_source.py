"""Generated C++ sources: they compile without warnings and contain the values of the model."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.targets.microcontroller.c_source import GoldenTensors, namespace_of, sources
from converters.targets.microcontroller.operators import RESOLVER_METHODS
from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.runtime.backends.base import TensorInfo
from tests.conftest import lacking
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[5]
STUB = ROOT / "firmware_examples" / "microcontroller" / "stub"
CARD = ModelCard(
    name="lock",
    version="2",
    target="microcontroller",
    precision="int8",
    dimension=4,
    input=InputContract(8, 8, "rgb", (127.5,) * 3, (128.0,) * 3),
    network_sha256="",
)
TENSORS = (
    TensorInfo((1, 8, 8, 3), np.dtype(np.int8), 1 / 128, 0),
    TensorInfo((1, 4), np.dtype(np.int8), 0.0321, -3),
)
NETWORK = bytes(range(256)) * 3 + b"TFL3\x00\xff"
POINT = OperatingPoint(
    threshold=0.43219,
    fmr=1e-3,
    fnmr=0.02,
    mated_trials=100,
    non_mated_trials=3000,
    data_set="drawn products",
)


def golden(count: int = 2) -> GoldenTensors:
    random = np.random.default_rng(0)
    return GoldenTensors(
        random.integers(-128, 128, (count, 8, 8, 3)).astype(np.int8),
        random.integers(-128, 128, (count, 4)).astype(np.int8),
        tuple(range(1, count + 1)),
    )


def generate(card: ModelCard = CARD, stem: str = "lock.microcontroller_int8") -> Mapping[str, bytes]:
    return sources(
        stem,
        NETWORK,
        ["CONV_2D", "PRELU", "CONV_2D", "FULLY_CONNECTED"],
        card,
        TENSORS,
        golden(),
        arena_bytes=4096,
        model_id=bytes(range(32)),
    )


def run_compiled(folder: Path, program: str, files: Mapping[str, bytes]) -> str:
    """Compile a program with generated files and all warnings as errors, run it, and return its output."""
    compiler = shutil.which("g++")
    if compiler is None:
        lacking("needs g++")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "program.cc").write_text(program)
    units = [name for name in files if name.endswith(".cc")]
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{STUB}"]
    subprocess.run([compiler, *flags, "program.cc", *units, "-o", "program"], cwd=folder, check=True)
    return subprocess.run(
        [str(folder / "program")], check=True, capture_output=True, text=True, timeout=PATIENCE_S
    ).stdout


PROGRAM = """
#include <cstdio>
#include "NAME_constants.h"
#include "NAME_golden.h"
#include "NAME_model_data.h"
#include "NAME_operators.h"
namespace m = NAME;
int main() {
  m::Resolver resolver;
  const bool added = m::AddOperators(resolver) == kTfLiteOk;
  std::printf("%d %d\\n", added, resolver.AddMul() == kTfLiteError);
  std::printf("%d\\n", static_cast<int>(reinterpret_cast<std::uintptr_t>(m::kModelData) % 16));
  for (unsigned char byte : m::kModelData) std::printf("%02x", byte);
  std::printf("\\n");
  for (int i = 0; i < m::kGoldenCount; ++i)
    for (signed char value : m::kGoldenOutput[i]) std::printf("%d ", value);
  std::printf("\\n%d %d %.9g %d\\n", m::kPixelCodes[0][0], m::kPixelCodes[2][255],
              static_cast<double>(m::kOutputScale), m::kOutputZeroPoint);
  std::printf("%d %.9g %u\\n", m::kHasThreshold, static_cast<double>(m::kThreshold), m::kThresholdQ31);
  return 0;
}
"""


def test_what_is_compiled_is_what_the_model_is(tmp_path: Path) -> None:
    card = replace(CARD, operating_points=(replace(POINT, threshold=0.3, fmr=1e-2), POINT))
    lines = run_compiled(
        tmp_path, PROGRAM.replace("NAME", "lock_microcontroller_int8"), generate(card)
    ).splitlines()
    assert lines[0] == "1 1"  # the resolver has room only for the operators of the network
    assert lines[1] == "0"  # the network is aligned to 16 bytes
    assert bytes.fromhex(lines[2]) == NETWORK
    assert [int(value) for value in lines[3].split()] == golden().outputs.reshape(-1).tolist()
    assert lines[4].split() == ["-128", "127", f"{np.float32(0.0321):.9g}", "-3"]
    has, threshold, q31 = lines[5].split()
    assert has == "1"
    # The threshold of the strictest operating point; rounding must never lower it.
    assert 0.43219 <= float(threshold) < 0.43219 + 1e-7
    assert 0 <= int(q31) / 2**31 - 0.43219 < 2**-31


def test_without_an_operating_point_nothing_can_match(tmp_path: Path) -> None:
    output = run_compiled(tmp_path, PROGRAM.replace("NAME", "lock_microcontroller_int8"), generate())
    assert output.splitlines()[-1] == "0 2 0"


def test_the_same_model_gives_the_same_ascii() -> None:
    first, second = generate(), generate()
    assert first == second
    assert all(content.isascii() for content in first.values())


@pytest.mark.parametrize(
    "name", ['evil */ "\\', "zwei\nzeilen", "trigraph??/", "Gesichter-Schloß", "continued \\"]
)
def test_a_models_name_stays_inside_its_comment(tmp_path: Path, name: str) -> None:
    files = generate(replace(CARD, name=name, version=name))
    assert all(content.isascii() for content in files.values())
    program = '#include "lock_microcontroller_int8_constants.h"\nint main() { return 0; }\n'
    run_compiled(tmp_path, program, {n: c for n, c in files.items() if n.endswith("_constants.h")})


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("products.microcontroller_int8", "products_microcontroller_int8"),
        ("Face-1.x", "face_1_x"),
        ("1st", "model_1st"),
        ("___", "model_"),
        ("größe", "gr_e"),
    ],
)
def test_a_namespace_is_a_name_that_cpp_takes(stem: str, name: str) -> None:
    assert namespace_of(stem) == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


def test_blue_first_is_told_and_a_gray_network_has_one_table() -> None:
    blue = replace(CARD, input=replace(CARD.input, color="bgr"))
    assert b"kBlueFirst = true" in generate(blue)["lock_microcontroller_int8_constants.h"]
    gray = replace(CARD, input=InputContract(8, 8, "gray", (0.0,), (255.0,)))
    constants = generate(gray)["lock_microcontroller_int8_constants.h"].decode()
    assert "kChannels = 1;" in constants


def test_the_stub_has_every_operator_that_can_be_asked_for() -> None:
    header = (STUB / "tensorflow/lite/micro/micro_mutable_op_resolver.h").read_text()
    assert set(re.findall(r"TfLiteStatus (Add\w+)\(\)", header)) == set(RESOLVER_METHODS.values())
