"""tflite-micro's interpreter: outputs equal to those of LiteRT's reference kernels, in the smallest sufficient arena."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import TargetError
from converters.graph.network import Network
from converters.targets.microcontroller import interpreter
from converters.targets.microcontroller.interpreter import Agreement, OperatorDifference
from tests.integer_networks import IntegerNetwork
from tests.networks import tiny


def network() -> Network:
    net = IntegerNetwork()
    x = net.depthwise(net.convolution(net.input, stride=2))
    # Has no fully connected layer, because the two interpreters round its ratio of scales differently.
    return net.finish(net.reduced(x))


def inputs(count: int = 4) -> np.ndarray:
    return np.random.default_rng(2).integers(-128, 128, (count, 16, 16, 8)).astype(np.int8)


def test_answers_as_the_reference_kernels_do() -> None:
    run = interpreter.run(network(), inputs())
    assert run.outputs.shape == (4, 8)
    assert np.ptp(run.outputs.astype(int), axis=0).max() > 0  # different outputs for different inputs
    assert np.array_equal(run.outputs, interpreter.run_reference(network(), inputs()))
    assert interpreter.compare(network(), inputs(), run.outputs) == Agreement(4, 4, 0)


def test_the_arena_is_the_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    arena = interpreter.run(network(), inputs()).arena_bytes
    # At least the two largest tensors that are alive at the same time, plus some overhead.
    assert 2 * 8 * 8 * 8 <= arena <= 16 * 1024
    monkeypatch.setattr(interpreter, "LARGEST_ARENA", arena - 16)
    with pytest.raises(TargetError, match="tflite-micro does not run the network"):
        interpreter.run(network(), inputs())


def test_a_larger_network_takes_a_larger_arena() -> None:
    net = IntegerNetwork((1, 32, 32, 8))
    large = net.finish(net.head(net.convolution(net.input)))
    codes = np.zeros((1, 32, 32, 8), np.int8)
    assert interpreter.run(large, codes).arena_bytes > interpreter.run(network(), inputs()).arena_bytes


def test_an_operator_it_does_not_have_is_named() -> None:
    net = IntegerNetwork()
    x = net.convolution(net.input)
    network = net.finish(net.head(net.apply("GELU", [x], net.shape(x), schema.GeluOptionsT(), version=2)))
    with pytest.raises(TargetError, match="GELU"):
        interpreter.run(network, inputs())


def test_an_operator_without_an_int8_kernel_is_refused() -> None:
    net = IntegerNetwork()
    x = net.convolution(net.input)
    network = net.finish(net.head(net.apply("COS", [x], net.shape(x))))
    with pytest.raises(TargetError, match="does not run the network"):
        interpreter.run(network, inputs())


def test_a_damaged_file_ends_the_child_alone() -> None:
    with pytest.raises(TargetError, match="tflite-micro"):
        interpreter.run(Network(network().data[:1200]), inputs())


def test_is_stopped_when_it_takes_too_long() -> None:
    with pytest.raises(TargetError, match=r"longer than 0\.01 s"):
        interpreter.run(network(), inputs(), timeout_s=0.01)


def test_another_answer_is_found_out() -> None:
    outputs = interpreter.run(network(), inputs()).outputs.copy()
    outputs[1, 3] += 2
    agreement = interpreter.compare(network(), inputs(), outputs)
    assert (agreement.equal, agreement.steps) == (3, 2)
    # No operator computes differently by itself, so rounding does not explain the difference.
    assert agreement.operators == ()
    assert not agreement.explained


def rounded(code: int, ratio: float) -> int:
    """Compute round(code * ratio) with the ratio stored in 31 bits, as in the kernels."""
    mantissa, exponent = np.frexp(ratio)
    product = code * round(float(mantissa) * 2**31)
    shift = 31 - int(exponent)
    return (product + (1 << (shift - 1))) >> shift


def scales_apart() -> tuple[float, float, int]:
    """Find two scales and a code for which code * ratio of the scales rounds differently in float and in double."""
    random = np.random.default_rng(0)
    while True:
        before, code = np.float32(random.uniform(0.01, 0.02)), int(random.integers(90, 127))
        after = np.float32(code * float(before) / (int(code * 0.8) + 0.5))
        if rounded(code, float(before) / float(after)) != rounded(code, float(before / after)):
            return float(before), float(after), code


def test_rounding_of_a_single_operator_is_an_explanation() -> None:
    before, after, code = scales_apart()
    net = IntegerNetwork()
    net.quantize(net.input, before, 0)
    y = net.quantize(net.prelu_of(net.input), after, 0)
    network = net.finish(y)
    codes = np.zeros((1, 16, 16, 8), np.int8)
    codes[0, 3, 4, 5] = code
    outputs = interpreter.run(network, codes).outputs

    agreement = interpreter.compare(network, codes, outputs)

    assert agreement == Agreement(1, 0, 1, (OperatorDifference("PRELU", 1, 2048, 1, 1),))
    assert agreement.explained


@pytest.mark.parametrize(
    ("difference", "explained"),
    [
        (OperatorDifference("FULLY_CONNECTED", 1, 128, 1, 1), True),
        # If one code is halfway between two integers and frequent, many values differ.
        (OperatorDifference("PRELU", 900, 50_000, 1, 1), True),
        (OperatorDifference("PRELU", 900, 50_000, 1, 9), False),
        (OperatorDifference("PRELU", 1, 50_000, 2, 1), False),
    ],
)
def test_rounding_is_one_step_from_few_codes(difference: OperatorDifference, explained: bool) -> None:
    assert Agreement(4, 3, 3, (difference,)).explained is explained


def test_a_float_network_runs_too_and_is_for_the_rules_to_refuse() -> None:
    codes = np.zeros((1, 16, 16, 3), np.float32)
    assert tiny().graph.dtype_name(0) == "float32"
    assert interpreter.run(tiny(), codes).outputs.shape == (1, 8)
