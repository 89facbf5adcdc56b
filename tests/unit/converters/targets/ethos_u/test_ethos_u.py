"""Compilation for Ethos-U with the real compiler: operators on the NPU, operators left to the CPU, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import TargetError
from converters.graph.attach_card import with_card
from converters.graph.network import Network
from converters.targets.base import ArtefactFile, FinishResult, target_options
from converters.targets.ethos_u import target as ethos_u
from converters.targets.ethos_u.compiler import ACCELERATORS, CompiledNetwork, Configuration, compile_network
from converters.targets.rule import RuleFinding, apply_rules
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import ModelFile
from tests.integer_networks import IntegerNetwork
from tests.networks import CONTRACT, tiny


def supported_network() -> Network:
    """Build a network of which every Ethos-U runs all operators."""
    net = IntegerNetwork()
    return net.finish(net.head(net.convolution(net.input)))


def with_l2_normalization() -> Network:
    """Build a network with an L2 normalization, which no Ethos-U supports."""
    net = IntegerNetwork()
    x = net.head(net.convolution(net.input))
    options = schema.L2NormOptionsT()
    return net.finish(net.apply("L2_NORMALIZATION", [x], (1, 8), options, version=2))


def with_division() -> Network:
    """Build a network with a division, which only the U85 supports."""
    net = IntegerNetwork()
    x = net.convolution(net.input)
    y = net.apply("DIV", [x, net.weights((1, 1, 1, 8), axis=None)], net.shape(x), schema.DivOptionsT())
    return net.finish(net.head(y))


def artefact_file(network: Network, **options: str) -> ArtefactFile:
    card = ModelCard("tiny", "1", "ethos-u", "int8", 8, CONTRACT, "")
    values = {f"ethos-u.{name.replace('_', '-')}": value for name, value in options.items()}
    return ArtefactFile(
        file="tiny.ethos_u_int8.tflite",
        data=with_card(network, card),
        network=network,
        card=card,
        options=target_options(ethos_u.TARGET, values),
    )


@pytest.fixture(scope="module")
def compiled() -> CompiledNetwork:
    return compile_network(supported_network(), Configuration("ethos-u55-128"))


def test_a_whole_network_is_one_operator_afterwards(compiled: CompiledNetwork) -> None:
    assert compiled.network.graph.operator_counts() == {"'ethos-u'": 1}
    assert (compiled.npu_operators, compiled.cpu_operators) == (3, ())


def test_what_vela_expects_fits_together(compiled: CompiledNetwork) -> None:
    assert compiled.cycles > 0
    assert compiled.milliseconds == pytest.approx(compiled.cycles / compiled.clock_hz * 1e3)
    assert compiled.clock_hz == 500e6  # clock rate of the system configuration Ethos_U55_High_End_Embedded
    assert compiled.sram_bytes >= 16 * 16 * 8  # the convolution's output
    assert compiled.flash_bytes > 8 * 3 * 3 * 8  # its weights
    assert compiled.dram_bytes == 0


def test_a_faster_npu_is_expected_to_be_faster(compiled: CompiledNetwork) -> None:
    larger = compile_network(supported_network(), Configuration("ethos-u55-256"))
    slower_clock = compile_network(
        supported_network(), Configuration("ethos-u55-128", "Ethos_U55_Deep_Embedded", "Sram_Only")
    )
    assert larger.cycles < compiled.cycles
    assert slower_clock.clock_hz == 200e6
    assert slower_clock.milliseconds > compiled.milliseconds


@pytest.mark.parametrize("accelerator", ["ethos-u55-32", "ethos-u65-512", "ethos-u85-2048"])
def test_compiles_for_every_family(accelerator: str) -> None:
    assert accelerator in ACCELERATORS
    assert compile_network(supported_network(), Configuration(accelerator)).cpu_operators == ()


def test_a_float_network_is_left_to_the_cpu_whole_though_vela_exits_well() -> None:
    network = tiny()
    result = compile_network(network, Configuration("ethos-u55-128"))
    assert result.npu_operators == 0
    assert len(result.cpu_operators) == result.operators == len(network.graph.operators)
    assert all("Float32" in operator.reason for operator in result.cpu_operators)


def test_what_is_left_is_named_with_velas_reason() -> None:
    (on_cpu,) = compile_network(with_l2_normalization(), Configuration("ethos-u85-256")).cpu_operators
    assert on_cpu.name == "L2_NORMALIZATION"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Configuration("ethos-n78"), "expected one of the accelerators ethos-u55-32"),
        (lambda: Configuration("ethos-u55-128", "--help"), "expected a system config"),
        (lambda: Configuration("ethos-u55-128", memory_mode="a b"), "expected a memory mode"),
    ],
)
def test_what_cannot_be_compiled_for_is_refused_at_once(
    build: Callable[[], Configuration], words: str
) -> None:
    with pytest.raises(TargetError, match=words):
        build()


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        (Configuration("ethos-u55-128", memory_mode="Nothing"), "Section Memory_Mode.Nothing not found"),
        (Configuration("ethos-u55-128", config_file="/none.ini"), "not readable"),
    ],
)
def test_velas_own_refusals_are_handed_on(configuration: Configuration, words: str) -> None:
    with pytest.raises(TargetError, match=words):
        compile_network(supported_network(), configuration)


def test_a_damaged_file_ends_the_child_alone() -> None:
    with pytest.raises(TargetError, match=r"vela .* (crashed|refused|wrote no)"):
        compile_network(Network(supported_network().data[:900]), Configuration("ethos-u55-128"))


def test_vela_is_stopped_when_it_takes_too_long() -> None:
    with pytest.raises(TargetError, match=r"longer than 0\.01 s"):
        compile_network(supported_network(), Configuration("ethos-u55-128"), timeout_s=0.01)


def test_finishing_compiles_for_each_accelerator_asked_for() -> None:
    result = ethos_u.finish(artefact_file(supported_network(), accelerators="ethos-u55-128, ethos-u85-256"))
    assert sorted(result.files) == ["tiny.ethos-u55-128.tflite", "tiny.ethos-u85-256.tflite"]
    assert result.findings == ()
    assert [row[0] for row in result.tables[0].rows] == ["ethos-u55-128", "ethos-u85-256"]
    assert all(text.endswith("3 of 3 operators on the NPU") for text in result.figures.values())
    assert result.estimate is not None
    assert "not measured" in result.estimate.basis


def test_the_compiled_file_carries_the_card_and_its_own_digest(tmp_path: Path) -> None:
    result = ethos_u.finish(artefact_file(supported_network()))
    path = tmp_path / "tiny.tflite"
    path.write_bytes(result.files["tiny.ethos-u55-128.tflite"])
    assert ModelFile.open(path).card.name == "tiny"
    # The compiler's bytes must not be rewritten, because its program depends on the order of the tensors.
    assert path.read_bytes().startswith(
        compile_network(supported_network(), Configuration("ethos-u55-128")).network.data
    )


def refused(result: FinishResult) -> list[RuleFinding]:
    return [finding for finding in result.findings if finding.severity == "refused"]


def test_an_operator_on_the_cpu_is_refused_under_the_rules_name() -> None:
    result = ethos_u.finish(artefact_file(with_l2_normalization()))
    (finding,) = refused(result)
    assert finding.rule == "every-operator-on-the-npu"
    assert finding.found.startswith("1 L2_NORMALIZATION run on the CPU")
    assert "the host normalizes" in finding.advice
    (predicted,) = apply_rules(ethos_u.TARGET.file_rules, with_l2_normalization().graph)
    assert predicted.rule == finding.rule


def test_a_division_is_refused_for_the_older_ones_and_a_note_in_the_rules() -> None:
    (note,) = apply_rules(ethos_u.TARGET.file_rules, with_division().graph)
    assert note.severity == "note"
    assert "ethos-u85-256" in note.advice
    assert len(refused(ethos_u.finish(artefact_file(with_division())))) == 1
    assert refused(ethos_u.finish(artefact_file(with_division(), accelerators="ethos-u85-256"))) == []


def test_a_prelu_in_integers_is_slow() -> None:
    net = IntegerNetwork()
    network = net.finish(net.head(net.prelu_of(net.convolution(net.input))))
    (finding,) = apply_rules(ethos_u.TARGET.file_rules, network.graph)
    assert (finding.severity, finding.rule) == ("slow", "slopes-spelled-out")
    slower = compile_network(network, Configuration("ethos-u55-128"))
    assert slower.cycles > 1.5 * compile_network(supported_network(), Configuration("ethos-u55-128")).cycles


def test_a_float_file_is_refused_before_it_is_compiled() -> None:
    findings = apply_rules(ethos_u.TARGET.file_rules, tiny().graph)
    assert {finding.severity for finding in findings} == {"refused"}
    assert "writes full int8" in findings[0].advice


def test_a_float_network_with_what_no_npu_has_is_refused_before_conversion() -> None:
    net = IntegerNetwork(dtype=np.float32)
    x = net.head(net.convolution(net.input))
    network = net.finish(net.apply("SQRT", [x], (1, 8)))
    (finding,) = apply_rules(ethos_u.TARGET.network_rules, network.graph)
    assert (finding.severity, finding.rule) == ("refused", "kinds-an-npu-has")


def test_a_compiled_file_is_recognized(compiled: CompiledNetwork) -> None:
    (finding,) = apply_rules(ethos_u.TARGET.file_rules, compiled.network.graph)
    assert (finding.severity, finding.rule) == ("note", "not-yet-compiled")
