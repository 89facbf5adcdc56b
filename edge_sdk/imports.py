"""Import of compiled packages, which may be missing or built for another numpy, Python or machine."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from dataclasses import dataclass
from types import ModuleType

_BUILT_FOR_1 = "a package that was built for numpy 1 does not run with numpy 2: pip install 'numpy<2'"
_BUILT_FOR_2 = "a package that was built for numpy 2 does not run with numpy 1: pip install 'numpy>=2'"
_BUILT_FOR_OTHER = (
    "two packages were built for different versions of numpy: install the one from the same source as the other, for"
    " example both from the distribution or both with pip"
)
#: Size of `numpy.dtype` in bytes that a package was built for, and the size in the numpy that runs.
_SIZE = re.compile(
    r"numpy\.dtype size changed.*?Expected (\d+) from C header, got (\d+) from PyObject", re.DOTALL
)
_DTYPE_BYTES_1, _DTYPE_BYTES_2 = 96, 88
_VERSION = re.compile(
    r"compiled against (?:ABI|API) version (0x[0-9a-f]+).*?(?:numpy|NumPy) is (0x[0-9a-f]+)", re.DOTALL
)
_ABI_1, _ABI_2 = 0x1000000, 0x2000000
_API_2 = 0x12
_SIGNS = (
    "_ARRAY_API not found",
    "numpy.core.multiarray failed to import",
    "size changed, may indicate binary",
)
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class ImportFailure:
    """Reason why a package cannot be imported.

    Attributes:
        missing: True if the package is not installed, False if it is installed but does not load.
        message: What was found, in one line.
        hint: What to do.
    """

    missing: bool
    message: str
    hint: str


def try_import(module: str, *, package: str, install: str) -> ModuleType | ImportFailure:
    """Import a module of a compiled package.

    What the package prints to stderr during the import is not shown: numpy prints a page of text for a package that was
    built for another version.

    Args:
        module: Dotted name of the module.
        package: Name of the package in messages.
        install: How to install the package.

    Returns:
        The module, or the reason why it cannot be imported, whatever the import raised.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "") in (module.split(".")[0], module):
            return ImportFailure(True, f"{package} is not installed", install)
        return ImportFailure(False, f"{package} is installed but does not load: {describe(error)}", install)
    # An import runs code of others, which may raise anything.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        cure = numpy_cure(f"{error}\n{printed.getvalue()}")
        return ImportFailure(
            False, f"{package} is installed but does not load: {describe(error)}", cure or reinstall(package)
        )


def numpy_cure(text: str) -> str | None:
    """Return what to do about an error text of numpy's binary interface; None if the text is about something else."""
    if match := _SIZE.search(text):
        sizes = int(match[1]), int(match[2])
        if sizes == (_DTYPE_BYTES_1, _DTYPE_BYTES_2):
            return _BUILT_FOR_1
        return _BUILT_FOR_2 if sizes == (_DTYPE_BYTES_2, _DTYPE_BYTES_1) else _BUILT_FOR_OTHER
    if match := _VERSION.search(text):
        compiled, running = int(match[1], 16), int(match[2], 16)
        # An ABI version has the major version in its first byte; API versions are counted, 0x12 is numpy 2.0.
        first_of_2 = _ABI_2 if max(compiled, running) >= _ABI_1 else _API_2
        if (compiled < first_of_2) == (running < first_of_2):
            return _BUILT_FOR_OTHER
        return _BUILT_FOR_1 if compiled < first_of_2 else _BUILT_FOR_2
    if "compiled using NumPy 1.x cannot be run" in text or "_ARRAY_API not found" in text:
        return _BUILT_FOR_1
    return _BUILT_FOR_OTHER if any(sign in text for sign in _SIGNS) else None


def reinstall(package: str) -> str:
    """Return how to replace a package whose compiled part does not fit the machine."""
    return f"its wheel is not for this machine: pip install --force-reinstall --only-binary=:all: {package}"


def describe(error: BaseException) -> str:
    """Describe a foreign exception in one line: its type, and at most 300 characters of its text."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:_MOST_CHARACTERS]}"
