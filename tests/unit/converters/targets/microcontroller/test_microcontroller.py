"""The target microcontroller: its rules, the real interpreter, and the generated sources."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.graph.attach_card import with_card
from converters.graph.network import Network
from converters.targets.base import ArtefactFile
from converters.targets.microcontroller import interpreter
from converters.targets.microcontroller import target as microcontroller
from converters.targets.rule import RuleFinding, apply_rules
from edge_sdk.model.card import ModelCard
from edge_sdk.model.golden import smooth_field
from tests.integer_networks import IntegerNetwork
from tests.networks import CONTRACT, tiny


def network(tail: str = "") -> Network:
    net = IntegerNetwork((1, 16, 16, 3))
    x = net.convolution(net.input)
    if tail == "GELU":
        x = net.apply("GELU", [x], net.shape(x), schema.GeluOptionsT(), version=2)
    elif tail:
        x = net.apply(tail, [x], net.shape(x), version=2)
    return net.finish(net.reduced(x))


def artefact_file(data: Network, make_card: Callable[..., ModelCard]) -> ArtefactFile:
    card = make_card(input=CONTRACT, dimension=8, target="microcontroller")
    return ArtefactFile.parse("small.microcontroller_int8.tflite", with_card(data, card), {})


def test_finishing_writes_the_sources_and_says_the_arena(make_card: Callable[..., ModelCard]) -> None:
    result = microcontroller.finish(artefact_file(network(), make_card))
    assert result.findings == ()
    prefix = "small_microcontroller_int8"
    assert set(result.files) == {
        f"{prefix}_{part}"
        for part in (
            *("model_data.h", "model_data.cc", "operators.h", "constants.h"),
            *("golden.h", "golden.cc"),
        )
    }
    arena = interpreter.run(network(), np.zeros((1, 16, 16, 3), np.int8)).arena_bytes
    assert f"kArenaBytes = {arena};" in result.files[f"{prefix}_constants.h"].decode()
    assert result.figures["Arena"].startswith(f"{arena} bytes")
    assert result.figures["Same output as LiteRT's reference kernels"] == "on 16 of 16 inputs, bit for bit"


def test_golden_vectors_are_drawn_from_the_seeds_that_they_name(make_card: Callable[..., ModelCard]) -> None:
    result = microcontroller.finish(artefact_file(network(), make_card))
    header = result.files["small_microcontroller_int8_golden.h"].decode()
    seeds = [int(n) for n in re.search(r"of the seeds ([\d, ]+), as", header)[1].split(",")]  # type: ignore[index]
    assert len(set(seeds)) == 3
    text = result.files["small_microcontroller_int8_golden.cc"].decode()
    arrays = [
        np.array([int(n) for n in body.replace("{", " ").replace("}", " ").replace(",", " ").split()])
        for body in (part.split("= {", 1)[1].split("};")[0] for part in text.split("const std::int8_t")[1:])
    ]
    inputs, outputs = (array.reshape(3, -1) for array in arrays)
    # The real value of a pixel is (pixel - 127.5) / 128; the input tensor has scale 0.05 and zero point 0.
    drawn = np.stack([smooth_field((16, 16, 3), seed) for seed in seeds])
    real = (drawn.astype(np.float64) - 127.5) / 128
    assert np.abs(inputs.reshape(drawn.shape) * 0.05 - real).max() <= 0.0251
    expected = interpreter.run_reference(network(), inputs.reshape(3, 16, 16, 3).astype(np.int8))
    assert np.array_equal(outputs, expected)


def test_an_operator_without_an_int8_kernel_is_refused_by_the_interpreter(
    make_card: Callable[..., ModelCard],
) -> None:
    assert apply_rules(microcontroller.TARGET.file_rules, network("EXP").graph) == ()
    (finding,) = microcontroller.finish(artefact_file(network("EXP"), make_card)).findings
    assert (finding.severity, finding.rule) == ("refused", "runs-in-tflite-micro")
    (again,) = microcontroller.confirm(network("EXP"))
    assert again.severity == "refused"


def test_lint_says_the_arena() -> None:
    (note,) = microcontroller.confirm(network())
    assert note.severity == "note"
    assert "arena of" in note.found


def rules(data: Network, *, before: bool = False) -> dict[str, RuleFinding]:
    target = microcontroller.TARGET
    findings = apply_rules(target.network_rules if before else target.file_rules, data.graph)
    return {finding.rule: finding for finding in findings}


def test_an_operator_that_tflite_micro_does_not_have_is_refused_with_what_to_do() -> None:
    finding = rules(network("GELU"))["operators-tflite-micro-has"]
    assert finding.severity == "refused"
    assert "edge-convert, which decomposes it" in finding.advice


def test_a_float_file_is_refused() -> None:
    findings = rules(tiny())
    assert set(findings) == {"integers-throughout", "int8-at-the-edge"}
    assert "writes full int8" in findings["integers-throughout"].advice


def test_a_float_network_is_fine_before_it_is_converted() -> None:
    assert rules(tiny(), before=True) == {}


def test_two_outputs_are_refused() -> None:
    net = IntegerNetwork()
    data = net.finish(net.reduced(net.input), net.convolution(net.input), signature=False)
    assert set(rules(data)) == {"int8-at-the-edge"}


@pytest.mark.parametrize(("explained", "severity"), [(True, "note"), (False, "refused")])
def test_another_embedding_than_the_reference_kernels_is_never_silent(explained: bool, severity: str) -> None:
    difference = interpreter.OperatorDifference("PRELU", 400, 1000, 1, 1 if explained else 100)
    (finding,) = microcontroller._reference_difference(interpreter.Agreement(4, 3, 2, (difference,)))
    assert (finding.severity, finding.rule) == (severity, "as-the-reference-kernels")
    assert "PRELU" in finding.found
