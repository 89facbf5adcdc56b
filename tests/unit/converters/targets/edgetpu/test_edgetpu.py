"""The target edgetpu: predictions, and results of the compiler. A program that prints logs in the documented format simulates it."""

from __future__ import annotations

import hashlib
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.data.embedding import embed_crops
from converters.errors import TargetError
from converters.graph.attach_card import with_card
from converters.graph.network import Network
from converters.graph.rewrites.dense_as_convolution import replace_dense_layers
from converters.targets.base import ArtefactFile
from converters.targets.edgetpu import compiler as edgetpu_compiler
from converters.targets.edgetpu import target as edgetpu
from converters.targets.edgetpu.placement import AFTER_MAPPED_PART, placement_table, predict_placement
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import split
from edge_sdk.runtime.backends.litert import LiteRtBackend
from tests.integer_networks import IntegerNetwork
from tests.networks import CONTRACT, crops
from tests.operator_networks import IMAGE, leaky, options

MakeCard = Callable[..., ModelCard]
Install = Callable[..., None]

# Output of edgetpu_compiler 16.0 with -s; sizes and rows are made up.
LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 577 ms.

Input model: network.tflite
Input size: 8.58MiB
Output model: network_edgetpu.tflite
Output size: 8.70MiB
On-chip memory used for caching model parameters: 6.08MiB
On-chip memory remaining for caching model parameters: 512.00KiB
Off-chip memory used for streaming uncached model parameters: 1.70MiB
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: network_edgetpu.log

Operator                       Count      Status

{rows}
Compilation child process completed within timeout period.
Compilation succeeded!
"""
MORE_THAN_ONE = "More than one subgraph is not supported"


def log(*rows: tuple[str, int, str]) -> str:
    lines = "\n".join(f"{name:<30} {count:<10} {status}" for name, count, status in rows)
    return LOG.format(total=sum(count for _, count, _ in rows), rows=lines)


def small(dtype: type = np.int8) -> Network:
    net = IntegerNetwork((1, 16, 16, 3), dtype=dtype)
    return net.finish(net.head(net.depthwise(net.convolution(net.input))))


MAPPED = [
    (name, 1, edgetpu_compiler.MAPPED) for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "FULLY_CONNECTED")
]


def artefact_file(network: Network, make_card: MakeCard) -> ArtefactFile:
    return ArtefactFile.parse("face.edgetpu_int8.tflite", with_card(network, make_card()), {})


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a fake compiler on the PATH: a program that writes a file and prints a given log."""

    def install(text: str, *, code: int = 0, writes: bool = True) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / edgetpu_compiler.PROGRAM
        program.write_text(
            f"#!{sys.executable}\n"
            "import pathlib, sys\n"
            "folder, source = sys.argv[sys.argv.index('-o') + 1], pathlib.Path(sys.argv[-1])\n"
            f"if {writes}:\n"
            "    pathlib.Path(folder, source.stem + '_edgetpu.tflite').write_bytes(b'compiled' + source.read_bytes()[:8])\n"
            f"print({text!r})\n"
            f"sys.exit({code})\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))

    return install


def test_the_log_is_read() -> None:
    parsed = edgetpu_compiler.parse_log(
        log(*MAPPED, ("LEAKY_RELU", 11, "Operation not supported"), ("CONV_2D", 12, MORE_THAN_ONE))
    )
    assert parsed.version == "16.0.384591198"
    assert (parsed.mapped, sum(count for _, count, _ in parsed.on_cpu)) == (4, 23)
    assert parsed.on_chip_bytes == round(6.08 * (1 << 20))
    assert parsed.streamed_bytes == round(1.70 * (1 << 20))


def test_what_is_no_log_is_refused() -> None:
    with pytest.raises(TargetError, match="a table of operators"):
        edgetpu_compiler.parse_log(
            "Edge TPU Compiler version 16.0.384591198\nInternal compiler error. Aborting!\n"
        )


def test_without_the_compiler_the_report_says_how_to_get_it(
    make_card: MakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    result = edgetpu.finish(artefact_file(small(), make_card))
    assert not result.files
    assert [finding.severity for finding in result.findings] == ["note"]
    assert "apt-get" in result.findings[0].advice
    assert result.figures["Operators on the Edge TPU, predicted"] == "4 of 4"


def test_the_compilers_file_lies_beside_and_an_agreement_is_quiet(
    make_card: MakeCard, compiler: Install
) -> None:
    compiler(log(*MAPPED))
    result = edgetpu.finish(artefact_file(small(), make_card))
    artefact = artefact_file(small(), make_card)
    network, files = split(result.files["face.edgetpu_int8_edgetpu.tflite"])
    assert network.startswith(b"compiled")
    card = ModelCard.from_bytes(files[CARD_NAME])
    assert card.source == {"compiled_from": artefact.model_id.hex()}
    assert card.network_sha256 == hashlib.sha256(network).hexdigest()
    assert result.findings == ()
    assert result.figures["Operators on the Edge TPU, compiled"] == "4 of 4"
    assert result.tables[-1].rows[0] == ("CONV_2D", "1", edgetpu_compiler.MAPPED)


def test_what_the_compiler_leaves_to_the_cpu_is_refused_and_the_difference_is_said(
    make_card: MakeCard, compiler: Install
) -> None:
    compiler(
        log(
            *MAPPED[:3],
            (
                "FULLY_CONNECTED",
                1,
                "Operation is otherwise supported, but not mapped due to some unspecified limitation",
            ),
        )
    )
    result = edgetpu.finish(artefact_file(small(), make_card))
    refused, difference = result.findings
    assert (refused.severity, refused.rule) == ("refused", "compiled")
    assert "1 FULLY_CONNECTED run on the CPU" in refused.found
    assert "0 FULLY_CONNECTED mapped, 1 predicted" in difference.found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'.\nInvalid model: network.tflite", "CONV_2D"),
        ("Compilation failed: Model failed in Tflite interpreter.", "Tflite interpreter"),
        ("", "exit code 1"),
    ],
)  # fmt: skip
def test_a_failed_compilation_is_one_error_with_its_reason(
    text: str, message: str, make_card: MakeCard, compiler: Install
) -> None:
    compiler(text, code=1, writes=False)
    with pytest.raises(TargetError, match=message):
        edgetpu.finish(artefact_file(small(), make_card))


def two_branches(*, leaky_first: bool) -> Network:
    """Make a network with LEAKY_RELU, which is not mapped, in one of two branches, as first operator or as fourth."""
    net = IntegerNetwork(IMAGE)
    left = net.convolution(leaky(0.3)(net, net.input)) if leaky_first else None
    right = net.convolution(net.convolution(net.input))
    left = net.convolution(leaky(0.3)(net, net.input)) if left is None else left
    return net.finish(net.head(net.apply("ADD", [left, right], IMAGE, options("Add"), version=2)))


def test_unmapped_operators_before_the_mapped_part_leave_the_rest_to_the_chip() -> None:
    graph = two_branches(leaky_first=True).graph
    placement = predict_placement(graph)
    assert placement.mapped == len(graph.operators) - 1
    assert [graph.op_name(graph.operators[i]) for i in placement.on_cpu] == ["LEAKY_RELU"]


def test_operators_after_the_mapped_part_run_on_the_cpu() -> None:
    graph = two_branches(leaky_first=False).graph
    placement = predict_placement(graph)
    assert placement.mapped == 2
    assert sorted(placement.on_cpu.values()).count(AFTER_MAPPED_PART) == len(graph.operators) - 3


def resized(before: int, after: int, channels: int, *, corners: bool = False) -> Network:
    net = IntegerNetwork((1, before, before, channels))
    size = net.constant(np.array([after, after], np.int32))
    shape = (1, after, after, channels)
    bilinear = options("ResizeBilinear", alignCorners=corners)
    return net.finish(net.apply("RESIZE_BILINEAR", [net.input, size], shape, bilinear, version=3))


@pytest.mark.parametrize(
    ("network", "mapped"),
    [
        (resized(24, 48, 24), True),
        (resized(64, 128, 32), True),
        (resized(17, 33, 8, corners=True), True),
        (resized(48, 24, 8), True),
        (resized(17, 257, 8, corners=True), False),
        (resized(1, 33, 8, corners=True), False),
        (resized(512, 1024, 3), False),
    ],
)
def test_bilinear_resizing_is_mapped_up_to_a_factor_and_a_size(network: Network, mapped: bool) -> None:
    assert predict_placement(network.graph).mapped == mapped


def test_a_table_says_who_runs_what() -> None:
    net = IntegerNetwork(IMAGE)
    rows = placement_table(
        net.finish(net.convolution(leaky(0.3)(net, net.convolution(net.input)))).graph
    ).rows
    assert ("CONV_2D", "1", "Edge TPU") in rows
    assert ("CONV_2D", "1", f"CPU: {AFTER_MAPPED_PART}") in rows


@pytest.mark.parametrize("flat", [True, False])
def test_a_dense_layer_as_a_convolution_gives_the_same_integers(flat: bool) -> None:
    net = IntegerNetwork((1, 16, 16, 3))
    x = net.convolution(net.input)
    x = net.reduced(x, keep=not flat)
    network = net.finish(net.fully_connected(x, 8, axis=0))
    graph = network.edit()
    assert replace_dense_layers(graph) == 1
    adapted = Network.of(graph)
    assert "FULLY_CONNECTED" not in adapted.graph.operator_counts()
    outputs = []
    for version in (network, adapted):
        backend = LiteRtBackend(version.data)
        backend.input_view()[...] = np.random.default_rng(3).integers(-128, 128, (1, 16, 16, 3))
        backend.invoke()
        outputs.append(backend.output_view().copy())
    np.testing.assert_array_equal(*outputs)
    assert np.ptp(outputs[0]) > 0
    assert embed_crops(adapted, CONTRACT, crops(2)).shape == (2, 8)


def test_a_dense_layer_of_one_scale_stays() -> None:
    network = small()
    assert edgetpu.adapt(network) == network


def test_the_estimate_is_a_floor_that_grows_with_streamed_parameters() -> None:
    net = IntegerNetwork(IMAGE)
    wide = net.apply(
        "RESHAPE", [net.input, net.constant(np.array([1, 2048], np.int32))], (1, 2048), options("Reshape")
    )
    heavy = edgetpu.TARGET.estimate(net.finish(net.fully_connected(wide, 4608)).graph)
    light = edgetpu.TARGET.estimate(small().graph)
    assert heavy is not None and light is not None
    assert heavy.milliseconds > 3 > 0.01 > light.milliseconds
    assert "over USB 3" in heavy.basis
