"""Read an ONNX network with several outputs, such as a detector; imported only in the child process.

From here to the card, outputs are identified and sorted by name, because converters keep only the names of outputs, not
their order.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import onnx_folding, onnx_interface, onnx_run
from converters.sources.onnx_file import load
from converters.sources.onnx_interface import TO_NHWC, Interface
from converters.sources.onnx_tflite import to_tflite
from converters.sources.source_request import Converted, SourceRequest, tools
from edge_sdk.model.network_card import MAX_OUTPUTS
from edge_sdk.types import FloatArray

_CLOSE = 1e-4  # share of the largest value
_ROUNDING = 1e-6  # a sigmoid far below 0.5 differs by this much between runtimes
_OWN_SIZE = "some networks accept only the size that they were exported with; give that size with --size"
_ODD = re.compile(r"[^A-Za-z0-9_]")


def convert(request: SourceRequest) -> Converted:
    """Fix an ONNX network to one image of the contract's size and write it as ``.tflite``.

    The witness holds, for each image, the values of all outputs in the order of their names.

    Raises:
        SourceError: The file is damaged, too new or quantized, has more than one input, or does not run at this size.
    """
    model, notes = load(request)
    interface, fixed = _fix_image(model, request)
    request.stage = "fixing the shapes of the ONNX graph"
    model, folded = onnx_folding.fold_constants(model)
    onnx_folding.refuse_quantized(model)
    names = _output_names(model)
    request.stage = "running the file with onnxruntime"
    outputs = _run(model, interface, request.inputs)
    tflite, converters = to_tflite(
        model,
        request,
        interface,
        is_true=lambda tflite: _is_true(tflite, request, interface, outputs, names),
        outputs=names,
    )
    rows = _rows(outputs, interface, names, _shapes(tflite, names))
    witness = np.stack([np.concatenate([row[name] for name in sorted(names)]) for row in rows])
    used = tools("onnx", "onnxruntime", *converters)
    return Converted(tflite, witness, used, notes + fixed + folded)


def _is_true(
    tflite: bytes,
    request: SourceRequest,
    interface: Interface,
    outputs: list[list[FloatArray]],
    names: list[str],
) -> bool:
    """Compare each output of a converted network with that of onnxruntime, relative to the output's largest value."""
    shapes = _shapes(tflite, names)
    if any(math.prod(shape) != value.size for shape, value in zip(shapes, outputs[0], strict=True)):
        return False
    rows = _rows(outputs, interface, names, shapes)
    limits = {
        name: _CLOSE * max(float(np.abs(row[name]).max(initial=0)) for row in rows) + _ROUNDING
        for name in names
    }
    run = _signature(tflite)
    for image, row in zip(request.inputs, rows, strict=True):
        results = run(image=image[None])
        for name in names:
            # Written so that NaN is a difference.
            if not np.abs(np.ravel(results[name]) - row[name]).max(initial=0) <= limits[name]:
                return False
    return True


def _signature(tflite: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=tflite, num_threads=1).get_signature_runner()


def _shapes(tflite: bytes, names: list[str]) -> list[tuple[int, ...]]:
    """Return the shapes of the outputs in the file's order."""
    details = _signature(tflite).get_output_details()
    return [tuple(map(int, details[name]["shape"])) for name in names]


def _fix_image(model: Any, request: SourceRequest) -> tuple[Interface, tuple[str, ...]]:
    """Set the size of the one input to the contract's; a network that is not convolutional fails later, when it runs."""
    inputs = model.graph.input
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise SourceError(f"expected one input, found {len(inputs)}: {names}")
    dims = inputs[0].type.tensor_type.shape.dim
    height, width, channels = request.contract.shape
    shape = [d.dim_value if d.HasField("dim_value") else 0 for d in dims]
    first = len(shape) == 4 and onnx_interface.channels_first([side or None for side in shape], channels)
    if len(shape) != 4 or shape[1 if first else 3] not in (0, channels):
        raise SourceError(
            f"graph input is {'x'.join(str(side or '?') for side in shape)}, expected batch, {channels} channels, height,"
            " width, or batch, height, width, channels"
        )
    fixed = [1, channels, height, width] if first else [1, height, width, channels]
    interface = Interface(inputs[0].name, 1, channels_first=first, open_size=False)
    if shape == fixed:
        return interface, ()
    for dim, side in zip(dims, fixed, strict=True):
        dim.dim_value = side
    # Inferred shapes of the old size would contradict the new size.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    size = "x".join(str(side or "?") for side in shape)
    return interface, (f"the input of the ONNX file was {size} and is {height}x{width} now",)


def _output_names(model: Any) -> list[str]:
    names = [_ODD.sub("_", value.name) for value in model.graph.output]
    if not 1 <= len(names) <= MAX_OUTPUTS or len(set(names)) != len(names):
        raise SourceError(f"expected 1 to {MAX_OUTPUTS} outputs with different names, found {names}")
    return names


def _run(model: Any, interface: Interface, inputs: FloatArray) -> list[list[FloatArray]]:
    """Run onnxruntime on each image; return every output in the file's order."""
    try:
        session = onnx_run.open_session(model)
    except SourceError as error:
        raise SourceError(f"{error} (at this size)", hint=_OWN_SIZE) from error
    name = session.get_inputs()[0].name
    try:
        return [session.run(None, {name: interface.as_onnx(image[None])}) for image in inputs]
    except onnx_run.run_errors() as error:
        raise SourceError(
            f"onnxruntime cannot run it at this size: {str(error).splitlines()[0][:200]}", hint=_OWN_SIZE
        ) from error


def _rows(
    outputs: list[list[FloatArray]], interface: Interface, names: list[str], shapes: list[tuple[int, ...]]
) -> list[dict[str, FloatArray]]:
    """Return the flat outputs of each image by name, with the maps in NHWC as in the converted network."""
    rows = []
    for values in outputs:
        row = {}
        for name, value, shape in zip(names, values, shapes, strict=True):
            image = value.ndim == 4 and interface.channels_first
            channels_last = value.transpose(TO_NHWC) if image else value
            row[name] = (channels_last if channels_last.shape == shape else value).ravel().astype(np.float32)
        rows.append(row)
    return rows
