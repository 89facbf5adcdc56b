"""Read an ONNX file; imported only in the child process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks, onnx_folding, onnx_interface, onnx_output, onnx_run, tflite_network
from converters.sources.onnx_file import load
from converters.sources.onnx_interface import Interface
from converters.sources.onnx_tflite import to_tflite
from converters.sources.source_request import Converted, SourceRequest, tools
from edge_sdk.matching import cosine
from edge_sdk.types import FloatArray

_CLOSE = 1e-4  # share of the largest output value; rounding differs far less between batch sizes


def convert(request: SourceRequest) -> Converted:
    """Check an ONNX model, fix it to one image, and write it as ``.tflite``.

    Raises:
        SourceError: The file is damaged or too new, weights are missing, activations are quantized, an operator has no
            TFLite form, there is more than one input or output, or the image is not the contract's.
    """
    model, notes = load(request)
    notes += onnx_output.check_output(model)
    interface = onnx_interface.examine(model, request.contract)
    request.stage = "running the file with onnxruntime"
    witness = onnx_run.embed(model, interface, request.inputs)
    request.stage = "fixing the shapes of the ONNX graph"
    notes += onnx_interface.fix_shape(model, interface, request.contract)
    model, folded = onnx_folding.fold_constants(model)
    onnx_folding.refuse_quantized(model)
    _check_fixed(model, interface, request, witness)
    tflite, converters = to_tflite(
        model, request, interface, is_true=lambda tflite: _is_true(tflite, request, witness)
    )
    notes += folded + tflite_network.inspect(tflite, request.contract)
    return Converted(tflite, witness, tools("onnx", "onnxruntime", *converters), notes)


def _is_true(tflite: bytes, request: SourceRequest, witness: FloatArray) -> bool:
    """Compare the embeddings of a converted network with those of onnxruntime; NaN is refused elsewhere."""
    outputs = tflite_network.embed(tflite, request.inputs, request.contract)
    if outputs.shape != witness.shape:
        return False
    return not np.isfinite(witness).all() or bool(cosine(outputs, witness).min() >= checks.EQUAL_COSINE)


def _check_fixed(model: Any, interface: Interface, request: SourceRequest, witness: FloatArray) -> None:
    """Check that the graph with fixed shapes computes the outputs of the original file."""
    fixed = replace(interface, batch=1)
    try:
        outputs = onnx_run.embed(model, fixed, request.inputs[:2])
    except SourceError as error:
        raise SourceError(
            f"with a batch of one image, {error}", hint="export it with a batch of 1"
        ) from error
    same = outputs.shape == witness[:2].shape and bool(
        np.abs(outputs - witness[:2]).max() <= _CLOSE * max(float(np.abs(witness[:2]).max()), 1e-6)
    )
    if not same and np.isfinite(witness).all():
        raise SourceError(
            "the ONNX graph computes other outputs with a batch of one image than with the file's own batch",
            hint="export it with a batch of 1",
        )
