"""A real PReLU network in full int8 is close to the float network and runs in one partition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converters.data.calibration import read_calibration
from converters.data.embedding import embed_crops
from converters.graph.partitions import xnnpack_partitions
from converters.quantize.int8 import quantize_int8
from converters.quantize.recipe import shipped
from converters.quantize.statistics import channel_statistics
from edge_sdk.matching import cosine
from edge_sdk.model.card import InputContract
from tools.ablation import read_float

pytestmark = pytest.mark.real


def test_mobilefacenet_y1_without_a_float_operator(shared: Path) -> None:
    contract = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})
    images = read_calibration(str(shared / "faces" / "lfw_calibration_aligned112.tar"), contract)
    model = read_float(shared / "zoo" / "mobilefacenet_y1_float32.tflite", contract, images)
    pixels = images.ranges.pixels[:100]
    recipe = replace(shipped("full_int8"), equalize="all")
    statistics = channel_statistics(model.network, contract, pixels)
    made = quantize_int8(model.network, recipe, statistics, contract, pixels).network
    graph = made.edit()
    assert {graph.dtype_name(i) for i in range(len(graph.tensors))} == {"int8", "int32"}
    assert xnnpack_partitions(made).count == 1 and not xnnpack_partitions(made).outside
    held_out = images.held_out.pixels[:40]
    cosines = cosine(embed_crops(model.network, contract, held_out), embed_crops(made, contract, held_out))
    assert cosines.mean() > 0.993 and cosines.min() > 0.97
