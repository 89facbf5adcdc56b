"""The microcontroller example, compiled for this host, computes and decides as the SDK does."""

from __future__ import annotations

import ctypes
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.data.embedding import embed_crops
from converters.graph.network import Network
from converters.targets.microcontroller import c_source, interpreter
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.templates import quantize, unit_rows
from edge_sdk.matching import rank, scores
from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import code_table, make_encoder, unit_embedding
from tests.conftest import lacking
from tests.patience import PATIENCE_S

EXAMPLE = Path(__file__).parents[2] / "firmware_examples" / "microcontroller"
ACCEPT, REJECT = 0x70A5C369, 0x0F5A3C96
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")


class Gallery(ctypes.Structure):
    """The C struct ``edge_gallery``."""

    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("dimension", ctypes.c_size_t),
    )


class Match(ctypes.Structure):
    """The C struct ``edge_match``."""

    _fields_ = (("found", ctypes.c_bool), ("index", ctypes.c_size_t), ("score", ctypes.c_float))


def need(*tools: str) -> None:
    """Skip the test if a program is missing; in CI the test fails."""
    for tool in tools:
        if shutil.which(tool) is None:
            lacking(f"needs {tool}: bash .ci/install-system-packages")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    need("gcc")
    output = tmp_path_factory.mktemp("embedding") / "embedding.so"
    # Undefined behaviour must fail the test even if the result is right.
    flags = ["-std=c99", *WARNINGS, "-O2", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    subprocess.run(
        ["gcc", *flags, "-shared", "-fPIC", str(EXAMPLE / "embedding.c"), "-lm", "-o", str(output)],
        check=True,
    )
    loaded = ctypes.CDLL(str(output))
    loaded.edge_best.restype = Match
    loaded.edge_decide.argtypes = [ctypes.POINTER(Match), ctypes.c_float]
    for name in ("edge_centre", "edge_unit", "edge_enrol"):
        getattr(loaded, name).restype = ctypes.c_bool
    for name in ("edge_decide", "edge_decide_integer"):
        getattr(loaded, name).restype = ctypes.c_uint32
    return loaded


def pointer(array: NDArray[Any] | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def size(value: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(value)


def centred(library: ctypes.CDLL, codes: NDArray[np.int8], zero_point: int) -> NDArray[np.int16]:
    values = np.empty(len(codes), np.int16)
    assert library.edge_centre(pointer(codes), zero_point, size(len(codes)), pointer(values))
    return values


def enrolled(library: ctypes.CDLL, values: NDArray[np.int16]) -> tuple[NDArray[np.int8], float]:
    row, scale = np.empty(len(values), np.int8), ctypes.c_float()
    assert library.edge_enrol(pointer(values), size(len(values)), pointer(row), ctypes.byref(scale))
    return row, scale.value


def some_codes(count: int, dimension: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, (count, dimension)).astype(np.int8)


@pytest.mark.parametrize("dimension", [2, 96, 128, 512, 1024])
@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
def test_a_unit_embedding_is_the_sdks(library: ctypes.CDLL, dimension: int, zero_point: int) -> None:
    for codes in some_codes(20, dimension, dimension):
        values = centred(library, codes, zero_point)
        assert np.array_equal(values, codes.astype(np.int16) - zero_point)
        embedding = np.empty(dimension, np.float32)
        assert library.edge_unit(pointer(values), size(dimension), pointer(embedding))
        assert np.abs(embedding - unit_embedding(codes, zero_point)).max() <= 1e-6


@pytest.mark.parametrize("zero_point", [-128, -3, 0, 40])
def test_a_template_is_the_gallerys(library: ctypes.CDLL, zero_point: int) -> None:
    for codes in some_codes(50, 128, 3):
        values = centred(library, codes, zero_point)
        row, scale = enrolled(library, values)
        # The row must equal the result of rounding half to even, bit for bit.
        peak = int(np.abs(values).max())
        exact = [round(Fraction(int(value) * 127, peak)) for value in values]
        assert row.tolist() == exact
        # The SDK's gallery computes in float, where a tie may be rounded to either side.
        stored, scales = quantize(unit_rows(unit_embedding(codes, zero_point)[None], 128), TemplateType.INT8)
        assert np.abs(stored[0].astype(int) - row).max() <= 1
        ties = np.array([Fraction(int(value) * 254, peak) % 2 == 1 for value in values])
        assert np.array_equal(stored[0][~ties], row[~ties])
        if not ties.any():
            assert scale == pytest.approx(float(scales[0]), rel=1e-6)
        assert scale == pytest.approx(1 / math.sqrt(int((row.astype(int) ** 2).sum())), rel=1e-6)


def gallery_of(
    library: ctypes.CDLL, values: NDArray[np.int16]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    pairs = [enrolled(library, row) for row in values]
    return np.stack([row for row, _ in pairs]), np.array([scale for _, scale in pairs], np.float32)


def as_struct(rows: NDArray[np.int8], scales: NDArray[np.float32] | None) -> Gallery:
    address = None if scales is None else scales.ctypes.data
    return Gallery(rows.ctypes.data, address, len(rows), rows.shape[1])


def test_the_best_match_is_the_sdks(library: ctypes.CDLL) -> None:
    codes = some_codes(30, 128, 5)
    values = np.stack([centred(library, row, 4) for row in codes])
    rows, scales = gallery_of(library, values)
    references = rows.astype(np.float32) * scales[:, None]
    for probe in some_codes(40, 128, 6):
        match = library.edge_best(pointer(centred(library, probe, 4)), ctypes.byref(as_struct(rows, scales)))
        unit = unit_embedding(probe, 4)
        (index,), (score,) = rank(unit, references)
        assert match.found
        assert match.index == index
        assert match.score == pytest.approx(float(score), abs=1e-6)
        assert match.score == pytest.approx(float(scores(unit, references).max()), abs=1e-6)


def test_equal_references_tie_for_the_first(library: ctypes.CDLL) -> None:
    value = centred(library, some_codes(1, 64, 1)[0], 0)
    rows, scales = gallery_of(library, np.stack([-value, value, value]))
    match = library.edge_best(pointer(value), ctypes.byref(as_struct(rows, scales)))
    assert (match.found, match.index) == (True, 1)
    assert match.score == pytest.approx(1.0, abs=1e-4)


def integer_decision(
    library: ctypes.CDLL, values: NDArray[np.int16], rows: NDArray[np.int8], q31: int
) -> tuple[int, int]:
    index = ctypes.c_size_t(999)
    decision = library.edge_decide_integer(
        pointer(values), ctypes.byref(as_struct(rows, None)), ctypes.c_uint32(q31), ctypes.byref(index)
    )
    return decision, index.value


def test_the_integer_decision_is_exact(library: ctypes.CDLL) -> None:
    random = np.random.default_rng(8)
    for dimension in (2, 3, 16, 128, 1024):
        for _ in range(60):
            values = random.integers(-255, 256, dimension).astype(np.int16)
            row = np.clip(values // 2 + random.integers(-40, 41, dimension), -127, 127).astype(np.int8)
            dot = int(values.astype(np.int64) @ row)
            lengths = int((values.astype(np.int64) ** 2).sum()) * int((row.astype(np.int64) ** 2).sum())
            if lengths == 0:
                continue
            # Test the largest threshold that the cosine reaches (from an exact square root) and its neighbours.
            border = math.isqrt(dot * dot * 2**62 // lengths) if dot > 0 else 0
            for q31 in (border - 1, border, border + 1, 1, 2**31):
                if not 1 <= q31 <= 2**31:
                    continue
                reached = dot > 0 and dot * dot * 2**62 >= q31 * q31 * lengths
                decision, index = integer_decision(library, values, row[None], q31)
                assert decision == (ACCEPT if reached else REJECT)
                assert index == (0 if reached else 999)


def test_the_integer_decision_takes_the_largest_numbers(library: ctypes.CDLL) -> None:
    values, row = np.full(1024, 255, np.int16), np.full((1, 1024), 127, np.int8)
    assert integer_decision(library, values, row, 2**31) == (ACCEPT, 0)  # a cosine of exactly 1
    assert integer_decision(library, values, -row, 1)[0] == REJECT
    lowest = np.full(1024, -255, np.int16)
    assert integer_decision(library, lowest, np.full((1, 1024), -128, np.int8), 2**31) == (ACCEPT, 0)


def test_both_decisions_agree(library: ctypes.CDLL) -> None:
    codes = some_codes(20, 96, 9)
    values = np.stack([centred(library, row, -3) for row in codes])
    rows, scales = gallery_of(library, values)
    random = np.random.default_rng(10)
    outcomes = set()
    for _ in range(200):
        probe = values[random.integers(20)] + random.integers(-120, 121, 96).astype(np.int16)
        match = library.edge_best(pointer(probe), ctypes.byref(as_struct(rows, scales)))
        threshold = 0.75
        if abs(match.score - threshold) < 1e-5:
            continue
        decision = library.edge_decide(ctypes.byref(match), threshold)
        assert integer_decision(library, probe, rows, int(threshold * 2**31))[0] == decision
        outcomes.add(decision)
    assert outcomes == {ACCEPT, REJECT}


def test_any_invalid_input_is_rejected(library: ctypes.CDLL) -> None:
    value = centred(library, some_codes(1, 64, 1)[0], 0)
    rows, scales = gallery_of(library, value[None])
    good = library.edge_best(pointer(value), ctypes.byref(as_struct(rows, scales)))
    assert library.edge_decide(ctypes.byref(good), 0.5) == ACCEPT
    for threshold in (0.0, -1.0, 1.5, 2.0, math.nan, math.inf):
        assert library.edge_decide(ctypes.byref(good), threshold) == REJECT
    assert library.edge_decide(None, 0.5) == REJECT
    assert library.edge_decide(ctypes.byref(Match(False, 0, 1.0)), 0.5) == REJECT
    assert library.edge_decide(ctypes.byref(Match(True, 0, math.nan)), 0.5) == REJECT

    nothing = np.zeros(64, np.int16)
    empty = as_struct(rows[:0], scales[:0])
    broken = as_struct(rows, np.array([math.nan], np.float32))
    whole = as_struct(rows, scales)
    large = Gallery(rows.ctypes.data, scales.ctypes.data, 1, 1025)
    for probe, gallery in ((nothing, whole), (None, whole), (value, empty), (value, broken), (value, large)):
        match = library.edge_best(pointer(probe), ctypes.byref(gallery))
        assert not match.found
        assert library.edge_decide(ctypes.byref(match), 0.01) == REJECT
    assert integer_decision(library, nothing, rows, 1)[0] == REJECT
    for q31 in (0, 2**31 + 1, 2**32 - 1):
        assert integer_decision(library, value, rows, q31)[0] == REJECT
    # Neither decision may be zero, because memory may be cleared by a fault.
    assert 0 not in (ACCEPT, REJECT)
    assert bin(ACCEPT ^ REJECT).count("1") >= 24


def test_an_output_without_direction_is_no_embedding(library: ctypes.CDLL) -> None:
    codes, values = np.full(8, 5, np.int8), np.empty(8, np.int16)
    for zero_point, dimension in ((5, 8), (200, 8), (0, 0), (0, 1025)):
        assert not library.edge_centre(pointer(codes), zero_point, size(dimension), pointer(values))
    assert not library.edge_enrol(pointer(np.zeros(8, np.int16)), size(8), pointer(codes), None)


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_pixels_become_the_sdks_codes(library: ctypes.CDLL, color: str) -> None:
    channels = 1 if color == "gray" else 3
    contract = InputContract(8, 9, color, (120.0, 110.0, 100.0)[:channels], (60.0, 64.0, 70.0)[:channels])
    tensor = TensorInfo((1, 8, 9, channels), np.dtype(np.int8), 0.02, -5)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, channels)).astype(np.uint8)
    expected, codes = np.empty((1, 8, 9, channels), np.int8), np.empty((8, 9, channels), np.int8)
    make_encoder(contract, tensor)(pixels, expected)
    table = np.ascontiguousarray(code_table(contract, tensor).T)
    library.edge_encode(
        pointer(pixels), size(72), size(channels), pointer(table), color == "bgr", pointer(codes)
    )
    assert np.array_equal(codes, expected[0])


@pytest.fixture(scope="module")
def lock(
    tmp_path_factory: pytest.TempPathFactory,
    make_model: Callable[..., bytes],
    make_evidence: Callable[..., Any],
) -> tuple[Path, NDArray[np.uint8], ModelCard, bytes]:
    """The example program, built by its own Makefile for a test model, with the model's golden images."""
    need("make", "g++", "gcc")
    from edge_sdk.model.model_file import ModelFile, split

    folder = tmp_path_factory.mktemp("lock")
    path = folder / "pooled.tflite"
    path.write_bytes(make_model(operating_points=(make_evidence(threshold=0.9),)))
    model = ModelFile.open(path)
    network, _ = split(model.data)
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (2, 96, 96, 3)).astype(np.uint8)
    near = np.clip(base[0].astype(int) + random.integers(-6, 7, base[0].shape), 0, 255).astype(np.uint8)
    # A stranger that differs in its blocks, not only in its noise.
    stranger = (255 - np.kron(np.arange(64).reshape(8, 8, 1) * 4, np.ones((12, 12, 3)))).astype(np.uint8)
    crops = np.stack([base[0], near, stranger])
    card = replace(model.card, output_scale=0.15, output_zero_point=3)
    # The stub interpreter has outputs only for the golden vectors, so these images become the golden vectors.
    backend = LiteRtBackend(network)
    codes = np.empty((len(crops), *backend.input.shape[1:]), np.int8)
    for row, crop in zip(codes, crops, strict=True):
        make_encoder(card.input, backend.input)(crop, row[None])
    run = interpreter.run(Network(network), codes)
    files = c_source.sources(
        "pooled.microcontroller_int8",
        network,
        list(Network(network).graph.operator_counts()),
        card,
        (backend.input, backend.output),
        c_source.GoldenTensors(codes, run.outputs, (1, 2, 3)),
        arena_bytes=run.arena_bytes,
        model_id=model.model_id,
    )
    for name, content in files.items():
        (folder / name).write_bytes(content)
    subprocess.run(
        ["make", "-s", f"BUILD={folder / 'build'}", f"MODEL={folder / 'pooled_microcontroller_int8'}"],
        cwd=EXAMPLE,
        check=True,
        timeout=PATIENCE_S,
    )
    return folder / "build" / "lock", crops, card, network


def answers(program: Path, frames: bytes) -> list[str]:
    done = subprocess.run([str(program)], input=frames, capture_output=True, timeout=PATIENCE_S, check=True)
    return done.stdout.decode().splitlines()


def test_the_example_decides_as_the_sdk_does(lock: tuple[Path, NDArray[np.uint8], ModelCard, bytes]) -> None:
    program, (enrol, near, stranger), card, network = lock
    lines = answers(
        program,
        b"v" + near.tobytes() + b"e" + enrol.tobytes() + b"v" + near.tobytes() + b"v" + stranger.tobytes(),
    )
    embeddings = embed_crops(Network(network), card.input, np.stack([enrol, near, stranger]))
    mated, non_mated = scores(embeddings[0], embeddings[1:])
    assert mated >= 0.9 > non_mated  # the card's threshold
    assert lines[0] == "reject -1 -1.000000"  # no subject is enrolled
    assert lines[1] == "enrolled 0"
    decision, index, score = lines[2].split()
    assert (decision, index) == ("accept", "0")
    # The tolerance covers the rounding of the stored row to int8 and of XNNPACK's kernels.
    assert float(score) == pytest.approx(float(mated), abs=0.01)
    assert lines[3].split()[0] == "reject"


def test_a_frame_that_the_network_fails_on_is_rejected(
    lock: tuple[Path, NDArray[np.uint8], ModelCard, bytes],
) -> None:
    program, (enrol, _, _), _, _ = lock
    unknown = np.zeros_like(enrol)  # the stub interpreter fails on images that are not golden vectors
    lines = answers(program, b"e" + enrol.tobytes() + b"v" + unknown.tobytes() + b"e" + unknown.tobytes())
    assert lines == ["enrolled 0", "reject -1 -1.000000", "fault: not enrolled"]


def test_a_threshold_can_be_compiled_in(
    lock: tuple[Path, NDArray[np.uint8], ModelCard, bytes], tmp_path: Path
) -> None:
    program, (enrol, near, _), _, _ = lock
    prefix = program.parent.parent / "pooled_microcontroller_int8"
    for threshold, decision in (("0.2F", "accept"), ("1.0F", "reject"), ("0.0F", "reject")):
        build = tmp_path / threshold
        subprocess.run(
            ["make", "-s", f"BUILD={build}", f"MODEL={prefix}", f"CXXFLAGS=-DEDGE_THRESHOLD={threshold}"],
            cwd=EXAMPLE,
            check=True,
            timeout=PATIENCE_S,
        )
        lines = answers(build / "lock", b"e" + enrol.tobytes() + b"v" + near.tobytes())
        assert lines[1].split()[0] == decision


def test_a_wrong_golden_vector_stops_the_program(
    lock: tuple[Path, NDArray[np.uint8], ModelCard, bytes], tmp_path: Path
) -> None:
    program, (enrol, _, _), _, _ = lock
    folder = program.parent.parent
    for source in folder.glob("pooled_microcontroller_int8_*"):
        shutil.copy(source, tmp_path)
    # Make the stub return wrong outputs: it reads another array than the self-test.
    board = (EXAMPLE / "recorded_network.cc").read_text()
    wrong = board.replace("&model::kGoldenOutput[0][0]", "&model::kGoldenInput[0][0]")
    assert wrong != board
    (tmp_path / "recorded_network.cc").write_text(wrong)
    subprocess.run(
        [
            *("make", "-s", f"BUILD={tmp_path / 'b'}", f"VPATH={tmp_path}"),
            f"MODEL={tmp_path / 'pooled_microcontroller_int8'}",
        ],
        cwd=shutil.copytree(
            EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("recorded_network.cc")
        ),
        check=True,
        timeout=PATIENCE_S,
    )
    done = subprocess.run(
        [str(tmp_path / "b" / "lock")], input=b"v" + enrol.tobytes(), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == b"fault: a golden vector has another answer\n"


@pytest.mark.parametrize("machine", ["mps2-an500", "mps3-an547"])
def test_the_firmware_on_an_emulated_microcontroller_gives_the_same_answers(
    lock: tuple[Path, NDArray[np.uint8], ModelCard, bytes], machine: str
) -> None:
    need("qemu-system-arm", "arm-none-eabi-g++", "make")
    program, (enrol, near, stranger), _, _ = lock
    frames = (
        b"v" + near.tobytes() + b"e" + enrol.tobytes() + b"v" + near.tobytes() + b"v" + stranger.tobytes()
    )
    frames += b"e" + bytes(enrol.nbytes)  # the recorded network has no output for this frame
    prefix = program.parent.parent / "pooled_microcontroller_int8"
    done = subprocess.run(
        ["make", "-s", "qemu", f"MACHINE={machine}", f"MODEL={prefix}", f"BUILD={program.parent}"],
        cwd=EXAMPLE,
        input=frames,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == answers(program, frames)
    assert re.search(r"arena: \d+ bytes", done.stderr.decode())
    assert "the network is a recording" in done.stderr.decode()


def test_the_weights_on_the_m55_lie_outside_the_program_memory(
    lock: tuple[Path, NDArray[np.uint8], ModelCard, bytes], tmp_path: Path
) -> None:
    """The stub uses no weights, so this test makes the linker keep them; beside the program they do not fit."""
    need("arm-none-eabi-g++", "arm-none-eabi-nm", "make")
    prefix = lock[0].parent.parent / "pooled_microcontroller_int8"
    symbol = f"_ZN{len(prefix.name)}{prefix.name}10kModelDataE"
    arguments = ["firmware", "MACHINE=mps3-an547", f"MODEL={prefix}", f"BUILD={tmp_path}"]
    subprocess.run(
        ["make", "-s", *arguments, f"LDFLAGS=-Wl,-u,{symbol}"],
        cwd=EXAMPLE,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    symbols = subprocess.run(
        ["arm-none-eabi-nm", str(tmp_path / "mps3-an547" / "lock.elf")],
        check=True,
        capture_output=True,
        text=True,
    )
    address = {line.split()[-1]: int(line.split()[0], 16) for line in symbols.stdout.splitlines()}[symbol]
    assert 0x11000000 <= address < 0x11200000


def test_an_unknown_machine_is_refused(tmp_path: Path) -> None:
    need("make")
    done = subprocess.run(
        ["make", "-s", "qemu", "MACHINE=mps9", "MODEL=x", f"BUILD={tmp_path}"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "expected MACHINE=mps2-an500 mps3-an547, got mps9" in done.stderr
