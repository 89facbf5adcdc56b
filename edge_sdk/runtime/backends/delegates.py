"""Delegates: shared libraries that run a network, or a part of it, on other hardware, such as ``libedgetpu.so.1``."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_sdk.errors import BackendUnavailableError

#: Symbol that every delegate library exports (TensorFlow Lite's external delegate interface).
_ENTRY = "tflite_plugin_create_delegate"
_EDGE_TPU = "libedgetpu"


def load_delegate(library: str | Path, module: str, options: Mapping[str, str] | None = None) -> Any:
    """Load a delegate.

    The library is checked first, because the interpreter's own loader leaves a broken object if it fails.

    Args:
        library: A path, or a name that the dynamic linker resolves. Loading it runs its code.
        module: The interpreter's module, such as ``ai_edge_litert.interpreter``.
        options: Options of the delegate, as its documentation names them.

    Raises:
        BackendUnavailableError: The library is missing or not a delegate, or it finds no hardware.
    """
    name = str(library)
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        reason = str(error).removeprefix(f"{name}: ")
        raise BackendUnavailableError(f"{name}: cannot be loaded: {reason}", hint=_hint(name)) from error
    if not hasattr(loaded, _ENTRY):
        raise BackendUnavailableError(
            f"{name}: expected a delegate, found a library without {_ENTRY}",
            hint="give the delegate itself, not a library that it needs",
        )
    try:
        return importlib.import_module(module).load_delegate(name, dict(options or {}))
    except (ValueError, RuntimeError, OSError) as error:
        raise BackendUnavailableError(
            f"{name}: the delegate does not start: {' '.join(str(error).split())}", hint=_hint(name)
        ) from error


def delegate_name(library: str | Path, options: Mapping[str, str] | None = None) -> str:
    """Name a delegate in evidence: its file name without folder, and its options, such as ``npu.so fp16=on``."""
    return " ".join(
        [Path(library).name, *(f"{name}={value}" for name, value in sorted((options or {}).items()))]
    )


def _hint(name: str) -> str:
    if _EDGE_TPU in name:
        return (
            "install Coral's libedgetpu1-std, plug in the accelerator, and add the user to the group plugdev"
        )
    return "give the path of the delegate's shared library, built for this machine"
