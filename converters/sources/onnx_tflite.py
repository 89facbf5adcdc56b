"""Write an ONNX graph as ``.tflite``; imported only in the child process.

onnx2tf is asked first for networks of images with operators that it writes as TFLite has them, because recipes of earlier
versions name its tensors. Its result counts only if it computes the outputs of the source. All other graphs are lowered
operator by operator.
"""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import onnx_interface
from converters.sources.onnx_interface import Interface
from converters.sources.onnx_lowering.call import UnsupportedOperatorError
from converters.sources.onnx_lowering.lower import LOWERINGS, describe, network, refuse_unknown
from converters.sources.onnx_rewrites.functions import expand_functions
from converters.sources.onnx_rewrites.gelu import fuse_gelu
from converters.sources.onnx_run import open_session
from converters.sources.source_request import SourceRequest
from converters.sources.tensorflow_export import OUTPUT, write_tflite
from edge_sdk.model.card import InputContract

# Operators that onnx2tf writes with TensorFlow operators that TFLite lacks, or with the axes in another order.
_NOT_FOR_ONNX2TF = {"Erf", "Gelu", "GRU", "LSTM", "RNN"}
_OTHER_WAY = (
    "choose a tensor before it with --output-name, replace the operator in the network, or give the network as a"
    " SavedModel, Keras or float TFLite file"
)


def to_tflite(
    model: Any,
    request: SourceRequest,
    interface: Interface,
    *,
    is_true: Callable[[bytes], bool],
    outputs: Sequence[str] = (OUTPUT,),
) -> tuple[bytes, tuple[str, ...]]:
    """Write a graph as ``.tflite``, with the first converter that keeps its function.

    Args:
        model: An onnx.ModelProto with static shapes and folded constants.
        request: The source.
        interface: The graph's input.
        is_true: Compares the outputs of a ``.tflite`` with those of the source.
        outputs: Names of the outputs in the signature.

    Returns:
        The file, and the packages that converted it.

    Raises:
        SourceError: An operator has no TFLite form, or the result computes something else; the message names the operator.
    """
    if _fits_onnx2tf(model, request):
        request.stage = "converting the ONNX graph with onnx2tf"
        try:
            tflite = _by_onnx2tf(_copy(model), request, interface, outputs)
            if is_true(tflite):
                return tflite, ("onnx2tf", "tensorflow")
        except ModuleNotFoundError:
            raise
        # onnx2tf raises errors of all its libraries, and ends the process.
        except (Exception, SystemExit):  # noqa: BLE001
            traceback.print_exc()
    request.stage = "converting the ONNX graph operator by operator"
    tflite = lower_to_tflite(model, request, interface, outputs)
    if not is_true(tflite):
        raise _different(model, request, interface)
    return tflite, ("tensorflow",)


def _copy(model: Any) -> Any:
    return type(model).FromString(model.SerializeToString())


def _fits_onnx2tf(model: Any, request: SourceRequest) -> bool:
    if not isinstance(request.contract, InputContract):
        return False
    known = _known_to_onnx2tf()
    return not any(
        node.op_type in _NOT_FOR_ONNX2TF or node.op_type not in known or _grouped(model, node)
        for node in model.graph.node
    )


def _known_to_onnx2tf() -> set[str]:
    package = importlib.util.find_spec("onnx2tf")
    if package is None:
        raise ModuleNotFoundError(name="onnx2tf")
    folder = Path(*(package.submodule_search_locations or ())[:1]) / "ops"
    return {file.stem for file in folder.glob("*.py")}


def _grouped(model: Any, node: Any) -> bool:
    """Return True for a grouped convolution that is not a depthwise one."""
    if node.op_type != "Conv":
        return False
    group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    kernel = next((tensor.dims for tensor in model.graph.initializer if tensor.name == node.input[1]), None)
    return group > 1 and (kernel is None or kernel[1] != 1)


def _by_onnx2tf(model: Any, request: SourceRequest, interface: Interface, outputs: Sequence[str]) -> bytes:
    """Convert with onnx2tf to a Keras 2 model in memory, without onnx2tf's own file formats, and write it."""
    import onnx

    if not interface.channels_first:
        onnx_interface.put_channels_first(model)
    if not any(onnx_interface.subgraphs(node) for node in model.graph.node):
        onnx_interface.simplify_names(model)
    onnx2tf: Any = importlib.import_module("onnx2tf.onnx2tf")  # the package has a function of the same name
    # onnx2tf would download sample images even for a float conversion; give it the request's images instead.
    onnx2tf.download_test_image_data = lambda: request.inputs
    file = request.folder / "network.onnx"
    onnx.save(model, file)
    keras = onnx2tf.convert(
        input_onnx_file_path=str(file),
        output_folder_path=str(request.folder / "onnx2tf"),
        not_use_onnxsim=True,
        disable_model_save=True,
        non_verbose=True,
        verbosity="error",
    )
    return write_tflite(
        keras,
        owner=list(keras.variables),
        contract=request.contract,
        folder=request.folder / "by_onnx2tf",
        outputs=outputs,
    )


def lower_to_tflite(
    model: Any, request: SourceRequest, interface: Interface, outputs: Sequence[str] = (OUTPUT,)
) -> bytes:
    """Write a graph operator by operator; see ``to_tflite``."""
    model = expand_functions(_copy(model), LOWERINGS)
    fuse_gelu(model)
    try:
        refuse_unknown(model)
        call = network(model, interface.order)
        return write_tflite(
            call,
            owner=(),
            contract=request.contract,
            folder=request.folder / "lowered",
            outputs=outputs,
            autograph=False,
        )
    except UnsupportedOperatorError as error:
        raise SourceError(str(error), hint=_OTHER_WAY) from error


def _different(model: Any, request: SourceRequest, interface: Interface) -> SourceError:
    """Describe the first operator whose output differs from onnxruntime's."""
    operator = _first_different(model, request, interface)
    where = f"; {operator} is the first operator that differs" if operator else ""
    return SourceError(
        f"the converted graph computes other outputs than onnxruntime{where}",
        hint=f"report this model as a bug; to convert it now, {_OTHER_WAY}",
    )


def _first_different(model: Any, request: SourceRequest, interface: Interface) -> str:
    import onnx

    image = request.inputs[:1]
    names = [name for node in model.graph.node for name in node.output if name]
    probe = _copy(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        values = open_session(onnx.shape_inference.infer_shapes(probe)).run(
            names, {interface.name: interface.as_onnx(image)}
        )
        computed = network(probe, interface.order)(image)
    # The graph may contain operators that its opset lacks, or that TensorFlow computes only in TFLite.
    except Exception:  # noqa: BLE001
        return ""
    makers = {name: node for node in model.graph.node for name in node.output}
    for name, value, result in zip(names, values, computed, strict=True):
        expected, actual = np.asarray(value), np.asarray(result)
        if expected.ndim == 4 and interface.channels_first:
            expected = expected.transpose(onnx_interface.TO_NHWC)
        scale = max(float(np.abs(expected).max(initial=0)), 1e-6)
        if expected.shape != actual.shape or float(np.abs(expected - actual).max(initial=0)) > 1e-3 * scale:
            return describe(makers[name])
    return ""
