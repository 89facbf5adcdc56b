"""Delegates: shared libraries that run a network, or part of it, on other hardware, such as ``libedgetpu.so.1``."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_sdk.errors import BackendUnavailableError

#: What every delegate library exports (TensorFlow Lite's external delegate interface).
_ENTRY = "tflite_plugin_create_delegate"
_EDGE_TPU = "libedgetpu"


def load_delegate(library: str | Path, module: str, options: Mapping[str, str] | None = None) -> Any:
    """Load a delegate.

    The library is looked at first: the interpreter's own loader leaves half an object behind where it fails.

    Args:
        library: A path, or a name that the dynamic linker finds. Loading it runs its code.
        module: The interpreter's module, such as ``ai_edge_litert.interpreter``.
        options: What to tell it, as its own documentation names it.

    Raises:
        BackendUnavailableError: Missing, no delegate, or it finds no hardware.
    """
    name = str(library)
    try:
        found = ctypes.CDLL(name)
    except OSError as error:
        reason = str(error).removeprefix(f"{name}: ")
        raise BackendUnavailableError(f"{name}: cannot be loaded: {reason}", hint=_hint(name)) from error
    if not hasattr(found, _ENTRY):
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
    """What evidence calls a delegate: its file's name without folder, and its options, such as ``npu.so fp16=on``."""
    told = sorted((options or {}).items())
    return " ".join([Path(library).name, *(f"{name}={value}" for name, value in told)])


def _hint(name: str) -> str:
    if _EDGE_TPU in name:
        return "install Coral's libedgetpu1-std, plug the accelerator in, and let the user into the group plugdev"
    return "give the path of the delegate's shared library, built for this machine"
