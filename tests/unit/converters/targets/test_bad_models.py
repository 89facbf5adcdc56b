"""Networks that each break one rule: the finding names the rule and the violation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.graph.network import Network
from converters.targets import targets
from converters.targets.operator_table import parse_for_rules
from converters.targets.rule import apply_rules
from tests.integer_networks import IntegerNetwork
from tests.operator_networks import (
    IMAGE,
    OPERATORS,
    Build,
    concatenation,
    indices_of,
    leaky,
    options,
    ranged,
    requantized,
    shaped,
    split,
    through_float,
)

TANH = schema.ActivationFunctionType.TANH
RELU = schema.ActivationFunctionType.RELU


def network(
    build: Build, dtype: Any = np.int8, *, shape: tuple[int, ...] = IMAGE, head: bool = False
) -> Network:
    """Build a network around one operator; with ``head``, a convolution before it and a dense layer after it."""
    net = IntegerNetwork(shape, dtype=dtype)
    x = build(net, net.convolution(net.input) if head else net.input)
    return net.finish(net.head(x) if head else x)


def custom(net: IntegerNetwork, x: int) -> int:
    output = net.apply("ADD", [x, x], net.shape(x))
    code = schema.OperatorCodeT()
    code.builtinCode, code.customCode, code.version = schema.BuiltinOperator.CUSTOM, b"FaceWarp", 1
    code.deprecatedBuiltinCode = 32
    net.graph.model.operatorCodes.append(code)
    net.graph.operators[-1].opcodeIndex = len(net.graph.model.operatorCodes) - 1
    return output


def variable(net: IntegerNetwork, x: int) -> int:
    handle = net.op("VAR_HANDLE", [], (), options("VarHandle"), dtype=np.int32)
    value = net.apply("READ_VARIABLE", [handle], net.shape(x), options("ReadVariable"))
    return net.apply("ADD", [x, value], net.shape(x), options("Add"), version=2)


def dynamic(net: IntegerNetwork, x: int) -> int:
    # Only the signature may have -1: a runtime refuses it in a shape.
    y = net.convolution(x)
    z = net.convolution(y)
    for index in (y, z):
        net.graph.tensors[index].shapeSignature = [1, -1, -1, 8]
    return z


def two_outputs(dtype: Any = np.float32) -> Network:
    net = IntegerNetwork(IMAGE, dtype=dtype)
    x = net.convolution(net.input)
    return net.finish(net.head(x), net.head(x), signature=False)


def with_constant(value: int, count: int = 2) -> Build:
    def build(net: IntegerNetwork, x: int) -> int:
        constant = net.quantize(net.constant(np.full(IMAGE, value, np.int8)))
        shape = (*IMAGE[:3], IMAGE[3] * count)
        return net.apply(
            "CONCATENATION",
            [x, constant] + [x] * (count - 2),
            shape,
            options("Concatenation", axis=3),
            version=2,
        )

    return build


def dense_of(**changes: Any) -> Build:
    return lambda net, x: net.fully_connected(net.reduced(x), **changes)


def two_rows(net: IntegerNetwork, x: int) -> int:
    rows = net.apply("RESHAPE", [x, indices_of(net, 2, 1024)], (2, 1024), options("Reshape"))
    return net.fully_connected(rows)


def computed_weights(net: IntegerNetwork, x: int) -> int:
    weights = net.apply("RESHAPE", [net.reduced(x), indices_of(net, 1, 8)], (1, 8), options("Reshape"))
    return net.fully_connected(net.reduced(x), 1, weights=weights)


def later_version(net: IntegerNetwork, x: int) -> int:
    y = net.convolution(x)
    net.graph.model.operatorCodes[net.graph.operators[-1].opcodeIndex].version = 6
    return y


def softmax_of(shape: tuple[int, ...]) -> Build:
    def build(net: IntegerNetwork, x: int) -> int:
        flat = net.apply("RESHAPE", [x, indices_of(net, *shape)], shape, options("Reshape"))
        return ranged("SOFTMAX", (1 / 256, -128), (1 / 256, 0))(net, flat)

    return build


def float_edges() -> Network:
    net = IntegerNetwork(IMAGE, dtype=np.float32)
    net.dtype = np.dtype(np.int8)
    x = net.convolution(requantized()(net, net.input))
    return net.finish(net.op("DEQUANTIZE", [net.head(x)], (1, 8), options("Dequantize"), version=2))


def heavy(net: IntegerNetwork, x: int) -> int:
    wide = net.apply("RESHAPE", [x, indices_of(net, 1, 2048)], (1, 2048), options("Reshape"))
    return net.fully_connected(wide, 4608)  # 9.4 MB of weights


def five_dimensional(net: IntegerNetwork, x: int) -> int:
    shape = (1, 2, 8, 16, 8)
    deep = net.apply("RESHAPE", [x, indices_of(net, *shape)], shape, options("Reshape"))
    return net.apply("ADD", [deep, deep], shape, options("Add"), version=2)


def masked(mask: str) -> Build:
    return shaped(
        "STRIDED_SLICE", (1, 8, 8, 8), "StridedSlice", [0, 0, 0, 0], [1, 8, 8, 8], [1, 1, 1, 1], **{mask: 1}
    )


def packed(net: IntegerNetwork, x: int) -> int:
    return net.apply("PACK", [x, x], (2, *IMAGE), options("Pack", axis=0, valuesCount=2), version=2)


def blunt_softmax(net: IntegerNetwork, x: int) -> int:
    return net.apply("SOFTMAX", [x], net.shape(x), options("Softmax", beta=2.0))


def island(net: IntegerNetwork, x: int) -> int:
    shape = net.shape(x)
    real = net.op("DEQUANTIZE", [x], shape, options("Dequantize"), version=2)
    slopes = net.constant(np.full((1, 1, shape[-1]), 0.25, np.float32))
    real = net.op("PRELU", [real, slopes], shape)
    return net.apply("QUANTIZE", [real], shape, options("Quantize"), version=2)


def summed_up(net: IntegerNetwork, x: int) -> int:
    return net.apply("CUMSUM", [x, indices_of(net, 1)], net.shape(x), options("Cumsum"))


@dataclass(frozen=True)
class Bad:
    """Network that breaks a rule.

    Args:
        target: Name of the target.
        rule: Rule that must be reported.
        text: Text that its finding must contain.
        make: Builds the network.
        finished: True for a rule about artefacts, False for one about float networks.
    """

    target: str
    rule: str
    text: str
    make: Callable[[], Network]
    finished: bool = True


def of(build: Build, dtype: Any = np.int8, **extra: Any) -> Callable[[], Network]:
    return lambda: network(build, dtype, **extra)


def named(operator: str, dtype: Any = np.int8) -> Callable[[], Network]:
    return of(OPERATORS[operator], dtype)


BAD: dict[str, Bad] = {
    # A CPU with XNNPACK
    "cpu: a variable": Bad("cpu", "no-variables", "VAR_HANDLE", of(variable, np.float32)),
    "cpu: a custom operator": Bad("cpu", "no-custom-operators", "FaceWarp", of(custom)),
    "cpu: a dynamic image": Bad("cpu", "static-shapes", "dynamic", of(dynamic)),
    "cpu: PReLU after each convolution": Bad("cpu", "xnnpack-takes-it", "1 int8 PRELU run on LiteRT's own kernel, about 5x slower than float32; XNNPACK runs the rest in 2", of(lambda n, x: n.prelu_of(x), head=True)),
    "cpu: PReLU in uint8": Bad("cpu", "xnnpack-takes-it", "1 uint8 PRELU", named("prelu", np.uint8)),
    "cpu: maximum": Bad("cpu", "xnnpack-takes-it", "1 int8 MAXIMUM", named("maximum")),
    "cpu: minimum": Bad("cpu", "xnnpack-takes-it", "1 int8 MINIMUM", named("minimum")),
    "cpu: negation": Bad("cpu", "xnnpack-takes-it", "1 int8 NEG", named("neg")),
    "cpu: hard swish": Bad("cpu", "xnnpack-takes-it", "1 int8 HARD_SWISH", named("hard_swish")),
    "cpu: L2 norm in int8": Bad("cpu", "xnnpack-takes-it", "1 int8 L2_NORMALIZATION", named("l2 normalization")),
    "cpu: L2 norm in float": Bad("cpu", "xnnpack-takes-it", "1 float32 L2_NORMALIZATION", named("l2 normalization", np.float32)),
    "cpu: a flat slope": Bad("cpu", "xnnpack-takes-it", "slope 0.001", named("leaky relu 0.001")),
    "cpu: average pooling": Bad("cpu", "xnnpack-takes-it", "1 int8 AVERAGE_POOL_2D", named("average pool")),
    "cpu: softmax": Bad("cpu", "xnnpack-takes-it", "1 int8 SOFTMAX", named("softmax")),
    "cpu: six inputs": Bad("cpu", "xnnpack-takes-it", "6 inputs", named("concatenate 6")),
    "cpu: eight outputs": Bad("cpu", "xnnpack-takes-it", "8 outputs", named("split 8")),
    "cpu: every second pixel": Bad("cpu", "xnnpack-takes-it", "strides [1, 2, 2, 1]", named("strided slice by 2")),
    "cpu: a sum of far scales": Bad("cpu", "xnnpack-takes-it", "scale ratio", named("add, wide")),
    "cpu: a product of far scales": Bad("cpu", "xnnpack-takes-it", "scale ratio", named("mul, wide")),
    "cpu: fused tanh": Bad("cpu", "xnnpack-takes-it", "fused TANH", named("convolution, fused tanh", np.float32)),
    "cpu: nearest neighbour": Bad("cpu", "xnnpack-takes-it", "RESIZE_NEAREST_NEIGHBOR", named("resize nearest", np.float32)),
    "cpu: int8 weights under float": Bad("cpu", "xnnpack-takes-it", "integer weights, float activations", named("depthwise, int8 weights alone", np.float32)),
    "cpu: a change of sign inside": Bad("cpu", "xnnpack-takes-it", "int8 to uint8", of(lambda n, x: requantized(dtype=np.int8)(n, requantized(dtype=np.uint8)(n, n.convolution(x))))),
    "cpu: float, to be converted": Bad("cpu", "xnnpack-takes-it", "1 float32 TILE", named("tile", np.float32), finished=False),
    # Edge TPU
    "edgetpu: float throughout": Bad("edgetpu", "eight-bit-integers", "computes in float32", named("convolution", np.float32)),
    "edgetpu: float between": Bad("edgetpu", "eight-bit-integers", "computes in float32", of(lambda n, x: n.convolution(through_float(n, n.convolution(x))))),
    "edgetpu: int16": Bad("edgetpu", "eight-bit-integers", "computes in int16", named("add", np.int16)),
    "edgetpu: a batch of 2": Bad("edgetpu", "three-inner-dimensions", "[2, 16, 16, 8]", of(lambda n, x: n.convolution(x), shape=(2, 16, 16, 8))),
    "edgetpu: five dimensions": Bad("edgetpu", "three-inner-dimensions", "[1, 2, 8, 16, 8]", of(five_dimensional)),
    "edgetpu: leaky relu": Bad("edgetpu", "operators-it-has", "1 LEAKY_RELU", of(leaky(0.3))),
    "edgetpu: hard swish": Bad("edgetpu", "operators-it-has", "1 HARD_SWISH", named("hard_swish")),
    "edgetpu: gather": Bad("edgetpu", "operators-it-has", "1 GATHER", named("gather")),
    "edgetpu: a custom operator": Bad("edgetpu", "no-foreign-operators", "FaceWarp", of(custom)),
    "edgetpu: a dynamic image": Bad("edgetpu", "static-shapes", "dynamic", of(dynamic)),
    "edgetpu: a variable": Bad("edgetpu", "no-variables", "VAR_HANDLE", of(variable)),
    "edgetpu: relu fused into pooling": Bad("edgetpu", "operators-as-it-has-them", "fused RELU", of(lambda n, x: n.pooled(x, fused=RELU))),
    "edgetpu: relu fused into max pooling": Bad("edgetpu", "operators-as-it-has-them", "fused RELU", of(lambda n, x: n.pooled(x, "MAX_POOL_2D", fused=RELU))),
    "edgetpu: relu fused into concatenation": Bad("edgetpu", "operators-as-it-has-them", "fused RELU", of(concatenation(2, fused=RELU))),
    "edgetpu: a constant input": Bad("edgetpu", "operators-as-it-has-them", "not zero", of(with_constant(7))),
    "edgetpu: zeros among three": Bad("edgetpu", "operators-as-it-has-them", "among 3 inputs", of(with_constant(0, 3))),
    "edgetpu: uneven dilation": Bad("edgetpu", "operators-as-it-has-them", "dilation 2 by 1", of(lambda n, x: n.convolution(x, dilation=(2, 1)))),
    "edgetpu: uneven dilation, depthwise": Bad("edgetpu", "operators-as-it-has-them", "dilation 1 by 2", of(lambda n, x: n.depthwise(x, dilation=(1, 2)))),
    "edgetpu: shuffled weights": Bad("edgetpu", "operators-as-it-has-them", "weights format 1", of(dense_of(weights_format=1))),
    "edgetpu: a scale for each channel": Bad("edgetpu", "operators-as-it-has-them", "8 weight scales", of(dense_of(axis=0))),
    "edgetpu: two rows": Bad("edgetpu", "operators-as-it-has-them", "[2, 8]", of(two_rows)),
    "edgetpu: computed weights": Bad("edgetpu", "operators-as-it-has-them", "computed parameters", of(computed_weights)),
    "edgetpu: mean over the batch": Bad("edgetpu", "operators-as-it-has-them", "reduces the batch", named("mean over the batch")),
    "edgetpu: mean over 6 channels": Bad("edgetpu", "operators-as-it-has-them", "6 channels", of(lambda n, x: n.reduced(x, axes=(3,)), shape=(1, 16, 16, 6))),
    "edgetpu: a padded batch": Bad("edgetpu", "operators-as-it-has-them", "pads the batch", of(shaped("PAD", (1, 16, 16, 8), "Pad", [[1, 0], [0, 0], [0, 0], [0, 0]]))),
    "edgetpu: a packed batch": Bad("edgetpu", "operators-as-it-has-them", "packs the batch", of(packed)),
    "edgetpu: a split batch": Bad("edgetpu", "operators-as-it-has-them", "splits the batch", of(split(1, axis=0))),
    "edgetpu: a slope for each value": Bad("edgetpu", "operators-as-it-has-them", "slopes of shape [16, 16, 8]", named("prelu per value")),
    "edgetpu: a long softmax": Bad("edgetpu", "operators-as-it-has-them", "32768 elements", of(softmax_of((1, 32768)), shape=(1, 64, 64, 8))),
    "edgetpu: a softmax of many rows": Bad("edgetpu", "operators-as-it-has-them", "[256, 8]", of(softmax_of((256, 8)))),
    "edgetpu: every second pixel": Bad("edgetpu", "operators-as-it-has-them", "strides", named("strided slice by 2")),
    "edgetpu: an ellipsis": Bad("edgetpu", "operators-as-it-has-them", "ellipsisMask", of(masked("ellipsisMask"))),
    "edgetpu: a later version": Bad("edgetpu", "operators-as-it-has-them", "version 6", of(later_version)),
    "edgetpu: operators behind an unmapped one": Bad("edgetpu", "nothing-on-the-cpu", "2 of 4 operators", of(leaky(0.3), head=True)),
    "edgetpu: float at the edge": Bad("edgetpu", "integers-at-the-edge", "2 conversions", float_edges),
    "edgetpu: more than 8 MB": Bad("edgetpu", "parameters-on-chip", "9.5 MB of parameters", of(heavy)),
    "edgetpu: ELU, to be converted": Bad("edgetpu", "an-int8-form", "1 ELU", named("elu", np.float32), finished=False),
    # A phone
    "mobile: L2 norm": Bad("mobile", "gpu-takes-it", "1 L2_NORMALIZATION", named("l2 normalization", np.float32)),
    "mobile: five dimensions": Bad("mobile", "gpu-takes-it", "[1, 2, 8, 16, 8]", of(five_dimensional, np.float32)),
    "mobile: a blunt softmax": Bad("mobile", "gpu-takes-it", "beta 2", of(blunt_softmax, np.float32)),
    "mobile: shuffled weights": Bad("mobile", "gpu-takes-it", "weights format 1", of(dense_of(weights_format=1), np.float32)),
    "mobile: computed weights": Bad("mobile", "gpu-takes-it", "computed parameters", of(computed_weights, np.float32)),
    "mobile: sign fused": Bad("mobile", "gpu-takes-it", "fused SIGN_BIT", of(lambda n, x: n.convolution(x, fused=schema.ActivationFunctionType.SIGN_BIT), np.float32)),
    "mobile: a dropped axis": Bad("mobile", "gpu-takes-it", "shrinkAxisMask", of(masked("shrinkAxisMask"), np.float32)),
    "mobile: slopes of another shape": Bad("mobile", "gpu-takes-it", "slopes of shape [16, 1, 1]", of(lambda n, x: n.prelu_of(x, (16, 1, 1)), np.float32)),
    "mobile: a batch of 4": Bad("mobile", "one-image-at-a-time", "a batch of 4", of(lambda n, x: n.convolution(x), np.float32, shape=(4, 16, 16, 3))),
    "mobile: two outputs": Bad("mobile", "one-input-one-output", "2 outputs", two_outputs),
    "mobile: PReLU in int8": Bad("mobile", "xnnpack-takes-it", "1 int8 PRELU", named("prelu")),
    "mobile: float between integers": Bad("mobile", "whole-for-nnapi", "operators that compute in float: 1 PRELU", of(island)),
    "mobile: a custom operator": Bad("mobile", "no-custom-operators", "FaceWarp", of(custom, np.float32)),
    # An Arm NPU
    "ethos-u: PReLU": Bad("ethos-u", "slopes-spelled-out", "PRELU", named("prelu")),
    "ethos-u: gather": Bad("ethos-u", "every-operator-on-the-npu", "GATHER", named("gather")),
    "ethos-u: float": Bad("ethos-u", "every-operator-on-the-npu", "CONV_2D", named("convolution", np.float32)),
    "ethos-u: L2 norm": Bad("ethos-u", "every-operator-on-the-npu", "L2_NORMALIZATION", named("l2 normalization")),
    "ethos-u: a custom operator": Bad("ethos-u", "no-operator-of-others", "FaceWarp", of(custom)),
    "ethos-u: a dynamic image": Bad("ethos-u", "static-shapes", "dynamic", of(dynamic)),
    "ethos-u: a cumulative sum, to be converted": Bad("ethos-u", "kinds-an-npu-has", "CUMSUM", of(summed_up, np.float32), finished=False),
    # A microcontroller
    "microcontroller: GELU": Bad("microcontroller", "operators-tflite-micro-has", "GELU", named("gelu")),
    "microcontroller: float between": Bad("microcontroller", "integers-throughout", "float", of(island)),
    "microcontroller: float throughout": Bad("microcontroller", "integers-throughout", "float", named("convolution", np.float32)),
    "microcontroller: float at the edge": Bad("microcontroller", "int8-at-the-edge", "float32", float_edges),
    "microcontroller: uint8 at the edge": Bad("microcontroller", "int8-at-the-edge", "uint8", named("add", np.uint8)),
    "microcontroller: a custom operator": Bad("microcontroller", "no-custom-operators", "FaceWarp", of(custom)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_the_broken_rule_is_named_with_what_breaks_it(name: str) -> None:
    bad = BAD[name]
    target = targets()[bad.target]
    rules = target.file_rules if bad.finished else target.network_rules
    findings = [f for f in apply_rules(rules, parse_for_rules(bad.make())) if f.rule == bad.rule]
    assert findings
    assert any(bad.text in finding.found for finding in findings), [finding.found for finding in findings]
    assert all(finding.advice for finding in findings)


@pytest.mark.parametrize("target", list(targets()))
def test_every_rule_has_a_network_that_breaks_it(target: str) -> None:
    broken = {bad.rule for bad in BAD.values() if bad.target == target}
    rules = {
        rule.__name__.replace("_", "-")
        for rule in (*targets()[target].network_rules, *targets()[target].file_rules)
    }
    broken_only_by_compiled_files = {"not-compiled", "not-yet-compiled"}
    tested_for_other_targets = {"no-custom-operators", "no-variables", "static-shapes"}
    assert rules - broken <= broken_only_by_compiled_files | tested_for_other_targets


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("target", ["cpu", "edgetpu", "mobile"])
def test_a_good_network_breaks_none(target: str, dtype: type) -> None:
    net = IntegerNetwork((1, 16, 16, 3), dtype=dtype)
    x = net.depthwise(net.convolution(net.input))
    x = net.apply("ADD", [x, net.convolution(x)], net.shape(x), options("Add"), version=2)
    data = net.finish(net.head(x))
    rules = targets()[target].network_rules if dtype is np.float32 else targets()[target].file_rules
    assert apply_rules(rules, parse_for_rules(data)) == ()
