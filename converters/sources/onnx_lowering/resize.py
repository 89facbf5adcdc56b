"""Resize and Upsample.

onnxruntime computes the weights of one axis, so every mode of the standard gives its own result. If TensorFlow's resizing has
the same weights, its operator is used, otherwise a product with the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, channels_last, stored
from converters.sources.onnx_run import open_session
from edge_sdk.types import FloatArray

_SAME = 1e-5
_FORMS = ((False, False), (True, False), (False, True))  # half_pixel_centers, align_corners
_KEPT = (
    "antialias",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "mode",
    "nearest_mode",
)


def _resize(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    if call.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsupportedOperatorError("keep_aspect_ratio_policy")
    if call.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise UnsupportedOperatorError("coordinate_transformation_mode tf_crop_and_resize")
    weights = {axis: matrix for axis, matrix in _weights(call, value).items() if matrix is not None}
    if value.rank == 4 and set(weights) == {2, 3}:
        result = _as_tensorflow(tf, call, value, weights)
        if result is not None:
            return result
    for axis, matrix in weights.items():
        value = _along(tf, value, axis, matrix)
    return value


def _weights(call: Call, value: Placed) -> dict[int, FloatArray | None]:
    """Return for each resized axis the matrix (old side, new side) of its weights."""
    old = call.opset < 11
    scales = call.parameter("scales", 1 if old else 2)
    sizes = None if old else call.constant(3)
    chosen = call.get("axes") or range(value.rank)
    result: dict[int, FloatArray | None] = {}
    for index, axis in enumerate(chosen):
        side = value.shape[axis]
        if sizes is not None and len(sizes):
            length, scale = int(sizes[index]), None
        else:
            scale = float(scales[index])
            length = int(np.floor(side * scale))
        same = length == side and (scale is None or scale == 1)
        result[int(axis) % value.rank] = None if same else _axis_weights(call, side, length, scale)
    return result


def _axis_weights(call: Call, side: int, length: int, scale: float | None) -> FloatArray:
    """Run the operator on unit vectors."""
    from onnx import TensorProto, helper, numpy_helper

    attributes = {name: call.attributes[name] for name in _KEPT if name in call.attributes}
    if call.opset < 11:
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    scales = [] if scale is None else [1.0, scale]
    sizes = [side, length] if scale is None else []
    node = helper.make_node("Resize", ["x", "", "scales", "sizes" if sizes else ""], ["y"], **attributes)
    if sizes:
        node.input[2] = ""
    stored_parts = [
        numpy_helper.from_array(np.array(scales, np.float32), "scales"),
        numpy_helper.from_array(np.array(sizes, np.int64), "sizes"),
    ]
    used = [part for part in stored_parts if part.name in node.input]
    info = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [side, side]), ("y", None))
    ]
    graph = helper.make_graph([node], "axis", info[:1], info[1:], used)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", max(call.opset, 13))], ir_version=8
    )
    (weights,) = open_session(model).run(None, {"x": np.eye(side, dtype=np.float32)})
    return np.asarray(weights, np.float32)


def _as_tensorflow(tf: Any, call: Call, value: Placed, weights: Mapping[int, FloatArray]) -> Placed | None:
    nearest = call.get("mode", "nearest") == "nearest"
    name = "ResizeNearestNeighbor" if nearest else "ResizeBilinear"
    for half, align in _FORMS:
        if all(_equal(matrix, nearest, half, align) for matrix in weights.values()):
            data = getattr(tf.raw_ops, name)(
                images=stored(tf, value, channels_last(4)),
                size=[weights[2].shape[1], weights[3].shape[1]],
                half_pixel_centers=half,
                align_corners=align,
            )
            return Placed(data, channels_last(4))
    return None


def _equal(matrix: FloatArray, nearest: bool, half: bool, align: bool) -> bool:
    """Compare the weights of an axis with those of TensorFlow's operator."""
    side, length = matrix.shape
    scale = (side - 1) / (length - 1) if align and length > 1 else side / length
    if nearest:
        at = (np.arange(length) + (0.5 if half else 0)) * scale
        index = np.minimum(np.floor(at + 0.5) if align else np.floor(at + 1e-9), side - 1).astype(int)
        expected = np.eye(side, dtype=np.float32)[:, index]
    else:
        at = (np.arange(length) + 0.5) * scale - 0.5 if half else np.arange(length) * scale
        at = np.clip(at, 0, side - 1)
        low = np.floor(at).astype(int)
        expected = np.zeros(matrix.shape, np.float32)
        np.add.at(expected, (low, np.arange(length)), 1 - (at - low))
        np.add.at(expected, (np.minimum(low + 1, side - 1), np.arange(length)), at - low)
    return bool(np.abs(matrix - expected).max() <= _SAME)


def _along(tf: Any, value: Placed, axis: int, weights: FloatArray) -> Placed:
    chosen = weights.argmax(axis=0)
    if np.array_equal(np.eye(len(weights), dtype=np.float32)[:, chosen], weights):
        return value.with_data(tf.gather(value.data, chosen.astype(np.int32), axis=value.position(axis)))
    order = value.with_axis_last(axis)
    return Placed(tf.matmul(stored(tf, value, order), weights), order)


OPERATORS: Mapping[str, Lowering] = {"Resize": _resize, "Upsample": _resize}
