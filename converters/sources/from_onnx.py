"""Read an ONNX file; imported only in the child process."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import onnx_dequantize, onnx_folding, onnx_interface, onnx_run, tflite_network
from converters.sources.kinds import MAX_SOURCE_BYTES
from converters.sources.onnx_interface import Interface
from converters.sources.source_request import Converted, SourceRequest, tools
from converters.sources.tensorflow_export import write_tflite
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray

_STANDARD = ("", "ai.onnx")
_CLOSE = 1e-4  # share of the largest output value; rounding differs far less between batch sizes


def convert(request: SourceRequest) -> Converted:
    """Check an ONNX model, fix it to one image, and write it as ``.tflite`` through onnx2tf.

    Raises:
        SourceError: The file is damaged or too new, weights are missing, activations are quantized, an operator is not
            in the standard, there is more than one input or output, or the image is not the contract's.
    """
    model, notes = load(request)
    notes += onnx_interface.drop_unread_inputs(model)
    interface = onnx_interface.examine(model, request.contract)
    request.stage = "running the file with onnxruntime"
    witness = onnx_run.embed(model, interface, request.inputs)
    request.stage = "fixing the shapes of the ONNX graph"
    notes += onnx_interface.fix_shape(model, interface, request.contract)
    model, folded = onnx_folding.fold_constants(model)
    onnx_folding.refuse_quantized(model)
    check_known(model)
    _check_fixed(model, interface, request, witness)
    if isinstance(request.contract, InputContract) and not interface.channels_first:
        onnx_interface.put_channels_first(model)
    if not any(a.HasField("g") or a.graphs for node in model.graph.node for a in node.attribute):
        onnx_interface.simplify_names(model)
    request.stage = "converting the ONNX graph with onnx2tf"
    tflite = _to_tflite(model, request)
    notes += folded + tflite_network.inspect(tflite, request.contract)
    return Converted(tflite, witness, tools("onnx", "onnxruntime", "onnx2tf", "tensorflow"), notes)


def load(request: SourceRequest) -> tuple[Any, tuple[str, ...]]:
    """Parse and check the file, with its external weights; its stored integer weights become floats."""
    import onnx
    from google.protobuf.message import DecodeError

    request.stage = "reading the ONNX file"
    try:
        model = onnx.load(request.path, load_external_data=False)
    except DecodeError as error:
        raise SourceError("the ONNX file is damaged", hint="copy it again, or export it again") from error
    _check_version(model)
    notes = _load_external(model, request.path.parent)
    _check_operators(model)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        line = str(error).splitlines()[0]
        raise SourceError(f"the ONNX model is not valid: {line[:300]}", hint="export it again") from error
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    return model, notes + onnx_dequantize.dequantize_weights(model)


def _check_version(model: Any) -> None:
    import onnx

    limits = [("IR version", model.ir_version, int(onnx.IR_VERSION))]
    newest = onnx.defs.onnx_opset_version()
    limits += [("opset", o.version, newest) for o in model.opset_import if o.domain in _STANDARD]
    for name, version, limit in limits:
        if version > limit:
            raise SourceError(
                f"the ONNX file has {name} {version}, the installed onnx {onnx.__version__} reads up to {limit}",
                hint="export it with an older opset (17 is supported everywhere), or update onnx",
            )


def _load_external(model: Any, folder: Path) -> tuple[str, ...]:
    """Load external weights, but only from the file's folder; return notes."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    external = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    names = sorted({str(ExternalDataInfo(tensor).location) for tensor in external})
    for name in names:
        _check_external(name, folder)
    try:
        onnx.load_external_data_for_model(model, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        line = str(error).splitlines()[0]
        raise SourceError(
            f"its external weights cannot be read: {line}", hint="copy both files again"
        ) from error
    return (f"the source's SHA-256 does not cover the weights in {', '.join(names)}",) if names else ()


def _check_external(name: str, folder: Path) -> None:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise SourceError(f"its external weights are outside its folder: {name!r}", hint="export it again")
    if not file.is_file():
        raise SourceError(
            f"its weights are in a second file {name!r}, which is not in its folder",
            hint="copy both files into one folder",
        )
    if file.stat().st_size > MAX_SOURCE_BYTES:
        raise SourceError(f"{name}: expected at most {MAX_SOURCE_BYTES} bytes, found {file.stat().st_size}")


def _check_operators(model: Any) -> None:
    """Refuse integer arithmetic, and operators that are not in the ONNX standard."""
    local = {(function.domain, function.name) for function in model.functions}
    unsupported = set()
    integer = set()
    for node in model.graph.node:
        if node.op_type.startswith(("QLinear", "QGemm", "DynamicQuantize")) or node.op_type.endswith(
            "Integer"
        ):
            integer.add(node.op_type)
        elif node.domain not in _STANDARD and (node.domain, node.op_type) not in local:
            unsupported.add(f"{node.domain}.{node.op_type}")
    if integer:
        raise SourceError(
            f"its activations are already quantized ({', '.join(sorted(integer))})",
            hint="give the float model it was made from",
        )
    if unsupported:
        raise SourceError(
            f"it needs operators outside the ONNX standard: {', '.join(sorted(unsupported))}",
            hint="give the exporter's file, not a file that a runtime has optimized",
        )


def check_known(model: Any) -> None:
    """Refuse operators that onnx2tf does not support, before TensorFlow is loaded."""
    package = importlib.util.find_spec("onnx2tf")
    if package is None:
        raise ModuleNotFoundError(name="onnx2tf")
    folder = Path(*(package.submodule_search_locations or ())[:1]) / "ops"
    known = {file.stem for file in folder.glob("*.py")}
    if missing := sorted({node.op_type for node in model.graph.node} - known):
        raise SourceError(
            f"onnx2tf has no TFLite form for the operators {', '.join(missing)}",
            hint="export with an older opset (17), which may decompose them, or replace them in the network",
        )


def _check_fixed(model: Any, interface: Interface, request: SourceRequest, witness: FloatArray) -> None:
    """Check that the graph with fixed shapes computes the outputs of the original file."""
    fixed = replace(interface, batch=1)
    try:
        outputs = onnx_run.embed(model, fixed, request.inputs[:2])
        same = outputs.shape == witness[:2].shape and bool(
            np.abs(outputs - witness[:2]).max() <= _CLOSE * max(float(np.abs(witness[:2]).max()), 1e-6)
        )
    except SourceError:
        same = False
    if not same and np.isfinite(witness).all():
        raise SourceError(
            "the ONNX graph computes other outputs with a batch of one image than with the file's own batch",
            hint="export it with a batch of 1",
        )


def _to_tflite(model: Any, request: SourceRequest) -> bytes:
    network = to_keras(model, request)
    return write_tflite(
        network, owner=list(network.variables), contract=request.contract, folder=request.folder
    )


def to_keras(model: Any, request: SourceRequest) -> Any:
    """Convert with onnx2tf to a Keras 2 model in memory, without onnx2tf's own file formats."""
    import onnx

    onnx2tf: Any = importlib.import_module("onnx2tf.onnx2tf")  # the package has a function of the same name
    # onnx2tf would download sample images even for a float conversion; give it the request's images instead.
    onnx2tf.download_test_image_data = lambda: request.inputs
    file = request.folder / "network.onnx"
    onnx.save(model, file)
    return onnx2tf.convert(
        input_onnx_file_path=str(file),
        output_folder_path=str(request.folder / "onnx2tf"),
        # Images become channels last; arrays keep the axis order of their contract.
        keep_shape_absolutely_input_names=[value.name for value in model.graph.input]
        if isinstance(request.contract, ArrayContract)
        else None,
        not_use_onnxsim=True,
        disable_model_save=True,
        non_verbose=True,
        verbosity="error",
    )
