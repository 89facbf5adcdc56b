"""Stored integer weights of ONNX graphs get the values that onnxruntime computes, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.errors import SourceError
from converters.sources.onnx_dequantize import dequantize_weights

SHAPE = (4, 10, 3)
RANGES = {
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT16": (-(2**15), 2**15 - 1),
    "UINT16": (0, 2**16 - 1),
    "INT4": (-8, 7),
    "UINT4": (0, 15),
    "INT32": (-(2**31), 2**31 - 1),
}
SINCE = {"INT8": 10, "UINT8": 10, "INT32": 10}
GRANULARITIES: dict[str, tuple[int, tuple[int, ...], dict[str, int]]] = {
    "tensor": (10, (), {}),
    "tensor of one value": (10, (1,), {}),
    "default axis": (13, (10,), {}),
    "axis 0": (13, (4,), {"axis": 0}),
    "axis -1": (13, (3,), {"axis": -1}),
    "blocks": (21, (4, 2, 3), {"axis": 1, "block_size": 5}),
    "smaller last block": (21, (4, 4, 3), {"axis": -2, "block_size": 3}),
    "one larger block": (21, (4, 1, 3), {"axis": 1, "block_size": 64}),
}
CASES = [
    (kind, granularity, opset)
    for kind in RANGES
    for granularity, (since, _, _) in GRANULARITIES.items()
    for opset in (10, 13, 19, 21, 23, 24)
    if opset >= max(since, SINCE.get(kind, 21))
]


def tensor(name: str, kind: str, values: Any) -> Any:
    values = np.asarray(values)
    return helper.make_tensor(name, TensorProto.DataType.Value(kind), values.shape, values.ravel().tolist())


def random_tensor(name: str, kind: str, shape: tuple[int, ...]) -> Any:
    low, high = RANGES[kind]
    rng = np.random.default_rng(len(kind) + len(shape))
    return tensor(name, kind, rng.integers(low, high, size=shape, endpoint=True))


def scale(shape: tuple[int, ...], kind: str = "FLOAT") -> Any:
    values = np.random.default_rng(7).uniform(0.001, 0.02, size=shape)
    return tensor("scale", kind, values.astype(np.float32))


def network(stored: list[Any], *, opset: int = 21, output: int = TensorProto.FLOAT, **attributes: int) -> Any:
    """Build a graph of one DequantizeLinear operator on the stored tensors."""
    node = helper.make_node("DequantizeLinear", [t.name for t in stored], ["weight"], **attributes)
    value = helper.make_tensor_value_info("weight", output, list(stored[0].dims))
    graph = helper.make_graph([node], "weight", [], [value], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def run(model: Any, inputs: dict[str, Any] | None = None) -> Any:
    """Run a model with onnxruntime as it is, without optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs or {})[0]


def dequantized(model: Any) -> Any:
    """Return the value of the one weight; nothing else is left in the graph."""
    dequantize_weights(model)
    assert not model.graph.node
    (value,) = model.graph.initializer
    assert value.name == "weight"
    return numpy_helper.to_array(value)


@pytest.mark.parametrize("with_zero", [False, True], ids=["no zero point", "zero point"])
@pytest.mark.parametrize(("kind", "granularity", "opset"), CASES)
def test_the_values_are_those_of_onnxruntime(
    kind: str, granularity: str, opset: int, with_zero: bool
) -> None:
    _, shape, attributes = GRANULARITIES[granularity]
    stored = [random_tensor("x", kind, SHAPE), scale(shape)]
    if with_zero:
        # The specification has no zero point other than 0 for int32.
        zero = tensor("zero", kind, np.zeros(shape, int)) if kind == "INT32" else None
        stored.append(zero or random_tensor("zero", kind, shape))
    model = network(stored, opset=opset, **attributes)
    expected = run(model)
    value = dequantized(model)
    assert value.dtype == np.float32
    np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("block", [10, 64])
def test_a_bias_in_one_block_which_onnxruntime_refuses(block: int) -> None:
    stored = [random_tensor("x", "INT8", (10,)), scale((1,)), tensor("zero", "INT8", [3])]
    model = network(stored, axis=0, block_size=block)
    with pytest.raises(Exception, match="DequantizeLinear"):
        run(model)
    integers, factor, zero = (numpy_helper.to_array(t) for t in stored)
    expected = (integers.astype(np.float32) - zero.astype(np.float32)) * factor
    np.testing.assert_array_equal(dequantized(model), expected)


@pytest.mark.parametrize(
    ("scale_type", "output", "attributes"),
    [
        ("FLOAT16", "FLOAT16", {}),
        ("BFLOAT16", "BFLOAT16", {}),
        ("FLOAT", "FLOAT16", {"output_dtype": TensorProto.FLOAT16}),
        ("FLOAT16", "FLOAT", {"output_dtype": TensorProto.FLOAT}),
    ],
)
def test_the_scale_or_the_output_type_determines_the_type(
    scale_type: str, output: str, attributes: dict[str, int]
) -> None:
    kind = TensorProto.DataType.Value(output)
    stored = [random_tensor("x", "INT8", SHAPE), scale((10,), scale_type)]
    model = network(stored, opset=24, output=kind, **attributes)
    expected = ReferenceEvaluator(model).run(None, {})[0]
    value = dequantized(model)
    assert value.dtype == helper.tensor_dtype_to_np_dtype(kind)
    tolerance = {"FLOAT": 0, "FLOAT16": 2**-10, "BFLOAT16": 2**-7}[output]
    np.testing.assert_allclose(value.astype(np.float32), expected.astype(np.float32), rtol=tolerance)


def convolution() -> Any:
    """Build a network with a weight of each granularity, the biases too, one shared and one in a Constant operator."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [2, 3, 8, 8])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [2, 6, 8, 8])
    rng = np.random.default_rng(3)

    def factors(name: str, shape: tuple[int, ...]) -> Any:
        return numpy_helper.from_array(rng.uniform(0.001, 0.01, size=shape).astype(np.float32), name)

    stored = [
        random_tensor("w1", "INT8", (6, 3, 3, 3)),
        factors("w1_scale", (6,)),
        random_tensor("w1_zero", "INT8", (6,)),
        random_tensor("b1", "INT32", (6,)),
        numpy_helper.from_array(np.full(6, 1e-9, np.float32), "b1_scale"),
        factors("w2_scale", (6, 2, 1, 1)),
        random_tensor("b2", "INT8", (6,)),
        factors("b2_scale", (2,)),
    ]
    nodes = [
        helper.make_node("Constant", [], ["w2"], value=random_tensor("value", "INT4", (6, 6, 1, 1))),
        helper.make_node("DequantizeLinear", ["w1", "w1_scale", "w1_zero"], ["W1"], axis=0),
        helper.make_node("DequantizeLinear", ["b1", "b1_scale"], ["B1"], axis=0),
        helper.make_node("DequantizeLinear", ["w2", "w2_scale"], ["W2"], axis=1, block_size=3),
        helper.make_node("DequantizeLinear", ["b2", "b2_scale"], ["B2"], axis=0, block_size=3),
        helper.make_node("Conv", ["image", "W1", "B1"], ["x"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "W2", "B2"], ["y"]),
        helper.make_node("Conv", ["y", "W2", "B2"], ["z"]),
        helper.make_node("Cast", ["b2"], ["shift"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["shift", "sides"], ["shifts"]),
        helper.make_node("Add", ["z", "shifts"], ["output"]),
    ]
    stored.append(numpy_helper.from_array(np.array([1, 6, 1, 1]), "sides"))
    old = helper.make_tensor_value_info("w1", TensorProto.INT8, [6, 3, 3, 3])  # as files before IR version 4
    graph = helper.make_graph(nodes, "network", [image, old], [output], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def test_a_network_computes_the_same_bits_before_and_after() -> None:
    model = convolution()
    rng = np.random.default_rng(11)
    images = [rng.normal(size=(2, 3, 8, 8)).astype(np.float32) for _ in range(4)]
    expected = [run(model, {"image": image}) for image in images]
    notes = dequantize_weights(model)
    assert notes == ("integer weights of the ONNX file, dequantized to float32: 4",)
    onnx.checker.check_model(model, full_check=True)
    assert "DequantizeLinear" not in {node.op_type for node in model.graph.node}
    assert {t.name for t in model.graph.initializer} == {"W1", "B1", "W2", "B2", "b2", "sides"}
    assert [value.name for value in model.graph.input] == ["image"]
    for image, output in zip(images, expected, strict=True):
        np.testing.assert_array_equal(run(model, {"image": image}), output)


X = random_tensor("x", "INT8", SHAPE)


@pytest.mark.parametrize(
    ("stored", "attributes", "message"),
    [
        ([X, scale((9,))], {}, r"expected a scale of shape \(10,\) or \(\) .* axis 1, found \(9,\)"),
        ([X, scale((4, 10))], {}, r"found \(4, 10\)"),
        ([X, scale((1, 1))], {}, r"found \(1, 1\)"),
        ([X, scale((10,))], {"axis": 3}, "expected an axis from -3 to 2, found 3"),
        ([X, scale((10,))], {"axis": -4}, "expected an axis from -3 to 2, found -4"),
        ([random_tensor("x", "INT8", (10,)), scale((10,))], {}, "expected an axis from -1 to 0, found 1"),
        (
            [X, scale((4, 3, 3))],
            {"axis": 1, "block_size": 3},
            r"expected a scale of shape \(4, 4, 3\) .* blocks of 3, found \(4, 3, 3\)",
        ),
        (
            [X, scale(())],
            {"axis": 1, "block_size": 5},
            r"expected a scale of shape \(4, 2, 3\) .* found \(\)",
        ),
        ([X, scale((4, 2, 3))], {"axis": 1, "block_size": -5}, "expected a positive block size, found -5"),
        (
            [X, scale((10,)), tensor("zero", "INT8", 3)],
            {},
            r"expected a zero point of shape \(10,\) as its scale, found \(\)",
        ),
        ([X, scale(()), tensor("zero", "UINT8", 3)], {}, "expected a zero point of INT8, found UINT8"),
        ([X, scale(())], {"output_dtype": TensorProto.DOUBLE}, "expected a float type as output_dtype"),
    ],
)
def test_tensors_that_contradict_each_other_are_refused(
    stored: list[Any], attributes: dict[str, int], message: str
) -> None:
    with pytest.raises(SourceError, match="the quantized weight 'weight': ") as refused:
        dequantize_weights(network(stored, opset=24, **attributes))
    with pytest.raises(SourceError, match=message):
        raise refused.value
    assert "float model" in (refused.value.hint or "")


def test_the_size_of_all_weights_together_is_bounded() -> None:
    model = network([X, scale(())])
    for index in range(3):
        model.graph.node.append(helper.make_node("DequantizeLinear", ["x", "scale"], [f"again{index}"]))
    size = 4 * 4 * int(np.prod(SHAPE))
    with pytest.raises(SourceError, match=f"need more than {size - 1} bytes"):
        dequantize_weights(model, max_bytes=size - 1)
    assert len(model.graph.node) == 4
    assert dequantize_weights(model, max_bytes=size)


def test_a_scale_that_the_graph_computes_is_kept() -> None:
    model = network([X, scale((10,))])
    model.graph.node[0].input[1] = "absolute"
    model.graph.node.insert(0, helper.make_node("Abs", ["scale"], ["absolute"]))
    before = model.SerializeToString()
    assert dequantize_weights(model) == ()
    assert model.SerializeToString() == before
