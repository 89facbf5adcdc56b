"""The backbone for int8 has no layer that int8 dislikes, and its size is as documented."""

from __future__ import annotations

import keras
import pytest

from edge_train.backbones import build_backbone


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_backbone("quantized", input_shape=(96, 96, 3), dimension=96)


def test_all_work_but_the_head_is_in_dense_convolutions(network: keras.Model) -> None:
    kinds = [type(layer).__name__ for layer in network.layers]
    assert set(kinds) == {
        "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add", "Flatten",
    }  # fmt: skip
    (head,) = (layer for layer in network.layers if isinstance(layer, keras.layers.DepthwiseConv2D))
    assert head.kernel_size == tuple(head.input.shape[1:3]) == (6, 6)
    assert kinds.count("Add") == 4
    assert all(layer.output.shape[-1] % 16 == 0 for layer in network.layers[1:])
    assert network.count_params() == 368_624


def test_each_activation_follows_a_normalization_or_an_addition_so_that_it_is_fused(
    network: keras.Model,
) -> None:
    for layer in network.layers:
        if isinstance(layer, keras.layers.ReLU):
            source = layer.input._keras_history.operation
            assert isinstance(source, keras.layers.BatchNormalization | keras.layers.Add)
        if isinstance(layer, keras.layers.BatchNormalization):
            source = layer.input._keras_history.operation
            assert isinstance(
                source, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Flatten
            )


def test_a_small_picture_keeps_its_resolution_in_the_stem() -> None:
    stems = [
        build_backbone("quantized", input_shape=shape, dimension=16, width=0.5).layers[1].strides
        for shape in ((28, 28, 1), (48, 96, 3), (64, 49, 3))
    ]
    assert stems == [(1, 1), (1, 1), (2, 2)]
