"""Checks accept shapes and outputs of an embedding network, and refuse others."""

import numpy as np
import pytest

from converters.errors import SourceError
from converters.jobs.child_process import last_line
from converters.sources import checks
from edge_sdk.model.card import InputContract

RGB = InputContract(112, 96, "rgb", (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("shape", [(112, 96, 3), (None, None, 3), (None, 96, None)])
def test_image_of_the_contract(shape):
    checks.check_input(shape, RGB)


@pytest.mark.parametrize(
    ("shape", "message", "hint"),
    [
        ((112, 112, 3), "graph input is 112x112x3, expected 112x96 rgb", "--size 112x112"),
        ((96, 112, 3), "graph input is 96x112x3", "--size 96x112"),
        ((None, 80, 3), "graph input is ?x80x3", "--size 112x80"),
        ((112, 96, 1), "graph input is 112x96x1", "--color gray"),
        ((3, 112, 96), "graph input is 3x112x96", "channels_last"),
        ((112, 96), "graph input is 112x96,", "one image"),
    ],
)
def test_image_against_the_contract(shape, message, hint):
    with pytest.raises(SourceError, match="as in the contract") as refused:
        checks.check_input(shape, RGB)
    assert message in str(refused.value)
    assert hint in refused.value.hint


@pytest.mark.parametrize("shape", [(128,), (1, 128), (1, 1, 1, 128), (1, 128, 1, 1)])
def test_embedding_of_one_image(shape):
    assert checks.embedding_dimension(shape) == 128


@pytest.mark.parametrize("shape", [(), (1, 1), (5000,), (1, 7, 7, 64), (2, 128)])
def test_not_an_embedding(shape):
    with pytest.raises(SourceError, match="embedding"):
        checks.embedding_dimension(shape)


def test_witness_of_different_images_must_differ():
    images = np.zeros((3, 8, 8, 3), np.float32)
    images[1:] = 1
    same = np.ones((3, 4), np.float32)
    with pytest.raises(SourceError, match="the same for every image"):
        checks.check_witness(same, images)
    checks.check_witness(same, np.zeros_like(images))
    checks.check_witness(np.arange(12, dtype=np.float32).reshape(3, 4), images)


def test_witness_must_be_finite():
    with pytest.raises(SourceError, match="1 of 2 images"):
        checks.check_witness(np.array([[1, 2], [np.nan, 0]], np.float32), np.zeros((2, 8, 8, 3), np.float32))


def test_the_last_line_skips_noise():
    log = (
        "Starting\nThe Foo operator is not known\n\n  File 'x.py', line 3\nW0000 00:00:1 stub.cc:31] no GPU\n"
    )
    assert last_line(log) == "The Foo operator is not known"
    assert last_line("\n\n") == ""


def test_names_that_tensorflow_refuses_are_replaced_by_unique_names() -> None:
    from onnx import TensorProto, helper

    from converters.sources.onnx_interface import simplify_names

    nodes = [
        helper.make_node("Relu", ["x y"], ["x;y"], name="a b"),
        helper.make_node("Relu", ["x;y"], ["x_y"], name="block/conv:0"),
        helper.make_node("Clip", ["x_y", "", "x y"], ["fine.0"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x y", "fine.0")]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]))
    simplify_names(model)
    first, second, third = model.graph.node
    assert (first.name, second.name) == ("a_b", "block/conv:0")
    assert list(first.input) == [model.graph.input[0].name] == ["x_y_1"]
    assert list(first.output) == list(second.input) == ["x_y_2"]
    assert (list(second.output), list(third.input)) == (["x_y"], ["x_y", "", "x_y_1"])
    assert model.graph.output[0].name == "fine.0"
