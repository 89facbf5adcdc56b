"""Import of numpy, the only dependency: if it fails, a command exits with 3 instead of 1, which means "no match"."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAMS = ("edge-sdk", "edge-convert")
_MODULES = ("edge_sdk.cli", "converters.cli")
_FAILED = 3


def _command() -> str | None:
    """Return the name of the program if this process runs one of the project's commands."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    if program == "-m":  # as long as Python imports the packages of `python -m edge_sdk.cli`
        return next(
            (name for name, module in zip(_PROGRAMS, _MODULES, strict=True) if module in sys.orig_argv), None
        )
    return program if program in _PROGRAMS else None


try:
    import numpy  # noqa: F401
except (AttributeError, ImportError, OSError, RuntimeError, SystemError, ValueError) as error:
    name = _command()
    if name is None:
        raise
    text = " ".join(str(error).split())[:300].rstrip(".")
    print(f"{name}: error: numpy does not load: {text}", file=sys.stderr)
    print(f"{name}: hint: pip install --force-reinstall --only-binary=:all: numpy", file=sys.stderr)
    raise SystemExit(_FAILED) from error
