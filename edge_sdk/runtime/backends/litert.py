"""Backends on LiteRT (ai-edge-litert), or on tflite-runtime if only that is installed."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import BackendUnavailableError, ModelContractError, ModelError
from edge_sdk.extras import install_command
from edge_sdk.imports import ImportFailure, describe, numpy_cure, reinstall, try_import
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.backends.delegates import delegate_name, load_delegate
from edge_sdk.runtime.backends.native_log import info_lines_dropped
from edge_sdk.runtime.threads import thread_count

#: ``xnnpack``: XNNPACK for the operators that it supports. ``reference``: LiteRT's plain reference kernels, as in
#: tflite-micro. ``own``: LiteRT's optimized kernels without XNNPACK.
Kernels = Literal["xnnpack", "reference", "own"]
_RESOLVERS = {"reference": "BUILTIN_REF", "own": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}

#: Modules of the interpreters by package; the first that is installed is used.
PACKAGES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


def load_interpreter_class() -> Any:
    """Import the first available interpreter class.

    Raises:
        BackendUnavailableError: No interpreter is installed, or it does not load.
    """
    failures = []
    for package, module in PACKAGES.items():
        result = try_import(module, package=package, install=install_command("litert"))
        if not isinstance(result, ImportFailure):
            return result.Interpreter
        if not result.missing:
            failures.append(result)
    if failures:
        raise BackendUnavailableError(failures[0].message, hint=failures[0].hint)
    raise BackendUnavailableError("no LiteRT interpreter is installed", hint=install_command("litert"))


def runtime_name(interpreter_class: Any) -> str:
    """Name the package of an interpreter and its version, such as ``ai-edge-litert 2.3.0``."""
    module = interpreter_class.__module__.split(".")[0]
    package = module.replace("_", "-")
    stated = getattr(sys.modules.get(module), "__version__", None)
    if isinstance(stated, str):
        return f"{package} {stated}"
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} of unknown version"


class _OneInput:
    """Interpreter of a network with one input."""

    def __init__(self, interpreter: Any, detail: dict[str, Any]) -> None:
        self._interpreter = interpreter
        self.input = tensor_info(detail)
        self._input = interpreter.tensor(detail["index"])

    def input_view(self) -> NDArray[Any]:
        """Return the memory of the input tensor, to be written."""
        view: NDArray[Any] = self._input()
        return view

    def invoke(self) -> None:
        """Run the network on the content of the input view.

        Raises:
            ModelError: The interpreter cannot run the network, or a view of its memory is still referenced.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            message = " ".join(str(error).split())
            raise ModelError(f"the interpreter cannot run the network: {message}") from error


class LiteRtBackend(_OneInput):
    """Network with one input and one output in a LiteRT interpreter.

    Args:
        data: Content of a .tflite, with or without an appended archive.
        threads: Number of interpreter threads, 1 or more.
        kernels: Kernels of the interpreter.
        delegate: Shared library that runs the parts of the network it supports; see ``delegates.load_delegate``.
        options: Options of the delegate.

    Raises:
        BackendUnavailableError: No interpreter is installed, or the delegate cannot be loaded.
        InputError: The number of threads is below 1.
        ModelError: The interpreter refuses the network.
        ModelContractError: The network has not exactly one input and one output, or has dynamic shapes.
    """

    def __init__(
        self,
        data: bytes,
        *,
        threads: int = 1,
        kernels: Kernels = "xnnpack",
        delegate: str | Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        interpreter = _open(data, threads, kernels=kernels, delegate=delegate, options=options)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelContractError(
                f"expected one input and one output, found {len(inputs)} and {len(outputs)}"
            )
        super().__init__(interpreter, inputs[0])
        self.runtime = runtime_name(type(interpreter))
        self.kernels: str = kernels if delegate is None else delegate_name(delegate, options)
        self.output = tensor_info(outputs[0])
        self._output = interpreter.tensor(outputs[0]["index"])

    def output_view(self) -> NDArray[Any]:
        """Return the memory of the output tensor, valid until the next ``invoke``."""
        view: NDArray[Any] = self._output()
        return view


class LiteRtNetwork(_OneInput):
    """Network with one input and several outputs in a LiteRT interpreter.

    Args:
        data: Content of a .tflite, with or without an appended archive.
        threads: Number of interpreter threads, 1 or more.
        kernels: Kernels of the interpreter.

    Raises:
        BackendUnavailableError: No interpreter is installed.
        InputError: The number of threads is below 1.
        ModelError: The interpreter refuses the network.
        ModelContractError: The network has not exactly one input, or has dynamic shapes.
    """

    def __init__(self, data: bytes, *, threads: int = 1, kernels: Kernels = "xnnpack") -> None:
        interpreter = _open(data, threads, kernels=kernels)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1:
            raise ModelContractError(f"expected one input, found {len(inputs)}")
        super().__init__(interpreter, inputs[0])
        self.runtime = runtime_name(type(interpreter))
        self.kernels: str = kernels
        self.outputs = tuple(tensor_info(detail) for detail in outputs)
        self._outputs = [interpreter.tensor(detail["index"]) for detail in outputs]

    def output_view(self, position: int) -> NDArray[Any]:
        """Return the memory of one output tensor, valid until the next ``invoke``."""
        view: NDArray[Any] = self._outputs[position]()
        return view


def _open(
    data: bytes,
    threads: int,
    *,
    kernels: Kernels = "xnnpack",
    delegate: str | Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Any:
    """Create an interpreter and allocate its tensors."""
    threads = thread_count(threads)
    interpreter_class = load_interpreter_class()
    module = interpreter_class.__module__
    settings: dict[str, Any] = {}
    if kernels != "xnnpack":
        settings["experimental_op_resolver_type"] = getattr(
            importlib.import_module(module).OpResolverType, _RESOLVERS[kernels]
        )
    if delegate is not None:
        settings["experimental_delegates"] = [load_delegate(delegate, module, options)]
    # An interpreter that was built for another numpy loads, and fails here with errors of several types.
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), info_lines_dropped():
            interpreter = interpreter_class(model_content=data, num_threads=threads, **settings)
            interpreter.allocate_tensors()
    except (SystemError, ImportError, AttributeError) as error:
        name, cure = runtime_name(interpreter_class), numpy_cure(f"{error}\n{printed.getvalue()}")
        reason = (
            f"is built for another numpy than {np.__version__}"
            if cure
            else f"does not run: {describe(error)}"
        )
        raise BackendUnavailableError(f"{name} {reason}", hint=cure or reinstall(name.split()[0])) from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"the interpreter refuses the network: {' '.join(str(error).split())}") from error
    return interpreter


def partitions_taken(data: bytes, delegate: str | Path, options: Mapping[str, str] | None = None) -> int:
    """Count the partitions of a network that a delegate takes; 0 if the CPU runs all of it.

    Raises:
        BackendUnavailableError: No interpreter is installed, or the delegate cannot be loaded.
        ModelError: The interpreter refuses the network.
    """
    interpreter = _open(data, 1, kernels="own", delegate=delegate, options=options)
    # No public function counts partitions. XNNPACK is off, because its partitions have the same operator name.
    return sum(detail["op_name"] == "DELEGATE" for detail in interpreter._get_ops_details())


def tensor_info(detail: dict[str, Any]) -> TensorInfo:
    """Read an interpreter's description of a tensor; raises ModelContractError for a dynamic shape."""
    if -1 in detail.get("shape_signature", ()):
        raise ModelContractError(
            f"expected static shapes, found {list(detail['shape_signature'])} at {detail['name']!r}",
            hint="convert it with edge-convert convert, which gives static shapes",
        )
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]), float(scale), int(zero_point)
    )
